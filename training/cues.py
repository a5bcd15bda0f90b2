"""Let a finished network hear cues beside the spectrum (see edge/cues.py).

A teller, which is a small network of those numbers, is fitted to pairs of windows of one source, a
human and a synthetic one (RankNet, Burges et al., "Learning to rank using gradient descent", ICML
2005): what tells a source, and not the class, tells it nothing. How much it counts beside the
network's logit is fitted on `val` by logistic regression (Bruemmer et al., "Fusion of heterogeneous
speaker recognition systems", IEEE TASLP 2007), with a network as judge that has not been trained on
`val`, and tellers that have not either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.cues import CUES, Cue
from edge.excitation import ExcitationStream
from edge.features import FrontEnd
from edge.sliding import RATE_HZ
from training.cache import FeatureCache, progress
from training.calibrate import Calibration
from training.errors import TrainingError
from training.evaluate import (
    Scored,
    WindowScorer,
    keras_scorer,
    main_figures,
    mixed_sources,
    of_generators,
    score_trials,
    unseen,
    write_json,
)
from training.pool import (
    Scale,
    chunk_stems,
    chunks_without,
    from_16_bits,
    pool_sources,
    write_array,
)

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Names = NDArray[np.str_]
# Excitation holds modulation, and what it holds besides, periodicity tells better.
ADDED = tuple(cue for cue in CUES if cue is not ExcitationStream)
NUMBERS = sum(cue.count for cue in ADDED)
OF_SPOOFS = np.repeat([cue.of_spoofs for cue in ADDED], [cue.count for cue in ADDED])
# Three deviations are all that a number has to say; farther out are clicks and silence.
LIMIT = 3.0
# A source counts if it has so many windows of either class.
LEAST_WINDOWS = 5
# More windows than these give a source no more weight.
MOST_PAIRS = 100
# A teller is the mean of so many, which differ in where they began and what they drew.
SEEDS = (1, 2, 3)
# As in the evaluations of speaker recognition by NIST.
SPOOF_PRIOR = 0.01


@dataclass(frozen=True)
class Windows:
    """Windows of pools, measured.

    Attributes:
        numbers: float32, shape (windows, `NUMBERS`).
        spoof: shape (windows,).
        sources: whose each is, shape (windows,).
    """

    numbers: Float32
    spoof: Bools
    sources: Names

    def without(self, sources: set[str]) -> Windows:
        """Those of other sources."""
        kept = ~np.isin(self.sources, sorted(sources))
        return Windows(self.numbers[kept], self.spoof[kept], self.sources[kept])


@dataclass(frozen=True)
class Teller:
    """A small network of numbers that has unit deviation where it was fitted; higher = spoof.

    Attributes:
        scale: of the numbers.
        hidden: weights of each rectified unit, shape (numbers, units).
        biases: of the units, shape (units,).
        out: what each unit counts, shape (units,).
        straight: what each number counts by itself, shape (numbers,).
    """

    scale: Scale
    hidden: Float32
    biases: Float32
    out: Float32
    straight: Float32

    def of(self, numbers: Float32) -> Float64:
        """Of (windows, numbers): shape (windows,)."""
        standard = _standard(numbers, self.scale)
        units = np.maximum(standard @ self.hidden + self.biases, 0)
        told: Float64 = units @ self.out + standard @ self.straight
        return told

    def times(self, factor: float) -> Teller:
        """One that says so many times as much."""
        return replace(self, out=factor * self.out, straight=factor * self.straight)


@dataclass(frozen=True)
class Fusion:
    """log-odds = `alone` * those of the network alone + `told` * the teller + `offset`."""

    alone: float
    told: float
    offset: float

    def of(self, log_odds: Float64, told: Float64) -> Float64:
        """Log-odds of recordings, shape (recordings,)."""
        return self.alone * log_odds + self.told * told + self.offset


def fit_within_sources(
    windows: Windows, of_spoofs: Bools | None = None, seeds: Sequence[int] = SEEDS
) -> Teller:
    """What tells the classes apart in sources that publish both.

    Args:
        windows: measured.
        of_spoofs: numbers that must never speak for a person, shape (numbers,); without it none.
        seeds: the teller is the mean of one for each.

    Raises:
        TrainingError: no source has windows enough of both classes.
    """
    # Here, so that the processes that only measure do without Keras.
    from training.models.pairwise import fit_pairs

    sides = [
        [np.flatnonzero((windows.sources == name) & (windows.spoof == side)) for side in (0, 1)]
        for name in np.unique(windows.sources)
    ]
    mixed = [pair for pair in sides if min(map(len, pair)) >= LEAST_WINDOWS]
    if not mixed:
        raise TrainingError(
            f"no source of the pools has {LEAST_WINDOWS} windows of both classes; make a pool "
            "from corpora that publish human speech and spoofs"
        )
    scale = Scale.of(windows.numbers)
    standard = _standard(windows.numbers, scale).astype(np.float32)
    share = np.array([min(len(human), len(spoof), MOST_PAIRS) for human, spoof in mixed], float)

    def pairs(rng: np.random.Generator, count: int) -> tuple[Float32, Float32]:
        chosen = rng.choice(len(mixed), count, p=share / share.sum())
        human, spoof = (
            np.array([rng.choice(mixed[one][side]) for one in chosen]) for side in (0, 1)
        )
        return standard[human], standard[spoof]

    told = np.zeros(standard.shape[1], bool) if of_spoofs is None else of_spoofs
    found = [_unit(Teller(scale, *fit_pairs(pairs, told, seed)), windows) for seed in seeds]
    return Teller(
        scale,
        np.concatenate([one.hidden for one in found], axis=1),
        np.concatenate([one.biases for one in found]),
        np.concatenate([one.out for one in found]) / np.float32(len(found)),
        np.mean([one.straight for one in found], axis=0),
    )


def _unit(teller: Teller, windows: Windows) -> Teller:
    """The teller with unit deviation on some windows."""
    return teller.times(1 / float(teller.of(windows.numbers).std()))


def _standard(numbers: Float32, scale: Scale) -> Float64:
    return np.clip(scale.standard(numbers), -LIMIT, LIMIT).astype(np.float64)


def fit_fusion(log_odds: Float64, told: Float64, labels: NDArray[Any]) -> Fusion:
    """Logistic regression of two variables.

    What the teller counts beside the network is fitted as if one recording in a hundred
    (`SPOOF_PRIOR`) were a spoof: a device alerts where human speech hardly ever is, and a weight
    fitted to both classes alike is too large there. What comes of the sum has equal priors.

    Args:
        log_odds: calibrated, of recordings by the network alone, shape (recordings,).
        told: by the teller, shape (recordings,).
        labels: 1 = spoof.

    Raises:
        TrainingError: the network alone tells nothing.
    """
    spoof = np.asarray(labels) > 0.5
    (alone, share), _ = _logistic_regression([log_odds, told], spoof, SPOOF_PRIOR)
    if alone <= 0:
        raise TrainingError(
            "the judge's network tells spoofs of val no better than chance, so there is nothing "
            "to add cues to; train it longer, or name another with --judge"
        )
    summed = log_odds + share / alone * told
    (scale,), offset = _logistic_regression([summed], spoof, 0.5)
    return Fusion(scale, scale * share / alone, offset)


def _logistic_regression(
    variables: Sequence[Float64], spoof: Bools, prior: float
) -> tuple[list[float], float]:
    """Weights of variables, and an offset, as if so many recordings were spoofs."""
    from sklearn.linear_model import LogisticRegression

    frequency = spoof.mean()
    weights = {True: prior / frequency, False: (1 - prior) / (1 - frequency)}
    fitted = LogisticRegression(C=1e3, class_weight=weights, max_iter=1000)
    fitted.fit(np.stack(variables, axis=1), spoof)
    return [float(one) for one in fitted.coef_[0]], float(fitted.intercept_[0])


def add_cues(
    run: Path,
    pools: Sequence[Path],
    folds: Sequence[Path],
    judge: Path,
    out: Path,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write a run folder whose network is another run's with cues beside its logit.

    Its calibration is the run's, carried on; its report on `val` is the judge's.

    Args:
        run: finished and calibrated.
        pools: windows of training data with their audio; what is measured is left beside them.
        folds: such pools of sources of `val`. The teller that ships is fitted to them too,
            but a recording is judged by one that no pool with its source was fitted to.
        judge: a calibrated run that has not been trained on `val`; it may be the run itself.
        out: folder of the new run.
        say: prints a line.

    Returns:
        What cues.json holds: the fusion, and figures on `val` alone and with cues.

    Raises:
        TrainingError: a pool holds no audio or no source of both classes; its windows or the run's
            are too short; a folder is no calibrated run, or the judge has been trained on `val`;
            `out` holds a run already.
    """
    # Here, so that the processes that only measure do without Keras.
    from training.models import mac_count, parameter_count
    from training.models.cued import cued
    from training.train import load_calibration, load_data_description, load_model, load_settings

    if (out / "config.json").exists():
        raise TrainingError(f"{out} holds a run already; choose another folder")
    settings = load_settings(run)
    refuse_short(settings.windows.window_s, f"{run} scores windows")
    calibration, _ = load_calibration(run)
    windows = measured([*pools, *folds])
    fold_sources = [set(pool_sources([fold])) for fold in folds]
    heard = _judged(judge, windows, fold_sources)
    fusion = fit_fusion(
        np.concatenate([one.log_odds for one in heard.values()]),
        np.concatenate([one.told for one in heard.values()]),
        np.concatenate([one.alone.labels for one in heard.values()]),
    )
    found = _figures(judge, heard, fusion, say)
    whole = fit_within_sources(windows, OF_SPOOFS)
    share = fusion.told / (fusion.alone * calibration.scale)
    model = cued(load_model(run), whole.times(share), LIMIT)
    out.mkdir(parents=True, exist_ok=True)
    model.save(out / "model.keras")
    new = replace(settings, front_end=_with_cues(settings.front_end))
    write_json(out / "config.json", new.to_dict())
    cost = {"parameters": parameter_count(model), "multiply_accumulates": mac_count(model)}
    write_json(out / "data.json", {**load_data_description(run), **cost})
    carried = Calibration(
        fusion.alone * calibration.scale, fusion.alone * calibration.offset + fusion.offset
    )
    _write_val(out, new, judge, heard, fusion, carried)
    made = {"judge_fusion": fusion.__dict__, "val": found}
    write_json(out / "cues.json", made)
    return made


