"""What other networks think of the windows of a pool, left beside the labels.

A network learns more from the probabilities of others than from labels alone (Hinton et al.,
"Distilling the knowledge in a neural network", 2015), most of all where they hear otherwise than it
does itself: a window that is all but silent is told from one that gives itself away, and what one
front end shows is learnt by a network with another. The teachers hear the audio that a pool has
kept, each through its own front end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import scipy.special
from numpy.typing import NDArray

from edge.features import log_mel
from training.cache import progress
from training.evaluate import WindowScorer, keras_scorer
from training.pool import chunks_without, from_16_bits, heard, write_array
from training.teacher import load_teacher

Ears = Callable[[Path, str], NDArray[np.float64]]
"""A chunk of a pool, by folder and name, to logits (windows,), higher = spoof."""


def load_ears(folder: Path) -> Ears:
    """A run, or a teacher of `earwitness-train teacher`, as a function of chunks.

    Raises:
        TrainingError: the folder holds neither.
    """
    if (folder / "teacher.npz").exists():
        teacher = load_teacher(folder)
        return lambda pool, stem: teacher.logits(heard(pool, stem)).astype(np.float64)
    return _ears_of_run(folder)


def _ears_of_run(folder: Path) -> Ears:
    from training.train import load_model_at, load_settings

    front_end = load_settings(folder).front_end

    @cache
    def scorer(frames: int) -> WindowScorer:
        return keras_scorer(load_model_at(folder, frames))

    def hear(pool: Path, stem: str) -> NDArray[np.float64]:
        windows = from_16_bits(np.load(pool / f"{stem}.audio.npy"))
        features = np.stack([log_mel(window, front_end) for window in windows])
        return scorer(features.shape[1])(features)

    return hear


def teach(pools: Sequence[Path], teachers: Sequence[Path]) -> int:
    """Leave a probability of spoof, by the mean of the teachers' logits, beside every window.

    Chunks that have one already are left alone, so an interrupted call goes on.

    Args:
        pools: with audio.
        teachers: runs or teachers; none = the label itself, for windows of which the teachers at
            hand know less than it tells (Whisper is all but deaf to copies by a vocoder).

    Returns:
        How many windows were heard.

    Raises:
        TrainingError: a teacher cannot be loaded, or a pool holds no audio.
    """
    all_ears = [load_ears(folder) for folder in teachers]
    missing = chunks_without("taught", pools)
    count = 0
    for pool, stem in progress(missing, len(missing), "teaching"):
        if all_ears:
            logits = np.mean([ears(pool, stem) for ears in all_ears], axis=0)
            thought = scipy.special.expit(logits).astype(np.float32)
        else:
            thought = np.load(pool / f"{stem}.targets.npy")
        write_array(pool / f"{stem}.taught.npy", thought)
        count += len(thought)
    return count
