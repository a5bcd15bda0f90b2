"""A teacher: Whisper's encoder as ears, and what a linear classifier makes of what they hear.

Whisper has heard 680,000 hours of speech, and what it learnt holds over telephones, codecs and
rooms; Kawa et al. ("Improved deepfake detection using Whisper features", Interspeech 2023) put it
before a detector. It stays as it is here: trained on on a few dozen hours it forgets what it is
valued for. What it hears, summed up over a window, is left beside every window of a pool, and the
small network learns it twice: as the opinion of a logistic regression, beside the label (Hinton et
al., "Distilling the knowledge in a neural network", 2015), and frame by frame, as numbers to
predict (Romero et al., "FitNets: hints for thin deep nets", ICLR 2015).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.cache import progress, write_atomically
from training.engines import EngineMissing
from training.errors import TrainingError
from training.pool import (
    OPINIONS,
    Scale,
    chunk_stems,
    chunks_without,
    from_16_bits,
    heard,
    write_array,
)

Float32 = NDArray[np.float32]
Say = Callable[[str], None]


@dataclass(frozen=True)
class TeacherSettings:
    """How the classifier is fitted.

    Attributes:
        looseness: inverse strength of its L2 regularisation (scikit-learn's C).
        steps: of the solver at most.
    """

    looseness: float = 3e-4
    steps: int = 200


@dataclass(frozen=True)
class Teacher:
    """A linear classifier of what Whisper hears.

    Attributes:
        scale: of the numbers over the windows it learnt from.
        weights: shape (numbers,).
        offset: the logit of a window of average sound.
    """

    scale: Scale
    weights: Float32
    offset: float

    def logits(self, heard: NDArray[np.floating]) -> Float32:
        """Shape (windows,), higher = spoof, of what was heard, shape (windows, numbers)."""
        return self.scale.standard(heard) @ self.weights + np.float32(self.offset)

    def opinions(self, heard: NDArray[np.floating]) -> Float32:
        """The logit, and what each of 16 groups of numbers gives to it; shape (windows, 17)."""
        products = self.scale.standard(heard) * self.weights
        parts = products.reshape(len(products), OPINIONS - 1, -1).sum(2)
        return np.concatenate([parts.sum(1, keepdims=True) + np.float32(self.offset), parts], 1)


def hear(pools: Sequence[Path]) -> int:
    """Leave what Whisper hears beside the windows of pools.

    NNNNN.heard.npy holds it summed up over each window, NNNNN.frames.npy frame by frame. Chunks
    that have it already are left alone, so an interrupted call goes on.

    Returns:
        How many windows were heard.

    Raises:
        EngineMissing: PyTorch or Whisper's weights are not installed.
        TrainingError: a pool holds no audio.
    """
    missing = chunks_without("frames", pools)
    if not missing:
        return 0
    try:
        from training.whisper import listen, load_encoder
    except ModuleNotFoundError as error:
        raise EngineMissing(f"{error.name} is not installed; pip install {error.name}") from error
    encoder = load_encoder()
    count = 0
    for pool, stem in progress(missing, len(missing), "hearing"):
        windows = from_16_bits(np.load(pool / f"{stem}.audio.npy"))
        summaries, frames = listen(encoder, windows)
        # The frames last: with them a chunk counts as heard.
        write_array(pool / f"{stem}.heard.npy", summaries.astype(np.float16))
        write_array(pool / f"{stem}.frames.npy", frames.astype(np.float16))
        count += len(windows)
    return count


def train_teacher(
    folder: Path, pools: Sequence[Path], settings: TeacherSettings, say: Say = print
) -> None:
    """Fit a teacher to pools that Whisper has heard; write teacher.npz and teacher.json.

    Raises:
        TrainingError: a pool is empty, was not heard, or all its windows are of one class.
    """
    from sklearn.linear_model import LogisticRegression

    chunks = [(pool, stem) for pool in pools for stem in chunk_stems(pool)]
    if not chunks:
        raise TrainingError(f"no windows in {', '.join(map(str, pools))}; make a pool first")
    numbers = np.concatenate([heard(*chunk) for chunk in chunks]).astype(np.float32)
    labels = np.concatenate([np.load(pool / f"{stem}.targets.npy") for pool, stem in chunks]) > 0.5
    if labels.all() or not labels.any():
        raise TrainingError("a teacher needs windows of both classes; these are all of one")
    scale = Scale.of(numbers)
    numbers = scale.standard(numbers)
    fitted = LogisticRegression(C=settings.looseness, max_iter=settings.steps).fit(numbers, labels)
    right = float(fitted.score(numbers, labels))
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "mean": scale.mean,
        "deviation": scale.deviation,
        "weights": fitted.coef_[0].astype(np.float32),
        "offset": np.float32(fitted.intercept_[0]),
    }
    write_atomically(folder / "teacher.npz", lambda file: np.savez(file, **arrays))
    facts = {**asdict(settings), "windows": len(labels), "accuracy": round(right, 4)}
    text = json.dumps(facts, indent=2)
    write_atomically(folder / "teacher.json", lambda file: file.write(text.encode()))
    say(f"{len(labels)} windows, {right:.1%} of them told apart; {folder}")


def load_teacher(folder: Path) -> Teacher:
    """A teacher that was trained.

    Raises:
        TrainingError: the folder holds none.
    """
    try:
        with np.load(folder / "teacher.npz") as stored:
            scale = Scale(stored["mean"], stored["deviation"])
            return Teacher(scale, stored["weights"], float(stored["offset"]))
    except (OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{folder} holds no teacher: {error}") from error
