"""Records as JSON lines: to standard output (and so to journald) or to a rotated file."""

from __future__ import annotations

import errno
import json
import os
import select
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Protocol

from edge.alerts.backlog import Backlog
from edge.alerts.outage import Outage
from edge.alerts.sink import Clock, EventHandler, Record, local_now
from edge.report import event_record

# A minute of windows from ten microphones: what a reader that hangs may cost in memory.
BACKLOG_RECORDS = 600
STDOUT = 1


@dataclass(frozen=True)
class StdoutSettings:
    """Records on standard output, one per line."""

    enabled: bool = field(default=True, metadata={"doc": "write records to standard output"})
    windows: bool | None = field(
        default=None,
        metadata={
            "doc": "write every window too, not only alerts and events; null: yes, except into "
            "the journal, which would put some 30 MB a day and microphone on the disk"
        },
    )


@dataclass(frozen=True)
class FileSettings:
    """Records in a file that is rotated before it grows past its limit."""

    path: str = field(
        default="", metadata={"unit": "path", "doc": "file for records; empty: no file"}
    )
    windows: bool = field(
        default=False,
        metadata={
            "doc": "write every window too: some 30 MB a day and microphone, hard on SD cards"
        },
    )
    max_mb: float = field(
        default=10.0,
        metadata={
            "unit": "MB",
            "doc": "size at which the file is rotated",
            "minimum": 0.01,
            "maximum": 10_000.0,
        },
    )
    files: int = field(
        default=5,
        metadata={
            "unit": "files",
            "doc": "files to keep, the current one included",
            "minimum": 1,
            "maximum": 1000,
        },
    )
    sync: str = field(
        default="alerts",
        metadata={
            "doc": "records to force to the disk at once; the rest follows within half a minute",
            "choices": ("alerts", "never"),
        },
    )


def json_line(record: Record) -> str:
    """A record on one line. NaN, which JSON does not know, raises ValueError."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False)


class LineWriter(Protocol):
    """Where lines end up."""

    def write(self, line: bytes, urgent: bool) -> None:
        """Write one line; `urgent` ones should survive a power cut.

        Raises:
            OSError: it could not be written; nothing of it was.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class JsonLinesSink:
    """Writes records as lines in a thread of its own, so that a reader that hangs holds up nobody.

    Args:
        name: what events call this sink.
        writer: where the lines go.
        windows: window records are wanted too.
        on_event: told when lines are lost and when they flow again.
        layout: how a record becomes a line; JSON by default.
        on_broken_pipe: called once, from the writing thread, when the reader has gone away
            (`earwitness run | head`); writing ends with it.
        now: time of day, for the events.
    """

    def __init__(
        self,
        name: str,
        writer: LineWriter,
        windows: bool,
        on_event: EventHandler,
        layout: Callable[[Record], str] = json_line,
        on_broken_pipe: Callable[[], None] | None = None,
        now: Clock = local_now,
    ) -> None:
        self.name = name
        self._writer = writer
        self._windows = windows
        self._on_event = on_event
        self._layout = layout
        self._on_broken_pipe = on_broken_pipe
        self._now = now
        self._backlog = Backlog(BACKLOG_RECORDS)
        self._outage = Outage()
        self._lost = 0
        self._broken = False
        self._thread = threading.Thread(target=self._run, name=f"alerts-{name}", daemon=True)
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Take one record."""
        if self._broken or (record["type"] == "window" and not self._windows):
            return
        self._backlog.put(record)

    @property
    def lost(self) -> int:
        """Records that were not written, since the start."""
        return self._lost + self._backlog.dropped

    def close(self, timeout_s: float) -> None:
        """Write what waits, within `timeout_s`."""
        self._backlog.close()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._broken and not self._backlog.finished:
            record = self._backlog.take()
            if record is not None:
                self._write(record)
        self._writer.close()

    def _write(self, record: Record) -> None:
        try:
            line = self._layout(record).encode() + b"\n"
            self._writer.write(line, urgent=record["type"] == "alert")
        except BrokenPipeError:
            self._break()
        except Exception as error:
            # Besides a disk's troubles: a record that its layout cannot show costs itself only.
            self._fail(error)
        else:
            self._recover()

    def _break(self) -> None:
        self._broken = True
        self._tell("output-broken", f"Whoever read the output {self.name} has gone; it ends here.")
        if self._on_broken_pipe is not None:
            self._on_broken_pipe()

    def _fail(self, error: Exception) -> None:
        self._lost += 1
        reason = getattr(error, "strerror", None) or str(error)
        if self._outage.failed(reason, time.monotonic()):
            self._tell("output-failed", f"The output {self.name} cannot be written: {reason}.")

    def _recover(self) -> None:
        lost = self._outage.failures
        lasted_s = self._outage.recovered(time.monotonic())
        if lasted_s is not None:
            self._tell(
                "output-recovered",
                f"The output {self.name} is written again after {lasted_s:.0f} s; "
                f"{lost} records are missing from it.",
            )

    def _tell(self, kind: str, message: str) -> None:
        self._on_event(event_record(f"alerts.{self.name}", kind, message, self._now()))


class DescriptorWriter:
    """Writes whole lines to an open file descriptor, past Python's buffers.

    A thread stuck in a buffered `sys.stdout` would hold its lock and abort the interpreter's exit.

    Args:
        descriptor: an open one; it is not closed here.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, line: bytes, urgent: bool) -> None:
        """Write all of a line, waiting for the reader as long as it takes."""
        while line:
            try:
                line = line[os.write(self._descriptor, line) :]
            except BlockingIOError:
                # Somebody who shares the terminal or pipe has made it non-blocking.
                select.select([], [self._descriptor], [])

    def close(self) -> None:
        """The descriptor belongs to the process."""