@dataclass(frozen=True)
class _Heard:
    """`val` in one condition: the judge's logits, calibrated, and what the teller says."""

    alone: Scored
    log_odds: Float64
    told: Float64


def _judged(judge: Path, windows: Windows, fold_sources: Sequence[set[str]]) -> dict[str, _Heard]:
    """Of each condition of validation and as published."""
    from training.train import load_corpora, load_judge, load_model

    settings, calibration = load_judge(judge)
    corpus = load_corpora(settings.corpora, settings.seed)
    trials = corpus.side("val", reported_only=True)
    front_end = _with_cues(settings.front_end)
    cache = FeatureCache(Path(settings.cache) / "features", front_end, settings.windows)
    frames = front_end.frame_count(round(settings.windows.window_s * RATE_HZ))
    network = keras_scorer(load_model(judge))
    # Who may judge a trial: what was fitted to no pool with its source.
    groups = {
        frozenset(own): fit_within_sources(windows.without(own), OF_SPOOFS) for own in fold_sources
    }
    others = fit_within_sources(windows, OF_SPOOFS)
    fitted = [
        next((one for own, one in groups.items() if trial.source in own), others)
        for trial in trials
    ]
    heard = {}
    for name in dict.fromkeys(("clean", *settings.val_conditions)):
        alone = score_trials(
            lambda features: network(features[:, :frames]), trials, cache, name, corpus.noises
        )
        told = np.empty(len(trials))
        for one in {id(one): one for one in fitted}.values():
            mine = [index for index, its in enumerate(fitted) if its is one]
            told[mine] = score_trials(
                _told(one, frames), [trials[i] for i in mine], cache, name, corpus.noises
            )
        heard[name] = _Heard(Scored(trials, alone), calibration.log_ratio(alone), told)
    return heard


