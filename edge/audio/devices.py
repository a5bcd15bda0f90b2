"""Which inputs there are, with the names to put into the config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from edge.audio import pulse
from edge.audio.naming import PULSE_PREFIX
from edge.audio.producers import child_environment
from edge.errors import AudioError

# PortAudio opens every device once to ask it what it can do, and some drivers think long.
LIST_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class InputDevice:
    """An input.

    Attributes:
        name: what the setting `device` of a microphone takes; survives reboots and replugging.
        hostapi: "ALSA", "PulseAudio" ...
        channels: most channels it gives; 0 = unknown.
        default_rate_hz: rate at which it is opened unless the config says otherwise; 0 = unknown.
        is_default: whether it is opened when the config names none.
    """

    name: str
    hostapi: str
    channels: int
    default_rate_hz: int
    is_default: bool


def list_inputs() -> list[InputDevice]:
    """All inputs; empty without a sound card or sound server.

    Raises:
        AudioError: PortAudio is missing, or hangs.
    """
    return _portaudio_inputs() + _pulse_inputs()


def _portaudio_inputs() -> list[InputDevice]:
    """Asked of a process of its own, for the reasons in `portaudio_child`."""
    command = [sys.executable, "-m", "edge.audio.portaudio_child", "--list"]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **child_environment()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIST_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AudioError(
            f"the sound system gave no list of inputs within {LIST_TIMEOUT_S:.0f} s; "
            "unplug the device that hangs, or reboot"
        ) from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise AudioError(lines[-1] if lines else "the sound system gave no list of inputs")
    return [InputDevice(**entry) for entry in json.loads(done.stdout)]


def _pulse_inputs() -> list[InputDevice]:
    """Sources of PulseAudio or PipeWire, which PortAudio hides behind the one name "pulse"."""
    if not pulse.has_pactl():
        return []
    return [
        InputDevice(PULSE_PREFIX + name, "PulseAudio", 0, 0, False) for name in pulse.source_names()
    ]
