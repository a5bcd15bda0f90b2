"""The part of Earwitness that runs on the device: from a microphone to a verdict."""

__version__ = "0.1.0"
