"""Tones that a synthesiser leaves, in whole windows and in sliding ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from edge.fft import rfft
from edge.sliding import RATE_HZ, STEP
from edge.tones import (
    BIN_HZ,
    FAR,
    FRAME,
    FRAMES,
    HOP,
    LIMITS,
    LIMITS_HZ,
    NEAR,
    SPACINGS_HZ,
    TONES,
    ToneStream,
    in_phase,
    loudness_around,
    multiples,
    tones,
)
from tests.sounds import SECONDS, noise


def tones_at(spacing_hz: float, amplitude: float, rate_hz: float = RATE_HZ) -> np.ndarray:
    time_s = np.arange(SECONDS * RATE_HZ) / rate_hz
    summed = sum(np.sin(2 * np.pi * hz * time_s + hz) for hz in multiples(spacing_hz))
    return (amplitude * summed).astype(np.float32)


def harmonic(spacing_hz: float, other_hz: float) -> bool:
    """Is either a multiple of the other?"""
    low, high = sorted((spacing_hz, other_hz))
    return abs(high / low - round(high / low)) < 1e-6


@pytest.mark.parametrize("spacing_hz", SPACINGS_HZ)
def test_tones_forty_decibels_below_noise_are_found_at_their_spacing(spacing_hz: float) -> None:
    # Of a wide spacing there are few tones, so they must be louder.
    amplitude = 0.0015 if spacing_hz < 1000 else 0.003
    told = tones(noise() + tones_at(spacing_hz, amplitude))
    unlike = [
        number
        for number, other in zip(told, SPACINGS_HZ)
        if not any(harmonic(other, hz) for hz in multiples(spacing_hz)) and other != spacing_hz
    ]
    assert told[SPACINGS_HZ.index(spacing_hz)] > 20
    assert np.median(unlike or [0]) < 15


def test_noise_has_none() -> None:
    told = np.stack([tones(noise(seed=seed)) for seed in range(40)])
    assert told.shape == (40, TONES) and told.dtype == np.float32
    assert np.mean(told) < 8 and np.median(told) < 5


def test_upsampling_leaves_tones_at_the_rate_that_went_in() -> None:
    """As a transposed convolution does whose bias and whose filter's gain are not even."""
    rng = np.random.default_rng(3)
    slow = rng.normal(0, 0.1, SECONDS * RATE_HZ // 80)
    kernel = np.hanning(161)[1:] * (1 + 0.1 * rng.normal(size=160))
    raised = np.zeros(SECONDS * RATE_HZ)
    raised[::80] = slow + 0.02
    made = np.convolve(raised, kernel, "same") + rng.normal(0, 0.05, len(raised))
    assert tones(made.astype(np.float32))[SPACINGS_HZ.index(RATE_HZ / 80)] > 30


def test_a_microphone_that_whines_has_none() -> None:
    """One that hangs on USB, at every kilohertz."""
    time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    whine = sum(np.sin(2 * np.pi * 1000 * order * time_s) for order in range(1, 8))
    there, without = (tones((noise() + 0.01 * one * whine).astype(np.float32)) for one in (1, 0))
    np.testing.assert_allclose(there, without, atol=8)


def test_what_keeps_no_phase_is_no_tone() -> None:
    """A voice at that very pitch, whose phase wanders as larynxes do."""
    rng = np.random.default_rng(4)
    turned = np.cumsum(2 * np.pi * 100 / RATE_HZ + rng.normal(0, 0.02, SECONDS * RATE_HZ))
    voice = sum(np.sin(order * turned) / order for order in range(1, 60))
    steady = sum(np.sin(order * 2 * np.pi * 100 * np.arange(len(turned)) / RATE_HZ) / order
                 for order in range(1, 60))
    told, of_steady = (
        tones((0.05 * one + noise() / 100).astype(np.float32))[SPACINGS_HZ.index(100)]
        for one in (voice, steady)
    )
    assert told < 10 and of_steady == LIMITS[1]


def test_tones_are_found_by_another_clock() -> None:
    """That of a loudspeaker, a third of a hertz off at the top."""
    tuned = noise() + tones_at(93.75, 0.0025, RATE_HZ * (1 + 40e-6))
    assert tones(tuned)[SPACINGS_HZ.index(93.75)] > 20


def test_tones_are_found_at_half_the_rate() -> None:
    """Over a telephone."""
    narrow = resample_poly(noise() + tones_at(93.75, 0.0025), 1, 2)
    heard = resample_poly(narrow, 2, 1).astype(np.float32)
    assert tones(heard)[SPACINGS_HZ.index(93.75)] > 20


def test_a_window_gives_numbers_that_do_not_depend_on_its_level() -> None:
    window = noise() + tones_at(75, 0.001)
    loud, quiet = (tones(window * np.float32(level)) for level in (1, 0.003))
    np.testing.assert_allclose(quiet, loud, atol=0.05)


def test_noise_is_as_loud_as_what_is_around() -> None:
    power = np.square(np.abs(np.stack([in_phase(noise(0.5, seed))[0] for seed in range(200)])))
    # Frames overlap, so neighbours share a part of what they hear.
    window = np.hanning(FRAME + 1)[:-1]
    shared = window[HOP:] @ window[:-HOP] / (window @ window)
    np.testing.assert_allclose(power.mean(), FRAMES + 2 * (FRAMES - 1) * shared, rtol=0.1)


def test_loudness_around_leaves_out_what_it_surrounds() -> None:
    spectra = rfft(np.random.default_rng(5).normal(0, 1, (3, 64)).astype(np.float32))
    power = np.square(np.abs(spectra))
    bins = np.array([12, 20])
    for middle, found in zip(bins, loudness_around(spectra, bins).T):
        around = [*range(middle - FAR, middle - NEAR + 1), *range(middle + NEAR, middle + FAR + 1)]
        np.testing.assert_allclose(found, power[:, around].mean(axis=1), rtol=1e-4)


def test_every_tone_has_its_surroundings() -> None:
    low, high = (round(hz / BIN_HZ) for hz in LIMITS_HZ)
    assert low >= FAR and high + FAR <= RATE_HZ / 2 / BIN_HZ


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([0, STEP, 2 * STEP, 6 * STEP, 1000, 12345]), max_size=6))
def test_a_sliding_window_is_as_a_whole_one(slides: list[int]) -> None:
    samples = noise(30)
    length = 5 * RATE_HZ
    stream, start = ToneStream(), 0
    np.testing.assert_allclose(
        stream.numbers(samples[:length], 0), tones(samples[:length]), atol=1e-3
    )
    for slid in slides:
        start += slid
        window = samples[start : start + length]
        np.testing.assert_allclose(stream.numbers(window, slid), tones(window), atol=1e-2)
