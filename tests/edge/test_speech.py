"""The speech gate."""

from __future__ import annotations

import numpy as np
import pytest

from edge.features import FrontEnd, log_mel_db
from edge.speech import SpeechSettings, peak_level_dbfs, speech_activity

RATE = 16000
FRONT_END = FrontEnd(n_fft=1024, win_length=1024, frame_hop=320, n_bands=80, center=False)
NOISE = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)
TIME = np.arange(5 * RATE) / RATE


def present(samples: np.ndarray, **settings: float) -> bool:
    samples = samples.astype(np.float32)
    return speech_activity(
        log_mel_db(samples, FRONT_END),
        peak_level_dbfs(samples, RATE),
        FRONT_END,
        SpeechSettings(**settings),
    ).present


def syllables(rate_hz: float = 3.0) -> np.ndarray:
    return NOISE * np.clip(np.sin(2 * np.pi * rate_hz * TIME), 0.01, 1)


def test_syllables_count_as_speech():
    assert present(0.1 * syllables())


def test_one_word_of_half_a_second_counts():
    samples = 1e-3 * NOISE
    samples[RATE : RATE + RATE // 2] *= 100
    assert present(samples)


@pytest.mark.parametrize(
    "samples",
    [0.1 * NOISE, 1e-3 * NOISE, 0.3 * np.sin(2 * np.pi * 50 * TIME) + 1e-4 * NOISE],
    ids=["loud-noise", "quiet-noise", "mains-hum"],
)
def test_what_does_not_rise_and_fall_is_no_speech(samples):
    assert not present(samples)


def test_a_click_is_too_short_to_be_speech():
    samples = 1e-3 * NOISE
    samples[RATE : RATE + 200] *= 300
    assert not present(samples)


def test_speech_far_below_the_least_level_is_silence():
    assert not present(1e-5 * syllables())
    assert present(1e-5 * syllables(), min_level_dbfs=-120.0)


def test_the_gate_can_be_switched_off():
    assert present(0.1 * NOISE, min_active_s=0.0)


def test_the_level_is_that_of_the_loudest_tenth_of_a_second():
    samples = np.zeros(RATE, np.float32)
    samples[3200:4800] = 0.1
    assert peak_level_dbfs(samples, RATE) == pytest.approx(-20, abs=0.01)
    assert peak_level_dbfs(np.zeros(800, np.float32), RATE) == -np.inf
