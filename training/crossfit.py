"""What a network trained on `val` too is worth, by networks that were not.

Few sources publish human speech and spoofs of it, and every generator is one of a kind: those of
`val` are too good only to judge by. So once everything has been chosen, a network is trained in the
same way on `train` and `val`. What it says of `val` then means nothing. Instead the sources of
`val` are dealt into folds, for each fold a network is trained on all others, and judges that fold
alone (Stone, "Cross-validatory choice and assessment of statistical predictions", Journal of the
Royal Statistical Society B 36, 1974). All scores together calibrate the network that was trained
on everything, as scikit-learn's CalibratedClassifierCV does without an ensemble. `test` plays no
part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import TrainingError
from training.evaluate import Scored, main_figures, unseen, write_json
from training.protocols import Trial
from training.train import (
    Validation,
    load_corpora,
    load_data_description,
    load_model,
    load_settings,
    write_calibrated,
)


@dataclass(frozen=True)
class Judged:
    """A fold, by the network that was not trained on it.

    Attributes:
        heard: its scores by condition.
        generators: on which that network has trained.
    """

    heard: dict[str, Scored]
    generators: frozenset[str]


def crossfit_run(
    run: Path, folds: Sequence[Path], say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Calibrate a run by its folds, and report on `val` as they hear it.

    Writes the run's calibration.json, report-val.* and its tables and plots anew, and
    crossfit.json: the figures of each condition.

    Args:
        run: trained on `train` and on what the folds judge.
        folds: runs made in the same way, each judging on its `val` what others trained on.
        say: prints a line.

    Returns:
        What crossfit.json holds.

    Raises:
        TrainingError: a fold is no run; two folds judge one source; the folds differ in conditions.
    """
    from training import plots

    judged = [_judge(fold) for fold in folds]
    refuse_overlap(judged, folds)
    heard = {name: together([one.heard[name] for one in judged]) for name in judged[0].heard}
    seen = {
        trial.id: trial.generator in one.generators
        for one in judged
        for trial in one.heard["clean"].trials
    }

    def is_seen(trial: Trial) -> bool:
        return seen[trial.id]

    made = write_calibrated(run, load_settings(run), heard, is_seen)
    plots.performance_bars(run / "lcnn_performance.png", made["all"], None)
    found_unseen = {name: main_figures(unseen(part, is_seen)) for name, part in heard.items()}
    sources = [sorted({trial.source for trial in one.heard["clean"].trials}) for one in judged]
    found = {"folds": sources, "unseen": found_unseen}
    write_json(run / "crossfit.json", found)
    for name, values in found_unseen.items():
        say(f"{name:10} " + "  ".join(f"{key} {value:.4f}" for key, value in values.items()))
    return found


def _judge(fold: Path) -> Judged:
    settings = load_settings(fold)
    validation = Validation(load_corpora(settings.corpora, settings.seed), settings)
    heard = validation.heard(load_model(fold))
    return Judged(heard, frozenset(load_data_description(fold)["train_generators"]))


def refuse_overlap(judged: Sequence[Judged], folds: Sequence[Path]) -> None:
    """Refuse folds that judge the same source twice, or under unlike conditions.

    Raises:
        TrainingError: names the fold and the source.
    """
    if not judged:
        raise TrainingError("no fold is named; give --fold for each")
    owner: dict[str, Path] = {}
    for one, fold in zip(judged, folds):
        if one.heard.keys() != judged[0].heard.keys():
            raise TrainingError(f"{fold} has other val_conditions than {folds[0]}")
        for source in {trial.source for trial in one.heard["clean"].trials}:
            if source in owner:
                raise TrainingError(
                    f"{source} is judged by {owner[source]} and by {fold}; "
                    "every source must be in one fold"
                )
            owner[source] = fold


def together(parts: Sequence[Scored]) -> Scored:
    """The trials of several parts as one."""
    trials = [trial for part in parts for trial in part.trials]
    return Scored(trials, np.concatenate([part.logits for part in parts]))
