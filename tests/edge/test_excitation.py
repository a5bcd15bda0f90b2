"""Numbers of a voice's excitation, of whole windows and of sliding ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from edge.excitation import (
    NUMBERS,
    PREDICTION_FRAME,
    ExcitationStream,
    excitation,
    inverse,
    predictors,
    remainder,
)
from edge.fft import autocorrelation, rfft
from edge.modulation import LEAST_SAMPLES, modulation
from edge.sliding import RATE_HZ, STEP
from tests.sounds import SECONDS, noise

TIME_S = np.arange(SECONDS * RATE_HZ) / RATE_HZ


def test_a_window_gives_numbers_that_do_not_depend_on_its_level() -> None:
    loud, quiet = (excitation(noise() * np.float32(level)) for level in (1, 0.003))
    assert loud.shape == (NUMBERS,) and loud.dtype == np.float32
    np.testing.assert_allclose(quiet, loud, atol=0.01)


def test_an_offset_of_the_microphone_changes_next_to_nothing() -> None:
    there, without = excitation(noise() + np.float32(0.05)), excitation(noise())
    np.testing.assert_allclose(there, without, atol=1e-3)


def test_it_begins_with_modulation() -> None:
    told = modulation(noise())
    np.testing.assert_array_equal(excitation(noise())[: len(told)], told)


def test_prediction_is_that_of_the_normal_equations() -> None:
    frames = np.random.default_rng(1).normal(0, 1, (5, 400))
    correlations = np.stack(
        [np.correlate(frame, frame, "full")[399 : 399 + 17] for frame in frames]
    )
    found = predictors(correlations.astype(np.float32))
    for one, ours in zip(correlations, found):
        column = one[:16].copy()
        column[0] *= 1.001
        np.testing.assert_allclose(ours, solve_toeplitz(column, one[1:]), rtol=1e-3, atol=1e-4)


def test_transforms_go_there_and_back() -> None:
    signals = np.random.default_rng(2).normal(0, 1, (3, 64)).astype(np.float32)
    spectra = rfft(signals)
    np.testing.assert_allclose(inverse(spectra), signals, atol=1e-5)
    found = autocorrelation(np.square(np.abs(spectra)), 5)
    for ours, signal in zip(found, signals):
        expected = [signal @ np.roll(signal, lag) for lag in range(5)]
        np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_pulses_leave_peaks_at_their_pitch_and_noise_leaves_none() -> None:
    pulses = np.zeros(len(TIME_S))
    pulses[:: RATE_HZ // 125] = 1.0
    throat = [1.0, -1.3, 0.8]
    voiced, whispered = (
        remainder(lfilter([1.0], throat, x)[1600 : 1600 + 10 * PREDICTION_FRAME]
                  .reshape(10, -1).astype(np.float32)).mean(0)
        for x in (pulses, noise())
    )  # fmt: skip
    for number in (0, 2, 3):  # how peaked, how high, how periodic
        assert voiced[number] > whispered[number] + 0.3


# Sliding windows


@settings(max_examples=20, deadline=None)
@given(
    slides=st.lists(st.integers(0, 12), max_size=5),
    off_grid=st.lists(st.booleans(), min_size=5, max_size=5),
    window=st.integers(LEAST_SAMPLES, 4 * RATE_HZ),
)
def test_a_sliding_window_gives_the_numbers_of_the_whole_window(
    slides: list[int], off_grid: list[bool], window: int
) -> None:
    samples = noise(40)
    stream = ExcitationStream()
    start = 0
    for slid, off in zip([0, *slides], [False, *off_grid]):
        slid = slid * STEP + 77 * off
        start += slid
        piece = samples[start : start + window]
        np.testing.assert_allclose(stream.numbers(piece, slid), excitation(piece), atol=1e-2)


def test_what_the_last_window_had_is_not_measured_again() -> None:
    samples = noise(6)
    stream = ExcitationStream()
    stream.numbers(samples[: 5 * RATE_HZ], 0)
    spoiled = samples[RATE_HZ:].copy()
    spoiled[: 7 * STEP] = np.nan  # whoever reads it again shows it
    told = stream.numbers(spoiled, RATE_HZ)
    np.testing.assert_allclose(told, excitation(samples[RATE_HZ:]), atol=1e-2)


def test_after_a_reset_nothing_of_the_old_audio_remains() -> None:
    stream = ExcitationStream()
    stream.numbers(noise(seed=1), 0)
    stream.reset()
    fresh = noise(seed=2)
    np.testing.assert_array_equal(stream.numbers(fresh, RATE_HZ), excitation(fresh))


def test_the_audio_is_left_as_it_was() -> None:
    samples = noise()
    before = samples.copy()
    samples.setflags(write=False)
    excitation(samples)
    np.testing.assert_array_equal(samples, before)
