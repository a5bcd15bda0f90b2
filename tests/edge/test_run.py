"""The real process on recordings: what it tells, how it ends, and what a reload does."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.config import Config
from edge.run import source_named
from edge.settings import read
from edge.updates.store import ReleaseStore
from tests.bundles import RATE_HZ, tiny_bundle, voice, whisper
from tests.patience import HANG_S
from tests.processes import COMMAND, Running, clean_environment, earwitness


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    soundfile.write(folder / "voice.wav", voice(7.0), RATE_HZ)
    soundfile.write(folder / "whisper.wav", whisper(9.0), RATE_HZ)
    return folder


def write_config(path: Path, bundle: Path, *sources: Path, rest: str = "") -> Path:
    """A configuration with endless sources that play in real time, and fast windows."""
    items = "".join(
        f"  - {{name: {source.stem}, kind: file, path: {source}, pace: true, loop: true}}\n"
        for source in sources
    )
    path.write_text(
        f"model: {{bundle: {bundle}}}\nmetrics: {{enabled: false}}\n"
        f"detection: {{window_s: 0.5, hop_s: 0.1}}\nsources:\n{items}{rest}"
    )
    return path


def records_of(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_recording_is_told_window_by_window_and_its_alert_apart(
    bundle: Path, clips: Path
) -> None:
    done = earwitness("run", "--model", bundle, "--source", clips / "whisper.wav")
    records = records_of(done.stdout)
    assert done.returncode == 0
    assert [r["type"] for r in records] == ["event", *["window"] * 3, "alert", *["window"] * 2]
    started, first, alert = records[0], records[1], records[4]
    assert started["kind"] == "started"
    assert "3 of the last 5 windows" in started["rule"]
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert (first["verdict"], first["speech"], first["health"]) == ("spoof", True, "ok")
    assert 0.9 < first["spoof_probability"] < 1
    assert first["model"] == "tiny 0.0.1"
    assert (alert["state"], alert["source"]) == ("raised", "whisper.wav")


def test_lines_for_people_come_on_request(bundle: Path, clips: Path) -> None:
    source = clips / "voice.wav"
    done = earwitness("run", "--model", bundle, "--source", source, "--format", "text")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("earwitness ")
    assert any("rule" in line and "exceeds 0.5" in line for line in lines)
    assert sum("bonafide" in line and "%" in line for line in lines) == 3
    assert done.stderr == ""


def test_raw_audio_comes_through_a_pipe(bundle: Path) -> None:
    pcm = (voice(7.0) * 32767).astype("<i2").tobytes()
    done = earwitness("run", "--model", bundle, "--source", "-", stdin=pcm)
    windows = [r for r in records_of(done.stdout) if r["type"] == "window"]
    assert [w["verdict"] for w in windows] == ["bonafide"] * 3


def test_a_recording_that_plays_at_its_own_speed_takes_its_time(bundle: Path, clips: Path) -> None:
    begin = time.monotonic()
    arguments = ("--model", bundle, "--source", clips / "voice.wav", "--pace")
    with Running(*arguments) as running:
        assert running.wait() == 0
    stamps = [datetime.fromisoformat(w["time"]) for w in running.of_type("window")]
    gaps = [(b - a).total_seconds() for a, b in zip(stamps, stamps[1:])]
    assert time.monotonic() - begin > 7
    assert gaps == pytest.approx([1.0, 1.0], abs=0.01)


def test_several_sources_are_judged_each_by_itself(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "c.yaml", bundle, clips / "voice.wav", clips / "whisper.wav")
    with Running("--config", config) as running:
        running.wait_for(lambda r: r["type"] == "alert")
        for _ in range(10):
            running.wait_for_window()
        assert running.end() == 0
    verdicts = {(w["source"], w["verdict"]) for w in running.of_type("window") if w["speech"]}
    assert verdicts == {("voice", "bonafide"), ("whisper", "spoof")}
    assert {a["source"] for a in running.of_type("alert")} == {"whisper"}
    for name in ("voice", "whisper"):
        indices = [w["window"] for w in running.of_type("window") if w["source"] == name]
        assert indices == list(range(len(indices)))


def test_one_source_that_fails_does_not_end_the_others(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "c.yaml", bundle, clips / "voice.wav", tmp_path / "none.wav")
    with Running("--config", config) as running:
        assert "no such file" in running.wait_for_event("failed")["message"]
        assert running.wait_for_window()["source"] == "voice"
        running.end()
    assert "Traceback" not in running.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_whole_lines(
    number: int, status: int, bundle: Path, clips: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "c.yaml", bundle, clips / "voice.wav")
    with Running("--config", config) as running:
        running.wait_for_window()
        assert running.end(number) == status
    assert "Traceback" not in running.stderr


def test_a_reader_that_goes_away_ends_it_quietly(bundle: Path, clips: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml", bundle, clips / "voice.wav")
    done = subprocess.run(
        f"{COMMAND[0]} -m edge.cli run --config {config} | head -2; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        env=clean_environment(),
        capture_output=True,
        timeout=HANG_S,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == b"0"
    assert b"Traceback" not in done.stderr


def test_a_reload_brings_new_settings_without_losing_a_window(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    path = tmp_path / "c.yaml"
    write_config(path, bundle, clips / "whisper.wav")
    with Running("--config", path) as running:
        running.wait_for(lambda r: r["type"] == "alert" and r["state"] == "raised")
        rest = "decision: {threshold: 0.99, cooldown_s: 7}\n"
        write_config(path, bundle, clips / "whisper.wav", rest=rest)
        running.process.send_signal(signal.SIGHUP)
        told = running.wait_for_event("reloaded")["message"]
        assert "exceeds 0.99" in told and "7 s" in told
        for _ in range(15):
            running.wait_for_window()
        running.end()
    windows = running.of_type("window")
    assert [w["window"] for w in windows] == list(range(len(windows)))
    assert {w["verdict"] for w in windows if w["speech"]} == {"spoof", "bonafide"}
    states = [a["state"] for a in running.of_type("alert")]
    assert states == ["raised", "cleared"]


def test_a_bad_reload_changes_nothing_and_says_why(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    path = write_config(tmp_path / "c.yaml", bundle, clips / "whisper.wav")
    with Running("--config", path) as running:
        running.wait_for_window()
        for bad in ("decision: {treshold: 1}\n", "model: {bundle: /none}\n", "a: ["):
            path.write_text(bad)
            running.process.send_signal(signal.SIGHUP)
            told = running.wait_for_event("reload-failed")["message"]
            assert told.startswith("The old settings stay in force:")
            assert running.wait_for_window()["verdict"] in ("spoof", "no-speech")
        assert running.end() == 0
    windows = running.of_type("window")
    assert [w["window"] for w in windows] == list(range(len(windows)))


def test_a_reload_changes_sources_and_outputs(bundle: Path, clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    write_config(path, bundle, clips / "voice.wav")
    log = tmp_path / "records.jsonl"
    with Running("--config", path) as running:
        running.wait_for_window()
        rest = f"alerts: {{file: {{path: {log}, windows: true}}}}\n"
        write_config(path, bundle, clips / "voice.wav", clips / "whisper.wav", rest=rest)
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_event("reloaded")
        running.wait_for(lambda r: r["type"] == "window" and r["source"] == "whisper")
        running.wait_for(lambda r: r["type"] == "window" and r["source"] == "voice")
        assert running.end() == 0
    indices = [w["window"] for w in running.of_type("window") if w["source"] == "voice"]
    assert indices == list(range(len(indices)))
    assert {r["source"] for r in records_of(log.read_text()) if r["type"] == "window"} == {
        "voice",
        "whisper",
    }


def test_a_reload_to_outputs_that_cannot_be_used_keeps_the_old_ones(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    path = write_config(tmp_path / "c.yaml", bundle, clips / "voice.wav")
    with Running("--config", path) as running:
        running.wait_for_window()
        write_config(
            path, bundle, clips / "voice.wav", rest="alerts: {command: {argv: [no-such-program]}}\n"
        )
        running.process.send_signal(signal.SIGHUP)
        told = running.wait_for_event("reload-failed")["message"]
        assert "no-such-program" in told
        running.wait_for_window()
        assert running.end() == 0


def test_an_installed_model_is_taken_over_while_it_runs(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    store = tmp_path / "models"
    path = tmp_path / "c.yaml"
    write_config(path, bundle, clips / "voice.wav", rest=f"updates: {{store: {store}}}\n")
    path.write_text(path.read_text().replace(f"model: {{bundle: {bundle}}}\n", ""))
    first = install(store, tiny_bundle(tmp_path / "one", "1.0.0"))
    with Running("--config", path) as running:
        assert running.wait_for_window()["model"] == "tiny 1.0.0"
        second = install(store, tiny_bundle(tmp_path / "two", "2.0.0"))
        assert first != second
        running.wait_for_event("model-changed")
        assert running.wait_for_window()["model"] == "tiny 2.0.0"
        assert running.end() == 0
    assert ReleaseStore(store).current() == second
    windows = running.of_type("window")
    assert [w["window"] for w in windows] == list(range(len(windows)))


def test_a_model_that_calls_everybody_a_spoof_is_sent_back_while_it_runs(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    store = tmp_path / "models"
    path = tmp_path / "c.yaml"
    write_config(path, bundle, clips / "voice.wav", rest=f"updates: {{store: {store}}}\n")
    path.write_text(path.read_text().replace(f"model: {{bundle: {bundle}}}\n", ""))
    good = install(store, tiny_bundle(tmp_path / "one", "1.0.0"))
    with Running("--config", path) as running:
        running.wait_for_window()
        bad = tiny_bundle(tmp_path / "two", "2.0.0", model="always-spoof")
        release = install(store, bad, trial=True)
        running.wait_for(lambda r: r["type"] == "window" and r["model"] == "tiny 2.0.0")
        told = running.wait_for_event("model")
        assert "is rolled back" in told["message"] and "spoof" in told["message"]
        running.wait_for(lambda r: r["type"] == "window" and r["model"] == "tiny 1.0.0")
        assert running.end() == 0
    assert ReleaseStore(store).current() == good
    assert release in ReleaseStore(store).state().quarantine
    windows = running.of_type("window")
    assert [w["window"] for w in windows] == list(range(len(windows)))


def install(store: Path, folder: Path, trial: bool = False) -> str:
    """Make a bundle current, as `earwitness model install` does once it is proven."""
    releases = ReleaseStore(store)
    staged = releases.staging()
    shutil.copytree(folder, staged, dirs_exist_ok=True)
    release = releases.add(staged)
    releases.activate(release, time.time(), trial=trial)
    return release


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("-", "stdin", "stdin"),
        ("mic", "microphone", "microphone"),
        ("mic:USB Audio", "microphone", "microphone"),
        ("rtsp://camera/stream", "url", "stream"),
        ("a/b.wav", "file", "b.wav"),
    ],
)
def test_the_option_source_means(text: str, kind: str, name: str) -> None:
    source = source_named(text, pace=False)
    assert (source.kind, source.name) == (kind, name)


def test_the_sources_of_the_option_are_valid_settings() -> None:
    assert read(Config, "sources: [{name: b.wav, kind: file, path: a/b.wav}]", "x").sources == (
        source_named("a/b.wav", pace=False),
    )


def test_silence_is_said_to_be_none(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "hiss.wav"
    soundfile.write(path, np.random.default_rng(1).normal(0, 1e-4, 6 * RATE_HZ), RATE_HZ)
    done = earwitness("run", "--model", bundle, "--source", path)
    windows = [r for r in records_of(done.stdout) if r["type"] == "window"]
    assert [(w["verdict"], w["speech"], w["spoof_probability"]) for w in windows] == [
        ("no-speech", False, None)
    ] * 2


def test_a_reload_that_changes_nothing_leaves_the_alert_standing(
    bundle: Path, clips: Path, tmp_path: Path
) -> None:
    path = write_config(tmp_path / "c.yaml", bundle, clips / "whisper.wav")
    with Running("--config", path) as running:
        running.wait_for(lambda r: r["type"] == "alert" and r["state"] == "raised")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_event("reloaded")
        assert running.wait_for_window()["alerting"] is True
        running.end()
    assert [a["state"] for a in running.of_type("alert")] == ["raised"]
