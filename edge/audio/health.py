"""Can this audio be trusted to be what a working microphone hears? Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

OK = "ok"
INVALID = "invalid-samples"
SILENT = "silent-input"
DC = "dc-offset"
CLIPPED = "clipped"

# Full scale, less what 16 bits and a resampler may take away.
CLIPPED_LEVEL = 0.999
# Floating-point audio may exceed full scale, but 60 dB above it is no audio; the network's
# features would overflow.
INVALID_MEAN_SQUARE = 1e6


@dataclass(frozen=True)
class HealthSettings:
    """When input is called unfit."""

    silent_dbfs: float = field(
        default=-90.0,
        metadata={
            "unit": "dBFS",
            "doc": "input whose RMS level, without its mean, is below this is no live microphone",
            "minimum": -200.0,
            "maximum": 0.0,
        },
    )
    dc_fraction: float = field(
        default=0.05,
        metadata={
            "unit": "of full scale",
            "doc": "a mean beyond this, and beyond ten times the rest of the signal, is a fault",
            "minimum": 0.0,
            "maximum": 1.0,
        },
    )
    clipped_fraction: float = field(
        default=0.05,
        metadata={
            "unit": "of samples",
            "doc": "more samples than this at full scale are clipping",
            "minimum": 0.0,
            "maximum": 1.0,
        },
    )


def health_of(samples: NDArray[np.float32], settings: HealthSettings) -> str:
    """One word for a window: "ok", or the first fault that makes a score meaningless.

    Args:
        samples: float32, shape (n,), full scale at 1.
        settings: the limits.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(np.dot(samples, samples))
    if not total <= INVALID_MEAN_SQUARE * len(samples):  # so said, it holds for NaN too
        return INVALID
    mean = float(np.einsum("t->", samples)) / len(samples)  # a third of what `mean` takes
    rms = max(0.0, total / len(samples) - mean * mean) ** 0.5
    if abs(mean) > settings.dc_fraction and abs(mean) > 10 * rms:
        return DC
    if rms < 10 ** (settings.silent_dbfs / 20):
        return SILENT
    if _clipped_fraction(samples) > settings.clipped_fraction:
        return CLIPPED
    return OK


def _clipped_fraction(samples: NDArray[np.float32]) -> float:
    # Every window comes here and hardly one is clipped: its peaks tell, at a tenth of the cost.
    if max(float(samples.max()), -float(samples.min())) < CLIPPED_LEVEL:
        return 0.0
    return float(np.count_nonzero(np.abs(samples) >= CLIPPED_LEVEL)) / len(samples)
