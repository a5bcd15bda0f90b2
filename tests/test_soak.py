"""A day of audio through the real process: nothing is lost, and nothing grows.

The long version runs with `pytest -m slow -s tests/test_soak.py`; docs/reliability.md quotes what
it prints. EARWITNESS_SOAK_HOURS sets how much audio it hears. Growth is counted per day of audio,
since that is what passes faster than real time; what grows with the time of day is not seen here.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.bundles import RATE_HZ, tiny_bundle, voice, whisper
from tests.patience import HANG_S
from tests.processes import COMMAND, clean_environment, free_port

DAY_H = 24.0
WINDOW_S = 5
WINDOWS_PER_HOUR = 3600
SLOPE_LIMIT_MB_PER_DAY = 1.0
# An hour is too short for a slope: pages that are touched for the first time would decide it.
HOUR_GROWTH_LIMIT_MB = 2.0
SAMPLES = 240  # of the process, over its whole run
WARM_UP = 0.15  # of the run: buffers fill, caches and the allocator's pools find their size


@dataclass
class Sample:
    """What the process held when it had judged so many windows."""

    windows: int
    rss_mb: float
    descriptors: int
    threads: int


@dataclass
class Soak:
    """What came out, and what the process held meanwhile."""

    status: int = -1
    windows: int = 0
    wrong_order: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    counted: str = ""  # the process's own count, as its metrics tell it
    wall_s: float = 0.0
    stderr: str = ""

    @property
    def warm(self) -> list[Sample]:
        """The samples after the warm-up."""
        return self.samples[int(len(self.samples) * WARM_UP) :]

    def slope_mb_per_day(self) -> float:
        """Growth of the memory, by least squares, per 24 h of audio."""
        windows = [sample.windows for sample in self.warm]
        slope = np.polyfit(windows, [sample.rss_mb for sample in self.warm], 1)[0]
        return float(slope) * WINDOWS_PER_HOUR * DAY_H


def ten_minutes() -> bytes:
    """Speech of both kinds, so that alerts come and go; then a dead and an overdriven input."""
    parts = [voice(240.0), whisper(60.0, seed=1), voice(220.0, seed=2)]
    parts += [np.zeros(40 * RATE_HZ, np.float32), np.clip(voice(40.0, seed=3) * 90, -1, 1)]
    return (np.concatenate(parts) * 32767).astype("<i2").tobytes()


def windows_of(hours: float) -> int:
    """One a second once the first is full."""
    return round(hours * 3600) - WINDOW_S + 1


def write_config(folder: Path, port: int) -> Path:
    """All that a daemon has at work: the figures, a rotated file, a program told of each alert."""
    path = folder / "soak.yaml"
    path.write_text(
        f"model: {{bundle: {tiny_bundle(folder / 'tiny')}}}\n"
        "sources: [{name: hall, kind: stdin}]\n"
        f"metrics: {{port: {port}}}\n"
        "logging: {level: error}\n"
        "alerts:\n"
        f"  file: {{path: {folder / 'log.jsonl'}, windows: true, max_mb: 1, files: 2}}\n"
        f"  spool: {{path: {folder / 'alerts.db'}}}\n"
        "  command: {argv: ['true']}\n"
    )
    return path


def held(pid: int, windows: int) -> Sample:
    """What a process holds now."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return Sample(
        windows,
        int(status["VmRSS"].split()[0]) / 1024,
        len(os.listdir(f"/proc/{pid}/fd")),
        int(status["Threads"]),
    )


def feed(process: subprocess.Popen[bytes], hours: float) -> None:
    """Exactly so much audio, as fast as it is taken."""
    assert process.stdin is not None
    piece = ten_minutes()
    left = round(hours * 3600 * RATE_HZ) * 2
    while left:
        left -= process.stdin.write(piece[:left])
    process.stdin.flush()


def note(soak: Soak, record: dict) -> None:
    if record["type"] == "window":
        soak.wrong_order += record["window"] != soak.windows
        soak.wrong_order += record["end_s"] != soak.windows + WINDOW_S
        soak.windows += 1
        soak.verdicts[record["verdict"]] += 1
    else:
        kind = "alerts" if record["type"] == "alert" else "events"
        getattr(soak, kind)[record.get("state") or record["kind"]] += 1


