"""How a voice was excited, as the models 0.11.0 and 0.12.0 hear it.

That is how its envelopes move (edge/modulation.py), and what linear prediction leaves of each frame
(Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 1975). What the latter tells,
edge/periodicity.py tells better; this is for the bundles that devices hold. Pure.

All of it lies on a grid of half seconds, so that a window which slides by them keeps what it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge import modulation
from edge.fft import autocorrelation, rfft
from edge.modulation import ModulationStream
from edge.sliding import STEP, UNITS, continued, loudest, mean_over_time

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

# Part of a fingerprint: raise it when the numbers that this module computes change.
VERSION = 1

PREDICTION_FRAME, PREDICTION_ORDER = 400, 16  # 25 ms
LOUDER = 8  # frames of the 20 in a step, that prediction is made for
# Long enough that lags up to PITCH_LAGS.stop hardly wrap around.
PREDICTION_FFT = 640
PITCH_LAGS = slice(40, 250)  # 64 to 400 Hz
REMAINDERS = 7

NUMBERS = modulation.NUMBERS + 3 * REMAINDERS
LIMITS = modulation.LIMITS
TINY = np.float32(1e-9)


def excitation(samples: Float32) -> Float32:
    """What tells of a window's excitation; its level does not count.

    Args:
        samples: float32, shape (n,), 16 kHz, at least `modulation.LEAST_SAMPLES`.

    Returns:
        float32, shape (`NUMBERS`,), within `LIMITS`: those of `edge.modulation`; then what linear
        prediction leaves.

    Raises:
        ValueError: the samples are not one-dimensional float32, or too few.
    """
    return ExcitationStream().numbers(samples, 0)


class ExcitationStream(ModulationStream):
    """`excitation` of a sliding window."""

    name, count, version = "excitation", NUMBERS, VERSION

    def reset(self) -> None:
        super().reset()
        self._remainders = np.empty((0, LOUDER, REMAINDERS + 1), np.float32)

    def _measured(self, samples: Float32, steps: int) -> Float32:
        moved = super()._measured(samples, steps)
        self._remainders = continued(
            self._remainders[steps:],
            len(samples) // STEP,
            lambda first: _remainders(samples[first * STEP :]),
        )
        left = np.clip(_of_the_loud(self._remainders), *LIMITS)
        return np.concatenate([moved, left])


def _remainders(samples: Float32) -> Float32:
    """Of each step's louder frames what prediction leaves, and their power.

    (n,) -> (steps, LOUDER, REMAINDERS + 1)
    """
    steps = len(samples) // STEP
    frames = samples[: steps * STEP].reshape(steps, -1, PREDICTION_FRAME)
    offsets = mean_over_time(frames)
    power = np.einsum("sft,sft->sf", frames, frames) / np.float32(PREDICTION_FRAME)
    power = np.maximum(power - np.square(offsets), 0)  # rounding leaves a constant less than none
    louder = loudest(power, LOUDER)
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
            mean_over_time(np.log(power)) - np.log(mean_over_time(power)),
            np.log(level + np.float32(1e-3)) / 2,
        ],
        axis=1,
    )


def _mean_product(a: Float32, b: Float32) -> Float32:
    """Mean over time of (frames, time) each: shape (frames,)."""
    mean: Float32 = np.matmul(a[:, None], b[..., None])[:, 0, 0] / np.float32(a.shape[1])
    return mean


def predicted_away(frames: Float32) -> Complex64:
    """Spectra of frames of unit level, less what the samples before tell of each sample.

    By the autocorrelation method, under a Hamming window; shape (frames, PREDICTION_FFT // 2 + 1).
    """
    tables = _tables()
    centred = frames - mean_over_time(frames)[:, None]
    centred /= np.sqrt(_mean_product(centred, centred))[:, None] + TINY
    padded = np.zeros((len(frames), PREDICTION_FFT), np.float32)
    np.multiply(centred, tables.window, out=padded[:, :PREDICTION_FRAME])
    spectra = rfft(padded)
    foretold = predictors(_power(spectra) @ tables.correlations)
    spectra *= (tables.delays[0] - foretold @ tables.delays[1:]).view(np.complex64)
    return spectra


def _power(spectra: Complex64) -> Float32:
    power: Float32 = np.square(spectra.real) + np.square(spectra.imag)
    return power


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
    window: Float32  # (PREDICTION_FRAME,)
    correlations: Float32  # from a power spectrum: (bins, PREDICTION_ORDER + 1)
    delays: Float32  # parts of the spectra of unit impulses: (PREDICTION_ORDER + 1, parts)


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    """Constants, made once."""
    delays = np.fft.rfft(np.eye(PREDICTION_ORDER + 1, PREDICTION_FFT))
    both_sides = np.full((PREDICTION_FFT // 2 + 1, 1), 2)
    both_sides[[0, -1]] = 1
    return _Tables(
        window=np.hamming(PREDICTION_FRAME).astype(np.float32),
        # Of few lags a product is cheaper than a transform.
        correlations=(both_sides * delays.real.T / PREDICTION_FFT).astype(np.float32),
        delays=delays.astype(np.complex64).view(np.float32),
    )