def _told(teller: Teller, frames: int) -> WindowScorer:
    """What a teller says of features (windows, rows, bands)."""
    return lambda features: teller.of(
        features[:, frames:].reshape(len(features), -1)[:, :NUMBERS]
    )


def _figures(
    judge: Path, heard: dict[str, _Heard], fusion: Fusion, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each condition, part and score, against generators unseen by the judge."""
    from training.train import load_data_description

    is_seen = of_generators(load_data_description(judge)["train_generators"])
    mixed = mixed_sources(heard["clean"].alone.trials)
    rows = []
    for name, one in heard.items():
        for title, scores in (
            ("alone", one.log_odds),
            ("with", fusion.of(one.log_odds, one.told)),
        ):
            part = unseen(Scored(one.alone.trials, scores), is_seen)
            both = part.where(lambda trial: trial.source in mixed)
            for what, chosen in (("unseen", part), ("unseen in mixed sources", both)):
                if values := main_figures(chosen):
                    rows.append({"condition": name, "part": what, "cues": title, **values})
                    say(
                        f"{name:10} {what:24} {title:6} EER {values['eer']:.4f}  "
                        f"AUC {values['auc']:.4f}  "
                        f"TPR at 5 % FPR {values['tpr_at_5_fpr']:.4f}"
                    )
    return rows


def _write_val(
    out: Path,
    settings: Any,
    judge: Path,
    heard: dict[str, _Heard],
    fusion: Fusion,
    carried: Calibration,
) -> None:
    """The calibration, and the judge's report on `val` in log-odds that it would give."""
    from training.train import load_data_description, write_judged

    clean = heard["clean"]
    # Logits of which the carried calibration makes what the fusion says.
    log_odds = fusion.of(clean.log_odds, clean.told)
    scored = Scored(clean.alone.trials, (log_odds - carried.offset) / carried.scale)
    seen = of_generators(load_data_description(judge)["train_generators"])
    write_judged(out, settings, carried, scored, seen)


def _with_cues(front_end: FrontEnd) -> FrontEnd:
    return FrontEnd.from_dict({**front_end.to_dict(), **{cue.name: True for cue in ADDED}})


def measured(pools: Sequence[Path]) -> Windows:
    """The windows of pools; what is measured is left beside them, as NNNNN.CUE-VERSION.npy.

    Raises:
        TrainingError: a pool holds no audio, or its windows are too short.
    """
    missing = [(cue, place) for cue in ADDED for place in chunks_without(_kind(cue), pools)]
    if missing:
        pool, stem = missing[0][1]
        samples = np.load(pool / f"{stem}.audio.npy", mmap_mode="r").shape[1]
        refuse_short(samples / RATE_HZ, f"{pool} holds windows")
        # Not forked: Keras has threads by now.
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as workers:
            done = workers.map(_measure_chunk, missing)
            for _ in progress(done, len(missing), "cues"):
                pass
    stems = [pool / stem for pool in pools for stem in chunk_stems(pool)]
    numbers = [
        np.concatenate([np.load(f"{stem}.{_kind(cue)}.npy") for cue in ADDED], axis=1)
        for stem in stems
    ]
    return Windows(
        np.concatenate(numbers),
        np.concatenate([np.load(f"{stem}.targets.npy") for stem in stems]) > 0.5,
        pool_sources(pools),
    )


def _kind(cue: Cue) -> str:
    """What is measured in a chunk; what an older version measured is measured anew."""
    return f"{cue.name}-{cue.version}"


def refuse_short(seconds: float, whose: str) -> None:
    """Refuse windows that are too short for a cue.

    Raises:
        TrainingError: says whose they are.
    """
    for cue in ADDED:
        least = cue.least_samples / RATE_HZ
        if seconds < least:
            raise TrainingError(f"{whose} of {seconds:g} s; {cue.name} needs {least:.3f} s")


def _measure_chunk(what: tuple[Cue, tuple[Path, str]]) -> None:
    from threadpoolctl import threadpool_limits

    cue, (pool, stem) = what
    windows = np.load(pool / f"{stem}.audio.npy", mmap_mode="r")
    with threadpool_limits(1):
        numbers = [cue().numbers(from_16_bits(window), 0) for window in windows]
    write_array(pool / f"{stem}.{_kind(cue)}.npy", np.array(numbers).reshape(-1, cue.count))
