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

from edge.fft import rfft
from edge.sliding import (
    RATE_HZ,
    STEP,
    UNITS,
    SlidingNumbers,
    continued,
    mean_over_time,
    overlapping,
)

Float32 = NDArray[np.float32]

# Part of a fingerprint: raise it when the numbers that this module computes change; that of
# `edge.excitation` with it.
VERSION = 1

# Envelopes of ten bands at 1 kHz: those that a telephone lets through. Below, a bin of the FFT is
# wider than a band, and holds hum.
ENVELOPE_FRAME, ENVELOPE_HOP = 128, 16
BAND_EDGES_HZ = np.geomspace(227, 3455, 11)
WHOLE_BAND_HZ = (227.0, 7900.0)
BANDS = len(BAND_EDGES_HZ) - 1
# What is made of so many stays in the cache, and its memory is had without asking the system.
FRAMES_AT_ONCE = 250
ENVELOPE_FLOOR = 1e-6  # of a stretch's mean power in the whole band

# A stretch of envelopes begins at each step and is two steps long.
ENVELOPES_PER_STEP = STEP // ENVELOPE_HOP
STRETCH = 2 * ENVELOPES_PER_STEP
MODULATIONS_HZ = ((8, 20), (20, 50), (50, 120), (120, 250), (250, 500))
FAST_BIN = 20  # Hz, for a stretch is a second
NEIGHBOURS = (1, 2, 4)
LOWER = np.concatenate([np.arange(BANDS - apart) for apart in NEIGHBOURS])
UPPER = LOWER + np.repeat(NEIGHBOURS, [BANDS - apart for apart in NEIGHBOURS])

MODULATIONS = len(MODULATIONS_HZ) * BANDS
COMODULATIONS = len(LOWER)
NUMBERS = MODULATIONS + COMODULATIONS
LEAST_SAMPLES = (STRETCH - 1) * ENVELOPE_HOP + ENVELOPE_FRAME

# Modulations are decibels above a hundredth; for what has no unit see `UNITS`. Beyond the limits
# there is only silence, or a click.
MODULATION_FLOOR, MODULATION_UNIT = np.float32(1e-7), np.float32(1e-2)
LIMITS = (-50, 70)
TINY = np.float32(1e-9)


def modulation(samples: Float32) -> Float32:
    """How a window's envelopes move; its level does not count.

    Args:
        samples: float32, shape (n,), 16 kHz, at least `LEAST_SAMPLES`.

    Returns:
        float32, shape (`NUMBERS`,), within `LIMITS`: the power of five modulations of each band's
        log envelope, dB; how alike fast envelopes of neighbouring bands are.

    Raises:
        ValueError: the samples are not one-dimensional float32, or too few.
    """
    return ModulationStream().numbers(samples, 0)


class ModulationStream(SlidingNumbers):
    """`modulation` of a sliding window."""

    name, count, least_samples, version = "modulation", NUMBERS, LEAST_SAMPLES, VERSION

    def reset(self) -> None:
        # Of the next stretch, whose end had not been heard.
        self._begun = np.empty((0, BANDS + 1), np.float32)
        self._stretches = np.empty((0, NUMBERS), np.float32)

    def _steps_held(self) -> int:
        return len(self._stretches)

    def _measured(self, samples: Float32, steps: int) -> Float32:
        frames = (len(samples) - ENVELOPE_FRAME) // ENVELOPE_HOP + 1
        kept = self._stretches[steps:]
        first = len(kept) * ENVELOPES_PER_STEP
        envelopes = continued(
            self._begun,
            frames - first,
            lambda begun: band_envelopes(samples[(first + begun) * ENVELOPE_HOP :]),
        )
        self._stretches = continued(
            kept,
            (frames - STRETCH) // ENVELOPES_PER_STEP + 1,
            lambda _: _stretches(envelopes),
        )
        self._begun = envelopes[len(self._stretches) * ENVELOPES_PER_STEP - first :]
        limited: Float32 = np.clip(self._stretches.mean(0), *LIMITS)
        return limited


def band_envelopes(samples: Float32) -> Float32:
    """Log power of each band in steps of a millisecond, and last the whole band's power itself.

    (n,) -> (frames, BANDS + 1)
    """
    tables = _tables()
    count = (len(samples) - ENVELOPE_FRAME) // ENVELOPE_HOP + 1
    frames = overlapping(samples, count, ENVELOPE_FRAME, ENVELOPE_HOP)
    windowed = np.empty((min(FRAMES_AT_ONCE, count), ENVELOPE_FRAME), np.float32)
    envelopes = np.empty((count, BANDS + 1), np.float32)
    for start in range(0, count, FRAMES_AT_ONCE):
        some = frames[start : start + FRAMES_AT_ONCE]
        np.multiply(some, tables.window, out=windowed[: len(some)])
        parts = rfft(windowed[: len(some)]).view(np.float32)
        np.square(parts, out=parts)
        made = envelopes[start : start + FRAMES_AT_ONCE]
        np.matmul(parts[:, : len(tables.bands)], tables.bands, out=made[:, :BANDS])
        np.matmul(parts, tables.whole_band, out=made[:, BANDS])
    bands = envelopes[:, :BANDS]
    np.log(bands + TINY * TINY, out=bands)
    return envelopes


