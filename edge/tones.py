"""Tones that a synthesiser leaves: numbers of a window that its spectrum in bands does not hold.

A neural vocoder or codec makes samples from frames by layers that upsample. What such layers add is
the same for every frame, so faint tones stand at multiples of the frame rate and of the rates
between it and the sample rate, whatever is said (Pons et al., "Upsampling artifacts in neural audio
synthesis", ICASSP 2021; Afchar et al., "A Fourier explanation of AI-music artifacts", ISMIR 2025).
They lie far below the voice. But they keep their phase, and a voice does not: added up in phase
over each half of a window, and against how loud it is around them, they stand out. Over all of it
they would stand out more, but not where a loudspeaker plays them, whose clock is another. Pure.

All of it lies on a grid of half seconds, so that a window which slides by them keeps what it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge.fft import rfft
from edge.sliding import RATE_HZ, STEP, UNITS, SlidingNumbers, frames_of_steps

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]
Indices = NDArray[np.intp]

# Part of a fingerprint: raise it when the numbers that this module computes change.
VERSION = 2

FRAME, HOP = 2048, 992
FRAMES = (STEP - FRAME) // HOP + 1  # of a step; none reaches into the next
BIN_HZ = RATE_HZ / FRAME

# Samples between two frames, or two outputs of a layer, of vocoders and codecs at these rates, Hz
# (HiFi-GAN, MelGAN, EnCodec, DAC, iSTFTNet and others). What differs by a factor of two is kept
# apart, for only some layers leave tones.
UPSAMPLING = {
    16000: (320, 256, 160, 128, 80, 32, 4),
    22050: (256, 128, 64, 32, 16, 8),
    24000: (320, 300, 256, 160, 128, 80, 60, 40, 20, 8),
}
SPACINGS_HZ = tuple(rate / samples for rate, many in UPSAMPLING.items() for samples in many)
# No synthesiser is known to have these. What a voice does there it does everywhere.
ELSEWHERE_HZ = (68.03, 101.9)
# Below, a voice is loudest and hum has its harmonics.
LIMITS_HZ = (1000, 7900)
# Microphones whine at its multiples: a frame of USB takes a millisecond. So what stands out there
# counts for a spacing of whole kilohertz alone, and beside the other kilohertz.
WHINE_HZ = 1000

# How loud it is around a tone: bins on either side, from the first to the last so many away.
NEAR, FAR = 3, 10
NEIGHBOURS = FAR - NEAR + 1  # on a side; eight, see `loudness_around`
# A frame that is quieter than the others by more than this is silence, and tells nothing.
SILENCE = np.float32(1e-4)
TINY = np.float32(1e-12)
MOST_OF_A_TONE = np.float32(4)  # log power beside what chance gives

TONES = len(SPACINGS_HZ)
LEAST_STEPS = 2
LIMITS = (0, 60)


def tones(samples: Float32) -> Float32:
    """How far tones of each spacing stand out in a window; its level does not count.

    Args:
        samples: float32, shape (n,), 16 kHz, at least `LEAST_STEPS` steps.

    Returns:
        float32, shape (`TONES`,), within `LIMITS`, in the order of `SPACINGS_HZ`; 0 where tones of
        that spacing stand out no more than others do.

    Raises:
        ValueError: the samples are not one-dimensional float32, or too few.
    """
    return ToneStream().numbers(samples, 0)


class ToneStream(SlidingNumbers):
    """`tones` of a sliding window."""

    name, count, version, limits = "tones", TONES, VERSION, LIMITS
    least_steps, of_spoofs = LEAST_STEPS, True

    def _of_steps(self, heard: Float32) -> Complex64:
        return in_phase(heard)

    def _over(self, steps: Complex64) -> Float32:
        return standing_out(steps)


def in_phase(samples: Float32) -> Complex64:
    """Sum over a step's frames of what is at each tone's frequency, beside how loud it is there.

    (n,) -> (steps, frequencies); noise has a mean power of `FRAMES` and a third, for they overlap.
    Phases are those at the beginning of the step.
    """
    tables = _tables()
    frames = frames_of_steps(samples, FRAMES, FRAME, HOP) * tables.window
    spectra = rfft(frames.reshape(-1, FRAME))
    around = loudness_around(spectra, tables.bins).reshape(len(frames), FRAMES, -1)
    quietest = np.einsum("sft->st", around)[:, None] * (SILENCE / np.float32(FRAMES))
    np.maximum(around, quietest, out=around)
    around += TINY
    np.sqrt(around, out=around)
    heard = np.take(spectra, tables.bins, axis=1).reshape(around.shape)
    heard *= _turns(FRAMES, HOP)
    heard *= np.reciprocal(around, out=around)
    summed: Complex64 = heard.sum(axis=1)
    return summed


def loudness_around(spectra: Complex64, bins: Indices) -> Float32:
    """Mean power of the bins around some, themselves left out: (frames, all) -> (frames, some)."""
    power = np.square(spectra.real) + np.square(spectra.imag)
    # All frames as one: adding whole arrays takes half of the time, and sums that reach from one
    # frame into the next are no tone's. Sums of eight neighbours, the first named; differences of a
    # running sum would be cheaper, and lose what is quiet beside what is loud.
    flat = power.reshape(-1)
    two = flat[:-1] + flat[1:]
    four = two[:-2] + two[2:]
    eight = four[:-4] + four[4:]
    apart = NEAR + FAR
    both = eight[:-apart] + eight[apart:]
    frames = np.arange(len(power))[:, None] * power.shape[1]
    around: Float32 = np.take(both, frames + (bins - FAR))
    around /= np.float32(2 * NEIGHBOURS)
    return around


def standing_out(steps: Complex64) -> Float32:
    """(steps, frequencies), as `in_phase` gives them -> (`TONES`,)"""
    many = len(steps) // 2
    halves = steps[: 2 * many].reshape(2, many, -1)
    summed = (halves * _turns(many, STEP)).sum(axis=1)
    power = (np.square(summed.real) + np.square(summed.imag)).sum(axis=0)
    power /= np.float32(2 * many * FRAMES)  # about that of noise
    told = np.minimum(np.log1p(power), MOST_OF_A_TONE) @ _tables().contrasts
    limited: Float32 = np.clip(UNITS * told, *LIMITS)
    return limited


@dataclass(frozen=True)
class _Tables:
    frequencies_hz: NDArray[np.float64]
    bins: Indices  # of the FFT, nearest to each frequency
    window: Float32  # (FRAME,)
    contrasts: Float32  # of each spacing's tones and others: (frequencies, TONES)


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    """Constants, made once."""
    pairs = [(multiples(one), others(one)) for one in SPACINGS_HZ]
    # Spacings share tones; in ten-thousandths of a hertz they are the same.
    frequencies = np.unique(np.concatenate([hz for pair in pairs for hz in pair]).round(4))
    contrasts = [
        # Of chance, a mean over more tones deviates less.
        np.sqrt(len(own)) * (_mean_over(own, frequencies) - _mean_over(rest, frequencies))
        for own, rest in pairs
    ]
    return _Tables(
        frequencies_hz=frequencies,
        bins=np.round(frequencies / BIN_HZ).astype(np.intp),
        window=np.hanning(FRAME + 1)[:-1].astype(np.float32),
        contrasts=np.stack(contrasts, axis=1).astype(np.float32),
    )


def _mean_over(some: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights that take the mean over some of the frequencies, shape (frequencies,)."""
    weights: NDArray[np.float64] = np.isin(frequencies, some.round(4)) / len(some)
    return weights


