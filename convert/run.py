"""Reading what a training run left behind, and the audio that conversion needs."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.errors import ConversionError
from edge.decision import Calibration, OperatingPoint
from edge.features import window_features
from edge.windows import fit_window

if TYPE_CHECKING:
    from training.config import CorpusSettings, RunSettings
    from training.protocols import Corpus, Trial

Float32 = NDArray[np.float32]
REPORT = "report-"


class RunWarning(UserWarning):
    """A run can be converted, but its card will lack something."""


@dataclass(frozen=True)
class TrainedRun:
    """A finished run of `earwitness-train`.

    Attributes:
        folder: of the run.
        settings: what it was trained with.
        calibration: logit to log-odds.
        operating_point: threshold chosen on `val`.
        data: data.json: hashes and counts of what it was trained on.
        reports: report-NAME.json by NAME, such as "val" and "test-clean".
        audit: the table that `earwitness-train audit` left there as audit.md, or "".
    """

    folder: Path
    settings: RunSettings
    calibration: Calibration
    operating_point: OperatingPoint
    data: Mapping[str, Any]
    reports: Mapping[str, Mapping[str, Any]]
    audit: str = ""

    @property
    def window_samples(self) -> int:
        """Length of the network's input, samples."""
        return round(self.settings.windows.window_s * self.settings.front_end.sample_rate_hz)


def read_run(folder: Path) -> TrainedRun:
    """Read a run folder.

    Raises:
        ConversionError, TrainingError: it is no finished run, or it cannot be used.
    """
    from training.train import load_calibration, load_data_description, load_settings

    if not folder.is_dir():
        raise ConversionError(f"the run {folder} does not exist; train it first")
    calibration, point = load_calibration(folder)
    audit = folder / "audit.md"
    try:
        return TrainedRun(
            folder=folder,
            settings=load_settings(folder),
            calibration=Calibration(calibration.scale, calibration.offset),
            operating_point=_operating_point(point),
            data=load_data_description(folder),
            reports=_reports(folder),
            audit=audit.read_text(encoding="utf-8") if audit.exists() else "",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(f"the run {folder} cannot be used: {error}") from error


def warn_of_gaps(run: TrainedRun) -> None:
    """Warn where the run lacks something that its card could tell: what to run, in a sentence."""
    if not run.audit.strip():
        folder = run.folder
        warnings.warn(
            f"{folder} holds no audit.md, so the card says nothing of shortcuts; make it first: "
            f"earwitness-train audit --config {folder}/config.json --out {folder}/audit.md",
            RunWarning,
            stacklevel=2,
        )


def _operating_point(point: Mapping[str, Any]) -> OperatingPoint:
    # The device calls spoof what lies above the threshold, the run what lies at or above it.
    threshold = float(np.nextafter(float(point["threshold"]), 0.0))
    return OperatingPoint(
        threshold=threshold,
        false_positive_rate=float(point["false_alert_rate"]),
        false_negative_rate=float(point["miss_rate"]),
        chosen_on=str(point["chosen_for"]),
    )


def _reports(folder: Path) -> dict[str, Mapping[str, Any]]:
    return {
        path.stem[len(REPORT) :]: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob(f"{REPORT}*.json"))
    }


def load_corpus(run: TrainedRun, corpora: Sequence[CorpusSettings] = ()) -> Corpus:
    """The run's corpus, or the one named instead (its data may have moved).

    Raises:
        CorpusError: it cannot be read.
    """
    from training.train import load_corpora

    return load_corpora(corpora or run.settings.corpora, run.settings.seed)


def compared_trials(corpus: Corpus, corpora: Sequence[CorpusSettings]) -> list[Trial]:
    """What the forms of a network are held against Keras on: the reported trials of `val`.

    Sources of it that the run trained on (see training.crossfit) are among them: a form differs
    from Keras no less there, and what is left without them may be too little to tell half a point.

    Args:
        corpus: see `load_corpus`.
        corpora: what it was loaded from.
    """
    moved = {source for entry in corpora for source in entry.to_train}
    return [
        trial
        for trial in corpus.trials
        if trial.report and (trial.split == "val" or trial.source in moved)
    ]


def representative_trials(
    trials: Iterable[Trial], count: int, rng: np.random.Generator
) -> list[Trial]:
    """Training trials that span the corpus: sources and generators in turn, drawn at random.

    Raises:
        ConversionError: there is no training audio.
    """
    groups: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.generator or trial.source].append(trial)
    if not groups:
        raise ConversionError("the corpus has no training audio to draw windows from")
    queues = []
    for name in sorted(groups):
        order = rng.permutation(len(groups[name]))
        queues.append([groups[name][index] for index in order])
    queues = [queues[index] for index in rng.permutation(len(queues))]
    drawn: list[Trial] = []
    depth = 0
    while len(drawn) < count and any(len(queue) > depth for queue in queues):
        drawn += [queue[depth] for queue in queues if len(queue) > depth]
        depth += 1
    return drawn[:count]


def representative_windows(
    run: TrainedRun,
    corpus: Corpus,
    count: int,
    progress: Callable[[Sequence[Any], str], Iterable[Any]],
) -> Float32:
    """Features of random windows of training audio: float32, shape (windows, frames, bands).

    Raises:
        ConversionError, CorpusError: there is none, or a clip cannot be read.
    """
    from training.audio import read_clip

    settings = run.settings
    rng = np.random.default_rng(settings.seed)
    windows = []
    trials = representative_trials(corpus.side("train"), count, rng)
    for trial in progress(trials, "representative windows"):
        samples = read_clip(trial, settings.front_end.sample_rate_hz)
        first = int(rng.integers(0, max(0, len(samples) - run.window_samples) + 1))
        window = fit_window(samples[first:], run.window_samples, settings.windows.padding)
        windows.append(window_features(window, settings.front_end))
    return np.stack(windows)
