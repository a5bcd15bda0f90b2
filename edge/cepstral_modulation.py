"""How a voice articulates: how fast the shape of its spectrum changes, and what goes together.

A network on log spectra could see this, and looks elsewhere: in what it has heard, other things
tell classes apart more easily. A synthesiser smooths what it says (Toda, Black and Tokuda, "Voice
conversion based on maximum-likelihood estimation of spectral parameter trajectory", IEEE TASLP
2007), and that shows in modulation spectra of cepstra (Tyagi et al., "Mel-cepstrum modulation
spectrum (MCMS) features for robust ASR", ASRU 2003; Wu et al., "Synthetic speech detection using
temporal modulation feature", ICASSP 2013). And tongue, jaw and lips move together (Williamson et
al., "Vocal biomarkers of depression based on motor incoordination", AVEC 2013). The band of a
telephone and what lies above it have cepstra of their own. All of it is in the log-Mel frames, so
that it costs next to nothing. Pure.

Where frames lie on a grid of half seconds, a window that slides by them keeps what it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge.sliding import RATE_HZ, STEP, UNITS, Frames, SlidingFrameNumbers, eased

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Part of a fingerprint: raise it when the numbers that this module computes change.
VERSION = 1

RANGES_HZ = ((225, 3400), (3400, 7775))
CEPSTRA = 12  # of a range: so many halves of a cosine's period over it, from none on
MODULATIONS_HZ = ((2, 6), (6, 12), (12, 24), (24, 50))
EASED = 0.3  # share of a step at its ends where it is faded in and out
# Samples between frames: farther apart they do not hold all modulations, closer their tables grow
# large.
HOPS = (40, 320)

# Which of these are compared, and in which of the modulations: loudness of either range and what
# is coarse in the lower one, from syllables to sounds.
COMPARED = (0, 1, 2, 3, 4, CEPSTRA)
COMPARED_MODULATIONS = slice(1, 3)
FIRST, SECOND = np.array([(a, b) for a in COMPARED for b in COMPARED if a < b]).T

POWERS = len(MODULATIONS_HZ) * len(RANGES_HZ) * CEPSTRA
NUMBERS = POWERS + len(MODULATIONS_HZ[COMPARED_MODULATIONS]) * len(FIRST)

# What is quieter than a step's loudest band by more than this says nothing.
RANGE_DB = np.float32(60)
# Of dB squared: what is told of digital silence.
FLOOR = np.float32(1e-5)
LIMITS = (-50, 70)
BEND_HZ = 700  # of the mel scale
TINY = 1e-12


def cepstral_modulation(decibels: Float32, frames: Frames) -> Float32:
    """How fast cepstra of a window's frames change.

    Neither level nor channel counts, as long as no band is `RANGE_DB` below the loudest.

    Args:
        decibels: log-Mel of the window, dB, as `edge.features.log_mel_db` gives it: float32, shape
            (frames, bands), at least those of half a second.
        frames: what they are frames of.

    Returns:
        float32, shape (`NUMBERS`,), within `LIMITS`: of each modulation and each range of
        frequency the power of its cepstra, dB; of two modulations how alike some of them move.

    Raises:
        ValueError: the frames are not two-dimensional float32, or too few.
    """
    return CepstralModulationStream(frames).numbers(decibels, 0)


class CepstralModulationStream(SlidingFrameNumbers):
    """`cepstral_modulation` of a sliding window."""

    name, count, version, limits = "cepstral_modulation", NUMBERS, VERSION, LIMITS
    frame_hops = HOPS

    def _of_steps(self, heard: Float32) -> Float32:
        tables = _tables(self.frames)
        steps = heard[: len(heard) // self.step * self.step]
        steps = steps.reshape(-1, self.step, heard.shape[1])
        floor = steps.max(axis=(1, 2), keepdims=True) - RANGE_DB
        parts = tables.waves @ (np.maximum(steps, floor) @ tables.cepstra)
        power = tables.modulations @ np.square(parts) + FLOOR
        told = np.empty((len(steps), NUMBERS), np.float32)
        told[:, :POWERS] = 10 * np.log10(power).reshape(len(steps), -1)
        told[:, POWERS:] = UNITS * alike(parts, power, tables.modulations).reshape(len(steps), -1)
        return told


def alike(parts: Float32, power: Float32, modulations: Float32) -> Float32:
    """Correlations of the cepstra that are compared, shape (steps, modulations, pairs).

    Args:
        parts: sines and cosines of each step's cepstra, shape (steps, parts, cepstra).
        power: of its modulations, shape (steps, modulations, cepstra).
        modulations: makes power of squared parts, shape (modulations, parts).
    """
    level = np.sqrt(power[:, COMPARED_MODULATIONS])
    products = parts[..., FIRST] * parts[..., SECOND]
    together = modulations[COMPARED_MODULATIONS] @ products
    correlations: Float32 = together / (level[..., FIRST] * level[..., SECOND])
    return correlations


@dataclass(frozen=True)
class _Tables:
    cepstra: Float32  # from a frame's bands: (bands, ranges * CEPSTRA)
    waves: Float32  # from a step's frames to sines and cosines, its mean left out: (parts, frames)
    modulations: Float32  # mean power from squared parts: (modulations, parts)


@lru_cache(maxsize=8)
def _tables(frames: Frames) -> _Tables:
    """Constants of some frames, made once."""
    count = STEP // frames.hop
    window = eased(count, EASED)
    orders = np.arange(1, (count + 1) // 2)
    angles = 2 * np.pi / count * np.outer(orders, np.arange(count))
    waves = np.concatenate([np.cos(angles), np.sin(angles)]) * window
    hz = np.tile(orders * RATE_HZ / (count * frames.hop), 2)
    inside = np.array([(hz >= low) & (hz < high) for low, high in MODULATIONS_HZ], float)
    # Power of a bin is that of its sine and its cosine together.
    bins = np.maximum(1, inside.sum(axis=1, keepdims=True) / 2)
    bands_hz = np.array(frames.bands_hz)
    return _Tables(
        np.concatenate([_cosines(bands_hz, *limits) for limits in RANGES_HZ], axis=1).astype(
            np.float32
        ),
        (waves - waves.mean(axis=1, keepdims=True)).astype(np.float32),
        (inside / bins).astype(np.float32),
    )


def _cosines(bands_hz: Float64, low_hz: float, high_hz: float) -> Float64:
    """From bands to the cepstra of a range on the mel scale: (bands, CEPSTRA)."""
    inside = (bands_hz >= low_hz) & (bands_hz < high_hz)
    low, high = mel(np.array([low_hz, high_hz]))
    places = (mel(bands_hz) - low) / (high - low)
    waves = np.cos(np.pi * np.outer(places, np.arange(CEPSTRA)))
    # A band counts as much as it takes of the scale, where all are equally wide.
    shares = inside / (BEND_HZ + bands_hz)
    cosines: Float64 = waves * shares[:, None] / max(TINY, shares.sum())
    return cosines


def mel(hz: Float64) -> Float64:
    """O'Shaughnessy's mel scale ("Speech communication", 1987), in units of its own."""
    scale: Float64 = np.log1p(hz / BEND_HZ)
    return scale
