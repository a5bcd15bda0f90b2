"""A small run of the real training, on sounds made here; several tests convert it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import soundfile

from tests.bundles import FRONT_END, RATE_HZ, voice, whisper

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SOURCES, CLIPS = 6, 3


def make_corpus(folder: Path) -> Path:
    """Buzzing voices as bona fide and whispers as spoof, several sources of each."""
    for label, sound in (("bonafide", voice), ("spoof", whisper)):
        for source in range(SOURCES):
            place = folder / label / f"{label}-{source}"
            place.mkdir(parents=True)
            for clip in range(CLIPS):
                samples = sound(4.0 + 2.0 * clip, 100 * source + clip)
                soundfile.write(place / f"{clip}.wav", samples, RATE_HZ)
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder: a small LCNN that tells the two sounds apart."""
    pytest.importorskip("tensorflow")
    from training.config import CorpusSettings, OptimiserSettings, RunSettings
    from training.data import LoaderSettings
    from training.models import ModelSettings
    from training.train import train

    place = tmp_path_factory.mktemp("training")
    corpus = make_corpus(place / "corpus")
    settings = RunSettings(
        corpora=(CorpusSettings("folder", str(corpus)),),
        cache=str(place / "cache"),
        epochs=1,
        workers=0,
        front_end=FRONT_END,
        loader=LoaderSettings(batch_size=8, windows_per_epoch=320),
        model=ModelSettings(
            stages=(8, 8, 8), pools=(1, 1, 1), first_stride=(4, 4), embedding=8, dropout=0.0
        ),
        optimiser=OptimiserSettings(warmup_steps=5, learning_rate=0.01),
    )
    train(place / "run", settings, say=lambda line: None)
    return place / "run"
