"""How a voice was excited: numbers of a window that its spectrum in steps of 10 ms does not hold.

A network on log spectra sees how loud each band is; how the larynx drives them passes within a few
milliseconds. Three things tell of that: how fast envelopes of bands move (Atlas and Shamma, "Joint
acoustic and modulation frequency", EURASIP JASP 2003), what linear prediction leaves of each frame
(Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 1975), and how phases turn from one
place of the spectrogram to the next (Nelson, "Cross-spectral methods for processing speech", JASA
2001).

All frames lie on a grid that one second of audio is a multiple of, so that a window which slides by
whole seconds could keep what it has.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

RATE_HZ = 16000
BANDS = 16
BAND_EDGES_HZ = np.geomspace(100, 7900, BANDS + 1)

# Envelopes at 1 kHz, each of a second and half a second further on.
ENVELOPE_FRAME, ENVELOPE_HOP = 128, 16
STRETCH, STRETCH_HOP = 1000, 500
MODULATIONS_HZ = ((2, 8), (8, 20), (20, 50), (50, 120), (120, 250), (250, 500))

PREDICTION_FRAME, PREDICTION_HOP, PREDICTION_ORDER = 400, 200, 16
PITCH_LAGS = slice(40, 250)  # 64 to 400 Hz

REMAINDERS = 3 * 7

PHASE_FRAME, PHASE_HOP = 512, 64

NUMBERS = len(MODULATIONS_HZ) * BANDS + REMAINDERS + BANDS
LEAST_SAMPLES = STRETCH * ENVELOPE_HOP + ENVELOPE_FRAME
TINY = 1e-9


def excitation(samples: Float32) -> Float32:
    """What tells of a window's excitation; its level does not count.

    Args:
        samples: shape (n,), 16 kHz, at least `LEAST_SAMPLES`.

    Returns:
        float32, shape (`NUMBERS`,): the log power of six modulations of each band's log envelope,
        what linear prediction leaves, and the turn of phases in each band.

    Raises:
        ValueError: the samples are not one-dimensional, or too few.
    """
    if samples.ndim != 1 or len(samples) < LEAST_SAMPLES:
        raise ValueError(
            f"excitation takes one-dimensional samples, at least {LEAST_SAMPLES}, "
            f"not {samples.shape}"
        )
    centred = samples.astype(np.float64) - samples.mean()
    levelled = centred / (centred.std() + TINY)
    parts = (modulations(levelled).ravel(), remainder(levelled), phase_turns(levelled))
    return np.concatenate(parts).astype(np.float32)


def modulations(samples: Float64) -> Float64:
    """Log power of each modulation of each band's log envelope, shape (modulations, bands)."""
    power = np.square(np.abs(_spectra(samples, ENVELOPE_FRAME, ENVELOPE_HOP)))
    envelopes = np.log(_band_means(power, ENVELOPE_FRAME) + 1e-6)
    stretches = sliding_window_view(envelopes, STRETCH, axis=0)[::STRETCH_HOP]
    moved = stretches - stretches.mean(-1, keepdims=True)
    spectra = np.square(np.abs(np.fft.rfft(moved * np.hanning(STRETCH)))).mean(0)
    hz = np.fft.rfftfreq(STRETCH, ENVELOPE_HOP / RATE_HZ)
    sums = [spectra[:, (hz >= low) & (hz < high)].mean(1) for low, high in MODULATIONS_HZ]
    return np.log(np.stack(sums) + TINY)


