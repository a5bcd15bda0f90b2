"""What the vocoders that run in PyTorch share: the mel spectrogram that they were trained on."""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import numpy as np

from training.engines import Float32


@dataclass(frozen=True)
class MelSettings:
    """Magnitude mel spectrogram in natural logarithm (HiFi-GAN's convention)."""

    rate_hz: int
    n_fft: int
    hop: int
    n_mels: int = 80
    fmin_hz: float = 0.0
    fmax_hz: float = 8000.0
    floor: float = 1e-5


def log_mel_magnitude(samples: Float32, settings: MelSettings) -> Float32:
    """float32, shape (n_mels, frames)."""
    pad = (settings.n_fft - settings.hop) // 2
    padded = np.pad(samples, pad, mode="reflect")
    spectrum = np.abs(
        librosa.stft(padded, n_fft=settings.n_fft, hop_length=settings.hop, center=False)
    )
    basis = librosa.filters.mel(
        sr=settings.rate_hz, n_fft=settings.n_fft, n_mels=settings.n_mels,
        fmin=settings.fmin_hz, fmax=settings.fmax_hz,
    )
    return np.log(np.maximum(basis @ spectrum, settings.floor)).astype(np.float32)
