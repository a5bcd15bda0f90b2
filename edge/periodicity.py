"""How alike the periods of a voice are: numbers of a window that its spectrum does not hold.

From one period to the next a larynx never does quite the same (jitter and shimmer; Titze,
"Workshop on acoustic voice analysis", NCVS 1995), breath is noise between its pulses, and both
depend on frequency. A synthesiser makes periods from frames of 10 ms and more, and noise from
nothing. Both show in the autocorrelation of a few bands, at the lag of a period and of two
(Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise
ratio of a sampled sound", Proc. IFA 1993), and a telephone hardly changes them. Pure.

All of it lies on a grid of half seconds, so that a window which slides by them keeps what it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge.fft import autocorrelation, rfft
from edge.sliding import (
    RATE_HZ,
    STEP,
    UNITS,
    SlidingNumbers,
    frames_of_steps,
    loudest,
    mean_over_time,
)

Float32 = NDArray[np.float32]

# Part of a fingerprint: raise it when the numbers that this module computes change.
VERSION = 2

FRAME = 1024
FRAMES = 8  # of a step; none reaches into the next
HOP = (STEP - FRAME) // (FRAMES - 1)
LOUDER = 4  # of them, that are measured
BANDS_HZ = ((80, 1000), (1000, 2000), (2000, 3400), (3400, 7000), (250, 3400))
BINS = max(high for _, high in BANDS_HZ) * FRAME // RATE_HZ  # the rest is in none of them
PITCH_BANDS = [0, 4]  # in which the period is looked for
PERIODS = range(40, 231)  # samples: 69 to 400 Hz
MIDDLE_PERIOD = np.float32(100)  # that of 160 Hz; the log of a period is given beside it
# Of two lags that are as good, the shorter is the period.
LAG_COST = np.float32(0.0008)
# Near a period and two the best lag is looked for; half a period away is taken as it is.
PERIODS_AWAY = np.repeat([1, 2, 0.5], [5, 7, 1])
BESIDE = np.concatenate([np.arange(-2, 3), np.arange(-3, 4), [0]])
FIRST_BESIDE = np.array([0, 5, 12])  # of a period, of two, of half
HALF = 2  # the last of these is a likeness as it is

VOICED = np.float32(0.5)
QUIETEST = np.float32(1 / 30)  # beside the middle one of a window's frames
UNLIKE_LIMITS = (np.float32(0.01), np.float32(1.5))
MIDDLE_UNLIKE = np.float32(0.3)
TINY = np.float32(1e-9)

# Of a frame: how periodic it is, the log of its period, and of each band three numbers.
OF_A_FRAME = 2 + 3 * len(BANDS_HZ)
NUMBERS = 2 + 4 * len(BANDS_HZ)
LEAST_SAMPLES = STEP
# As those of modulation: they share eight bits with log-Mel.
LIMITS = (-50, 70)


def periodicity(samples: Float32) -> Float32:
    """How alike the periods of a window's voice are; its level does not count.

    Args:
        samples: float32, shape (n,), 16 kHz, at least `LEAST_SAMPLES`.

    Returns:
        float32, shape (`NUMBERS`,), within `LIMITS`: the share of frames with a period, the log of
        the period beside `MIDDLE_PERIOD`; then of each band, over the more periodic half, how alike
        a period and the next are (the log of `MIDDLE_UNLIKE` beside what is unlike, mean and
        deviation), how alike a period and the next but one, and how alike what is half a period
        apart.

    Raises:
        ValueError: the samples are not one-dimensional float32, or too few.
    """
    return PeriodicityStream().numbers(samples, 0)


class PeriodicityStream(SlidingNumbers):
    """`periodicity` of a sliding window."""

    name, count, version = "periodicity", NUMBERS, VERSION

    def _of_steps(self, heard: Float32) -> Float32:
        return louder_frames(heard)

    def _over(self, steps: Float32) -> Float32:
        limited: Float32 = np.clip(UNITS * _over_frames(steps), *LIMITS)
        return limited


def louder_frames(samples: Float32) -> Float32:
    """Of each step's louder frames what `of_frames` tells, and their power.

    (n,) -> (steps, LOUDER, OF_A_FRAME + 1)
    """
    frames = frames_of_steps(samples, FRAMES, FRAME, HOP)
    power = np.einsum("sft,sft->sf", frames, frames)
    louder = loudest(power, LOUDER)
    chosen = frames[np.arange(len(frames))[:, None], louder].reshape(-1, FRAME)
    return of_frames(chosen).reshape(len(frames), LOUDER, -1)


def of_frames(frames: Float32) -> Float32:
    """How periodic frames are, shape (frames, OF_A_FRAME + 1); the last is their power.

    Args:
        frames: shape (frames, FRAME).
    """
    tables = _tables()
    centred = frames - mean_over_time(frames)[:, None]
    centred *= tables.window
    parts = rfft(centred).view(np.float32)
    np.square(parts, out=parts)
    power = parts[:, ::2] + parts[:, 1::2]
    of_bands = power @ tables.bands.T + TINY
    # Each band at unit power, so that what follows is 1 at lag 0.
    of_pitch = power * ((1 / of_bands[:, PITCH_BANDS]) @ tables.bands[PITCH_BANDS])
    pitch = autocorrelation(of_pitch, PERIODS.stop + 1)
    pitch *= tables.of_lags
    lags = pitch * tables.lag_weights
    rows = np.arange(len(frames))
    period = lags[:, PERIODS.start : PERIODS.stop].argmax(axis=1) + PERIODS.start
    before, peak, after = lags[rows, period + np.array([[-1], [0], [1]])]
    # A parabola through three points; at an end of the range there may be no peak.
    bent = np.minimum(before - 2 * peak + after, -TINY)
    exact = period + np.clip((before - after) / (2 * bent), -0.5, 0.5)
    near = np.outer(exact, PERIODS_AWAY).round().astype(np.intp) + BESIDE
    bands = power[:, None, :BINS] * tables.bands[:, :BINS]
    alike = bands @ tables.cosines[near].transpose(0, 2, 1)
    alike /= of_bands[:, :, None]
    best = np.maximum.reduceat(alike, FIRST_BESIDE, axis=2)
    unlike = np.clip(1 - best[..., :HALF], *UNLIKE_LIMITS)
    np.log(MIDDLE_UNLIKE / unlike, out=best[..., :HALF])
    told = np.empty((len(frames), OF_A_FRAME + 1), np.float32)
    told[:, 0] = pitch[rows, period]
    told[:, 1] = np.log(exact / MIDDLE_PERIOD)
    told[:, 2:-1] = best.reshape(len(frames), -1)
    told[:, -1] = power.sum(axis=1)
    return told


def _over_frames(held: Float32) -> Float32:
    """(steps, LOUDER, OF_A_FRAME + 1) -> (NUMBERS,), without their units."""
    frames = held.reshape(-1, OF_A_FRAME + 1)
    power = frames[:, -1]
    heard = frames[power >= QUIETEST * _middle(power), :-1]
    voicing = heard[:, 0]
    periodic = heard[np.argsort(voicing, kind="stable")[len(voicing) // 2 :]]
    mean = np.einsum("fn->n", periodic) / np.float32(len(periodic))
    one, two, half = mean[2:].reshape(len(BANDS_HZ), 3).T
    apart = periodic[:, 2::3] - one
    deviation = np.sqrt(np.einsum("fb,fb->b", apart, apart) / np.float32(len(periodic)))
    of_bands = np.stack([one, deviation, two, half], axis=1)
    voiced = np.count_nonzero(voicing > VOICED) / len(voicing)
    whole = np.array([voiced, _middle(periodic[:, 1])], np.float32)
    return np.concatenate([whole, of_bands.reshape(-1)])


def _middle(numbers: Float32) -> float:
    """The upper median: one of the numbers. A tenth of what `median` takes for a few."""
    return float(np.sort(numbers)[len(numbers) // 2])


@dataclass(frozen=True)
class _Tables:
    window: Float32  # (FRAME,)
    of_lags: Float32  # makes one of lag 0, and divides the window out: (PERIODS.stop + 1,)
    bands: Float32  # which bins are in each: (bands, bins)
    # From a power spectrum its autocorrelation, that of the window divided out, as Boersma does.
    cosines: Float32  # (lags, BINS)
    lag_weights: Float32  # (PERIODS.stop + 1,)


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    """Constants, made once."""
    window = np.hanning(FRAME + 1)[:-1]
    lags = np.arange(2 * PERIODS.stop + 4)
    # As the frames' own, it wraps around.
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window)) ** 2)[lags]
    of_window /= of_window[0]
    hz = np.fft.rfftfreq(FRAME, 1 / RATE_HZ)
    wave = np.cos(2 * np.pi / FRAME * np.arange(FRAME)).astype(np.float32)
    # In 32 bits, and no cosine of each: what is held for a moment counts in the daemon's peak.
    places = np.outer(lags.astype(np.int32), np.arange(BINS, dtype=np.int32)) % np.int32(FRAME)
    return _Tables(
        window=window.astype(np.float32),
        # Half of the FFT's length, for bands hold the power of one side.
        of_lags=(FRAME / 2 / len(PITCH_BANDS) / of_window[: PERIODS.stop + 1]).astype(np.float32),
        bands=np.array([(hz >= low) & (hz < high) for low, high in BANDS_HZ], np.float32),
        cosines=wave[places] / of_window[:, None].astype(np.float32),
        lag_weights=1 - LAG_COST * np.arange(PERIODS.stop + 1, dtype=np.float32),
    )
