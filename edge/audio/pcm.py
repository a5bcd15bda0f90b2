"""Raw PCM to mono float32. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

SAMPLE_BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}


def frame_bytes(sample_format: str, channels: int) -> int:
    """Bytes of one sample of every channel."""
    return SAMPLE_BYTES[sample_format] * channels


def decode(pcm: bytes, sample_format: str, channels: int) -> Float32:
    """Interleaved little-endian PCM to floats.

    Args:
        pcm: a whole number of frames.
        sample_format: a key of SAMPLE_BYTES.
        channels: number of interleaved channels.

    Returns:
        float32, shape (frames, channels); integers are scaled to [-1, 1).
    """
    return _samples(pcm, sample_format).reshape(-1, channels)


def _samples(pcm: bytes, sample_format: str) -> Float32:
    if sample_format == "f32le":
        return np.frombuffer(pcm, "<f4").astype(np.float32, copy=False)
    if sample_format == "s24le":
        return _scaled(_widened(pcm), 2**-31)
    if sample_format == "u8":
        return _scaled(np.frombuffer(pcm, np.uint8).astype(np.int16) - 128, 2**-7)
    if sample_format == "s16le":
        return _scaled(np.frombuffer(pcm, "<i2"), 2**-15)
    if sample_format == "s32le":
        return _scaled(np.frombuffer(pcm, "<i4"), 2**-31)
    raise ValueError(f"unknown sample format {sample_format!r}")


def _scaled(integers: NDArray[Any], scale: float) -> Float32:
    samples = integers.astype(np.float32)
    samples *= np.float32(scale)
    return samples


def _widened(pcm: bytes) -> NDArray[Any]:
    """24-bit samples as the upper bytes of 32-bit ones, which keeps their sign."""
    triples = np.frombuffer(pcm, np.uint8).reshape(-1, 3)
    words = np.zeros((len(triples), 4), np.uint8)
    words[:, 1:] = triples
    return words.view("<i4")[:, 0]


def to_mono(frames: Float32, channel: int | None = None) -> Float32:
    """One channel, or the average of all.

    Args:
        frames: float32, shape (n, channels).
        channel: index of the channel to keep (the last one where there are fewer).

    Returns:
        float32, shape (n,).
    """
    channels = frames.shape[1]
    if channels == 1:
        return frames[:, 0]
    if channel is not None:
        return np.ascontiguousarray(frames[:, min(channel, channels - 1)])
    average: Float32 = frames.mean(axis=1, dtype=np.float32)
    return average
