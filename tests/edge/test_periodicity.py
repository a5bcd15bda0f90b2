"""How alike the periods of a voice are, in whole windows and in sliding ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.periodicity import (
    BANDS_HZ,
    LIMITS,
    MIDDLE_PERIOD,
    NUMBERS,
    PERIODS,
    PeriodicityStream,
    periodicity,
)
from edge.sliding import RATE_HZ, STEP, UNITS

SECONDS = 5
ONE, SPREAD, TWO, HALF = range(4)


def pulses(periods: np.ndarray) -> np.ndarray:
    """Pulses so many samples apart, not necessarily whole ones, over all of `SECONDS`."""
    hz = np.fft.rfftfreq(SECONDS * RATE_HZ, 1 / RATE_HZ)
    times = np.cumsum(periods) / RATE_HZ
    times = times[times < SECONDS]
    # Sinc pulses below 7 kHz, summed on a grid eight times as fine.
    fine = np.zeros(8 * SECONDS * RATE_HZ)
    fine[(times * 8 * RATE_HZ).astype(int)] = 1
    spectrum = np.fft.rfft(fine)[: len(hz)] * (hz < 7000)
    return np.fft.irfft(spectrum).astype(np.float32)


def steady(period: float) -> np.ndarray:
    return pulses(np.full(int(SECONDS * RATE_HZ / period), period))


def noise(amplitude: float, low_hz: float = 0, high_hz: float = 8000) -> np.ndarray:
    spectrum = np.fft.rfft(np.random.default_rng(7).normal(0, amplitude, SECONDS * RATE_HZ))
    hz = np.fft.rfftfreq(SECONDS * RATE_HZ, 1 / RATE_HZ)
    return np.fft.irfft(spectrum * ((hz >= low_hz) & (hz < high_hz))).astype(np.float32)


def of_bands(samples: np.ndarray) -> np.ndarray:
    """(bands, 4): ONE, SPREAD, TWO, HALF."""
    return periodicity(samples)[2:].reshape(len(BANDS_HZ), 4)


@pytest.mark.parametrize("period", [45, 80, 133.4, 200, 225])
def test_the_period_of_a_voice_is_found(period: float) -> None:
    voiced, log_period = periodicity(steady(period))[:2] / UNITS
    assert voiced == pytest.approx(1)
    assert MIDDLE_PERIOD * np.exp(log_period) == pytest.approx(period, rel=0.01)
    assert PERIODS.start <= period < PERIODS.stop


def test_noise_has_no_period() -> None:
    assert periodicity(noise(0.1))[0] < 0.1 * UNITS


def test_noise_between_the_pulses_makes_periods_unlike_in_its_band_alone() -> None:
    clean = of_bands(steady(100))
    breathy = of_bands(steady(100) + noise(0.02, 2000, 3400))
    changed = clean[:, ONE] - breathy[:, ONE]
    assert changed[2] > 0.3 * UNITS
    assert np.abs(changed[[0, 1, 3]]).max() < 0.05 * UNITS


def test_more_noise_makes_them_less_alike() -> None:
    told = [
        of_bands(steady(100) + noise(amplitude))[:, ONE] for amplitude in (0.01, 0.03, 0.1)
    ]
    assert (np.diff(told, axis=0) < 0).all()


def test_jitter_shows_the_more_the_higher_the_band() -> None:
    rng = np.random.default_rng(3)
    jittered = pulses(100 * (1 + rng.normal(0, 0.01, 1000)))
    lost = of_bands(steady(100))[:4, ONE] - of_bands(jittered)[:4, ONE]
    assert (np.diff(lost) > 0).all() and lost[3] > UNITS


def test_what_drifts_is_less_alike_after_two_periods_than_after_one() -> None:
    rng = np.random.default_rng(4)
    wandering = pulses(100 * np.exp(np.cumsum(rng.normal(0, 0.004, 1000))))
    told = of_bands(wandering)
    assert (told[1:4, ONE] > told[1:4, TWO] + 0.1 * UNITS).all()


def test_pulses_are_unlike_half_a_period_later() -> None:
    told = of_bands(steady(100))
    assert (told[:, HALF] < 0.2 * UNITS).all() and (told[:, ONE] > UNITS).all()


def test_the_level_does_not_count() -> None:
    samples = steady(120) + noise(0.01)
    np.testing.assert_allclose(
        periodicity(np.float32(0.03) * samples), periodicity(samples), atol=2e-2
    )


@given(st.lists(st.sampled_from([0, STEP, 2 * STEP, 3 * STEP, 12 * STEP, 700]), max_size=6))
@settings(deadline=None, max_examples=20)
def test_a_sliding_window_has_the_numbers_of_a_whole_one(slides: list[int]) -> None:
    whole = np.concatenate([steady(90) + noise(0.02)] * 10)
    stream, begin, length = PeriodicityStream(), 0, 3 * RATE_HZ
    stream.numbers(whole[:length], 0)
    for slid in slides:
        begin += slid
        window = whole[begin : begin + length]
        np.testing.assert_allclose(
            stream.numbers(window, slid), periodicity(window), rtol=1e-4, atol=1e-3
        )


def test_there_are_so_many_within_the_limits() -> None:
    told = periodicity(steady(60) + noise(0.05))
    assert told.shape == (NUMBERS,) and told.dtype == np.float32
    assert LIMITS[0] <= told.min() and told.max() <= LIMITS[1]
