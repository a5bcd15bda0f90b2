from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.errors import EdgeError
from edge.score import find_audio
from tests.bundles import RATE_HZ, voice, whisper
from tests.processes import earwitness


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, **options)
    return path


def score(bundle: Path, *paths: Path) -> tuple[int, list[dict], str]:
    done = earwitness("score", "--format", "jsonl", "--model", bundle, *paths)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_recordings_get_a_verdict_a_probability_and_their_windows(
    bundle: Path, tmp_path: Path
) -> None:
    human = write(tmp_path / "human.wav", voice(9.0))
    synthetic = write(tmp_path / "synthetic.flac", whisper(7.5))
    status, results, stderr = score(bundle, human, synthetic)
    assert (status, stderr) == (0, "")
    assert [r["file"] for r in results] == [str(human), str(synthetic)]
    assert [r["verdict"] for r in results] == ["bonafide", "spoof"]
    assert [(w["start_s"], w["end_s"]) for w in results[0]["windows"]] == [
        (0.0, 5.0), (1.0, 6.0), (2.0, 7.0), (3.0, 8.0), (4.0, 9.0)
    ]  # fmt: skip
    assert results[1]["windows"][-1]["end_s"] == 7.5


def test_the_decision_on_a_long_file_is_that_of_its_mean_log_odds(
    bundle: Path, tmp_path: Path
) -> None:
    mixed = write(tmp_path / "mixed.wav", np.concatenate([voice(8.0), whisper(6.0)]))
    _, [result], _ = score(bundle, mixed)
    odds = [math.log(p / (1 - p)) for p in (w["spoof_probability"] for w in result["windows"])]
    mean = sum(odds) / len(odds)
    assert result["spoof_probability"] == pytest.approx(1 / (1 + math.exp(-mean)), abs=1e-9)
    assert len(str(result["spoof_probability"])) > 8  # not rounded for people


def test_silence_has_no_speech_and_no_probability(bundle: Path, tmp_path: Path) -> None:
    quiet = np.random.default_rng(0).normal(0, 1e-4, 6 * RATE_HZ)
    noise = write(tmp_path / "noise.wav", quiet)
    nothing = write(tmp_path / "zeros.wav", np.zeros(6 * RATE_HZ))
    status, results, _ = score(bundle, noise, nothing)
    assert status == 0
    assert [r["verdict"] for r in results] == ["no-speech", "no-speech"]
    assert all(r["spoof_probability"] is None and r["windows"] == [] for r in results)
    assert results[1]["health"] == "silent-input"


def test_a_clip_shorter_than_a_window_is_judged(bundle: Path, tmp_path: Path) -> None:
    _, [result], _ = score(bundle, write(tmp_path / "short.wav", whisper(1.3)))
    assert result["verdict"] == "spoof"
    assert [(w["start_s"], w["end_s"]) for w in result["windows"]] == [(0.0, 1.3)]


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000, 96000])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
def test_any_rate_depth_and_channel_count_is_read(
    rate_hz: int, subtype: str, bundle: Path, tmp_path: Path
) -> None:
    t = np.arange(6 * rate_hz) / rate_hz
    samples = np.interp(t, np.arange(6 * RATE_HZ) / RATE_HZ, voice(6.0))
    path = write(tmp_path / "x.wav", np.stack([samples] * 2, 1), rate_hz, subtype=subtype)
    status, [result], _ = score(bundle, path)
    assert (status, result["verdict"]) == (0, "bonafide")


def test_unreadable_files_are_told_one_by_one_and_the_rest_is_judged(
    bundle: Path, tmp_path: Path
) -> None:
    good = write(tmp_path / "a" / "good.WAV", voice(5.0), format="WAV")
    whole = good.read_bytes()
    (tmp_path / "a" / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a" / "empty.wav").write_bytes(b"")
    (tmp_path / "a" / "text.flac").write_bytes(b"no audio at all")
    write(tmp_path / "a" / "nan.wav", np.full(9000, np.nan, np.float32), subtype="FLOAT")
    (tmp_path / "a" / "notes.txt").write_text("not audio, and not looked at")
    missing = tmp_path / "missing.wav"
    status, results, stderr = score(bundle, tmp_path / "a", missing)
    assert (status, stderr) == (1, "")
    errors = {Path(r["file"]).name: r["error"] for r in results if "error" in r}
    assert set(errors) == {"cut.wav", "empty.wav", "text.flac", "nan.wav", "missing.wav"}
    assert "truncated" in errors["cut.wav"]
    assert "empty" in errors["empty.wav"]
    assert "no such file" in errors["missing.wav"]
    assert [r["verdict"] for r in results if "verdict" in r] == ["bonafide"]


def test_text_for_people_has_one_line_per_file(bundle: Path, tmp_path: Path) -> None:
    write(tmp_path / "v.wav", voice(5.0))
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    done = earwitness("score", "--model", bundle, tmp_path)
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.startswith("error") and "bad.wav" in first
    assert second.startswith("bonafide") and "%" in second and "v.wav" in second


def test_folders_are_searched_to_the_bottom_whatever_the_case(tmp_path: Path) -> None:
    names = ["a.wav", "b.WAV", "deep/er/c.Flac", "deep/d.mp3", "deep/e.txt", "f"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {str(path.relative_to(tmp_path)) for path in find_audio([tmp_path])}
    assert found == {"a.wav", "b.WAV", "deep/er/c.Flac", "deep/d.mp3"}
    assert find_audio([tmp_path / "f", tmp_path / "f"]) == [tmp_path / "f"]


def test_a_folder_without_audio_is_told(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="No audio file lies below"):
        find_audio([tmp_path])


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_a_name_that_is_no_text_is_no_trouble(bundle: Path, tmp_path: Path) -> None:
    write(tmp_path / "x.wav", voice(5.0)).rename(os.fsdecode(bytes(tmp_path) + b"/\xff\xfe.wav"))
    for output_format in ("text", "jsonl"):
        done = earwitness("score", "--format", output_format, "--model", bundle, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
