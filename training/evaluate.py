"""Scoring recordings as the device does, and reporting on them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import ModelBundle
from edge.inference import open_scorer
from training.cache import FeatureCache, WindowSettings, progress, write_atomically
from training.calibrate import Calibration
from training.channel import CLEAN, Channel
from training.errors import CorpusError, TrainingError
from training.metrics import (
    CostModel,
    area_under_curve,
    bootstrap_interval,
    detection_rate_at,
    equal_error_rate,
    figures,
    log_likelihood_cost,
    min_detection_cost,
)
from training.protocols import Trial, targets

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
WindowScorer = Callable[[Float32], Float64]
"""Features (windows, frames, bands) to logits (windows,): a Keras model, or a TFLite file."""

BATCH_WINDOWS = 256
# Of the trials. Of "seen" and "unseen" generators with all bona fide ones; in mixed sources, which
# hold both classes, the kind of recording gives the class away less easily.
PARTS = ("all", "unseen_generators", "unseen_in_mixed_sources", "seen_generators")
BREAKDOWNS = ("family", "generator", "source", "language")
BOOTSTRAP_DRAWS = 500
BOOTSTRAP_SEED = 2024


def keras_scorer(model: Any) -> WindowScorer:
    """A Keras model as a scorer of windows."""

    def score(features: Float32) -> Float64:
        outputs = [
            np.asarray(model.predict_on_batch(features[first : first + BATCH_WINDOWS, ..., None]))
            for first in range(0, len(features), BATCH_WINDOWS)
        ]
        return np.concatenate(outputs).reshape(-1).astype(np.float64)

    return score


def recording_score(window_logits: NDArray[Any]) -> float:
    """One logit for a recording: the mean over its windows."""
    return float(np.mean(window_logits))


def score_trials(
    score_windows: WindowScorer,
    trials: Sequence[Trial],
    cache: FeatureCache,
    channel: Channel = CLEAN,
    quiet: bool = False,
) -> Float64:
    """One logit per trial: the mean over the sliding windows of its whole file.

    Args:
        score_windows: the model.
        trials: what to score.
        cache: makes and keeps their features.
        channel: what they are heard through.
        quiet: no progress bar.

    Returns:
        float64, shape (trials,), higher = more likely spoof.
    """
    scores = np.empty(len(trials))
    pending: list[tuple[int, Float32]] = []
    order = range(len(trials))
    steps: Iterable[int] = order if quiet else progress(order, len(trials), "scoring")
    for index in steps:
        pending.append((index, _features(trials[index], cache, channel)))
        full = sum(len(features) for _, features in pending) >= BATCH_WINDOWS
        if full or index == len(trials) - 1:
            logits = score_windows(np.concatenate([features for _, features in pending]))
            first = 0
            for place, features in pending:
                scores[place] = recording_score(logits[first : first + len(features)])
                first += len(features)
            pending = []
    cache.save()
    return scores


def _features(trial: Trial, cache: FeatureCache, channel: Channel) -> Float32:
    variant = channel.variant(trial.id)
    if not variant:
        return cache.features(trial)
    return cache.features(trial, variant, lambda samples, clip: channel.heard(samples, clip.id))


@dataclass(frozen=True)
class Scored:
    """Trials with their raw scores.

    Attributes:
        trials: shape (n,).
        logits: float64, shape (n,).
    """

    trials: Sequence[Trial]
    logits: Float64

    def where(self, keep: Callable[[Trial], bool]) -> Scored:
        chosen = [index for index, trial in enumerate(self.trials) if keep(trial)]
        return Scored([self.trials[index] for index in chosen], self.logits[chosen])

    @property
    def labels(self) -> Float32:
        return targets(self.trials)

    @property
    def has_both_classes(self) -> bool:
        return bool(0 < self.labels.sum() < len(self.trials))


def of_generators(names: Iterable[str]) -> Callable[[Trial], bool]:
    """Whether a trial was made by one of some generators, known by their names."""
    known = frozenset(names)
    return lambda trial: trial.generator in known


def unseen(scored: Scored, is_seen: Callable[[Trial], bool]) -> Scored:
    """All bona fide trials, and the spoofs of generators that were not trained on."""
    return scored.where(lambda trial: not (trial.is_spoof and is_seen(trial)))


def main_figures(scored: Scored) -> dict[str, float]:
    """EER, AUC and the rate of detection at 5 % false alarms; none without both classes."""
    if not scored.has_both_classes:
        return {}
    made = figures(scored.logits, scored.labels)
    return {"eer": made.eer, "auc": made.auc, "tpr_at_5_fpr": made.tpr_at_5_fpr}


def mixed_sources(trials: Iterable[Trial]) -> set[str]:
    """Sources of trials of both classes."""
    sides: dict[bool, set[str]] = {True: set(), False: set()}
    for trial in trials:
        sides[trial.is_spoof].add(trial.source)
    return sides[True] & sides[False]


def report(
    scored: Scored,
    calibration: Calibration,
    threshold: float,
    is_seen: Callable[[Trial], bool] = lambda trial: False,
    costs: CostModel | None = None,
    draws: int = BOOTSTRAP_DRAWS,
) -> dict[str, Any]:
    """Everything that is said about a set of scored trials, ready for JSON.

    Args:
        scored: trials and raw scores.
        calibration: of the run.
        threshold: operating point, a spoof probability.
        is_seen: whether the network that scored a spoof has trained on its generator; the others
            are reported apart (see `of_generators`).
        costs: of minDCF.
        draws: of the bootstrap.

    Returns:
        Figures and 95 % intervals for each of `PARTS`, and a table for each of `BREAKDOWNS`.
    """
    mixed = mixed_sources(scored.trials)
    unheard = unseen(scored, is_seen)
    parts = {
        "all": scored,
        "unseen_generators": unheard,
        "unseen_in_mixed_sources": unheard.where(lambda t: t.source in mixed),
        "seen_generators": scored.where(lambda t: not t.is_spoof or is_seen(t)),
    }
    made: dict[str, Any] = {
        "costs": (costs or CostModel()).__dict__,
        "threshold": threshold,
        "bootstrap": f"95 % over {draws} draws of whole sources",
    }
    for name, part in parts.items():
        made[name] = _figures_with_intervals(part, calibration, threshold, costs, draws)
    for breakdown in BREAKDOWNS:
        made[f"by_{breakdown}"] = breakdown_table(scored, calibration, threshold, breakdown)
    return made


def evaluate_bundle(
    bundle: ModelBundle,
    trials: Sequence[Trial],
    cache: Path,
    is_seen: Callable[[Trial], bool],
    channel: Channel = CLEAN,
    scope: str = "file",
    padding: str = "",
) -> dict[str, Any]:
    """Score trials with the form of the network that a bundle was loaded with.

    Args:
        bundle: network, front end, calibration and threshold.
        trials: what to score.
        cache: folder of features; those of a run with the same front end and windows serve.
        is_seen: see `report`.
        channel: what they are heard through.
        scope: "file" (sliding windows over all of it) or "middle" (its middle window).
        padding: what fills up clips shorter than a window; "" = as the bundle says.

    Returns:
        The report (see `report`).

    Raises:
        BundleError: the network cannot be used.
        CorpusError: there are no trials, or a clip cannot be read.
    """
    # convert is built on training, so that training asks it only once both are there.
    from convert.scoring import tflite_scorer

    if not trials:
        raise CorpusError("the corpora hold no trials to report on there")
    manifest = bundle.manifest
    window_s = manifest.window_samples / manifest.front_end.sample_rate_hz
    windows = WindowSettings(window_s, manifest.hop_s, padding or manifest.padding, scope)
    features = FeatureCache(cache, manifest.front_end, windows)
    scorer = tflite_scorer(open_scorer(bundle))
    scored = Scored(trials, score_trials(scorer, trials, features, channel))
    calibration = Calibration(manifest.calibration.scale, manifest.calibration.offset)
    # A report calls spoof what lies at the threshold too, the device only what lies above it.
    threshold = float(np.nextafter(manifest.operating_point.threshold, 1.0))
    made = report(scored, calibration, threshold, is_seen)
    made.update({"variant": bundle.variant, "condition": channel.condition, "scope": scope})
    return made


def refuse_inside(bundle: Path, out: Path) -> None:
    """Keep reports out of a bundle, which holds nothing that it does not list.

    Raises:
        TrainingError: the file would lie there.
    """
    if out.resolve().is_relative_to(bundle.resolve()):
        raise TrainingError(f"{out} lies in the bundle; name a file outside it")


def _figures_with_intervals(
    scored: Scored,
    calibration: Calibration,
    threshold: float,
    costs: CostModel | None,
    draws: int,
) -> dict[str, Any] | None:
    if not scored.has_both_classes:
        return None
    ratios = calibration.log_ratio(scored.logits)
    at = _log_odds(threshold)
    values: dict[str, Any] = figures(ratios, scored.labels, at, costs).to_dict()
    statistics: dict[str, Callable[[Float64, Any], float]] = {
        "eer": lambda s, y: equal_error_rate(s, y)[0],
        "auc": area_under_curve,
        "accuracy": lambda s, y: float(np.mean((s >= at) == y)),
        "tpr_at_5_fpr": lambda s, y: detection_rate_at(s, y)[0],
        "min_dcf": lambda s, y: min_detection_cost(s, y, costs),
        "cllr": log_likelihood_cost,
    }
    groups = [trial.source or trial.id for trial in scored.trials]
    values["intervals"] = {
        name: bootstrap_interval(
            ratios, scored.labels, groups, statistic, np.random.default_rng(BOOTSTRAP_SEED), draws
        )
        for name, statistic in statistics.items()
    }
    return values


def _log_odds(probability: float) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(probability) - np.log1p(-min(probability, 1.0)))


def breakdown_table(
    scored: Scored, calibration: Calibration, threshold: float, attribute: str
) -> list[dict[str, Any]]:
    """A row per value of an attribute and label.

    A group's EER sets it against all trials of the other label.
    """
    probabilities = calibration.probability(scored.logits)
    labels = scored.labels.astype(bool)
    values = np.array([getattr(trial, attribute) or "-" for trial in scored.trials])
    rows = []
    for value in np.unique(values):
        for label in (False, True):
            mine = (values == value) & (labels == label)
            if not mine.any() or (attribute in ("family", "generator") and not label):
                continue
            against = mine | (labels != label)
            both = labels[against].any() and not labels[against].all()
            rows.append(
                {
                    attribute: str(value),
                    "label": "spoof" if label else "bonafide",
                    "trials": int(mine.sum()),
                    "eer": equal_error_rate(scored.logits[against], labels[against])[0]
                    if both
                    else None,
                    "called_spoof": float((probabilities[mine] >= threshold).mean()),
                    "mean_probability": float(probabilities[mine].mean()),
                }
            )
    return rows


def table_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of like keys as a Markdown table; rates in per cent."""
    if not rows:
        return ""
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(_cell(name, row[name]) for name in names)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in ("eer", "called_spoof"):
        return f"{value:.1%}"
    return f"{value:.3f}" if isinstance(value, float) else str(value).replace("|", "/")


