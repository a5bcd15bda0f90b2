"""The list of inputs, with and without a sound system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge.audio.devices import list_inputs
from edge.audio.pulse import parse_route, parse_sources
from edge.errors import AudioError
from tests.pulse import PulseServer

SOURCE_OUTPUTS = """Source Output #3
\tDriver: protocol-native.c
\tSource: 1
\tProperties:
\t\tearwitness.capture = "77"

Source Output #9
\tDriver: protocol-native.c
\tSource: 4
\tProperties:
\t\tmedia.name = "ALSA Capture"
\t\tearwitness.capture = "7"
"""


def test_every_listed_input_can_be_opened_by_its_name(pulse, listen):
    names = [device.name for device in list_inputs()]
    assert {"pulse", "default", "pulse:mic.monitor"} <= set(names)
    for name in ("pulse", "default", "pulse:mic.monitor"):
        listener = listen(device=name)
        listener.wait_for_audio()
        listener.close()


def test_the_default_input_is_marked(pulse):
    assert [device.name for device in list_inputs() if device.is_default] == ["default"]


def test_without_a_sound_server_the_list_is_empty(tmp_path):
    server = PulseServer(tmp_path)
    with server.in_environment():
        assert list_inputs() == []


def test_without_portaudio_the_sentence_says_what_to_install(monkeypatch, tmp_path):
    # An import that fails as it does where the shared library is missing.
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(
        "edge.audio.devices.child_environment",
        lambda: {"PYTHONPATH": f"{tmp_path}:{sys.path[0]}:."},
    )
    with pytest.raises(AudioError, match="apt-get install libportaudio2"):
        list_inputs()


def test_the_capture_process_imports_nothing_heavy():
    script = (
        "import sys; import edge.audio.portaudio_child, sounddevice; "
        "print(sorted({'numpy', 'scipy', 'soxr', 'soundfile', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_route_is_found_by_its_mark():
    assert parse_route(SOURCE_OUTPUTS, "7") == "4"
    assert parse_route(SOURCE_OUTPUTS, "77") == "1"
    assert parse_route(SOURCE_OUTPUTS, "8") is None
    assert parse_sources("0\tmic.monitor\tx\ty\n4\tother\tx\ty\n") == {
        "0": "mic.monitor",
        "4": "other",
    }
