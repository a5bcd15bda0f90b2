"""`earwitness devices`: the microphones, by the names that the configuration takes."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from edge.audio.devices import InputDevice, list_inputs
from edge.errors import AudioError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--format", choices=("text", "jsonl"), default="text", help="of the output")


def main(args: argparse.Namespace) -> int:
    """List the inputs; the exit status.

    Raises:
        AudioError: there is none.
    """
    inputs = list_inputs()
    if not inputs:
        raise AudioError("No microphone was found; plug one in, or see docs/audio.md.")
    for device in inputs:
        print(json.dumps(asdict(device)) if args.format == "jsonl" else device_line(device))
    return 0


def device_line(device: InputDevice) -> str:
    """An input on one line for people; what its driver does not tell is left out."""
    facts = [
        device.hostapi,
        f"{device.channels} channels" if device.channels else "",
        f"{device.default_rate_hz} Hz" if device.default_rate_hz else "",
        "default" if device.is_default else "",
    ]
    return f"{device.name}  ({', '.join(fact for fact in facts if fact)})"
