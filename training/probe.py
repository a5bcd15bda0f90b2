"""What numbers that a network does not hear would add to it, before a front end is changed.

A discriminant (Fisher, "The use of multiple measurements in taxonomic problems", 1936) is fitted to
them within sources: what tells a source, and not the class, tells it nothing. Beside the network's
logit it says on `val` whether they know something that the network does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.audio import read_clip
from training.cache import WindowSettings, cut_windows, progress
from training.config import RunSettings
from training.errors import TrainingError
from training.evaluate import (
    Scored,
    in_condition,
    keras_scorer,
    main_figures,
    mixed_sources,
    of_generators,
    unseen,
)
from training.excitation import LEAST_SAMPLES, NUMBERS, RATE_HZ, excitation
from training.pool import (
    Scale,
    chunk_stems,
    chunks_without,
    finished,
    from_16_bits,
    open_chunks,
    pool_sources,
    write_array,
)
from training.protocols import Clip, Trial

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
KIND = "excitation"
SHARE = 0.3
SHRINKAGE = 0.1
# A deviation or two says all that a number has to say; farther out are clicks and silence.
LIMIT = 2.0
# A source counts if it has so many windows of either class.
LEAST_WINDOWS = 5
MOST_WINDOWS = 200


@dataclass(frozen=True)
class Discriminant:
    """A weighted sum of numbers that has unit deviation where it was fitted; higher = spoof."""

    scale: Scale
    weights: Float64

    def of(self, numbers: Float32) -> Float64:
        """Of (windows, numbers): shape (windows,)."""
        told: Float64 = _standard(numbers, self.scale) @ self.weights
        return told


def fit_within_sources(
    numbers: Float32, spoof: NDArray[np.bool_], sources: NDArray[np.str_]
) -> Discriminant:
    """What tells the classes apart in sources that publish both.

    Args:
        numbers: shape (windows, numbers).
        spoof: shape (windows,).
        sources: whose each window is, shape (windows,).

    Raises:
        TrainingError: no source has windows enough of both classes.
    """
    scale = Scale.of(numbers)
    standard = _standard(numbers, scale)
    sides = [
        [standard[(sources == source) & (spoof == side)] for side in (False, True)]
        for source in np.unique(sources)
    ]
    mixed = [pair for pair in sides if min(map(len, pair)) >= LEAST_WINDOWS]
    if not mixed:
        raise TrainingError(
            f"no source of the pools has {LEAST_WINDOWS} windows of both classes; make a pool "
            "from corpora that publish human speech and spoofs"
        )
    size = standard.shape[1]
    apart, spread = np.zeros(size), np.zeros((size, size))
    for human, synthetic in mixed:
        apart += np.sqrt(min(len(human), len(synthetic))) * (synthetic.mean(0) - human.mean(0))
        for side in (human, synthetic):
            moved = side - side.mean(0)
            spread += min(len(side), MOST_WINDOWS) / len(side) * moved.T @ moved
    spread *= size / np.trace(spread)
    weights = np.linalg.solve((1 - SHRINKAGE) * spread + SHRINKAGE * np.eye(size), apart)
    return Discriminant(scale, weights / (standard @ weights).std())


def _standard(numbers: Float32, scale: Scale) -> Float64:
    return np.clip(scale.standard(numbers), -LIMIT, LIMIT).astype(np.float64)


def probe_run(
    run: Path, pools: Sequence[Path], say: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Figures on `val`, against unseen generators, of a run alone and with what excitation tells.

    Args:
        run: not trained on the sources of `val`.
        pools: windows with their audio; the numbers of each are left beside it.
        say: prints a line.

    Returns:
        A row for each condition, part ("unseen" or "unseen in mixed sources") and score.

    Raises:
        TrainingError: a pool holds no audio, another front end, or no source of both classes; its
            windows or the run's are too short; the run is none.
    """
    # Here, so that the processes that only measure do without Keras.
    from training.train import (
        Validation,
        load_corpora,
        load_data_description,
        load_model,
        load_model_at,
        load_settings,
    )

    settings = load_settings(run)
    refuse_short(settings.windows.window_s, f"{run} scores windows")
    measure(pools)
    chunks, labels = open_chunks(pools, settings.front_end)
    network = keras_scorer(load_model_at(run, chunks[0].shape[1]))
    scored = [
        network(finished(chunk, settings.front_end))
        for chunk in progress(chunks, len(chunks), "scoring pools")
    ]
    deviation = float(np.concatenate(scored).std())
    stems = [(pool, stem) for pool in pools for stem in chunk_stems(pool)]
    numbers = np.concatenate([np.load(pool / f"{stem}.{KIND}.npy") for pool, stem in stems])
    spoof = np.concatenate(labels) > 0.5
    discriminant = fit_within_sources(numbers, spoof, pool_sources(pools))
    corpus = load_corpora(settings.corpora, settings.seed)
    heard = Validation(corpus, settings).heard(load_model(run))
    mixed = mixed_sources(heard["clean"].trials)
    is_seen = of_generators(load_data_description(run)["train_generators"])
    rows = []
    for name in settings.val_conditions:
        trials, logits = heard[name].trials, heard[name].logits / deviation
        measured = _measure_trials(trials, settings, name, corpus.noises)
        told = np.array([discriminant.of(windows).mean() for windows in measured])
        for title, scores in (("alone", logits), ("with", logits + SHARE * told)):
            part = unseen(Scored(trials, scores), is_seen)
            both = part.where(lambda trial: trial.source in mixed)
            for what, chosen in (("unseen", part), ("unseen in mixed sources", both)):
                if values := main_figures(chosen):
                    rows.append({"condition": name, "part": what, "network": title, **values})
                    say(
                        f"{name:10} {what:24} {title:6} EER {values['eer']:.4f}  "
                        f"AUC {values['auc']:.4f}  "
                        f"TPR at 5 % FPR {values['tpr_at_5_fpr']:.4f}"
                    )
    return rows


