"""How a voice was excited: numbers of a window that its spectrum in steps of 10 ms does not hold.

A network on log spectra sees how loud each band is; how the larynx drives them passes within a few
milliseconds. Three things tell of that: how fast envelopes of bands move (Atlas and Shamma, "Joint
acoustic and modulation frequency", EURASIP JASP 2003), how much neighbouring bands move together
(Dau et al., "Comodulation masking release", JASA 2009), and what linear prediction leaves of each
frame (Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 1975). Pure.

All of it lies on a grid of half seconds, so that a window which slides by them keeps what it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge.fft import rfft
from edge.sliding import RATE_HZ, STEP, UNITS, SlidingNumbers, continued, overlapping

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

# Part of a fingerprint: raise it when the numbers that this module computes change.
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

PREDICTION_FRAME, PREDICTION_ORDER = 400, 16  # 25 ms
LOUDER = 8  # frames of the 20 in a step, that prediction is made for
# Long enough that lags up to PITCH_LAGS.stop hardly wrap around.
PREDICTION_FFT = 640
PITCH_LAGS = slice(40, 250)  # 64 to 400 Hz
REMAINDERS = 7

MODULATIONS = len(MODULATIONS_HZ) * BANDS
COMODULATIONS = len(LOWER)
NUMBERS = MODULATIONS + COMODULATIONS + 3 * REMAINDERS
LEAST_SAMPLES = (STRETCH - 1) * ENVELOPE_HOP + ENVELOPE_FRAME

# Modulations are decibels above a hundredth; for what has no unit see `UNITS`. Beyond the limits
# there is only silence, or a click.
MODULATION_FLOOR, MODULATION_UNIT = np.float32(1e-7), np.float32(1e-2)
LIMITS = (-50, 70)
TINY = np.float32(1e-9)


def excitation(samples: Float32) -> Float32:
    """What tells of a window's excitation; its level does not count.

    Args:
        samples: float32, shape (n,), 16 kHz, at least `LEAST_SAMPLES`.

    Returns:
        float32, shape (`NUMBERS`,), within `LIMITS`: the power of five modulations of each band's
        log envelope, dB; how alike fast envelopes of neighbouring bands are; what linear prediction
        leaves.

    Raises:
        ValueError: the samples are not one-dimensional float32, or too few.
    """
    return ExcitationStream().numbers(samples, 0)


class ExcitationStream(SlidingNumbers):
    """`excitation` of a sliding window."""

    name, count, least_samples, version = "excitation", NUMBERS, LEAST_SAMPLES, VERSION

    def reset(self) -> None:
        # Of the next stretch, whose end had not been heard.
        self._begun = np.empty((0, BANDS + 1), np.float32)
        self._stretches = np.empty((0, MODULATIONS + COMODULATIONS), np.float32)
        self._remainders = np.empty((0, LOUDER, REMAINDERS + 1), np.float32)

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
        self._remainders = continued(
            self._remainders[steps:],
            len(samples) // STEP,
            lambda first: _remainders(samples[first * STEP :]),
        )
        told = np.concatenate([self._stretches.mean(0), _of_the_loud(self._remainders)])
        limited: Float32 = np.clip(told, *LIMITS)
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
    moved -= _mean(moved)[..., None]
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


def _remainders(samples: Float32) -> Float32:
    """Of each step's louder frames what prediction leaves, and their power.

    (n,) -> (steps, LOUDER, REMAINDERS + 1)
    """
    steps = len(samples) // STEP
    frames = samples[: steps * STEP].reshape(steps, -1, PREDICTION_FRAME)
    offsets = _mean(frames)
    power = np.einsum("sft,sft->sf", frames, frames) / np.float32(PREDICTION_FRAME)
    power = np.maximum(power - np.square(offsets), 0)  # rounding leaves a constant less than none
    louder = np.sort(np.argpartition(power, -LOUDER, axis=1)[:, -LOUDER:], axis=1)
    step = np.arange(steps)[:, None]
    chosen, powers = frames[step, louder], power[step, louder]
    left = remainder(chosen.reshape(-1, PREDICTION_FRAME)).reshape(steps, LOUDER, REMAINDERS)
    return np.concatenate([left, powers[..., None]], axis=2)


def remainder(frames: Float32) -> Float32:
    """What linear prediction leaves of frames, shape (frames, `REMAINDERS`).

    How peaked, how skew and how high it is, how periodic, its tilt, its flatness, its level beside
    the frame's.

    Args:
        frames: shape (frames, PREDICTION_FRAME).
    """
    spectra = predicted_away(frames)
    left = inverse(spectra)[:, : PREDICTION_FRAME + PREDICTION_ORDER]
    level = np.sqrt(_mean_product(left, left)) + TINY
    left /= level[:, None]
    squares = np.square(left)
    power = _power(spectra) + TINY
    alike = autocorrelation(power, PITCH_LAGS.stop)
    alike /= alike[:, :1]
    return np.stack(
        [
            np.log(_mean_product(squares, squares) + np.float32(1e-3)),
            _mean_product(squares, left),
            np.log(np.abs(left).max(axis=1) + np.float32(1e-3)),
            alike[:, PITCH_LAGS].max(axis=1),
            alike[:, 1],
            _mean(np.log(power)) - np.log(_mean(power)),
            np.log(level + np.float32(1e-3)) / 2,
        ],
        axis=1,
    )


def _mean(signals: Float32) -> Float32:
    """Over time, the last axis. A third of what `mean` takes for a few."""
    mean: Float32 = np.einsum("...t->...", signals) / np.float32(signals.shape[-1])
    return mean


def _mean_product(a: Float32, b: Float32) -> Float32:
    """Mean over time of (frames, time) each: shape (frames,)."""
    mean: Float32 = np.matmul(a[:, None], b[..., None])[:, 0, 0] / np.float32(a.shape[1])
    return mean


def predicted_away(frames: Float32) -> Complex64:
    """Spectra of frames of unit level, less what the samples before tell of each sample.

    By the autocorrelation method, under a Hamming window; shape (frames, PREDICTION_FFT // 2 + 1).
    """
    tables = _tables()
    centred = frames - _mean(frames)[:, None]
    centred /= np.sqrt(_mean_product(centred, centred))[:, None] + TINY
    padded = np.zeros((len(frames), PREDICTION_FFT), np.float32)
    np.multiply(centred, tables.prediction_window, out=padded[:, :PREDICTION_FRAME])
    spectra = rfft(padded)
    foretold = predictors(_power(spectra) @ tables.correlations)
    spectra *= (tables.delays[0] - foretold @ tables.delays[1:]).view(np.complex64)
    return spectra


def _power(spectra: Complex64) -> Float32:
    power: Float32 = np.square(spectra.real) + np.square(spectra.imag)
    return power


def autocorrelation(power: Float32, lags: int) -> Float32:
    """Of signals with such power spectra, shape (signals, lags)."""
    even = np.concatenate([power, power[:, -2:0:-1]], axis=1)
    # What is real and even has its inverse transform in the transform itself.
    alike: Float32 = rfft(even).real[:, :lags] / np.float32(even.shape[1])
    return alike


def inverse(spectra: Complex64) -> Float32:
    """Real signals of an even length from their spectra, (signals, n // 2 + 1) -> (signals, n).

    By the forward transform, which is all there is: Hartley's is its own inverse (Bracewell, "The
    fast Hartley transform", Proc. IEEE 1984).
    """
    made = _hartley(rfft(_hartley(spectra)))
    made /= np.float32(made.shape[1])
    return made


def _hartley(spectra: Complex64) -> Float32:
    """Hartley's transform of real signals from that of Fourier."""
    real, imaginary = spectra.real, spectra.imag
    mirrored = real[:, -2:0:-1] + imaginary[:, -2:0:-1]
    return np.concatenate([real - imaginary, mirrored], axis=1)


def predictors(correlations: Float32) -> Float32:
    """Coefficients of linear prediction, shape (frames, order).

    Args:
        correlations: of each frame with itself, shape (frames, order + 1).
    """
    order = correlations.shape[1] - 1
    apart = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
    # In double precision, for what is nearly singular; and a little white noise, so that silence
    # has a prediction too.
    wide = correlations.astype(np.float64)
    wide[:, 0] = wide[:, 0] * 1.001 + 1e-6
    found: Float32 = np.linalg.solve(wide[:, apart], wide[:, 1:, None])[..., 0].astype(np.float32)
    return found


def _of_the_loud(remainders: Float32) -> Float32:
    """Means, deviations and changes over the frames that are not far below the others.

    (steps, LOUDER, REMAINDERS + 1) -> (3 * REMAINDERS,)
    """
    frames = remainders.reshape(-1, REMAINDERS + 1)
    power = frames[:, -1]
    middle = np.partition(power, len(power) // 2)[len(power) // 2]
    chosen = frames[power >= middle / 2, :-1]
    mean = np.einsum("fn->n", chosen) / np.float32(len(chosen))
    told: Float32 = UNITS * np.concatenate(
        [mean, _rms(chosen - mean), _rms(np.diff(chosen, axis=0))]
    )
    return told


def _rms(frames: Float32) -> Float32:
    """(frames, numbers) -> (numbers,)"""
    rms: Float32 = np.sqrt(np.einsum("fn,fn->n", frames, frames) / np.float32(len(frames)))
    return rms


@dataclass(frozen=True)
class _Tables:
    window: Float32  # (ENVELOPE_FRAME,)
    bands: Float32  # mean power of each from squared parts, as far as they reach: (parts, BANDS)
    whole_band: Float32  # likewise: (parts,)
    stretch_window: Float32  # (STRETCH,)
    modulations: Float32  # mean power densities from squared parts: (parts, modulations)
    prediction_window: Float32  # (PREDICTION_FRAME,)
    correlations: Float32  # from a power spectrum: (bins, PREDICTION_ORDER + 1)
    delays: Float32  # parts of the spectra of unit impulses: (PREDICTION_ORDER + 1, parts)


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    """Constants, made once."""
    stretch_window = np.hanning(STRETCH)
    envelopes_hz = RATE_HZ / ENVELOPE_HOP
    density = 1 / (envelopes_hz * np.square(stretch_window).sum())
    edges = list(zip(BAND_EDGES_HZ[:-1], BAND_EDGES_HZ[1:]))
    bands = np.repeat(_means_within(ENVELOPE_FRAME, RATE_HZ, edges), 2, axis=0)
    delays = np.fft.rfft(np.eye(PREDICTION_ORDER + 1, PREDICTION_FFT))
    both_sides = np.full((PREDICTION_FFT // 2 + 1, 1), 2)
    both_sides[[0, -1]] = 1
    densities = _means_within(STRETCH, envelopes_hz, MODULATIONS_HZ) * np.float32(density)
    return _Tables(
        # Periodic, so that a microphone's offset stays below the lowest band.
        window=np.hanning(ENVELOPE_FRAME + 1)[:-1].astype(np.float32),
        bands=bands[: np.flatnonzero(bands.any(axis=1))[-1] + 1],
        whole_band=np.repeat(_means_within(ENVELOPE_FRAME, RATE_HZ, [WHOLE_BAND_HZ])[:, 0], 2),
        stretch_window=stretch_window.astype(np.float32),
        modulations=np.repeat(densities, 2, axis=0),
        prediction_window=np.hamming(PREDICTION_FRAME).astype(np.float32),
        # Of few lags a product is cheaper than a transform.
        correlations=(both_sides * delays.real.T / PREDICTION_FFT).astype(np.float32),
        delays=delays.astype(np.complex64).view(np.float32),
    )


def _means_within(length: int, rate_hz: float, limits_hz: Sequence[tuple[float, float]]) -> Float32:
    """Weights that take the mean power in some ranges from the bins of a spectrum."""
    hz = np.fft.rfftfreq(length, 1 / rate_hz)
    inside = np.stack([(hz >= low) & (hz < high) for low, high in limits_hz], axis=1)
    weights: Float32 = (inside / inside.sum(0)).astype(np.float32)
    return weights
