from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.codecs import CODECS, TELEPHONE_CODECS, decode_media, transcode

RATE_HZ = 16000


@pytest.fixture(scope="module")
def vowel() -> np.ndarray:
    """A buzz with formants at 700 and 1200 Hz, swelling and fading, 1.5 s."""
    time_s = np.arange(int(1.5 * RATE_HZ)) / RATE_HZ
    wave = sum(
        np.exp(-(((130 * k - 700) / 300) ** 2)) * np.sin(2 * np.pi * 130 * k * time_s + k)
        + 0.6 * np.exp(-(((130 * k - 1200) / 200) ** 2)) * np.sin(2 * np.pi * 130 * k * time_s)
        for k in range(1, 25)
    )
    wave = wave * np.sin(np.pi * time_s / 1.5)
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def spectrum_db(samples: np.ndarray) -> np.ndarray:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return 10 * np.log10(power[: len(power) // 25 * 25].reshape(-1, 25).mean(axis=1) + 1e-9)


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_keeps_length_and_voice_but_not_every_sample(codec: str, vowel: np.ndarray) -> None:
    coded = transcode(vowel, codec)
    assert coded.dtype == np.float32 and coded.shape == vowel.shape
    assert np.isfinite(coded).all()
    assert not np.array_equal(coded, vowel)
    voiced = slice(4, 50)  # 65 ... 830 Hz, where the voice is
    similarity = np.corrcoef(spectrum_db(coded)[voiced], spectrum_db(vowel)[voiced])[0, 1]
    assert similarity > 0.7


@pytest.mark.parametrize("codec", TELEPHONE_CODECS)
def test_telephone_codecs_leave_nothing_above_four_kilohertz(codec: str) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.float32)
    power = np.abs(np.fft.rfft(transcode(noise, codec))) ** 2
    assert power[4500:].sum() < 1e-3 * power.sum()


def lists_libspeex() -> bool:
    if shutil.which("ffmpeg") is None:
        return False
    command = ["ffmpeg", "-hide_banner", "-encoders"]
    return b"libspeex" in subprocess.run(command, capture_output=True, check=False).stdout


@pytest.mark.skipif(not lists_libspeex(), reason="no program ffmpeg with its encoder libspeex")
def test_speex_through_the_program_is_a_telephone_codec(vowel: np.ndarray) -> None:
    test_a_codec_keeps_length_and_voice_but_not_every_sample("speex", vowel)
    test_telephone_codecs_leave_nothing_above_four_kilohertz("speex")
    np.testing.assert_array_equal(transcode(vowel, "speex"), transcode(vowel, "speex"))
    assert transcode(vowel[:1], "speex").shape == (1,)


def test_speex_is_never_drawn_and_says_what_it_needs(
    vowel: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "speex" not in CODECS
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="none is installed"):
        transcode(vowel, "speex")
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho \"Unknown encoder 'libspeex'\" >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(ValueError, match="this one says: Unknown encoder"):
        transcode(vowel, "speex")


def test_fewer_bits_do_more_damage(vowel: np.ndarray) -> None:
    def error(codec: str) -> float:
        return float(np.linalg.norm(spectrum_db(transcode(vowel, codec)) - spectrum_db(vowel)))

    assert error("mp3-16k") > error("mp3-64k")


def test_opus_gives_up_the_treble_when_bits_are_few() -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.float32)

    def treble(codec: str) -> float:
        return float(np.sum(np.abs(np.fft.rfft(transcode(noise, codec))[5000:]) ** 2))

    assert treble("opus-8k") < 0.01 * treble("opus-32k")


def test_an_unknown_codec_is_refused(vowel: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        transcode(vowel, "telegraph")


def test_media_files_are_decoded_to_mono(tmp_path: Path, vowel: np.ndarray) -> None:
    path = tmp_path / "x.mp3"
    soundfile.write(path, np.stack([vowel, vowel], axis=1), RATE_HZ, format="MP3")
    samples, rate_hz = decode_media(path)
    assert rate_hz == RATE_HZ
    assert abs(len(samples) - len(vowel)) < 3000
    assert samples.ndim == 1 and np.abs(samples).max() == pytest.approx(0.5, abs=0.1)


def test_a_file_without_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"nothing")
    with pytest.raises(ValueError):
        decode_media(tmp_path / "x.mp4")
