"""The real `earwitness` process, started as a user starts it."""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.patience import HANG_S

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "edge.cli")
FIRST_PORT, PORTS_PER_WORKER = 20_000, 1000
_ports = itertools.count(os.getpid())  # so that two suites on one machine rarely meet


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's variables without those that steer earwitness, plus some."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("EARWITNESS_")}
    kept.pop("PYTHONWARNINGS", None)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, **variables}


def free_port() -> int:
    """A TCP port that nobody listens on now, and that no other test is given.

    Tests that run at the same time have a thousand ports each, outside the range from which the
    kernel takes ports for those who do not care.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    for _ in range(PORTS_PER_WORKER):
        port = FIRST_PORT + PORTS_PER_WORKER * worker + next(_ports) % PORTS_PER_WORKER
        with socket.socket() as probe:
            # As servers do; what an earlier one has left in TIME_WAIT does not matter to them.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


def quiet(arguments: Sequence[str | Path]) -> dict[str, str]:
    """Variables for a command without a configuration: no metrics, whose port others may hold."""
    alone = arguments[:1] == ("run",) and "--config" not in arguments
    return {"EARWITNESS_METRICS__ENABLED": "false"} if alone else {}


def earwitness(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output as text."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=clean_environment(**{**quiet(arguments), **(environment or {})}),
        input=stdin,
        capture_output=True,
        timeout=HANG_S,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


class Running:
    """`earwitness run` in the background, its records as they come."""

    def __init__(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        folder: Path | None = None,
    ) -> None:
        self.records: list[dict[str, Any]] = []
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._stderr: list[bytes] = []
        self.process = subprocess.Popen(
            [*COMMAND, "run", *map(str, arguments)],
            env=clean_environment(**{**quiet(("run", *arguments)), **(environment or {})}),
            stdin=stdin,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._threads = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def stderr(self) -> str:
        """What it has said so far."""
        return b"".join(self._stderr).decode()

    def wait_for(
        self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = HANG_S
    ) -> dict[str, Any]:
        """The next record that is wanted; all that come are kept in `records`."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                raise AssertionError(f"earwitness has ended: {self.stderr}\n{self.records}")
            self.records.append(json.loads(line))
            if wanted(self.records[-1]):
                return self.records[-1]
        raise AssertionError(f"not within {timeout_s} s; stderr: {self.stderr}\n{self.records}")

    def wait_for_event(self, kind: str, timeout_s: float = HANG_S) -> dict[str, Any]:
        """The next event of a kind."""
        return self.wait_for(lambda r: r["type"] == "event" and r["kind"] == kind, timeout_s)

    def wait_for_window(self, timeout_s: float = HANG_S) -> dict[str, Any]:
        """The next window."""
        return self.wait_for(lambda r: r["type"] == "window", timeout_s)

    def end(self, number: int = signal.SIGTERM, timeout_s: float = HANG_S) -> int:
        """Send a signal; the exit status, once all that was written has been read."""
        self.process.send_signal(number)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = HANG_S) -> int:
        """The exit status, once it has ended by itself."""
        status = self.process.wait(timeout_s)
        for thread in self._threads:
            thread.join(timeout_s)
        while (line := self._lines.get_nowait()) is not None:
            self.records.append(json.loads(line))
        return status

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Records of a type that have been read."""
        return [record for record in self.records if record["type"] == kind]

    def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._stderr.append(line)
