"""Small corpora that the tests make themselves: tones are bona fide, noise is spoof."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.config import RunSettings, read_settings

RATE_HZ = 16000
TINY = """
epochs: 2
workers: 0
front_end: {n_fft: 512, win_length: 512, frame_hop: 256, n_bands: 24}
windows: {window_s: 1.0, hop_s: 0.5}
loader: {batch_size: 16, windows_per_epoch: 96, window_s: 1.0}
sampling: {max_source_share: 1.0}
augmentation: {slow_codec: 0.0, telephone: 0.0, room: 0.1}
model: {stages: [4, 8], pools: [1, 1], embedding: 8}
optimiser: {learning_rate: 0.01, warmup_steps: 2}
"""


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


@pytest.fixture(scope="module")
def fewer_steps() -> Iterator[None]:
    """What tests have a teller find is found sooner."""
    from training.models import pairwise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairwise, "STEPS", 300)
        patch.setattr(pairwise, "RATE", 1e-2)
        yield


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


@pytest.fixture(scope="session")
def tiny() -> str:
    """Settings of a run of seconds, as YAML."""
    return TINY


@pytest.fixture(scope="module")
def settings(tone_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> RunSettings:
    """A run of seconds on tones and noise; a cache for each module of tests."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "tiny.yaml").write_text(
        f"{TINY}cache: {folder / 'cache'}\ncorpora: [{{kind: folder, path: {tone_corpus}}}]\n"
    )
    return read_settings(folder / "tiny.yaml")


@pytest.fixture(scope="module")
def run(brief: RunSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, trained as a module's own `brief` says; tests read it only."""
    from training.train import train

    folder = tmp_path_factory.mktemp("runs") / "run"
    train(folder, brief, say=lambda line: None)
    return folder