def counted_windows(port: int) -> str:
    """The sum of the windows that the process says it has judged."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=HANG_S) as answer:
        lines = answer.read().decode().splitlines()
    counts = [line for line in lines if line.startswith("earwitness_windows_total{")]
    return str(int(sum(float(line.rsplit(" ", 1)[1]) for line in counts)))


def soak_for(hours: float, folder: Path) -> Soak:
    port = free_port()
    soak = Soak()
    expected = windows_of(hours)
    every = max(1, expected // SAMPLES)
    begin = time.monotonic()
    process = subprocess.Popen(
        [*COMMAND, "run", "--config", str(write_config(folder, port))],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    feeder = threading.Thread(target=feed, args=(process, hours), daemon=True)
    feeder.start()
    try:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            note(soak, json.loads(line))
            if soak.windows == expected:
                break
            if soak.windows % every == 0 and line.startswith(b'{"type":"window"'):
                soak.samples.append(held(process.pid, soak.windows))
        # It waits for more, so that it can be asked; then its input ends.
        soak.counted = counted_windows(port)
        feeder.join()
        assert process.stdin is not None
        process.stdin.close()
        for line in process.stdout:
            note(soak, json.loads(line))
        soak.status = process.wait(HANG_S)
        soak.stderr = process.stderr.read().decode()
    finally:
        process.kill()
    soak.wall_s = time.monotonic() - begin
    return soak


def tell(hours: float, soak: Soak) -> None:
    memory = [sample.rss_mb for sample in soak.warm]
    print(
        f"\n{hours:g} h of audio in {soak.wall_s:.0f} s; {soak.windows:,} windows of "
        f"{windows_of(hours):,}, {soak.wrong_order} out of order; verdicts {dict(soak.verdicts)}; "
        f"alerts {dict(soak.alerts)}; RSS {memory[0]:.2f} MB after the warm-up, {memory[-1]:.2f} "
        f"at the end, {min(memory):.2f} to {max(memory):.2f}; slope "
        f"{soak.slope_mb_per_day():+.3f} MB per day of audio; descriptors "
        f"{sorted({s.descriptors for s in soak.warm})}, threads "
        f"{sorted({s.threads for s in soak.warm})} ({len(soak.warm)} samples)"
    )


def assert_nothing_was_lost(hours: float, soak: Soak) -> None:
    assert soak.status == 0
    assert (soak.windows, soak.wrong_order) == (windows_of(hours), 0)
    assert soak.counted == str(windows_of(hours))
    assert soak.stderr == ""
    periods = int(hours * 6)
    assert soak.alerts["raised"] == soak.alerts["cleared"] >= periods
    assert min(soak.verdicts[v] for v in ("spoof", "bonafide", "not-scored")) >= 30 * periods
    assert "outputs-lost" not in soak.events


def assert_descriptors_and_threads_are_flat(soak: Soak) -> None:
    """A program that is told of an alert costs a few descriptors while it runs, and no longer."""
    tenth = max(1, len(soak.warm) // 10)
    for held_by in (lambda s: s.descriptors, lambda s: s.threads):
        numbers = [held_by(sample) for sample in soak.warm]
        assert max(numbers) - min(numbers) <= 8
        assert min(numbers[-tenth:]) == min(numbers[:tenth])


def test_an_hour_of_audio_is_judged_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    soak = soak_for(1.0, tmp_path)
    tell(1.0, soak)
    assert_nothing_was_lost(1.0, soak)
    assert_descriptors_and_threads_are_flat(soak)
    assert soak.warm[-1].rss_mb - soak.warm[0].rss_mb < HOUR_GROWTH_LIMIT_MB


@pytest.mark.slow
def test_a_day_of_audio_costs_less_than_a_megabyte(tmp_path: Path) -> None:
    hours = float(os.environ.get("EARWITNESS_SOAK_HOURS", DAY_H))
    soak = soak_for(hours, tmp_path)
    tell(hours, soak)
    assert_nothing_was_lost(hours, soak)
    assert_descriptors_and_threads_are_flat(soak)
    assert soak.slope_mb_per_day() < SLOPE_LIMIT_MB_PER_DAY
