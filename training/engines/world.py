"""WORLD (Morise et al., IEICE 2016): analysis, random voice changes, synthesis; pyworld."""

from __future__ import annotations

import numpy as np

from training.engines import EngineMissing, Float32, Resynthesise, Rng

RATE_HZ = 16000


def load() -> Resynthesise:
    """Ready to resynthesise.

    Raises:
        EngineMissing: pyworld is not installed.
    """
    try:
        import pyworld
    except ImportError as error:
        raise EngineMissing(
            "pyworld is not installed; pip install pyworld 'setuptools<81'"
        ) from error

    def resynthesise(samples: Float32, rng: Rng) -> Float32:
        wide = np.ascontiguousarray(samples, np.float64)
        pitch_hz, times_s = pyworld.dio(wide, RATE_HZ)
        pitch_hz = pyworld.stonemask(wide, pitch_hz, times_s, RATE_HZ)
        envelope = pyworld.cheaptrick(wide, pitch_hz, times_s, RATE_HZ)
        aperiodicity = pyworld.d4c(wide, pitch_hz, times_s, RATE_HZ)
        if rng.random() < 0.5:
            # As statistical synthesis does: the envelope through a few dozen coefficients.
            size = envelope.shape[1] * 2 - 2
            coded = pyworld.code_spectral_envelope(envelope, RATE_HZ, int(rng.integers(24, 61)))
            envelope = pyworld.decode_spectral_envelope(coded, RATE_HZ, size)
        if rng.random() < 0.5:
            envelope = _warped(envelope, rng.uniform(0.87, 1.15))
            pitch_hz = pitch_hz * rng.uniform(0.75, 1.3)
        made = pyworld.synthesize(pitch_hz, envelope, aperiodicity, RATE_HZ)
        return made.astype(np.float32)

    return resynthesise


def _warped(envelope: np.ndarray, factor: float) -> np.ndarray:
    """Formants moved by a factor, as in voice conversion; shape (frames, bins) kept."""
    bins = envelope.shape[1]
    read_at = np.clip(np.arange(bins) / factor, 0, bins - 1)
    below = np.floor(read_at).astype(int)
    above = np.minimum(below + 1, bins - 1)
    share = read_at - below
    return np.ascontiguousarray(envelope[:, below] * (1 - share) + envelope[:, above] * share)
