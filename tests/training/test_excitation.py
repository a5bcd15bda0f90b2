from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from training.excitation import (
    BANDS,
    LEAST_SAMPLES,
    MODULATIONS_HZ,
    NUMBERS,
    RATE_HZ,
    excitation,
    modulations,
    phase_turns,
    predictors,
    remainder,
)

SECONDS = 2
TIME_S = np.arange(SECONDS * RATE_HZ) / RATE_HZ


@pytest.fixture
def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 1, len(TIME_S))


def test_a_window_gives_numbers_that_do_not_depend_on_its_level(noise: np.ndarray) -> None:
    loud, quiet = (excitation((noise * level).astype(np.float32)) for level in (0.3, 0.003))
    assert loud.shape == (NUMBERS,) and loud.dtype == np.float32
    np.testing.assert_allclose(quiet, loud, atol=1e-3)


@pytest.mark.parametrize("samples", [np.zeros(LEAST_SAMPLES), np.ones(LEAST_SAMPLES)])
def test_silence_gives_finite_numbers(samples: np.ndarray) -> None:
    assert np.isfinite(excitation(samples.astype(np.float32))).all()


@pytest.mark.parametrize("shape", [(LEAST_SAMPLES - 1,), (1, LEAST_SAMPLES)])
def test_too_few_samples_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=str(LEAST_SAMPLES)):
        excitation(np.zeros(shape, np.float32))


@pytest.mark.parametrize("hz", [4, 35, 85, 180])
def test_a_modulation_is_found_at_its_rate(noise: np.ndarray, hz: float) -> None:
    steady = modulations(noise)
    found = modulations(noise * (1 + 0.9 * np.sin(2 * np.pi * hz * TIME_S)))
    assert found.shape == (len(MODULATIONS_HZ), BANDS)
    [wanted] = [i for i, (low, high) in enumerate(MODULATIONS_HZ) if low <= hz < high]
    # The narrow bands at the bottom move fast by themselves.
    assert (found - steady)[:, BANDS // 2 :].mean(1).argmax() == wanted


def test_prediction_is_that_of_the_normal_equations(rng: np.random.Generator) -> None:
    frames = rng.normal(0, 1, (5, 400))
    correlations = np.stack(
        [np.correlate(frame, frame, "full")[399 : 399 + 17] for frame in frames]
    )
    found = predictors(correlations, 16)
    for one, ours in zip(correlations, found):
        column = one[:16].copy()
        column[0] = column[0] * 1.001 + 1e-6
        np.testing.assert_allclose(ours, solve_toeplitz(column, one[1:]), rtol=1e-6, atol=1e-9)


def test_pulses_leave_peaks_at_their_pitch_and_noise_leaves_none(noise: np.ndarray) -> None:
    pulses = np.zeros(len(TIME_S))
    pulses[:: RATE_HZ // 125] = 1.0
    throat = [1.0, -1.3, 0.8]
    voiced, whispered = (
        remainder(x / x.std()) for x in (lfilter([1.0], throat, y) for y in (pulses, noise))
    )
    peaked, highest, pitch = 0, 2, 3
    for number in (peaked, highest, pitch):
        assert voiced[number] > whispered[number] + 0.3
    assert voiced.shape == (21,)


def test_phases_of_one_click_turn_more_evenly_than_those_of_noise(noise: np.ndarray) -> None:
    clicks = np.zeros(len(TIME_S))
    clicks[RATE_HZ // 2 :: RATE_HZ] = 1.0  # one within any frame
    assert phase_turns(clicks).min() > 0.9
    # Frames overlap by seven eighths, so those of noise are alike too.
    assert phase_turns(noise).max() < 0.8
