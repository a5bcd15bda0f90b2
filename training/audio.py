"""Clips from files to 16 kHz mono, for training; the device has its own reader in edge.audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from training.errors import CorpusError
from training.protocols import Clip

AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".g722", ".gsm", ".webm")
)
# What libsndfile cannot open goes to FFmpeg (PyAV).
MEDIA_SUFFIXES = frozenset((".m4a", ".mp4", ".aac", ".g722", ".gsm", ".webm"))


def read_clip(clip: Clip, sample_rate_hz: int = 16000) -> NDArray[np.float32]:
    """Samples of a clip: float32, shape (n,), mono, resampled if need be.

    Raises:
        CorpusError: the file is missing, unreadable, empty, or holds numbers that are not finite.
    """
    try:
        samples, rate_hz = _decode(clip)
    except (OSError, soundfile.LibsndfileError, ValueError) as error:
        raise CorpusError(f"{clip.path} cannot be read as audio: {error}") from error
    if not len(samples):
        raise CorpusError(f"{clip.path} holds no samples from {clip.offset_s} s on")
    if not np.isfinite(samples).all():
        raise CorpusError(f"{clip.path} holds samples that are not numbers (NaN or infinite)")
    if rate_hz != sample_rate_hz:
        samples = soxr.resample(samples, rate_hz, sample_rate_hz)
    return np.ascontiguousarray(samples, np.float32)


def _decode(clip: Clip) -> tuple[NDArray[np.float32], int]:
    if clip.path.suffix.lower() in MEDIA_SUFFIXES:
        from training.codecs import decode_media

        samples, rate_hz = decode_media(clip.path)
        first = round(clip.offset_s * rate_hz)
        last = None if clip.seconds is None else first + round(clip.seconds * rate_hz)
        return samples[first:last], rate_hz
    with soundfile.SoundFile(clip.path) as file:
        rate_hz = file.samplerate
        first = round(clip.offset_s * rate_hz)
        if first:
            file.seek(min(first, file.frames))
        count = -1 if clip.seconds is None else round(clip.seconds * rate_hz)
        samples = file.read(count, dtype="float32", always_2d=True)
    return samples.mean(axis=1), rate_hz


def clip_seconds(clip: Clip) -> float:
    """Length of a clip, s, from its record or its file's header.

    Raises:
        CorpusError: the file cannot be read.
    """
    if clip.seconds is not None:
        return clip.seconds
    if clip.path.suffix.lower() in MEDIA_SUFFIXES:
        return len(read_clip(clip)) / 16000
    try:
        return max(0.0, soundfile.info(str(clip.path)).duration - clip.offset_s)
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"{clip.path} cannot be read as audio: {error}") from error


def find_audio(folder: Path) -> list[Path]:
    """Audio files below a folder, sorted, whatever the case of their endings."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()
    )
