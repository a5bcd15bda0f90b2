"""The part of Earwitness that runs on the device: from a microphone to a verdict."""
