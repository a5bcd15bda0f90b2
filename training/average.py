"""Weights averaged over epochs (Izmailov et al., "Averaging weights leads to wider optima", UAI
2018) and over runs that began at the same weights (Wortsman et al., "Model soups", ICML 2022).

A run at a constant rate circles a good place; the mean of where it has been lies nearer to it, as
if the rate had been let down to nothing. Runs of other augmentations and seeds err in other ways:
their mean does as well on other sources as their vote, at the cost of one network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.protocols import Corpus
from training.train import (
    Run,
    assign,
    conclude,
    load_corpora,
    load_settings,
    make_batches,
    make_loader,
    prepare_waves,
)

STATISTICS_BATCHES = 150


def checkpoint_weights(path: Path, count: int, which: str = "model") -> list[NDArray[Any]]:
    """The network's weights in a checkpoint.

    Args:
        path: a run's state.npz, or a copy of one.
        count: how many arrays the network has.
        which: "model" (as trained) or "average" (the run's own running average).

    Raises:
        TrainingError: it is no checkpoint of such a network.
    """
    try:
        with np.load(path) as stored:
            return [stored[f"{which}{index}"] for index in range(count)]
    except (OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{path} is no checkpoint of this run's network: {error}") from error


def mean_weights(sets: Sequence[Sequence[NDArray[Any]]]) -> list[NDArray[Any]]:
    """Mean of each array; whole numbers (the state of random draws) are taken from the last set."""
    return [
        np.mean(arrays, axis=0, dtype=np.float64).astype(arrays[-1].dtype)
        if np.issubdtype(arrays[-1].dtype, np.floating)
        else arrays[-1]
        for arrays in zip(*sets)
    ]


def average_run(
    folder: Path,
    checkpoints: Sequence[Path],
    out: Path,
    running: bool = False,
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Write a run folder whose network is the mean of some checkpoints.

    Args:
        folder: of a run, whose settings the new one takes.
        checkpoints: of it, or of other runs of the same network.
        out: folder of the new run.
        running: take each checkpoint's running average, with its BatchNorm statistics; else its
            last weights, and measure the statistics of their mean anew.
        say: prints a line.
        clock: seconds, monotonic.

    Returns:
        Its EER on `val`.

    Raises:
        TrainingError: there is no checkpoint, or it does not fit; `out` holds a run already.
    """
    if not checkpoints:
        raise TrainingError(f"no checkpoint of {folder} is named")
    if (out / "config.json").exists():
        raise TrainingError(f"{out} holds a run already; choose another folder")
    settings = replace(load_settings(folder), patience=0)
    corpus = load_corpora(settings.corpora, settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    run = Run(out, settings, say)
    count = len(run.model.variables)
    which = "average" if running else "model"
    mean = mean_weights([checkpoint_weights(path, count, which) for path in checkpoints])
    assign(run.model.variables, mean)
    if not running:
        _measure_statistics(run, corpus, say)
    return conclude(run, corpus, clock)


def _measure_statistics(run: Run, corpus: Corpus, say: Callable[[str], None]) -> None:
    waves = prepare_waves(corpus, run.settings, say)
    maker = make_batches(corpus, waves, run.settings)
    with make_loader(maker, run.settings) as loader:
        for features, _ in islice(loader.epoch(0), STATISTICS_BATCHES):
            run.model(features, training=True)
