"""SVOX Pico (unit selection and HMM, as Android once shipped), from PyPI py-nanotts."""

from __future__ import annotations

import numpy as np

from training.engines import EngineMissing, Float32, Rng, Speak

VOICES = {
    "en": ("en-US", "en-GB"), "de": ("de-DE",), "es": ("es-ES",), "fr": ("fr-FR",), "it": ("it-IT",)
}


def load() -> Speak:
    """Ready to read six voices.

    Raises:
        EngineMissing: py-nanotts is not installed.
    """
    try:
        from py_nanotts import NanoTTS
    except ImportError as error:
        raise EngineMissing("Pico is not installed; pip install py-nanotts") from error
    engine = NanoTTS()

    def speak(text: str, language: str, rng: Rng) -> Float32:
        voice = str(rng.choice(VOICES[language]))
        speed, pitch = float(rng.uniform(0.8, 1.3)), float(rng.uniform(0.8, 1.25))
        raw = engine.speak(text, voice=voice, speed=speed, pitch=pitch)
        return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768)

    return speak
