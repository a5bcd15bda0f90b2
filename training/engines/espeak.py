"""eSpeak NG's formant voices; Debian's espeak-ng."""

from __future__ import annotations

from training.engines import Float32, Rng, Speak
from training.engines.programs import require, spoken

VARIANTS = ("", "+m3", "+m7", "+f2", "+f4", "+croak", "+whisper")


def load() -> Speak:
    """Ready to read many languages.

    Raises:
        EngineMissing: espeak-ng is not installed.
    """
    program = require("espeak-ng", "espeak-ng")

    def speak(text: str, language: str, rng: Rng) -> Float32:
        voice = language + str(rng.choice(VARIANTS))
        speed, pitch = str(rng.integers(130, 200)), str(rng.integers(25, 75))
        return spoken([program, "-v", voice, "-s", speed, "-p", pitch, "-w", "{out}"], text)

    return speak
