"""MelGAN (Kumar et al., NeurIPS 2019) trained on many Mandarin speakers, from PyPI ttskit."""

from __future__ import annotations

import sys
import types

import numpy as np
import soxr

from training.engines import EngineMissing, Float32, Resynthesise, Rng
from training.engines.packages import package_file
from training.engines.torch_vocoder import MelSettings, as_if_predicted, log_mel_magnitude

RATE_HZ = 22050
MEL = MelSettings(RATE_HZ, n_fft=1024, hop=256)


def load() -> Resynthesise:
    """Ready to resynthesise.

    Raises:
        EngineMissing: ttskit or torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise EngineMissing("torch is not installed; pip install torch") from error
    checkpoint = package_file("ttskit", "resource/model/melgan.kuangdd.pt")
    # The checkpoint is a pickle of classes of a package `melgan`, which ttskit holds inside
    # itself; ttskit's own __init__ imports a web server and more.
    root = checkpoint.parents[2] / "melgan"
    for name, folder in (("melgan", root), ("melgan.model", root / "model")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    network = torch.load(checkpoint, map_location="cpu", weights_only=False)
    network.eval()  # returns nothing, unlike other modules

    def resynthesise(samples: Float32, rng: Rng) -> Float32:
        wide = soxr.resample(samples, 16000, RATE_HZ)
        mel = as_if_predicted(log_mel_magnitude(wide, MEL), rng)
        with torch.inference_mode():
            made = network(torch.from_numpy(mel)[None])
        narrow: Float32 = soxr.resample(made.reshape(-1).numpy(), RATE_HZ, 16000)
        return np.ascontiguousarray(narrow)

    return resynthesise
