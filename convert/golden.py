"""The golden clip: a voice-like sound that the project makes itself, the same every time. Pure.

A glottal pulse train with vibrato and jitter through five formants (source and filter: Fant, 1960;
Klatt, JASA 1980) glides through vowels in syllables, over a faint noise floor. Nobody's recording
is shipped, and whoever checks a device needs no corpus.
"""

from __future__ import annotations

import numpy as np
import scipy.signal
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

SEED = 20240229
PEAK = 0.5
NOISE_LEVEL = 1e-3
# Formants of a, e, i, o, u, Hz (after Peterson and Barney, JASA 1952); the fourth and fifth hold.
VOWELS_HZ = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410),
             (300, 870, 2240))
HIGH_FORMANTS_HZ = (3500.0, 4500.0)
BANDWIDTHS_HZ = (60.0, 90.0, 120.0, 200.0, 300.0)
SYLLABLE_S = 0.25
BLOCK_S = 0.005


def golden_clip(seconds: float, sample_rate_hz: int) -> Float32:
    """The clip: float32, shape (seconds * rate,), at most 0.5 in size, the same on each call."""
    rng = np.random.default_rng(SEED)
    count = round(seconds * sample_rate_hz)
    time_s = np.arange(count) / sample_rate_hz
    source = _glottal_source(time_s, sample_rate_hz, rng)
    envelope = np.clip(np.sin(np.pi * time_s / SYLLABLE_S) ** 2 * 1.3 - 0.15, 0, 1)
    voiced = _through_formants(source * envelope, sample_rate_hz)
    noise = NOISE_LEVEL * rng.standard_normal(count)
    loudest = PEAK * (1 - 5 * NOISE_LEVEL) / np.abs(voiced).max()
    return np.asarray(loudest * voiced + noise, np.float32)


def _glottal_source(time_s: Float64, sample_rate_hz: int, rng: np.random.Generator) -> Float64:
    """Pulses at some 120 Hz, falling 12 dB per octave less 6 dB for the lips' radiation."""
    drift = np.repeat(rng.standard_normal(len(time_s) // 800 + 1), 800)[: len(time_s)]
    pitch_hz = 120 + 15 * np.sin(2 * np.pi * 0.4 * time_s) + 3 * np.sin(2 * np.pi * 5 * time_s)
    phase = np.cumsum((pitch_hz + drift) / sample_rate_hz)
    pulses = np.diff(np.floor(phase), prepend=0.0)
    breath = 0.02 * rng.standard_normal(len(time_s))
    return np.asarray(scipy.signal.lfilter([1.0], [1.0, -0.95], pulses + breath), np.float64)


def _through_formants(source: Float64, sample_rate_hz: int) -> Float64:
    """Two-pole resonators in a row, their frequencies gliding from vowel to vowel."""
    block = round(BLOCK_S * sample_rate_hz)
    per_vowel = 2 * SYLLABLE_S / BLOCK_S
    vowels = np.array([(*vowel, *HIGH_FORMANTS_HZ) for vowel in VOWELS_HZ])
    result: Float64 = source.copy()
    states = np.zeros((len(BANDWIDTHS_HZ), 2))
    for number, first in enumerate(range(0, len(source), block)):
        place = number / per_vowel
        here, share = int(place) % len(vowels), place % 1
        formants_hz = (1 - share) * vowels[here] + share * vowels[(here + 1) % len(vowels)]
        piece = result[first : first + block]
        for index, (centre, width) in enumerate(zip(formants_hz, BANDWIDTHS_HZ)):
            numerator, denominator = _resonator(centre, width, sample_rate_hz)
            piece, states[index] = scipy.signal.lfilter(
                numerator, denominator, piece, zi=states[index]
            )
        result[first : first + block] = piece
    return result


def _resonator(
    centre_hz: float, width_hz: float, sample_rate_hz: int
) -> tuple[list[float], list[float]]:
    """Klatt's resonator, gain 1 at 0 Hz."""
    radius = np.exp(-np.pi * width_hz / sample_rate_hz)
    b = 2 * radius * np.cos(2 * np.pi * centre_hz / sample_rate_hz)
    c = -(radius**2)
    return [1 - b - c], [1.0, -b, -c]
