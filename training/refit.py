"""The last layer of a trained network anew, with equal weights, so that it holds on other sources.

What a network pools over time generalises better than what its last layers make of that: they go
on fitting the sources of training, and fitting only the last layer again helps (Kirichenko et al.,
"Last layer re-training is sufficient for robustness to spurious correlations", ICLR 2023). Here
nothing is fitted but the sign: every number, at unit deviation, has one vote for the class whose
mean it is nearer to (Dawes, "The robust beauty of improper linear models in decision making",
American Psychologist 34, 1979).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.features import finish
from training.cache import progress
from training.data import Float32
from training.errors import TrainingError
from training.models.lcnn import POOLED
from training.pool import Scale, open_chunks
from training.train import (
    Run,
    conclude,
    load_corpora,
    load_model,
    load_model_at,
    load_settings,
)

BATCH_WINDOWS = 64


def refit_run(
    folder: Path,
    pools: Sequence[Path],
    out: Path,
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Write a run folder whose network ends in one layer of equal weights on the pooled vector.

    Args:
        folder: of a run, whose network it takes up to the pooled vector.
        pools: windows that tell which class each number speaks for.
        out: folder of the new run.
        say: prints a line.
        clock: seconds, monotonic.

    Returns:
        Its EER on `val`.

    Raises:
        TrainingError: a pool is empty, of another front end or of one class; the network has no
            pooling over time, or another head than a logit; `out` holds a run already.
    """
    if (out / "config.json").exists():
        raise TrainingError(f"{out} holds a run already; choose another folder")
    old = load_settings(folder)
    if old.model.network == "baseline":
        raise TrainingError(f"the network of {folder} has no pooling over time to end in a vote")
    if old.model.head != "logit":
        raise TrainingError(f"the network of {folder} ends in a {old.model.head}, not in a logit")
    vectors, labels = pooled_vectors(folder, pools)
    weights, offset = fit_last_layer(vectors, labels)
    settings = replace(old, patience=0, model=replace(old.model, embedding=0))
    corpus = load_corpora(settings.corpora, settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    run = Run(out, settings, say)
    copy_to_pooled(load_model(folder), run.model)
    run.model.get_layer("logit").set_weights([weights[:, None], np.array([offset], np.float32)])
    return conclude(run, corpus, clock)


def pooled_vectors(folder: Path, pools: Sequence[Path]) -> tuple[Float32, Float32]:
    """What a run's network pools of all windows of some pools, and their labels.

    Returns:
        float32, shape (windows, numbers), and float32, shape (windows,), 1 = spoof.
    """
    import keras

    front_end = load_settings(folder).front_end
    chunks, labels = open_chunks(pools, front_end)
    network = load_model_at(folder, chunks[0].shape[1])
    pooling = keras.Model(network.inputs, network.get_layer(POOLED).output)

    def parts() -> Iterator[Float32]:
        for chunk in progress(chunks, len(chunks), "pooling"):
            windows = [finish(raw.astype(np.float32), front_end) for raw in chunk]
            stacked = np.stack(windows)[..., None]
            yield pooling.predict(stacked, batch_size=BATCH_WINDOWS, verbose=0)

    return np.concatenate(list(parts())), np.concatenate(labels)


def fit_last_layer(vectors: Float32, labels: Float32) -> tuple[Float32, float]:
    """Weights, shape (numbers,), and offset of a logit of unit deviation, higher = spoof.

    Nought lies halfway between the means of both classes.

    Raises:
        TrainingError: all windows are of one class.
    """
    spoof = labels > 0.5
    if spoof.all() or not spoof.any():
        raise TrainingError("a last layer needs windows of both classes; these are all of one")
    means = vectors[spoof].mean(0), vectors[~spoof].mean(0)
    weights = np.sign(means[0] - means[1]) / Scale.of(vectors).deviation
    weights /= (vectors @ weights).std()
    return weights.astype(np.float32), -float((means[0] + means[1]) @ weights) / 2


def copy_to_pooled(old: Any, new: Any) -> None:
    """Give a network another's weights up to the pooled vector; both are built alike till there."""
    for ours, theirs in zip(new.layers, old.layers):
        ours.set_weights(theirs.get_weights())
        if ours.name == POOLED:
            return
