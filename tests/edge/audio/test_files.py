"""Recordings good and bad."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile

from edge.audio.files import FileSource
from edge.errors import AudioError
from tests.patience import HANG_S, repeated

from .conftest import lost_samples

NOBODY = 65534


def tone(rate_hz: int, seconds: float = 2.0, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)).astype("f4")


def read(path, **options) -> np.ndarray:
    blocks = list(FileSource(path, **options).blocks())
    assert blocks[0].start == 0
    assert lost_samples(blocks) == 0
    return np.concatenate([block.samples for block in blocks])


def refusal(path) -> str:
    with pytest.raises(AudioError) as caught:
        list(FileSource(path).blocks())
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("kind", [("wav", "PCM_16"), ("flac", "PCM_24")])
def test_any_rate_becomes_the_model_s_with_nothing_shifted(tmp_path, rate_hz, kind):
    extension, subtype = kind
    path = tmp_path / f"tone.{extension}"
    soundfile.write(path, tone(rate_hz), rate_hz, subtype=subtype)
    samples = read(path)
    assert len(samples) == pytest.approx(32000, abs=1)
    inner = slice(400, 31600)
    np.testing.assert_allclose(samples[inner], tone(16000)[inner], atol=2e-4)


@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"]
)
def test_any_depth_is_read(tmp_path, subtype):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(16000), 16000, subtype=subtype)
    np.testing.assert_allclose(read(path), tone(16000), atol=0.02)


@pytest.mark.parametrize("extension", ["ogg", "mp3"])
def test_lossy_recordings_are_read(tmp_path, extension):
    path = tmp_path / f"tone.{extension}"
    soundfile.write(path, tone(48000), 48000)
    assert len(read(path)) == pytest.approx(32000, abs=1200)


def test_channels_are_averaged_or_one_is_chosen(tmp_path):
    path = tmp_path / "stereo.wav"
    left = tone(16000)
    soundfile.write(path, np.stack([left, np.zeros_like(left)], axis=1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(read(path), left / 2, atol=1e-6)
    np.testing.assert_allclose(read(path, channel=0), left, atol=1e-6)
    assert not read(path, channel=1).any()


def test_files_that_cannot_be_scored_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "it.wav"
    assert "no such file" in refusal(path)
    path.write_bytes(b"")
    assert "is empty (0 bytes)" in refusal(path)
    path.write_bytes(b"just some text, no audio at all")
    assert "not audio that can be read" in refusal(path)
    soundfile.write(path, tone(16000)[:0], 16000)
    assert "holds no audio" in refusal(path)
    assert "is a directory" in refusal(tmp_path)


@contextmanager
def no_root():
    """Root may read everything: for so long it is somebody who may not."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_file_without_permission_is_refused():
    with TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        Path(folder).chmod(0o755)
        path = Path(folder) / "it.wav"
        soundfile.write(path, tone(16000), 16000)
        path.chmod(0)
        with no_root():
            assert path.exists()
            assert "permission denied" in refusal(path)


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path, extension, part):
    path = tmp_path / f"it.{extension}"
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 5 * 16000)
    soundfile.write(path, noise, 16000)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    message = refusal(path)
    assert "truncated" in message or "damaged" in message


@pytest.mark.parametrize("kept", [1, 4, 12, 20, 36, 43, 44])
def test_a_wav_that_ends_in_its_header_is_refused(tmp_path, kept):
    path = tmp_path / "it.wav"
    soundfile.write(path, tone(16000), 16000)
    path.write_bytes(path.read_bytes()[:kept])
    refusal(path)


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_written_to_a_pipe_has_no_length_and_is_whole(tmp_path, length):
    path = tmp_path / "it.wav"
    soundfile.write(path, tone(16000), 16000)
    data = bytearray(path.read_bytes())
    data[40:44] = length.to_bytes(4, "little")
    path.write_bytes(data)
    if length:
        assert len(read(path)) == 32000
    else:
        assert "holds no audio" in refusal(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_named(tmp_path, bad):
    path = tmp_path / "it.wav"
    samples = tone(16000)
    samples[20000] = bad
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    assert "not numbers (NaN or infinite), the first at 1.25 s" in refusal(path)


@repeated(brief=50, full=2000)
def test_damaged_files_give_audio_or_a_sentence(tmp_path, count):
    rng = np.random.default_rng(8)
    path = tmp_path / "it.wav"
    for extension in ("wav", "flac", "ogg"):
        original = tmp_path / f"original.{extension}"
        soundfile.write(original, tone(16000, 0.3), 16000)
        for _ in range(count):
            data = bytearray(original.read_bytes())
            for place in rng.integers(0, len(data), rng.integers(1, 8)):
                data[place] = rng.integers(0, 256)
            path.write_bytes(data)
            try:
                blocks = list(FileSource(path).blocks())
            except AudioError:
                continue
            assert all(np.isfinite(block.samples).all() for block in blocks)


def test_a_paced_file_comes_in_real_time_with_its_times(tmp_path):
    path = tmp_path / "it.wav"
    soundfile.write(path, tone(16000, 1.0), 16000)
    begin = time.monotonic()
    source = FileSource(path, pace=True)
    assert source.live
    blocks = list(source.blocks())
    assert time.monotonic() - begin >= 1.0
    times = [block.captured_s - block.start / 16000 for block in blocks]
    assert max(times) - min(times) < 1e-6


def test_a_loop_goes_on_until_it_is_closed(tmp_path):
    path = tmp_path / "it.wav"
    soundfile.write(path, tone(48000, 0.5), 48000)
    source = FileSource(path, loop=True)
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        if block.end > 80_000:
            source.close()
    assert lost_samples(blocks) == 0
    assert 80_000 < blocks[-1].end < 90_000


def test_closing_wakes_a_paced_source(tmp_path):
    path = tmp_path / "it.wav"
    soundfile.write(path, tone(16000, 600.0), 16000)
    source = FileSource(path, pace=True, block_s=300)
    thread = threading.Thread(target=lambda: list(source.blocks()))
    thread.start()
    source.close()
    thread.join(HANG_S)
    assert not thread.is_alive()