def remainder(samples: Float64) -> Float64:
    """What linear prediction leaves of the louder half of frames, shape (`REMAINDERS`,).

    Seven numbers of a frame (how peaked, how skew and how high it is, its pitch, its tilt, its
    flatness, its level beside the frame's), their means, deviations and changes.
    """
    frames = sliding_window_view(samples, PREDICTION_FRAME)[::PREDICTION_HOP]
    power = frames.var(1)
    loud = frames[power >= np.median(power)] * np.hamming(PREDICTION_FRAME)
    coefficients = predictors(_autocorrelation(loud, PREDICTION_ORDER + 1), PREDICTION_ORDER)
    left = loud[:, PREDICTION_ORDER:].copy()
    for lag in range(1, PREDICTION_ORDER + 1):
        left -= coefficients[:, [lag - 1]] * loud[:, PREDICTION_ORDER - lag : -lag]
    level = left.std(1) + TINY
    correlation = _autocorrelation(left, PITCH_LAGS.stop)
    correlation /= correlation[:, :1] + TINY
    spectrum = np.square(np.abs(np.fft.rfft(left))) + TINY
    numbers = np.stack(
        [
            np.log((left**4).mean(1) / level**4 + TINY),
            (left**3).mean(1) / level**3,
            np.log(np.abs(left).max(1) / level + TINY),
            correlation[:, PITCH_LAGS].max(1),
            correlation[:, 1],
            np.log(spectrum).mean(1) - np.log(spectrum.mean(1)),
            np.log(level / (loud.std(1) + TINY)),
        ],
        axis=1,
    )
    return np.concatenate([numbers.mean(0), numbers.std(0), np.diff(numbers, axis=0).std(0)])


def predictors(correlations: Float64, order: int) -> Float64:
    """Coefficients of linear prediction by Levinson's recursion, shape (frames, order).

    Args:
        correlations: of each frame with itself, shape (frames, order + 1).
        order: how many samples before tell the next.
    """
    found = np.zeros((len(correlations), order))
    # A little white noise, so that silence has a prediction too.
    error = correlations[:, 0] * 1.001 + 1e-6
    for step in range(order):
        known = found[:, :step]
        told = (known * correlations[:, step:0:-1]).sum(1)
        reflection = (correlations[:, step + 1] - told) / error
        found[:, :step] = known - reflection[:, None] * known[:, ::-1]
        found[:, step] = reflection
        error *= 1 - np.square(reflection)
    return found


def phase_turns(samples: Float64) -> Float64:
    """In each band how evenly phase turns along time and frequency at once, shape (bands,).

    The mean cosine of the mixed second difference, weighted by magnitude; 1 for a lone impulse or a
    steady tone.
    """
    spectra = _spectra(samples, PHASE_FRAME, PHASE_HOP)
    along = spectra[1:] * spectra[:-1].conj()
    mixed = along[:, 1:] * along[:, :-1].conj()
    turned = mixed * np.exp(-2j * np.pi * PHASE_HOP / PHASE_FRAME)
    weight = np.abs(spectra[:-1, :-1])
    agreed = weight * turned.real / (np.abs(mixed) + TINY)
    told, of = (_band_means(x, PHASE_FRAME).mean(0) for x in (agreed, weight))
    return told / (of + TINY)


def _spectra(samples: Float64, frame: int, hop: int) -> NDArray[np.complex128]:
    """Of frames under a Hann window, shape (frames, bins)."""
    return np.fft.rfft(sliding_window_view(samples, frame)[::hop] * np.hanning(frame))


def _band_means(values: Float64, frame: int) -> Float64:
    """Means over the bins of each band, (frames, bins) -> (frames, bands)."""
    hz = np.arange(values.shape[1]) * RATE_HZ / frame
    means = []
    for low, high in zip(BAND_EDGES_HZ[:-1], BAND_EDGES_HZ[1:]):
        inside = (hz >= low) & (hz < high)
        if not inside.any():  # narrower than a bin
            inside[np.argmin(np.abs(hz - (low + high) / 2))] = True
        means.append(values[:, inside].mean(1))
    return np.stack(means, axis=1)


def _autocorrelation(frames: Float64, lags: int) -> Float64:
    """Of each frame at lags 0, 1, ..., shape (frames, lags)."""
    size = 1 << (frames.shape[1] + lags - 1).bit_length()
    power = np.square(np.abs(np.fft.rfft(frames, size)))
    return np.fft.irfft(power, size)[:, :lags]
