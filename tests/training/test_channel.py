"""What a recording is heard through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.bundles import voice
from training.channel import CLEAN, Channel
from training.protocols import CONDITIONS, Clip


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_recording_sounds_the_same_every_time(name):
    samples = voice(2.0, 1)
    channel = Channel(name)
    heard = channel.heard(samples, "one")
    assert np.array_equal(channel.heard(samples, "one"), heard)
    assert np.array_equal(heard, samples) == (name == "clean")


def test_recorded_noise_is_heard_when_it_is_replayed_and_names_another_variant(tmp_path):
    soundfile.write(tmp_path / "hum.wav", np.full(16000, 0.5, np.float32), 16000)
    noises = [Clip("hum", tmp_path / "hum.wav")]
    samples = voice(2.0, 1)
    with_hum, without = Channel("replay", noises), Channel("replay")
    assert not np.array_equal(with_hum.heard(samples, "one"), without.heard(samples, "one"))
    assert with_hum.variant("one") != without.variant("one")
    assert Channel("codec", noises).variant("one") == Channel("codec").variant("one")


def test_variants_differ_by_condition_and_recording_and_what_is_clean_has_none():
    names = {Channel(name).variant(key) for name in CONDITIONS for key in ("one", "two")}
    assert len(names) == 2 * (len(CONDITIONS) - 1) + 1
    assert CLEAN.variant("one") == ""


def test_an_unknown_condition_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="condition is 'underwater'; it must be one of clean, te"):
        Channel("underwater", [Clip("a", Path("a.wav"))])
