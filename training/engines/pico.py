"""SVOX Pico (unit selection and HMM, as Android once shipped), from PyPI py-nanotts.

It speaks in a process of its own: beside TensorFlow or PyTorch its library ends the process that it
is in.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any

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
    if find_spec("py_nanotts") is None:
        raise EngineMissing("Pico is not installed; pip install py-nanotts")
    process = ProcessPoolExecutor(1, get_context("spawn"))

    def speak(text: str, language: str, rng: Rng) -> Float32:
        voice = str(rng.choice(VOICES[language]))
        speed, pitch = float(rng.uniform(0.8, 1.3)), float(rng.uniform(0.8, 1.25))
        raw = process.submit(spoken, text, voice, speed, pitch).result()
        return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768)

    return speak


@cache
def _engine() -> Any:
    from py_nanotts import NanoTTS

    return NanoTTS()


def spoken(text: str, voice: str, speed: float, pitch: float) -> bytes:
    """16-bit samples at 16 kHz."""
    raw: bytes = _engine().speak(text, voice=voice, speed=speed, pitch=pitch)
    return raw
