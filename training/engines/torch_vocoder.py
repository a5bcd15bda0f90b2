"""What the vocoders that run in PyTorch share: the mel spectrogram that they were trained on, and
what a synthesiser in front of them does to it."""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import numpy as np
from scipy.ndimage import gaussian_filter

from training.engines import Float32, Rng

AS_IT_IS = 0.4


@dataclass(frozen=True)
class MelSettings:
    """Magnitude mel spectrogram in natural logarithm (HiFi-GAN's convention).

    Windows are of `n_fft` samples unless `win_length` says otherwise.
    """

    rate_hz: int
    n_fft: int
    hop: int
    win_length: int | None = None
    n_mels: int = 80
    fmin_hz: float = 0.0
    fmax_hz: float = 8000.0
    floor: float = 1e-5


def log_mel_magnitude(samples: Float32, settings: MelSettings) -> Float32:
    """float32, shape (n_mels, frames)."""
    pad = (settings.n_fft - settings.hop) // 2
    padded = np.pad(samples, pad, mode="reflect")
    spectrum = np.abs(
        librosa.stft(
            padded, n_fft=settings.n_fft, hop_length=settings.hop,
            win_length=settings.win_length, center=False,
        )
    )
    basis = librosa.filters.mel(
        sr=settings.rate_hz, n_fft=settings.n_fft, n_mels=settings.n_mels,
        fmin=settings.fmin_hz, fmax=settings.fmax_hz,
    )
    return np.log(np.maximum(basis @ spectrum, settings.floor)).astype(np.float32)


def as_if_predicted(log_mel: Float32, rng: Rng) -> Float32:
    """Some of the time the recording's own mel, else one such as an acoustic model hands over.

    A vocoder in a TTS or VC system never sees a recording's mel but a prediction of it: smoother
    in time and frequency (the mean of what is possible), or with errors of its own. Copies of the
    exact mel alone would teach the mildest case only.

    Args:
        log_mel: shape (n_mels, frames); not changed.
        rng: every draw comes from it.
    """
    if rng.random() < AS_IT_IS:
        return log_mel
    out = log_mel
    if rng.random() < 0.7:
        over_bands, over_frames = rng.uniform(0.0, 1.2), rng.uniform(0.0, 1.6)
        out = gaussian_filter(out, (over_bands, over_frames), mode="nearest")
    if rng.random() < 0.4:
        errors = rng.normal(0.0, 1.0, out.shape).astype(np.float32)
        errors = gaussian_filter(errors, (rng.uniform(0.3, 2.0), rng.uniform(0.3, 2.0)))
        out = out + errors * np.float32(rng.uniform(0.05, 0.35) / max(float(errors.std()), 1e-6))
    return np.ascontiguousarray(out, np.float32)
