"""Is what comes in fit to be judged? Pure.

A dead, muted, overdriven or broken input must never be called a human voice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OK = "ok"
SILENT = "silent-input"
DC = "dc-offset"
CLIPPED = "clipped"
INVALID = "invalid-samples"
STATES = (OK, SILENT, DC, CLIPPED, INVALID)

FLOOR_DBFS = -150.0


@dataclass(frozen=True)
class HealthSettings:
    """Limits of a healthy input.

    Attributes:
        silent_dbfs: an input whose level without its mean lies below this is silent, dBFS; one
            step of 16 bits, dithered, is at -90 and the quietest real microphone well above it.
        dc_limit: a mean of this size is an offset, as a part of full scale.
        clip_level: samples of this size are clipped, as a part of full scale.
        clip_fraction: more clipped samples than this part of all are too many.
    """

    silent_dbfs: float = -88.0
    dc_limit: float = 0.1
    clip_level: float = 0.985
    clip_fraction: float = 0.01


@dataclass(frozen=True)
class InputHealth:
    """What a stretch of audio looks like.

    Attributes:
        state: one of STATES.
        level_dbfs: level without the mean, dBFS (a full-scale sine: -3.0), at least FLOOR_DBFS.
        peak: largest absolute sample.
        dc: mean.
        clipped_fraction: part of the samples at or beyond the clip level.
    """

    state: str
    level_dbfs: float
    peak: float
    dc: float
    clipped_fraction: float


def assess(
    samples: NDArray[np.float32], settings: HealthSettings = HealthSettings()
) -> InputHealth:
    """Health of a window.

    Args:
        samples: float32, shape (n,), n >= 1, full scale = 1.
        settings: limits.

    Raises:
        ValueError: there are no samples.
    """
    if len(samples) == 0:
        raise ValueError("no samples to assess")
    energy = float(np.dot(samples, samples))
    dc = float(samples.mean(dtype=np.float64))
    if not math.isfinite(energy) or not math.isfinite(dc):
        return InputHealth(INVALID, FLOOR_DBFS, math.nan, math.nan, 0.0)
    magnitudes = np.abs(samples)
    peak = float(magnitudes.max())
    clipped = float(np.count_nonzero(magnitudes >= settings.clip_level)) / len(samples)
    level_dbfs = _decibels(float(samples.std(dtype=np.float64)))
    state = _state(level_dbfs, dc, clipped, settings)
    return InputHealth(state, level_dbfs, peak, dc, clipped)


def _decibels(rms: float) -> float:
    return max(FLOOR_DBFS, 20 * math.log10(rms)) if rms > 0 else FLOOR_DBFS


def _state(level_dbfs: float, dc: float, clipped: float, settings: HealthSettings) -> str:
    silent = level_dbfs < settings.silent_dbfs
    # An input stuck at one value is a broken one, not a quiet one.
    if abs(dc) >= settings.dc_limit or (silent and _decibels(abs(dc)) > settings.silent_dbfs):
        return DC
    if silent:
        return SILENT
    return CLIPPED if clipped > settings.clip_fraction else OK
