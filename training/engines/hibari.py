"""Hibari: a small network and a harmonic-plus-noise vocoder, from PyPI hibari-tts."""

from __future__ import annotations

import soxr

from training.engines import EngineMissing, Float32, Rng, Speak


def load() -> Speak:
    """Ready to read English, in the one voice that the package holds.

    Raises:
        EngineMissing: hibari-tts is not installed.
    """
    try:
        import hibari
    except ImportError as error:
        raise EngineMissing("Hibari is not installed; pip install hibari-tts") from error
    voice = hibari.Hibari()

    def speak(text: str, language: str, rng: Rng) -> Float32:
        made = voice(text, speed=float(rng.uniform(0.8, 1.2)), seed=int(rng.integers(2**31)))
        out: Float32 = soxr.resample(made, voice.sample_rate, 16000)
        return out

    return speak
