from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.features import FrontEnd, log_mel
from edge.windows import fit_window
from training import cache as cache_module
from training.audio import read_clip
from training.cache import (
    FeatureCache,
    WaveCache,
    WindowSettings,
    content_digest,
    cut_windows,
    to_int16,
    write_atomically,
)
from training.errors import CorpusError
from training.protocols import Clip

FRONT_END = FrontEnd(n_fft=512, win_length=512, frame_hop=256, n_bands=20, center=False)


def make_clip(folder: Path, name: str, samples: np.ndarray, rate_hz: int = 16000) -> Clip:
    path = folder / f"{name}.wav"
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return Clip(id=name, path=path)


@pytest.fixture
def clips(tmp_path: Path, rng: np.random.Generator) -> list[Clip]:
    lengths = (8000, 16000, 100)
    return [
        make_clip(tmp_path, f"clip{i}", 0.3 * rng.standard_normal(n).clip(-3, 3))
        for i, n in enumerate(lengths)
    ]


def test_what_is_packed_comes_back_within_half_a_step(tmp_path: Path, clips: list[Clip]) -> None:
    waves = WaveCache(tmp_path / "cache")
    assert waves.add(clips) == []
    for clip in clips:
        assert np.abs(waves.read(clip.id) - read_clip(clip)).max() <= 0.51 / 32767
    part = waves.read("clip1", 100, 50)
    np.testing.assert_array_equal(part, waves.read("clip1")[100:150])


