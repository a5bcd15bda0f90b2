"""Sounds that tests of cues make themselves."""

from __future__ import annotations

import numpy as np

from edge.sliding import RATE_HZ

SECONDS = 5


def noise(seconds: float = SECONDS, seed: int = 7) -> np.ndarray:
    """White noise whose loudness rises and falls."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE_HZ)
    return (rng.normal(0, 0.1, count) * (1.2 + np.sin(np.arange(count) / 2500))).astype(np.float32)
