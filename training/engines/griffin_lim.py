"""Griffin-Lim (IEEE TASSP 1984; fast form of Perraudin et al., WASPAA 2013) from a mel or linear
spectrogram of random settings: the phase reconstruction of Tacotron's day."""

from __future__ import annotations

import librosa
import numpy as np

from training.engines import Float32, Resynthesise, Rng

RATE_HZ = 16000


def load() -> Resynthesise:
    """Ready to resynthesise; needs librosa alone."""
    return resynthesise


def resynthesise(samples: Float32, rng: Rng) -> Float32:
    """Magnitudes, mostly squeezed through 60 ... 128 mel bands, then phases made up."""
    n_fft = int(rng.choice([800, 1024, 1024, 2048]))
    hop = int(rng.choice([160, 200, 256]))
    magnitude = np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop))
    if rng.random() < 0.8:
        bands = int(rng.choice([60, 80, 80, 100, 128]))
        basis = librosa.filters.mel(sr=RATE_HZ, n_fft=n_fft, n_mels=bands)
        # The pseudo-inverse, as the public Tacotrons do: NNLS costs fifty times as much.
        magnitude = np.maximum(np.linalg.pinv(basis) @ (basis @ magnitude), 1e-8)
    made: Float32 = librosa.griffinlim(
        magnitude,
        n_iter=int(rng.choice([8, 16, 30])),
        hop_length=hop,
        n_fft=n_fft,
        momentum=0.99,
        length=len(samples),
        random_state=int(rng.integers(2**31)),
    )
    return made
