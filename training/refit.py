"""The last layer of a trained network anew, with equal weights, so that it holds on other sources.

What a network pools over time generalises better than what its last layers make of that: they go
on fitting the sources of training, and fitting only the last layer again helps (Kirichenko et al.,
"Last layer re-training is sufficient for robustness to spurious correlations", ICLR 2023). Here
nothing is fitted but the sign: every number, at unit deviation, has one vote for the class whose
mean it is nearer to (Dawes, "The robust beauty of improper linear models in decision making",
American Psychologist 34, 1979). Beyond one deviation it counts for no more, so that no few numbers
outvote all others (Huber, "Robust statistics", 1981).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.cache import progress
from training.config import RunSettings
from training.data import Float32
from training.errors import TrainingError
from training.models import build_model
from training.models.lcnn import LOGIT, POOLED, STANDARD
from training.models.tdnn import DELAY
from training.pool import Scale, finished, open_chunks
from training.train import (
    Run,
    conclude,
    load_corpora,
    load_model,
    load_settings,
)

BATCH_WINDOWS = 64


def refit_run(
    folder: Path,
    pools: Sequence[Path],
    out: Path,
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
    without_dilations: Sequence[int] = (),
) -> float:
    """Write a run folder whose network ends in equal votes of the numbers of its pooled vector.

    Args:
        folder: of a run, whose network it takes up to the pooled vector.
        pools: windows that tell which class each number speaks for.
        out: folder of the new run.
        say: prints a line.
        clock: seconds, monotonic.
        without_dilations: time-delay blocks of these dilations are left out: the least of a
            network can be spared where it costs too much, and the votes are counted without it.

    Returns:
        Its EER on `val`.

    Raises:
        TrainingError: a pool is empty, of another front end or of one class; the network has no
            pooling over time, another head than a logit, or no block to leave out; `out` holds a
            run already.
    """
    if (out / "config.json").exists():
        raise TrainingError(f"{out} holds a run already; choose another folder")
    old = load_settings(folder)
    if old.model.network == "baseline":
        raise TrainingError(f"the network of {folder} has no pooling over time to end in a vote")
    if old.model.head == "cosine":
        raise TrainingError(f"the network of {folder} ends in a cosine, not in a logit")
    if odd := sorted(set(without_dilations) - set(old.model.dilations)):
        raise TrainingError(f"{folder} has no block of dilation {odd[0]} to leave out")
    left_out = [
        f"{DELAY}_dilated_{index}_"
        for index, dilation in enumerate(old.model.dilations)
        if dilation in without_dilations
    ]
    dilations = tuple(one for one in old.model.dilations if one not in without_dilations)
    smaller = replace(old.model, dilations=dilations, embedding=0, head="votes")
    settings = replace(old, patience=0, model=smaller)
    trained = load_model(folder)
    vectors, labels = pooled_vectors(trained, settings, pools, left_out)
    votes = fit_votes(vectors, labels)
    corpus = load_corpora(settings.corpora, settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    run = Run(out, settings, say)
    copy_to_pooled(trained, run.model, left_out)
    run.model.get_layer(STANDARD).set_weights([votes.scale.mean, np.square(votes.scale.deviation)])
    run.model.get_layer(LOGIT).set_weights([votes.weights[:, None], votes.offset[None]])
    return conclude(run, corpus, clock)


def pooled_vectors(
    trained: Any, settings: RunSettings, pools: Sequence[Path], left_out: Sequence[str] = ()
) -> tuple[Float32, Float32]:
    """What a network pools of all windows of some pools, and their labels.

    Args:
        trained: whose weights it has.
        settings: of the network that is built for windows of the pools' length.
        pools: the windows.
        left_out: see `copy_to_pooled`.

    Returns:
        float32, shape (windows, numbers), and float32, shape (windows,), 1 = spoof.
    """
    import keras

    front_end = settings.front_end
    chunks, labels = open_chunks(pools, front_end)
    network = build_model(settings.model, chunks[0].shape[1], front_end.n_bands)
    copy_to_pooled(trained, network, left_out)
    pooling = keras.Model(network.inputs, network.get_layer(POOLED).output)

    def parts() -> Iterator[Float32]:
        for chunk in progress(chunks, len(chunks), "pooling"):
            windows = finished(chunk, front_end)[..., None]
            yield pooling.predict(windows, batch_size=BATCH_WINDOWS, verbose=0)

    return np.concatenate(list(parts())), np.concatenate(labels)


@dataclass(frozen=True)
class Votes:
    """What the last layers hold: `scale` and `weights` of each number, shape (numbers,)."""

    scale: Scale
    weights: Float32
    offset: Float32

    def of(self, vectors: Float32) -> Float32:
        """Logits of vectors (windows, numbers), shape (windows,)."""
        logits: Float32 = np.clip(self.scale.standard(vectors), -1, 1) @ self.weights + self.offset
        return logits


def fit_votes(vectors: Float32, labels: Float32) -> Votes:
    """Equal votes whose logit has unit deviation, higher = spoof.

    Nought lies halfway between the means of both classes.

    Raises:
        TrainingError: all windows are of one class.
    """
    spoof = labels > 0.5
    if spoof.all() or not spoof.any():
        raise TrainingError("a last layer needs windows of both classes; these are all of one")
    signs = np.sign(vectors[spoof].mean(0) - vectors[~spoof].mean(0))
    scale = Scale.of(vectors)
    sums = Votes(scale, signs, np.zeros((), np.float32)).of(vectors)
    weight = 1 / sums.std()
    middle = (sums[spoof].mean() + sums[~spoof].mean()) / 2
    return Votes(scale, signs * weight, np.asarray(-middle * weight, np.float32))


def copy_to_pooled(old: Any, new: Any, left_out: Sequence[str] = ()) -> None:
    """Give a network another's weights up to the pooled vector; both are built alike till there.

    Args:
        old, new: networks.
        left_out: layers whose names begin so are in the old one only.
    """
    kept = [one for one in _weighted(old) if not str(one.name).startswith(tuple(left_out))]
    for ours, theirs in zip(_weighted(new), kept, strict=True):
        ours.set_weights(theirs.get_weights())


def _weighted(network: Any) -> list[Any]:
    """Layers with weights, up to the pooled vector."""
    names = [layer.name for layer in network.layers]
    return [layer for layer in network.layers[: names.index(POOLED)] if layer.weights]