def _stretches(envelopes: Float32) -> Float32:
    """Of each stretch how it is modulated and comodulated.

    (frames, BANDS + 1) -> (stretches, MODULATIONS + COMODULATIONS)
    """
    count = (len(envelopes) - STRETCH) // ENVELOPES_PER_STEP + 1
    starts = range(0, count * ENVELOPES_PER_STEP, ENVELOPES_PER_STEP)
    moved = np.empty((count, BANDS, STRETCH), np.float32)
    for one, start in zip(moved, starts):
        stretch = envelopes[start : start + STRETCH]
        floor = np.log(np.float32(ENVELOPE_FLOOR) * stretch[:, BANDS].mean() + TINY * TINY)
        np.maximum(stretch[:, :BANDS].T, floor, out=one)
    moved -= mean_over_time(moved)[..., None]
    moved *= _tables().stretch_window
    # Real and imaginary parts as numbers side by side.
    parts = rfft(moved.reshape(-1, STRETCH)).view(np.float32).reshape(count, BANDS, -1)
    return np.concatenate([modulations(parts), UNITS * comodulation(parts)], axis=1)


def modulations(parts: Float32) -> Float32:
    """Power density of modulations of each band, dB, shape (stretches, MODULATIONS).

    Args:
        parts: real and imaginary, of the spectra of log envelopes, shape (stretches, BANDS, parts).
    """
    density = np.square(parts) @ _tables().modulations
    decibels: Float32 = 10 * np.log10((density + MODULATION_FLOOR) / MODULATION_UNIT)
    return decibels.reshape(len(parts), -1)


def comodulation(parts: Float32) -> Float32:
    """Correlation of what is fast in envelopes of neighbouring bands, (stretches, COMODULATIONS).

    Args:
        parts: as for `modulations`.
    """
    fast = parts[..., 2 * FAST_BIN :]
    products = fast @ fast.transpose(0, 2, 1)
    level = np.sqrt(np.diagonal(products, axis1=1, axis2=2)) + TINY
    alike: Float32 = products[:, LOWER, UPPER] / (level[:, LOWER] * level[:, UPPER])
    return alike


@dataclass(frozen=True)
class _Tables:
    window: Float32  # (ENVELOPE_FRAME,)
    bands: Float32  # mean power of each from squared parts, as far as they reach: (parts, BANDS)
    whole_band: Float32  # likewise: (parts,)
    stretch_window: Float32  # (STRETCH,)
    modulations: Float32  # mean power densities from squared parts: (parts, modulations)


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    """Constants, made once."""
    stretch_window = np.hanning(STRETCH)
    envelopes_hz = RATE_HZ / ENVELOPE_HOP
    density = 1 / (envelopes_hz * np.square(stretch_window).sum())
    edges = list(zip(BAND_EDGES_HZ[:-1], BAND_EDGES_HZ[1:]))
    bands = np.repeat(_means_within(ENVELOPE_FRAME, RATE_HZ, edges), 2, axis=0)
    densities = _means_within(STRETCH, envelopes_hz, MODULATIONS_HZ) * np.float32(density)
    return _Tables(
        # Periodic, so that a microphone's offset stays below the lowest band.
        window=np.hanning(ENVELOPE_FRAME + 1)[:-1].astype(np.float32),
        bands=bands[: np.flatnonzero(bands.any(axis=1))[-1] + 1],
        whole_band=np.repeat(_means_within(ENVELOPE_FRAME, RATE_HZ, [WHOLE_BAND_HZ])[:, 0], 2),
        stretch_window=stretch_window.astype(np.float32),
        modulations=np.repeat(densities, 2, axis=0),
    )


def _means_within(length: int, rate_hz: float, limits_hz: Sequence[tuple[float, float]]) -> Float32:
    """Weights that take the mean power in some ranges from the bins of a spectrum."""
    hz = np.fft.rfftfreq(length, 1 / rate_hz)
    inside = np.stack([(hz >= low) & (hz < high) for low, high in limits_hz], axis=1)
    weights: Float32 = (inside / inside.sum(0)).astype(np.float32)
    return weights