def table_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of like keys as CSV."""
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def scores_csv(scored: Scored, calibration: Calibration) -> str:
    """One line per trial: who it is, its logit and its spoof probability."""
    rows = [
        {
            "id": trial.id,
            "label": trial.label,
            "source": trial.source,
            "generator": trial.generator,
            "family": trial.family,
            "language": trial.language,
            "logit": f"{logit:.6f}",
            "probability": f"{probability:.6f}",
        }
        for trial, logit, probability in zip(
            scored.trials, scored.logits, calibration.probability(scored.logits)
        )
    ]
    return table_csv(rows)


def report_text(made: Mapping[str, Any], title: str) -> str:
    """A report for people: figures with intervals, then the breakdowns, in Markdown."""
    lines = [f"# {title}", ""]
    header = "| trials | EER | AUC | accuracy | TPR at 5 % FPR | minDCF | Cllr | min Cllr |"
    for name in PARTS:
        values = made[name]
        lines += [f"## {name.replace('_', ' ').capitalize()}", ""]
        if values is None:
            lines += ["No trials of both classes.", ""]
            continue
        spans = values["intervals"]
        cells = [f"{values['trials']} ({values['spoofs']} spoof)"]
        for key, shape in (
            ("eer", "{:.1%}"),
            ("auc", "{:.3f}"),
            ("accuracy", "{:.1%}"),
            ("tpr_at_5_fpr", "{:.1%}"),
            ("min_dcf", "{:.3f}"),
            ("cllr", "{:.3f}"),
        ):
            low, high = (shape.format(edge) for edge in spans[key])
            cells.append(f"{shape.format(values[key])} ({low} to {high})")
        cells.append(f"{values['min_cllr']:.3f}")
        lines += [header, "|---" * 8 + "|", f"| {' | '.join(cells)} |", ""]
    for breakdown in BREAKDOWNS:
        lines += [f"## By {breakdown}", "", table_markdown(made[f"by_{breakdown}"])]
    return "\n".join(lines)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")
