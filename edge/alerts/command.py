"""Alerts to a program of the owner's: the record as JSON on its standard input, no shell."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field

from edge.alerts.delivery import DeliveryError, RetrySettings
from edge.alerts.sink import Record
from edge.errors import ConfigError


@dataclass(frozen=True)
class CommandSettings:
    """A program to run for every alert."""

    argv: tuple[str, ...] = field(
        default=(),
        metadata={
            "unit": "list of words",
            "doc": "program and its arguments, not passed through a shell; empty: no command",
        },
    )
    timeout_s: float = field(
        default=30.0,
        metadata={
            "unit": "s",
            "doc": "the program and its children are killed after this long",
            "minimum": 0.1,
            "maximum": 3600.0,
        },
    )
    windows: bool = field(default=False, metadata={"doc": "run it for every window too"})
    events: bool = field(default=False, metadata={"doc": "run it for events too"})
    retry: RetrySettings = field(default_factory=lambda: RetrySettings(max_attempts=5))


class CommandTransport:
    """Runs a program per record; exit status 0 means that it took the record.

    The program reads one line of JSON from standard input. Its standard output is discarded, its
    standard error goes where the daemon's goes (the journal). It runs in its own process group,
    which is killed as a whole when time is up.

    Raises:
        ConfigError: there is no such program.
    """

    def __init__(self, settings: CommandSettings) -> None:
        if not settings.argv or shutil.which(settings.argv[0]) is None:
            program = settings.argv[0] if settings.argv else ""
            raise ConfigError(f"The alert command {program!r} is not a program that can be run.")
        self._settings = settings

    def send(self, record: Record) -> None:
        """Run the program on one record.

        Raises:
            DeliveryError: it could not be started, failed, or took too long.
        """
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        try:
            process = subprocess.Popen(
                self._settings.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"the command does not start: {error.strerror}") from error
        self._feed(process, line)

    def _feed(self, process: subprocess.Popen[bytes], line: bytes) -> None:
        try:
            # A program that exits without reading its input breaks no pipe here: communicate()
            # lets that pass, and the exit status decides.
            process.communicate(line, timeout=self._settings.timeout_s)
        except subprocess.TimeoutExpired as error:
            kill_group(process)
            raise DeliveryError(
                f"the command took longer than {self._settings.timeout_s:g} s and was killed"
            ) from error
        if process.returncode < 0:
            raise DeliveryError(f"the command was ended by signal {-process.returncode}")
        if process.returncode > 0:
            raise DeliveryError(f"the command ended with exit status {process.returncode}")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads its own group, and the whole group with it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        # It ended by itself between the timeout and now.
        return
    finally:
        process.wait()
