"""Is there speech in this window? Pure, and cheap enough to spare the network the silence.

A gate, not a recogniser: it must let every voice through and stop silence, hum and steady noise,
on which a score would mean nothing. It looks for what speech does and a fan does not: energy in
the band of the voice that rises and falls well above the window's own noise floor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from edge.features import Float32, FrontEnd, band_edges_hz

VOICE_BAND_HZ = (150.0, 4000.0)


@dataclass(frozen=True)
class SpeechSettings:
    """When a window counts as speech."""

    min_active_s: float = field(
        default=0.4,
        metadata={
            "unit": "s",
            "doc": "least time of active frames in a window with speech; 0 = score every window",
            "minimum": 0.0,
            "maximum": 5.0,
        },
    )
    contrast_db: float = field(
        default=8.0,
        metadata={
            "unit": "dB",
            "doc": "how far an active frame stands above the window's noise floor",
            "minimum": 0.0,
            "maximum": 60.0,
        },
    )
    min_level_dbfs: float = field(
        default=-65.0,
        metadata={
            "unit": "dBFS",
            "doc": "a window whose loudest frames are quieter than this is silent",
            "minimum": -120.0,
            "maximum": 0.0,
        },
    )


@dataclass(frozen=True)
class SpeechActivity:
    """What the gate saw.

    Attributes:
        present: score this window?
        active_s: seconds of active frames.
    """

    present: bool
    active_s: float


def voice_bands(front_end: FrontEnd) -> slice:
    """Bands whose centres lie in the band of the voice; all of them where none does."""
    centres = band_edges_hz(front_end)[1:-1]
    inside = np.flatnonzero((centres >= VOICE_BAND_HZ[0]) & (centres <= VOICE_BAND_HZ[1]))
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(None)


@lru_cache(maxsize=8)
def _voice_weights(front_end: FrontEnd) -> Float32:
    """Weights whose product with a frame's bands is their mean over the band of the voice."""
    weights = np.zeros(front_end.n_bands, np.float32)
    bands = voice_bands(front_end)
    weights[bands] = 1 / len(weights[bands])
    return weights


def speech_activity(
    decibels: Float32, level_dbfs: float, front_end: FrontEnd, settings: SpeechSettings
) -> SpeechActivity:
    """Judge one window.

    Args:
        decibels: raw log-Mel as `edge.features.log_mel_db` gives it, shape (frames, bands).
        level_dbfs: RMS level of the window's loudest tenth of a second, dB relative to full scale.
        front_end: the settings that made `decibels`.
        settings: when a window counts as speech.
    """
    frame_s = front_end.frame_hop / front_end.sample_rate_hz
    if settings.min_active_s == 0:
        return SpeechActivity(True, len(decibels) * frame_s)
    if level_dbfs < settings.min_level_dbfs:
        return SpeechActivity(False, 0.0)
    loudness = decibels @ _voice_weights(front_end)
    floor = np.partition(loudness, len(loudness) // 10)[len(loudness) // 10]
    active_s = float((loudness > floor + settings.contrast_db).sum() * frame_s)
    return SpeechActivity(active_s >= settings.min_active_s, active_s)


def peak_level_dbfs(samples: Float32, sample_rate_hz: int) -> float:
    """RMS level of the loudest tenth of a second, dBFS; -inf for digital silence."""
    length = min(len(samples), sample_rate_hz // 10)
    blocks = samples[: len(samples) // length * length].reshape(-1, length)
    # One dot product per block; einsum would take twice as long.
    power = float(np.matmul(blocks[:, None, :], blocks[:, :, None]).max()) / length
    return 10 * float(np.log10(power)) if power > 0 else -float("inf")
