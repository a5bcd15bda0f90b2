"""Scoring `val` with a Keras model and its converted forms, window for window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.errors import ConversionError
from convert.parity import WindowScores
from edge.inference import Scorer

if TYPE_CHECKING:
    from convert.run import TrainedRun
    from training.protocols import Trial

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
WindowScorer = Callable[[Float32], Float64]
Progress = Callable[[Sequence[Any], str], Iterable[Any]]


def tflite_scorer(scorer: Scorer) -> WindowScorer:
    """A converted network as a scorer of windows (windows, frames, bands)."""
    return lambda windows: np.array([scorer.score(window) for window in windows])


def score_windows(
    run: TrainedRun,
    trials: Sequence[Trial],
    scorers: Mapping[str, WindowScorer],
    progress: Progress,
    cache: str = "",
) -> dict[str, WindowScores]:
    """Logits of every network on every window of the trials, cut as the run cuts them.

    Raises:
        ConversionError: the trials are not of both classes.
        CorpusError: a clip cannot be read.
    """
    from training.cache import FeatureCache
    from training.protocols import targets

    labels = targets(trials)
    if not 0 < labels.sum() < len(labels):
        raise ConversionError(
            f"parity needs trials of both classes in val; the corpus has {len(labels)} there, "
            f"{int(labels.sum())} of them spoof"
        )
    settings = run.settings
    folder = Path(cache or settings.cache) / "features"
    features = FeatureCache(folder, settings.front_end, settings.windows)
    logits: dict[str, list[Float64]] = {name: [] for name in scorers}
    counts = []
    for trial in progress(trials, "parity on val"):
        windows = features.features(trial)
        counts.append(len(windows))
        for name, score in scorers.items():
            logits[name].append(score(windows))
    features.save()
    recordings = np.repeat(np.arange(len(trials)), counts)
    return {
        name: WindowScores(np.concatenate(parts), recordings, labels)
        for name, parts in logits.items()
    }
