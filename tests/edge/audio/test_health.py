"""Inputs that must never be called a human voice."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from edge.audio.health import CLIPPED, DC, INVALID, OK, SILENT, HealthSettings, health_of

SECONDS = 5
RNG = np.random.default_rng(6)


def tone(amplitude: float, rate_hz: int = 16000) -> np.ndarray:
    times_s = np.arange(SECONDS * rate_hz) / rate_hz
    return (amplitude * np.sin(2 * np.pi * 220 * times_s)).astype(np.float32)


def health(samples) -> str:
    return health_of(np.asarray(samples, np.float32), HealthSettings())


def sixteen_bit(samples) -> np.ndarray:
    return np.round(np.asarray(samples) * 32768) / 32768


def dither() -> np.ndarray:
    """Triangular dither: what good converters add to silence."""
    size = SECONDS * 16000
    return sixteen_bit((RNG.uniform(-0.5, 0.5, size) + RNG.uniform(-0.5, 0.5, size)) / 32768)


def test_a_voice_of_any_usual_level_is_healthy():
    for amplitude in (0.001, 0.01, 0.1, 0.9, 0.99):
        assert health(tone(amplitude)) == OK


def test_the_noise_of_a_quiet_room_is_healthy():
    assert health(sixteen_bit(RNG.normal(0, 10 ** (-75 / 20), SECONDS * 16000))) == OK


@pytest.mark.parametrize("samples", [np.zeros(80_000), np.full(80_000, 1 / 32768), dither()])
def test_a_muted_input_is_silent_even_with_its_last_bit_flickering(samples):
    assert health(samples) == SILENT


def test_an_input_stuck_at_a_value_is_an_offset():
    assert health(np.full(80_000, 0.3)) == DC
    assert health(-0.5 + 0.001 * tone(1.0)) == DC


def test_a_voice_on_a_small_offset_is_healthy():
    assert health(0.3 * tone(1.0) + 0.03) == OK


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_an_overdriven_input_is_clipped_also_after_resampling(rate_hz):
    overdriven = np.clip(tone(3.0, rate_hz), -1, 1)
    assert health(soxr.resample(overdriven, rate_hz, 16000)) == CLIPPED


def test_a_few_samples_at_full_scale_are_no_clipping():
    samples = tone(0.8)
    samples[::1000] = 1.0
    assert health(samples) == OK


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_one_sample_that_is_no_number_makes_all_invalid(bad):
    samples = tone(0.5)
    samples[12345] = bad
    assert health(samples) == INVALID


def test_no_number_passes_a_resampler_and_is_forgotten_again():
    """What NaN does to the stream ends with it: no restart is needed."""
    from edge.audio.resample import Resampler

    for rate_hz in (8000, 16000, 44100, 48000):
        samples = tone(0.5, rate_hz)
        samples[rate_hz] = np.nan
        resampler = Resampler(rate_hz)
        heard = [resampler.accept(chunk) for chunk in np.array_split(samples, 100)]
        heard.append(resampler.finish())
        bad = np.flatnonzero(~np.isfinite(np.concatenate(heard)))
        assert len(bad) > 0
        assert abs(bad - 16000).max() < 4000


@pytest.mark.parametrize("amount", [1e9, 1e17, -1e30, np.float32(3e38)])
def test_one_sample_beyond_all_measure_makes_a_voice_invalid(amount):
    voice = 0.1 * tone(1.0)
    voice[777] = amount
    assert health(voice) == INVALID


def test_floating_point_audio_somewhat_above_full_scale_is_only_clipped():
    assert health(10 * tone(1.0)) == CLIPPED