class RotatedFile:
    """A file that never grows past its limit: older lines move to FILE.1, FILE.2 and so on.

    A line that does not fit on the disk is taken back whole, so the file holds complete lines only.
    A file that was moved or deleted by somebody else is begun again.

    Args:
        path: the current file.
        max_bytes: the file is rotated before a line would take it past this.
        files: how many to keep, the current one included.
        sync: force urgent lines to the disk.
    """

    def __init__(self, path: Path, max_bytes: int, files: int, sync: bool) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._sync = sync
        self._descriptor: int | None = None

    def write(self, line: bytes, urgent: bool) -> None:
        """Append one line."""
        descriptor, size = self._current()
        if size > 0 and size + len(line) > self._max_bytes:
            self._rotate()
            descriptor, size = self._current()
        self._append(descriptor, size, line)
        if urgent and self._sync:
            os.fdatasync(descriptor)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _current(self) -> tuple[int, int]:
        """Descriptor and size of the file that bears the name now."""
        if self._descriptor is not None and not self._still_named():
            self.close()
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(
                self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640
            )
        return self._descriptor, os.fstat(self._descriptor).st_size

    def _still_named(self) -> bool:
        assert self._descriptor is not None
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _append(self, descriptor: int, size: int, line: bytes) -> None:
        try:
            written = os.write(descriptor, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(descriptor, size)
            raise

    def _rotate(self) -> None:
        self.close()
        names = [self._path, *(self._numbered(n) for n in range(1, self._files))]
        if len(names) == 1:
            self._path.unlink()
        for older, newer in zip(reversed(names), reversed(names[:-1])):
            if newer.exists():
                os.replace(newer, older)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def stdout_sink(
    settings: StdoutSettings,
    on_event: EventHandler,
    layout: Callable[[Record], str] = json_line,
    on_broken_pipe: Callable[[], None] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> JsonLinesSink:
    """Records on standard output."""
    windows = settings.windows
    if windows is None:
        windows = not is_journal(STDOUT, environment)
    return JsonLinesSink(
        "stdout", DescriptorWriter(STDOUT), windows, on_event, layout, on_broken_pipe
    )


def is_journal(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Does a descriptor lead to systemd's journal ($JOURNAL_STREAM, systemd.exec(5))?"""
    status = os.fstat(descriptor)
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def file_sink(settings: FileSettings, on_event: EventHandler) -> JsonLinesSink:
    """Records in a rotated file."""
    writer = RotatedFile(
        Path(settings.path), int(settings.max_mb * 1e6), settings.files, settings.sync == "alerts"
    )
    return JsonLinesSink("file", writer, settings.windows, on_event)
