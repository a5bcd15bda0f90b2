"""A running daemon whose configuration is spoilt again and again, each time with a SIGHUP."""

from __future__ import annotations

import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.bundles import RATE_HZ, voice
from tests.processes import Running, free_port

PIECES = ("", "  ", "- x", "null", "[]", "{}", "1e99", "-1", "&a *a", "\t", "yes", "\x00", "ä")
HARMLESS = ("1", "2", "0.5", "0.9", " # why")
WAYS = ("replace", "value", "insert", "delete", "append", "swap", "truncate")
# Events that answer a SIGHUP.
ANSWERS = ("reloaded", "reload-failed")
TENTH_BYTES = 2 * RATE_HZ // 10


def good(folder: Path, port: int) -> str:
    """A configuration with something in every section whose parts a reload replaces.

    Nothing in it can keep records from standard output, where the answers are read.
    """
    return (
        "detection:\n  window_s: 1\n  hop_s: 0.5\n"
        "speech:\n  min_active_s: 0.3\n  contrast_db: 8\n"
        "health:\n  silent_dbfs: -80\n  dc_fraction: 0.1\n"
        "decision:\n  threshold: 0.6\n  alert_windows: 2\n  of_windows: 4\n  cooldown_s: 5\n"
        f"metrics:\n  port: {port}\n  enabled: true\n"
        f"clips:\n  directory: {folder / 'clips'}\n  before_s: 2\n"
        "alerts:\n"
        f"  file:\n    path: {folder / 'log.jsonl'}\n    max_mb: 1\n"
        f"  spool:\n    path: {folder / 'alerts.db'}\n    max_alerts: 100\n"
        "  command:\n    argv: ['true']\n    timeout_s: 5\n"
        "  mqtt:\n    host: ''\n    port: 1883\n"
        "logging:\n  level: info\n"
    )


def mutated(text: str, rng: random.Random) -> str:
    """The text with one or two of its lines spoilt, or changed for the better."""
    lines = text.splitlines()
    for _ in range(rng.randint(1, 2)):
        at, way = rng.randrange(len(lines)), rng.choice(WAYS)
        piece = rng.choice(PIECES + HARMLESS * 3)
        if way == "replace":
            lines[at] = piece
        elif way == "value":
            lines[at] = f"{lines[at].split(':')[0]}: {piece}"
        elif way == "insert":
            lines.insert(at, piece)
        elif way == "append":
            lines[at] += piece
        elif way == "swap":
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif way == "delete" and len(lines) > 1:
            del lines[at]
        elif way == "truncate":
            lines[at] = lines[at][: len(lines[at]) // 2]
    return "\n".join(lines) + "\n"


def reload_with(running: Running, path: Path, text: str, pcm: bytes) -> str:
    """What the daemon says to another configuration while it hears a little."""
    path.write_text(text)
    running.process.send_signal(signal.SIGHUP)
    hear(running, pcm)
    told = running.wait_for(lambda r: r["type"] == "event" and r["kind"] in ANSWERS)
    if told["message"].startswith("The old outputs stay in force"):
        # The rest of the file was taken.
        running.wait_for_event("reloaded")
    return str(told["kind"])


def hear(running: Running, pcm: bytes) -> None:
    assert running.process.stdin is not None
    running.process.stdin.write(pcm)
    running.process.stdin.flush()


def spoil(number: int, bundle: Path, folder: Path) -> Counter[str]:
    """So many mutated configurations, then the good one and speech; the answers, counted."""
    rng = random.Random(number)
    path = folder / "c.yaml"
    text = good(folder, free_port())
    path.write_text(text)
    speech = (voice(10.0) * 32767).astype("<i2").tobytes()
    answers: Counter[str] = Counter()
    # A source and a model on the command line stay, whatever the file says.
    arguments = ("--config", path, "--source", "-", "--model", bundle)
    with Running(*arguments, stdin=subprocess.PIPE, folder=folder) as running:
        running.wait_for_event("started")
        for i in range(number):
            pcm = speech[(i % 100) * TENTH_BYTES :][:TENTH_BYTES]
            answers[reload_with(running, path, mutated(text, rng), pcm)] += 1
        assert reload_with(running, path, text, speech) == "reloaded"
        windows = [running.wait_for_window() for _ in range(10)]
        assert running.end() == 0
    assert {window["verdict"] for window in windows} == {"bonafide"}
    counted = [window["window"] for window in running.of_type("window")]
    assert counted == list(range(len(counted)))
    assert "Traceback" not in running.stderr
    return answers


def test_thirty_spoilt_configurations_are_each_answered_and_survived(
    bundle: Path, tmp_path: Path
) -> None:
    answers = spoil(30, bundle, tmp_path)
    assert min(answers[kind] for kind in ANSWERS) > 0
    assert sum(answers.values()) == 30


@pytest.mark.slow
def test_a_thousand_spoilt_configurations_are_each_answered_and_survived(
    bundle: Path, tmp_path: Path
) -> None:
    answers = spoil(1000, bundle, tmp_path)
    print(f"\n1,000 mutated configurations by SIGHUP to one process: {dict(answers)}")
    assert min(answers[kind] for kind in ANSWERS) > 100
    assert sum(answers.values()) == 1000
