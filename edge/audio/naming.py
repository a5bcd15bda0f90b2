"""Names of inputs that survive a reboot and a replugged cable. Pure but for one look at /sys.

PortAudio's indices follow the order of discovery, and so does the "(hw:1,0)" at the end of its
ALSA names. What stays is the name before that and, for twins, the USB port.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

PULSE_PREFIX = "pulse:"
_CARD = re.compile(r"\s*\(hw:(\d+),\d+\)$")
_USB_PORT = re.compile(r"\d+-\d+(\.\d+)*")


class NoSuchDevice(LookupError):
    """No input has the name."""


class AmbiguousDevice(LookupError):
    """Several inputs have the name."""


@dataclass(frozen=True)
class Input:
    """An input as PortAudio names it, with the USB port of its card where there is one."""

    portaudio_name: str
    usb_port: str | None = None

    @property
    def stable_name(self) -> str:
        """The name without the card's number."""
        return _CARD.sub("", self.portaudio_name)

    @property
    def port_name(self) -> str | None:
        """The name with its USB port: tells twins apart."""
        return f"{self.stable_name} @ usb {self.usb_port}" if self.usb_port else None


def pulse_source(wanted: str | None) -> str | None:
    """The sound server's source that a configured name means; None for any other name."""
    if wanted is None or not wanted.startswith(PULSE_PREFIX):
        return None
    return wanted[len(PULSE_PREFIX) :]


def card_number(portaudio_name: str) -> int | None:
    """Number of the ALSA card in a PortAudio name."""
    found = _CARD.search(portaudio_name)
    return int(found.group(1)) if found else None


def usb_port(card: int, sysfs: str = "/sys/class/sound") -> str | None:
    """USB port of an ALSA card, e.g. "1-1.3"; None for a card that is not USB."""
    parts = os.path.realpath(os.path.join(sysfs, f"card{card}")).split("/")
    ports = [part for part in parts if _USB_PORT.fullmatch(part)]
    return ports[-1] if ports else None


def describe(portaudio_name: str, sysfs: str = "/sys/class/sound") -> Input:
    """An input from its PortAudio name."""
    card = card_number(portaudio_name)
    return Input(portaudio_name, None if card is None else usb_port(card, sysfs))


def config_name(index: int, inputs: Sequence[Input]) -> str:
    """The name to put into the config: the plain one unless a twin has it too."""
    wanted = inputs[index]
    twins = [other for other in inputs if other.stable_name == wanted.stable_name]
    if len(twins) > 1:
        return wanted.port_name or wanted.portaudio_name
    return wanted.stable_name


def match(wanted: str, inputs: Sequence[Input]) -> int:
    """Index of the one input that has the name.

    Exact names go first; then a part of a name, whatever its case, if only one input has it.

    Raises:
        NoSuchDevice, AmbiguousDevice: with a sentence that lists what there is.
    """
    exact = [
        index
        for index, one in enumerate(inputs)
        if wanted in (one.portaudio_name, one.stable_name, one.port_name)
    ]
    partial = [
        index
        for index, one in enumerate(inputs)
        if wanted.lower() in (one.port_name or one.stable_name).lower()
    ]
    hits = exact or partial
    if len(hits) == 1:
        return hits[0]
    names = ", ".join(repr(config_name(index, inputs)) for index in hits or range(len(inputs)))
    if hits:
        raise AmbiguousDevice(f"several inputs match {wanted!r}: {names}; name one of them in full")
    if not inputs:
        raise NoSuchDevice(f"there is no input {wanted!r}, nor any other")
    raise NoSuchDevice(f"there is no input {wanted!r}; there are: {names}")
