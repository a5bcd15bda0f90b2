"""Contradictions are found, and the shipped example explains every key."""

from __future__ import annotations

import dataclasses

import pytest

from edge.audio.settings import SourceSettings
from edge.errors import ConfigError
from edge.settings import example, read


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"kind": "gramophone"}, "kind is 'gramophone'; it must be one of microphone"),
        ({"sample_format": "s12"}, "sample_format is 's12'"),
        ({"kind": "url"}, "needs the setting url"),
        ({"kind": "file"}, "needs the setting path"),
        ({"channels": 2, "channel": 2}, "channel 2 does not exist among 2 channels"),
        ({"backoff_min_s": 6.0}, "backoff_max_s is less than backoff_min_s"),
        ({"chunk_s": 0.5}, "buffer_s is less than chunk_s"),
        ({"name": ""}, "name is empty"),
    ],
)
def test_contradictions_are_named(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        SourceSettings(**settings)


def test_the_limits_depend_on_the_kind_unless_they_are_given():
    url = SourceSettings(kind="url", url="rtsp://x")
    assert (url.stall_limit_s(), url.gap_limit_s(), url.gap_confirmation_s()) == (8, 2, 10)
    microphone = SourceSettings()
    assert microphone.stall_limit_s() == 2
    assert dataclasses.replace(microphone, stall_s=5.0).stall_limit_s() == 5


def test_the_example_of_the_settings_reads_as_the_defaults():
    assert read(SourceSettings, example(SourceSettings, ""), "example") == SourceSettings()


def test_a_number_out_of_range_is_found_when_read():
    with pytest.raises(ConfigError, match="line 1: stall_s"):
        read(SourceSettings, "stall_s: 0", "file")
