"""Small corpora that the tests make themselves: tones are bona fide, noise is spoof."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE_HZ = 16000


def tone(rng: np.random.Generator, seconds: float) -> np.ndarray:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = rng.uniform(120, 300)
    harmonics = [np.sin(2 * np.pi * pitch_hz * k * time_s) / k for k in range(1, 6)]
    return (0.2 * np.sum(harmonics, axis=0)).astype(np.float32)


def hiss(rng: np.random.Generator, seconds: float) -> np.ndarray:
    return (0.1 * rng.standard_normal(int(seconds * RATE_HZ))).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def tone_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 clips: four sources of tones and four generators of noise, of three clips each."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(1)
    for label, make in (("BonaFide", tone), ("spoof", hiss)):
        for group in range(4):
            inner = folder / label / f"{label.lower()}-{group}"
            inner.mkdir(parents=True)
            for clip in range(3):
                ending = ".WAV" if clip == 0 else ".flac"
                samples = make(rng, rng.uniform(0.8, 2.2))
                soundfile.write(inner / f"{clip}{ending}", samples, RATE_HZ, format=ending[1:])
    return folder
