"""Flite's built-in voices (clustergen and diphone); Debian's flite."""

from __future__ import annotations

from training.engines import Float32, Rng, Speak
from training.engines.programs import require, spoken

VOICES = ("slt", "rms", "awb", "kal16", "kal")


def load() -> Speak:
    """Ready to read English.

    Raises:
        EngineMissing: flite is not installed.
    """
    program = require("flite", "flite")

    def speak(text: str, language: str, rng: Rng) -> Float32:
        voice = str(rng.choice(VOICES))
        stretch = f"duration_stretch={rng.uniform(0.85, 1.2):.2f}"
        return spoken([program, "-voice", voice, "--setf", stretch, "-t", text, "-o", "{out}"], "")

    return speak
