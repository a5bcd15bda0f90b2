"""How a voice's envelopes move, in whole windows and in sliding ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.modulation import (
    BAND_EDGES_HZ,
    BANDS,
    COMODULATIONS_HZ,
    FRAMES,
    LOWER,
    MODULATIONS,
    MODULATIONS_HZ,
    NUMBERS,
    UPPER,
    ModulationStream,
    log_envelopes,
    modulation,
)
from edge.sliding import RATE_HZ, STEP, eased
from tests.sounds import SECONDS, noise

TIME_S = np.arange(SECONDS * RATE_HZ) / RATE_HZ


def modulated(hz: float, depth: float) -> np.ndarray:
    return (noise() * (1 + depth * np.sin(2 * np.pi * hz * TIME_S))).astype(np.float32)


def told_modulations(samples: np.ndarray) -> np.ndarray:
    return modulation(samples)[:MODULATIONS].reshape(BANDS, len(MODULATIONS_HZ))


def told_comodulations(samples: np.ndarray) -> np.ndarray:
    return modulation(samples)[MODULATIONS:].reshape(len(COMODULATIONS_HZ), -1)


@pytest.mark.parametrize("hz", [12, 35, 80, 150])
def test_a_modulation_is_found_at_its_rate(hz: float) -> None:
    found = told_modulations(modulated(hz, 0.5)) - told_modulations(noise())
    [wanted] = [i for i, (low, high) in enumerate(MODULATIONS_HZ) if low <= hz < high]
    # The widest band, for noise in a narrow one moves by itself.
    assert found[-1].argmax() == wanted


@pytest.mark.parametrize("hz", [30, 80, 150])
def test_bands_that_move_together_are_told_from_bands_that_do_not(hz: float) -> None:
    # Neighbours overlap, so those of noise are alike too; those farther off are not.
    apart = UPPER - LOWER > 1
    found = (told_comodulations(modulated(hz, 0.9)) - told_comodulations(noise()))[:, apart]
    [wanted] = [i for i, (low, high) in enumerate(COMODULATIONS_HZ) if low <= hz < high]
    assert found.mean(axis=1).argmax() == wanted and found[wanted].mean() > 2


@pytest.mark.parametrize("band", range(BANDS))
def test_an_envelope_is_the_power_of_its_band(band: int) -> None:
    middle_hz = (BAND_EDGES_HZ[band] + BAND_EDGES_HZ[band + 1]) / 2
    level = 0.5 * (1 + 0.5 * np.sin(2 * np.pi * 20 * TIME_S))
    envelopes = log_envelopes((level * np.sin(2 * np.pi * middle_hz * TIME_S)).astype(np.float32))
    assert envelopes.shape == (len(TIME_S) // STEP, BANDS, FRAMES)
    assert envelopes.mean(axis=(0, 2)).argmax() == band
    # Where a step begins and ends, its spectrum wraps around.
    inside = slice(FRAMES // 10, -FRAMES // 10)
    expected = 2 * np.log(level.reshape(-1, STEP)[:, :: STEP // FRAMES])
    apart = (envelopes[:, band] - expected)[:, inside]
    np.testing.assert_allclose(apart, apart.mean(), atol=0.05)


def test_a_step_is_eased_in_and_out() -> None:
    window = eased(100, 0.3)
    np.testing.assert_allclose(window, window[::-1])
    assert (np.diff(window[:16]) > 0).all() and (window[15:85] == 1).all() and window[0] < 0.01


def test_a_window_gives_numbers_that_do_not_depend_on_its_level() -> None:
    loud, quiet = (modulation(noise() * np.float32(level)) for level in (1, 0.003))
    assert loud.shape == (NUMBERS,) and loud.dtype == np.float32
    np.testing.assert_allclose(quiet, loud, atol=0.01)


def test_an_offset_of_the_microphone_changes_next_to_nothing() -> None:
    there, without = modulation(noise() + np.float32(0.05)), modulation(noise())
    np.testing.assert_allclose(there, without, atol=1e-2)


# Sliding windows


@settings(max_examples=20, deadline=None)
@given(
    slides=st.lists(st.integers(0, 12), max_size=5),
    off_grid=st.lists(st.booleans(), min_size=5, max_size=5),
    window=st.integers(STEP, 4 * RATE_HZ),
)
def test_a_sliding_window_gives_the_numbers_of_the_whole_window(
    slides: list[int], off_grid: list[bool], window: int
) -> None:
    samples = noise(40)
    stream = ModulationStream()
    start = 0
    for slid, off in zip([0, *slides], [False, *off_grid]):
        slid = slid * STEP + 77 * off
        start += slid
        piece = samples[start : start + window]
        np.testing.assert_allclose(stream.numbers(piece, slid), modulation(piece), atol=1e-2)


def test_what_the_last_window_had_is_not_measured_again() -> None:
    samples = noise(6)
    stream = ModulationStream()
    stream.numbers(samples[: 5 * RATE_HZ], 0)
    spoiled = samples[RATE_HZ:].copy()
    spoiled[: 8 * STEP] = np.nan  # whoever reads it again shows it
    told = stream.numbers(spoiled, RATE_HZ)
    np.testing.assert_allclose(told, modulation(samples[RATE_HZ:]), atol=1e-2)


def test_after_a_reset_nothing_of_the_old_audio_remains() -> None:
    stream = ModulationStream()
    stream.numbers(noise(seed=1), 0)
    stream.reset()
    fresh = noise(seed=2)
    np.testing.assert_array_equal(stream.numbers(fresh, RATE_HZ), modulation(fresh))


def test_the_audio_is_left_as_it_was() -> None:
    samples = noise()
    before = samples.copy()
    modulation(samples)
    np.testing.assert_array_equal(samples, before)
