"""FARGAN, Opus's vocoder at 16 kHz (Valin et al., IEEE Signal Processing Letters 31, 2024).

Autoregressive, in steps of 2.5 ms: unlike HiFi-GAN it has no transposed convolutions, and it is
told 18 Bark cepstra, a pitch and its correlation instead of a mel spectrogram.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d

from training.engines import Float32, Resynthesise, Rng
from training.engines.opus import processed, programs
from training.engines.programs import answer

FRAME = 160  # 10 ms
# The first of the numbers of a frame; how many there are is up to the version of Opus.
CEPSTRA = 18
SMOOTHED_FRAMES = (1, 1, 3, 5)
# What its features look ahead, and the frames that start it.
LOST_SAMPLES = 1600


def load() -> Resynthesise:
    """Ready to copy.

    Raises:
        EngineMissing: fargan_demo was not built.
    """
    versions = programs("fargan_demo")

    def resynthesise(samples: Float32, rng: Rng) -> Float32:
        fargan = str(rng.choice(versions))
        padded = np.pad(samples, (LOST_SAMPLES, LOST_SAMPLES))

        def copy(pcm: Path, made: Path) -> None:
            features = pcm.with_name("features")
            answer([fargan, "-features", str(pcm), str(features)], "")
            frames = np.fromfile(features, "<f4").reshape(len(padded) // FRAME, -1)
            as_if_predicted(frames, rng).tofile(features)
            answer([fargan, "-fargan-synthesis", str(features), str(made)], "")

        return processed(padded, copy)[-len(samples) - LOST_SAMPLES :][: len(samples)]

    return resynthesise


def as_if_predicted(frames: Float32, rng: Rng) -> Float32:
    """Half of the time smoothed, as the acoustic model of a TTS system leaves its features.

    Args:
        frames: shape (frames, numbers), cepstra first; not changed.
        rng: every draw comes from it.
    """
    width = int(rng.choice(SMOOTHED_FRAMES))
    smooth = uniform_filter1d(frames[:, :CEPSTRA], width, axis=0)
    return np.concatenate([smooth, frames[:, CEPSTRA:]], axis=1)
