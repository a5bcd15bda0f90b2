"""How many streams one core carries: the real daemon on recordings paced in real time."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.benchmark.measure import RECORDINGS
from edge.benchmark.statistics import percentile
from perf.process import CLOCK_TICKS, command, cpu_s, environment

# Until the daemon has started and every stream has its first window.
SETTLE_S = 8.0
CORE = 0
DISTURBED_SHARE = 0.05
TRIES = 4


def curve(
    bundle: Path, streams: Sequence[int], seconds: float, config: Path
) -> list[dict[str, Any]]:
    """Figures for growing numbers of streams, up to the first that is too many.

    A number that was too many while other programs had the core is tried again.
    """
    found = []
    for count in streams:
        for _ in range(TRIES):
            point = load(bundle, count, seconds, config)
            too_many = point["late"] or point["lost"]
            if not too_many or point["others_share"] < DISTURBED_SHARE:
                break
        found.append(point)
        if too_many:
            break
    return found


def load(bundle: Path, streams: int, seconds: float, config: Path) -> dict[str, Any]:
    """Run the daemon on so many streams, on one core.

    Args:
        bundle: folder of the bundle.
        streams: how many recordings play at once, endlessly.
        seconds: how long to look.
        config: where to write the daemon's configuration.

    Returns:
        `windows` seen, `expected` ones, `late` ones (judged after the next was due), `lost` events
        (audio dropped), `latency_ms` percentiles, `cpu_share` of the core, `others_share` that
        other programs had of it, `cpu_ms_per_window` of the whole daemon.
    """
    config.write_text(json.dumps(configuration(streams)))
    child = subprocess.Popen(
        command("run", "--config", str(config), "--model", str(bundle), "--format", "jsonl"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
        preexec_fn=lambda: os.sched_setaffinity(0, {CORE}),
    )
    records: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    reader = threading.Thread(target=lambda: read(child, records), daemon=True)
    reader.start()
    try:
        time.sleep(SETTLE_S)
        drain(records)
        begin = Moment.now(child.pid)
        time.sleep(seconds)
        seen = drain(records)
        passed = Moment.now(child.pid).since(begin)
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()
        reader.join()
    windows = figures(seen, streams, passed.time_s)
    return {
        "streams": streams,
        "cpu_share": passed.own_s / passed.time_s,
        "others_share": max(0.0, passed.core_s - passed.own_s) / passed.time_s,
        "cpu_ms_per_window": 1000 * passed.own_s / max(1, windows["windows"]),
        **windows,
    }


@dataclass(frozen=True)
class Moment:
    """Clocks at one moment, s: the time, the daemon's CPU time, and all that the core did."""

    time_s: float
    own_s: float
    core_s: float

    @classmethod
    def now(cls, pid: int) -> Moment:
        """Read them."""
        return cls(time.monotonic(), cpu_s(pid), core_busy_s(CORE))

    def since(self, earlier: Moment) -> Moment:
        """What passed on each."""
        return Moment(
            self.time_s - earlier.time_s, self.own_s - earlier.own_s, self.core_s - earlier.core_s
        )


def core_busy_s(core: int) -> float:
    """Time that a core has not been idle, s; that stolen by the hypervisor included."""
    lines = Path("/proc/stat").read_text().splitlines()
    (fields,) = (line.split()[1:] for line in lines if line.startswith(f"cpu{core} "))
    user, nice, system, _, _, irq, softirq, steal = (int(field) for field in fields[:8])
    return (user + nice + system + irq + softirq + steal) / CLOCK_TICKS


def configuration(streams: int) -> dict[str, Any]:
    """Half of the streams hear a person, half a synthetic voice."""
    recordings = sorted(RECORDINGS.glob("*.flac"))
    return {
        "metrics": {"enabled": False},
        "sources": [
            {
                "kind": "file",
                "name": f"stream-{number:03}",
                "path": str(recordings[number % len(recordings)]),
                "pace": True,
                "loop": True,
            }
            for number in range(streams)
        ],
    }


def read(child: subprocess.Popen[str], records: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Take the daemon's lines as they come, so that it never waits for us."""
    for line in child.stdout or ():
        records.put(json.loads(line))


def drain(records: queue.SimpleQueue[dict[str, Any]]) -> list[dict[str, Any]]:
    """Everything that has come so far."""
    return [records.get() for _ in range(records.qsize())]


def figures(records: Sequence[dict[str, Any]], streams: int, seconds: float) -> dict[str, Any]:
    """What the records say, at a hop of one second."""
    latencies = [record["latency_ms"] for record in records if record["type"] == "window"]
    lost = [r for r in records if r["type"] == "event" and r["kind"] in ("overload", "gap")]
    return {
        "windows": len(latencies),
        "expected": round(streams * seconds),
        "late": sum(latency > 1000 for latency in latencies),
        "lost": len(lost),
        "latency_ms": {
            name: percentile(latencies, percent) if latencies else None
            for name, percent in (("p50", 50), ("p99", 99), ("max", 100))
        },
    }
