"""An SD card lives by what is not written: a daemon with nothing to tell writes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from tests.bundles import RATE_HZ, tiny_bundle, voice
from tests.patience import HANG_S, repeated

ROOT = Path(__file__).parents[2]
LIMIT_BYTES_PER_DAY = 5e6


def written_bytes(process):
    """What a process and its children have caused to be written to disks (proc(5), io)."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    fields = dict(line.split(": ") for line in Path(f"/proc/{process}/io").read_text().splitlines())
    return int(fields["write_bytes"]) + sum(map(written_bytes, children))


@pytest.fixture
def daemon(tmp_path):
    """`earwitness run` with everything on that could write, hearing a human voice all the while."""
    tiny_bundle(tmp_path / "bundle")
    soundfile.write(tmp_path / "voice.wav", voice(40.0), RATE_HZ)
    (tmp_path / "config.yaml").write_text(
        f"model: {{bundle: {tmp_path}/bundle}}\n"
        "sources:\n"
        f"  - {{name: desk, kind: file, path: {tmp_path}/voice.wav, pace: true, loop: true}}\n"
        f"clips: {{directory: {tmp_path}/clips}}\n"
        "metrics: {port: 0}\n"
        "alerts:\n"
        f"  file: {{path: {tmp_path}/records.jsonl}}\n"
        f"  spool: {{path: {tmp_path}/alerts.db}}\n"
        "  mqtt: {host: 127.0.0.1, port: 9}\n"
    )
    output = (tmp_path / "out").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "run", "--config", str(tmp_path / "config.yaml")],
        stdout=subprocess.PIPE,
        stderr=output,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    yield process
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=HANG_S)


@repeated(brief=5, full=120)
def test_a_daemon_without_alerts_writes_under_5_mb_a_day(daemon, count):
    heard = [daemon.stdout.readline() for _ in range(4)]
    assert sum(b'"type":"window"' in line for line in heard) >= 2
    before = written_bytes(daemon.pid)
    time.sleep(count)
    written = written_bytes(daemon.pid) - before
    assert daemon.poll() is None
    assert written / count * 86400 < LIMIT_BYTES_PER_DAY, f"{written} bytes in {count} s"
