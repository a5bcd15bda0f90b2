"""How a voice's envelopes move: numbers that its spectrum in steps of 10 ms does not hold.

A network on log spectra sees how loud each band is; how the larynx drives them passes within a few
milliseconds. Two things tell of that: how fast envelopes of bands move (Atlas and Shamma, "Joint
acoustic and modulation frequency", EURASIP JASP 2003), and how much neighbouring bands move
together (Dau et al., "Comodulation masking release", JASA 2009). Pure.

All of it lies on a grid of half seconds, so that a window which slides by them keeps what it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge.fft import ifft, rfft
from edge.sliding import RATE_HZ, STEP, UNITS, SlidingNumbers, eased, mean_over_time

Float32 = NDArray[np.float32]

# Part of a fingerprint: raise it when the numbers that this module computes change.
VERSION = 2

# Thirteen bands, of which a telephone lets nine through. Below them hum is.
BAND_EDGES_HZ = np.geomspace(227, 7600, 14)
BANDS = len(BAND_EDGES_HZ) - 1
# A narrower band would hold no modulation as fast as a voice's pitch.
LEAST_WIDTH_HZ = 250
SKIRT_HZ = 125  # on either side of an edge
ENVELOPE_FLOOR = np.float32(1e-5)  # of a step's mean power in a band
EASED = 0.3  # share of a step at its ends where it is faded in and out

ENVELOPE_HZ = 500
FRAMES = STEP * ENVELOPE_HZ // RATE_HZ  # of an envelope, in a step
MODULATIONS_HZ = ((8, 20), (20, 50), (50, 120), (120, 250))
# Where bands are compared: syllables and their edges, low and high voices; one bin is in two.
COMODULATIONS_HZ = ((8, 52), (50, 122), (120, 252))
NEIGHBOURS = (1, 2, 4)
LOWER = np.concatenate([np.arange(BANDS - apart) for apart in NEIGHBOURS])
UPPER = LOWER + np.repeat(NEIGHBOURS, [BANDS - apart for apart in NEIGHBOURS])

MODULATIONS = len(MODULATIONS_HZ) * BANDS
COMODULATIONS = len(COMODULATIONS_HZ) * len(LOWER)
NUMBERS = MODULATIONS + COMODULATIONS

# Modulations are decibels above a hundredth; for what has no unit see `UNITS`. Beyond the limits
# there is only silence, or a click.
MODULATION_FLOOR, MODULATION_UNIT = np.float32(1e-7), np.float32(1e-2)
LIMITS = (-50, 70)
TINY = np.float32(1e-9)


def modulation(samples: Float32) -> Float32:
    """How a window's envelopes move; its level does not count.

    Args:
        samples: float32, shape (n,), 16 kHz, at least `STEP`.

    Returns:
        float32, shape (`NUMBERS`,), within `LIMITS`: the power of four modulations of each band's
        log envelope, dB; how alike three kinds of them are in neighbouring bands.

    Raises:
        ValueError: the samples are not one-dimensional float32, or too few.
    """
    return ModulationStream().numbers(samples, 0)


class ModulationStream(SlidingNumbers):
    """`modulation` of a sliding window."""

    name, count, version, limits = "modulation", NUMBERS, VERSION, LIMITS

    def _of_steps(self, heard: Float32) -> Float32:
        return moved(log_envelopes(heard))


def log_envelopes(samples: Float32) -> Float32:
    """Log power of each step's bands in steps of 2 ms: (n,) -> (steps, BANDS, FRAMES)."""
    tables = _tables()
    steps = samples[: len(samples) // STEP * STEP].reshape(-1, STEP)
    # Analytic signals: an inverse transform of a band's part of the spectrum alone.
    spectra = np.take(rfft(steps), tables.bins, axis=1)
    spectra *= tables.weights
    parts = ifft(spectra.reshape(-1, FRAMES)).view(np.float32)
    np.square(parts, out=parts)
    power: Float32 = (parts[:, ::2] + parts[:, 1::2]).reshape(len(steps), BANDS, FRAMES)
    mean = mean_over_time(power.reshape(len(steps), -1))
    power += (ENVELOPE_FLOOR * mean + TINY * TINY)[:, None, None]
    return np.log(power, out=power)


def moved(envelopes: Float32) -> Float32:
    """Of each step how it is modulated and comodulated.

    (steps, BANDS, FRAMES) -> (steps, MODULATIONS + COMODULATIONS)
    """
    centred = envelopes - mean_over_time(envelopes)[..., None]
    centred *= _tables().window
    # Real and imaginary parts as numbers side by side.
    parts = rfft(centred.reshape(-1, FRAMES)).view(np.float32).reshape(len(envelopes), BANDS, -1)
    squares = np.square(parts)
    return np.concatenate([modulations(squares), UNITS * comodulation(parts, squares)], axis=1)


def modulations(squares: Float32) -> Float32:
    """Power density of modulations of each band, dB, shape (steps, MODULATIONS).

    Args:
        squares: of real and imaginary parts of the spectra of log envelopes, shape (steps, BANDS,
            parts).
    """
    density = squares @ _tables().modulations
    decibels: Float32 = 10 * np.log10((density + MODULATION_FLOOR) / MODULATION_UNIT)
    return decibels.reshape(len(squares), -1)


def comodulation(parts: Float32, squares: Float32) -> Float32:
    """Correlations of modulations of neighbouring bands, shape (steps, COMODULATIONS).

    Args:
        parts: real and imaginary, of the spectra of log envelopes, shape (steps, BANDS, parts).
        squares: theirs.
    """
    within = _tables().comodulations
    level = np.sqrt(squares @ within) + TINY
    products = (parts[:, LOWER] * parts[:, UPPER]) @ within
    alike = products / (level[:, LOWER] * level[:, UPPER])
    of_steps: Float32 = alike.transpose(0, 2, 1).reshape(len(parts), -1)
    return of_steps


@dataclass(frozen=True)
class _Tables:
    bins: NDArray[np.intp]  # of a step's spectrum, band after band: (BANDS * FRAMES,)
    weights: Float32  # of each: (BANDS * FRAMES,)
    window: Float32  # (FRAMES,)
    modulations: Float32  # mean power densities from squared parts: (parts, modulations)
    comodulations: Float32  # one where a part is in a range of them: (parts, comodulations)


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    """Constants, made once."""
    window = eased(FRAMES, EASED)
    inside = _within(MODULATIONS_HZ)
    means = np.repeat(inside / inside.sum(axis=1, keepdims=True), 2, axis=1)
    density = 1 / (ENVELOPE_HZ * np.square(window).sum())
    bin_hz = RATE_HZ / STEP
    middles = (BAND_EDGES_HZ[:-1] + BAND_EDGES_HZ[1:]) / 2
    # Where a band's part begins does not count: that only turns its phase.
    first = np.maximum(0, np.round((middles - ENVELOPE_HZ / 2) / bin_hz)).astype(np.intp)
    bins = first[:, None] + np.arange(FRAMES)
    half = np.maximum(np.diff(BAND_EDGES_HZ), LEAST_WIDTH_HZ)[:, None] / 2
    inside_hz = half - np.abs(bins * bin_hz - middles[:, None])
    weights = np.sin(np.pi / 2 * np.clip((inside_hz + SKIRT_HZ) / (2 * SKIRT_HZ), 0, 1))
    return _Tables(
        bins=bins.reshape(-1),
        weights=weights.reshape(-1).astype(np.float32),
        window=window.astype(np.float32),
        modulations=(density * means).T.astype(np.float32),
        comodulations=np.repeat(_within(COMODULATIONS_HZ), 2, axis=1).T,
    )


def _within(limits_hz: Sequence[tuple[float, float]]) -> Float32:
    """One where a bin of an envelope's spectrum lies within some ranges: (ranges, bins)."""
    hz = np.fft.rfftfreq(FRAMES, 1 / ENVELOPE_HZ)
    return np.array([(hz >= low) & (hz < high) for low, high in limits_hz], np.float32)
