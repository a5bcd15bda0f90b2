"""What the daemon costs as a process: start, memory, imports. Linux alone: it reads /proc."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import statistics
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from edge.benchmark.command import ONE_THREAD

# What the device installs can do without these; each would cost a Pi seconds or tens of MB.
FOREIGN = ("scipy.signal", "librosa", "tensorflow", "keras", "training", "convert", "matplotlib")
REPEATS = 5
DEADLINE_S = 60.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
SECOND_PCM = bytes(2 * 16000)


def environment() -> dict[str, str]:
    """That of the processes measured here."""
    return {**os.environ, **ONE_THREAD}


def command(*arguments: str) -> list[str]:
    """`earwitness` with the interpreter in use, installed or not."""
    return [sys.executable, "-m", "edge.cli", *arguments]


def imported(statement: str) -> list[str]:
    """Modules of FOREIGN that a statement pulls in."""
    program = f"import sys; {statement}; print(*[m for m in {FOREIGN!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def first_frame(bundle: Path) -> dict[str, float]:
    """From starting `earwitness run` to its having taken the first audio, on a pipe.

    Returns:
        Medians of wall and CPU time, s.
    """
    walls, cpus = zip(*(_first_frame(bundle) for _ in range(REPEATS)))
    return {"wall_s": statistics.median(walls), "cpu_s": statistics.median(cpus)}


def _first_frame(bundle: Path) -> tuple[float, float]:
    begin_s = time.perf_counter()
    child = subprocess.Popen(
        command("run", "--model", str(bundle), "--source", "-", "--format", "jsonl"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    assert child.stdin is not None
    try:
        os.write(child.stdin.fileno(), SECOND_PCM)
        while _unread(child.stdin.fileno()) == len(SECOND_PCM):
            if child.poll() is not None or time.perf_counter() - begin_s > DEADLINE_S:
                raise RuntimeError("the daemon did not take any audio")
            time.sleep(0.001)
        return time.perf_counter() - begin_s, cpu_s(child.pid)
    finally:
        child.kill()
        child.communicate()


def _unread(descriptor: int) -> int:
    """Bytes that wait in a pipe."""
    answer = fcntl.ioctl(descriptor, termios.FIONREAD, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def cpu_s(pid: int) -> float:
    """CPU time of a running process, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def peak_rss_mb(bundle: Path, recording: Path, config: Path) -> float:
    """Most memory that the daemon has resident while it judges a recording over and over, MB."""
    config.write_text(
        json.dumps(
            {"sources": [{"kind": "file", "name": "x", "path": str(recording), "loop": True}]}
        )
    )
    child = subprocess.Popen(
        command("run", "--config", str(config), "--model", str(bundle), "--format", "jsonl"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
    )
    assert child.stdout is not None
    try:
        for _ in zip(range(200), child.stdout):
            pass
        status = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    finally:
        child.send_signal(signal.SIGTERM)
        child.communicate()
    (peak,) = (line for line in status if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024 / 1e6
