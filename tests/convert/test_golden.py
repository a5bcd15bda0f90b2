"""The golden clip is the project's own, the same everywhere, and speech to the device."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from convert.golden import PEAK, golden_clip
from convert.package import golden_bytes
from edge.features import FrontEnd, log_mel_db
from edge.speech import SpeechSettings, peak_level_dbfs, speech_activity

FRONT_END = FrontEnd(n_fft=1024, win_length=1024, frame_hop=320, n_bands=80, center=False)


@pytest.mark.parametrize(("seconds", "rate_hz"), [(5.0, 16000), (1.0, 16000), (2.5, 8000)])
def test_it_fills_the_window_at_any_length_and_rate(seconds, rate_hz):
    clip = golden_clip(seconds, rate_hz)
    assert clip.shape == (round(seconds * rate_hz),) and clip.dtype == np.float32
    assert 0.5 * PEAK < np.abs(clip).max() <= PEAK


def test_it_is_the_same_each_time():
    assert np.array_equal(golden_clip(5.0, 16000), golden_clip(5.0, 16000))


def test_the_device_takes_it_for_speech():
    clip = golden_clip(5.0, 16000)
    activity = speech_activity(
        log_mel_db(clip, FRONT_END), peak_level_dbfs(clip, 16000), FRONT_END, SpeechSettings()
    )
    assert activity.present


def test_its_vowels_move():
    decibels = log_mel_db(golden_clip(5.0, 16000), FRONT_END)
    loud = decibels[decibels.max(axis=1) > decibels.max() - 30]
    assert len(set(loud[:, 8:40].argmax(axis=1))) > 5


def test_the_wav_is_whole_to_the_byte():
    first, second = golden_bytes(80000, 16000), golden_bytes(80000, 16000)
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert len(first) == 44 + 2 * 80000
