"""What programs complain of is told as what has happened."""

from __future__ import annotations

import pytest

from edge.audio import portaudio_child
from edge.audio.producers import ALSA_FORMATS, arecord, explain_arecord, portaudio
from edge.audio.settings import SAMPLE_FORMATS, SourceSettings


@pytest.mark.parametrize(
    ("complaint", "kind"),
    [
        ("arecord: main:831: audio open error: Device or resource busy", "busy"),
        ("arecord: main:831: audio open error: No such file or directory", "absent"),
        ("ALSA lib pcm.c: Unknown PCM foo\narecord: audio open error: x", "absent"),
        ("arecord: pcm_read:2221: read error: Input/output error", "ended"),
        ("", "ended"),
    ],
)
def test_arecord_s_last_words(complaint, kind):
    assert explain_arecord("ALSA input 'x'", complaint)[0] == kind


class Error(Exception):
    """As sounddevice.PortAudioError: text, PortAudio's code, host error."""


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("Device unavailable", -9985), "busy"),
        (("Unanticipated host error", -9999, (0, -16, "Device or resource busy")), "busy"),
        (("Invalid device", -9996), "absent"),
        (("Unanticipated host error", -9999, (0, -19, "No such device")), "absent"),
        (("Unanticipated host error", -9999, (0, -2, "No such file or directory")), "absent"),
        (("Invalid sample rate", -9997), "failed"),
        (("Insufficient memory",), "failed"),
    ],
)
def test_portaudio_s_codes(arguments, kind):
    error = portaudio_child.explain_settings(Error(*arguments), "Mic", 16000, 1)
    assert error.kind == kind
    assert "'Mic'" in str(error)


def test_what_is_not_set_is_left_to_the_device():
    command = portaudio(SourceSettings()).command
    assert not any(word.startswith(("--device", "--rate", "--channels")) for word in command)
    command = portaudio(SourceSettings(device="--list", rate_hz=8000, channels=2)).command
    assert {"--device=--list", "--rate=8000", "--channels=2"} <= set(command)


def test_only_a_named_source_of_the_sound_server_has_to_stay_open():
    assert portaudio(SourceSettings(device="pulse:mic")).expected_route == "mic"
    assert portaudio(SourceSettings(device="USB Mic")).expected_route is None


def test_arecord_is_told_the_format():
    producer = arecord(SourceSettings(kind="arecord", sample_format="s24le", channels=2))
    assert {"--format=S24_3LE", "--rate=16000", "--channels=2"} <= set(producer.command)
    assert producer.stream.sample_format == "s24le"


def test_every_capture_knows_every_format():
    assert set(portaudio_child.DTYPES) == set(ALSA_FORMATS) == set(SAMPLE_FORMATS)