@lru_cache(maxsize=8)
def _turns(count: int, hop: int) -> Complex64:
    """Undo how tones turn from one of so many frames to the next, shape (count, frequencies)."""
    seconds = np.arange(count) * hop / RATE_HZ
    turns: Complex64 = np.exp(-2j * np.pi * np.outer(seconds, _tables().frequencies_hz)).astype(
        np.complex64
    )
    return turns


def multiples(spacing_hz: float) -> NDArray[np.float64]:
    """Frequencies of a spacing's tones, those left out at which microphones whine, shape (n,)."""
    found = _within_limits(spacing_hz)
    return found if spacing_hz % WHINE_HZ == 0 else found[found % WHINE_HZ > 0]


def others(spacing_hz: float) -> NDArray[np.float64]:
    """Where nothing stands out by which a spacing's tones are told, shape (n,)."""
    if spacing_hz % WHINE_HZ == 0:
        whines = _within_limits(WHINE_HZ)
        return whines[whines % spacing_hz > 0]
    return np.concatenate([_within_limits(one) for one in ELSEWHERE_HZ])


def _within_limits(spacing_hz: float) -> NDArray[np.float64]:
    low, high = LIMITS_HZ
    orders = np.arange(np.ceil(low / spacing_hz), np.floor(high / spacing_hz) + 1)
    found: NDArray[np.float64] = spacing_hz * orders
    return found