def test_a_second_build_decodes_nothing_again(
    tmp_path: Path, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    WaveCache(tmp_path / "cache").add(clips)
    size = (tmp_path / "cache" / "clips.i16").stat().st_size
    monkeypatch.delattr(cache_module, "read_clip")
    again = WaveCache(tmp_path / "cache")
    again.add(clips)
    assert len(again) == 3
    assert (tmp_path / "cache" / "clips.i16").stat().st_size == size


def test_a_file_that_changed_is_decoded_anew(tmp_path: Path, clips: list[Clip]) -> None:
    WaveCache(tmp_path / "cache").add(clips)
    make_clip(tmp_path, "clip0", np.full(500, 0.25))
    waves = WaveCache(tmp_path / "cache")
    waves.add(clips)
    assert waves.length("clip0") == 500
    assert waves.length("clip1") == 16000


def test_an_interrupted_build_goes_on_without_the_torn_end(
    tmp_path: Path, clips: list[Clip]
) -> None:
    folder = tmp_path / "cache"
    WaveCache(folder).add(clips[:2])
    whole = (folder / "clips.i16").stat().st_size
    with (folder / "clips.i16").open("ab") as file:
        file.write(b"\x01\x02" * 333)  # samples of a clip whose index line was never written
    with (folder / "index.jsonl").open("a") as file:
        file.write('{"key": "ab')
    waves = WaveCache(folder)
    waves.add(clips)
    assert (folder / "clips.i16").stat().st_size == whole + 2 * 100
    for clip in clips:
        assert np.abs(waves.read(clip.id) - read_clip(clip)).max() <= 0.51 / 32767


def test_an_index_line_whose_samples_never_reached_the_disk_is_ignored(
    tmp_path: Path, clips: list[Clip]
) -> None:
    folder = tmp_path / "cache"
    WaveCache(folder).add(clips)
    os.truncate(folder / "clips.i16", 2 * 8000)  # only the first clip is whole
    waves = WaveCache(folder)
    waves.add(clips)
    assert np.abs(waves.read("clip2") - read_clip(clips[2])).max() <= 0.51 / 32767


def test_a_variant_lies_beside_the_original(tmp_path: Path, clips: list[Clip]) -> None:
    waves = WaveCache(tmp_path / "cache")
    waves.add(clips)
    waves.add(clips, "half", lambda samples, clip: samples / 2)
    np.testing.assert_allclose(waves.read("clip1@half"), waves.read("clip1") / 2, atol=1 / 32767)


def test_an_unreadable_clip_is_named_and_the_rest_is_there(
    tmp_path: Path, clips: list[Clip]
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF no more")
    waves = WaveCache(tmp_path / "cache")
    unread = waves.add([Clip("bad", tmp_path / "bad.wav"), *clips])
    assert len(unread) == 1 and "bad.wav" in unread[0]
    assert "bad" not in waves and "clip2" in waves


def test_a_cache_that_would_not_fit_is_refused_before_the_work(
    tmp_path: Path, clips: list[Clip]
) -> None:
    with pytest.raises(CorpusError, match="more than the limit of 1e-05 GiB"):
        WaveCache(tmp_path / "cache").add(clips, limit_gib=1e-5)
    assert not (tmp_path / "cache" / "clips.i16").exists()
    features = FeatureCache(tmp_path / "features", FRONT_END, WindowSettings())
    with pytest.raises(CorpusError, match="raise cache_limit_gib"):
        features.build(clips, limit_gib=1e-6)


def test_samples_beyond_full_scale_are_turned_down_not_clipped() -> None:
    packed = to_int16(np.array([0.5, -2.0, 1.0], np.float32))
    assert packed.tolist() == [8192, -32767, 16384]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(file: object) -> None:
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        write_atomically(tmp_path / "x.npy", fail)
    assert list(tmp_path.iterdir()) == []


def test_cached_features_are_those_of_the_device(tmp_path: Path, clips: list[Clip]) -> None:
    windows = WindowSettings(window_s=0.5, hop_s=0.25)
    features = FeatureCache(tmp_path / "cache", FRONT_END, windows)
    made = features.features(clips[1])
    samples = read_clip(clips[1])
    assert made.shape[0] == 3  # at 0, 0.25 and 0.5 s
    np.testing.assert_array_equal(made[1], log_mel(samples[4000:12000], FRONT_END))
    np.testing.assert_array_equal(features.features(clips[1]), made)
    assert features.features(clips[2]).shape[0] == 1


def test_the_estimate_of_the_size_is_what_the_features_take(
    tmp_path: Path, clips: list[Clip]
) -> None:
    windows = WindowSettings(window_s=0.5, hop_s=0.2)
    features = FeatureCache(tmp_path / "cache", FRONT_END, windows)
    assert features.needed_bytes(clips) == sum(features.features(c).nbytes for c in clips)


def test_another_front_end_has_other_features(tmp_path: Path, clips: list[Clip]) -> None:
    windows = WindowSettings(window_s=0.5)
    FeatureCache(tmp_path / "cache", FRONT_END, windows).features(clips[0])
    finer = FrontEnd(n_fft=512, win_length=512, frame_hop=128, n_bands=20, center=False)
    made = FeatureCache(tmp_path / "cache", finer, windows).features(clips[0])
    assert made.shape[1] == finer.frame_count(8000)


def test_the_middle_window_is_in_the_middle() -> None:
    ramp = np.arange(1000, dtype=np.float32)
    windows = cut_windows(ramp, WindowSettings(window_s=0.1, scope="middle"), 1000)
    assert len(windows) == 1 and windows[0][0] == 450
    short = cut_windows(ramp[:30], WindowSettings(window_s=0.1, scope="middle"), 1000)
    np.testing.assert_array_equal(short[0], fit_window(ramp[:30], 100))


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"same")
    (tmp_path / "b").write_bytes(b"same")
    assert content_digest(tmp_path / "a") == content_digest(tmp_path / "b")


def test_a_clip_is_resampled_and_mixed_to_mono(tmp_path: Path) -> None:
    time_s = np.arange(24000) / 48000
    wave = 0.5 * np.sin(2 * np.pi * 440 * time_s)
    soundfile.write(tmp_path / "s.wav", np.stack([wave, wave], axis=1), 48000, subtype="PCM_24")
    samples = read_clip(Clip("s", tmp_path / "s.wav"))
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)
    assert len(samples) == 8000
    np.testing.assert_allclose(samples[200:-200], expected[200:-200], atol=2e-3)


def test_a_stretch_of_a_file_is_read_from_its_offset(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.arange(16000) / 32000, 16000, subtype="FLOAT")
    samples = read_clip(Clip("s", tmp_path / "s.wav", offset_s=0.5, seconds=0.1))
    assert len(samples) == 1600 and samples[0] == pytest.approx(0.25)


@pytest.mark.parametrize("case", ["missing", "text", "empty", "nan"])
def test_audio_that_cannot_be_used_is_named(tmp_path: Path, case: str) -> None:
    path = tmp_path / "x.wav"
    if case == "text":
        path.write_text("not audio")
    if case == "empty":
        soundfile.write(path, np.zeros(0), 16000)
    if case == "nan":
        soundfile.write(path, np.full(10, np.nan), 16000, subtype="FLOAT")
    with pytest.raises(CorpusError, match=r"x\.wav"):
        read_clip(Clip("x", path))