def measure(pools: Sequence[Path]) -> None:
    """Leave the numbers of excitation beside the windows of pools, as NNNNN.excitation.npy.

    Raises:
        TrainingError: a pool holds no audio, or its windows are too short.
    """
    missing = chunks_without(KIND, pools)
    if not missing:
        return
    samples = np.load(missing[0][0] / f"{missing[0][1]}.audio.npy", mmap_mode="r").shape[1]
    refuse_short(samples / RATE_HZ, f"{missing[0][0]} holds windows")
    # Not forked: Keras has threads by now.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as workers:
        done = workers.map(_measure_chunk, missing)
        for _ in progress(done, len(missing), "excitation"):
            pass


def refuse_short(seconds: float, whose: str) -> None:
    """Refuse windows that are too short for `excitation`.

    Raises:
        TrainingError: says whose they are.
    """
    least = LEAST_SAMPLES / RATE_HZ
    if seconds < least:
        raise TrainingError(f"{whose} of {seconds:g} s; excitation needs {least:g} s")


def _measure_chunk(place: tuple[Path, str]) -> None:
    pool, stem = place
    windows = np.load(pool / f"{stem}.audio.npy", mmap_mode="r")
    numbers = [excitation(from_16_bits(window)) for window in windows]
    write_array(pool / f"{stem}.{KIND}.npy", np.array(numbers).reshape(-1, NUMBERS))


def _measure_trials(
    trials: Sequence[Trial], settings: RunSettings, condition_name: str, noises: Sequence[Clip]
) -> list[Float32]:
    """Of each trial the numbers of its windows, shape (windows, `NUMBERS`)."""
    job = partial(
        _measure_trial, windows=settings.windows, condition_name=condition_name, noises=noises
    )
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as workers:
        done = workers.map(job, trials, chunksize=32)
        return list(progress(done, len(trials), condition_name))


def _measure_trial(
    trial: Trial, windows: WindowSettings, condition_name: str, noises: Sequence[Clip]
) -> Float32:
    samples = in_condition(read_clip(trial), trial.id, condition_name, noises)
    return np.stack([excitation(cut) for cut in cut_windows(samples, windows, RATE_HZ)])
