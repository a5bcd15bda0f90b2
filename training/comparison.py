"""What each choice of a search is worth: runs that differ in seed alone, held against a middle.

One run says little: two seeds of the same settings differ by about as much as most choices are
worth. So a choice is held against the middle seed by seed, and its row says in how many it was
better.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.errors import TrainingError
from training.experiments import RunSummary, differences

TITLE = "# What one choice is worth\n\n"
ABOUT = (
    "Made by `earwitness-train compare` (`make search`): on `val`, all else like **{middle}**. "
    "EER is the mean over {conditions}; AUC and TPR are as published, against generators that the "
    "run had not trained on. Each is the mean over seeds, and the lowest and highest of them in "
    "brackets; what is against {middle} is in points of EER, seed by seed, below 0 = better.\n\n"
)
HEAD = (
    "choice", "seeds", "EER", "against {middle}", "better in", "AUC", "TPR at 5 % FPR",
    "parameters", "MMAC", "what differs",
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """Runs of the same settings.

    Attributes:
        name: theirs, without the seed at its end.
        runs: by seed.
    """

    name: str
    runs: dict[int, RunSummary]

    @property
    def settings(self) -> dict[str, Any]:
        return _but_seed(next(iter(self.runs.values())))

    def spread(self, figure: str) -> list[float]:
        """A figure of the report on `val`, seed by seed."""
        return [float(run.reports["val"][figure]) for run in self.runs.values()]


def choices(runs: Sequence[RunSummary]) -> list[Choice]:
    """Runs grouped by their settings, the seed left out.

    Raises:
        TrainingError: two runs are the same, seed and all; runs of one name differ in more than
            the seed; or no epoch of a run was trained.
    """
    groups: dict[str, dict[int, RunSummary]] = {}
    for run in runs:
        if math.isnan(run.mean_eer):
            raise TrainingError(
                f"the run {run.name} has no epochs.csv, so that its EER over conditions is not "
                "known; take it out of the folder"
            )
        seed = int(run.settings["seed"])
        group = groups.setdefault(json.dumps(_but_seed(run), sort_keys=True), {})
        if seed in group:
            raise TrainingError(
                f"the runs {group[seed].name} and {run.name} have the same settings and seed; "
                "take one of them out of the folder"
            )
        group[seed] = run
    found: dict[str, Choice] = {}
    for group in groups.values():
        choice = _choice(group)
        other = found.setdefault(choice.name, choice)
        if other is not choice:
            told = differences(choice.settings, other.settings) or "in where their data lie"
            raise TrainingError(
                f"runs called {choice.name}-SEED differ in more than the seed: {told}; take one "
                "sort out of the folder"
            )
    return list(found.values())


def _choice(group: Mapping[int, RunSummary]) -> Choice:
    runs = dict(sorted(group.items()))
    seed, first = next(iter(runs.items()))
    return Choice(first.name.removesuffix(f"-{seed}"), runs)


def _but_seed(run: RunSummary) -> dict[str, Any]:
    return {name: value for name, value in run.settings.items() if name != "seed"}


def against(choice: Choice, middle: Choice) -> list[float]:
    """EER less the middle's of the same seed, in points, for each seed that both have."""
    return [
        100 * (run.mean_eer - middle.runs[seed].mean_eer)
        for seed, run in choice.runs.items()
        if seed in middle.runs
    ]


def ranked(found: Sequence[Choice], middle_name: str) -> tuple[Choice, list[Choice]]:
    """The middle, and all other choices that share a seed with it, best first.

    Raises:
        TrainingError: there is no such choice, or nothing to hold against it.
    """
    named = {choice.name: choice for choice in found}
    if middle_name not in named:
        there = ", ".join(sorted(named)) or "none"
        raise TrainingError(f"no finished run is called {middle_name}-SEED; there are {there}")
    middle = named[middle_name]
    others = [choice for choice in found if choice is not middle and against(choice, middle)]
    if not others:
        raise TrainingError(f"no other choice has a run with a seed of {middle_name}")
    return middle, sorted(others, key=lambda choice: float(np.mean(against(choice, middle))))


def comparison_markdown(middle: Choice, others: Sequence[Choice], plot: str = "") -> str:
    """docs/search.md: a table of all choices, the best first and the middle in its place.

    Args:
        middle: what all else is held against.
        others: best first (see `ranked`).
        plot: name of a figure to show above the table; "" = none.
    """
    conditions = ", ".join(middle.settings["val_conditions"])
    text = TITLE + ABOUT.format(middle=middle.name, conditions=conditions)
    if plot:
        text += f"![Each choice against {middle.name}, seed by seed]({plot})\n\n"
    lines = [
        f"| {' | '.join(HEAD).format(middle=middle.name)} |",
        f"|---|---:|{'---|' * (len(HEAD) - 2)}",
    ]
    better = sum(float(np.mean(against(choice, middle))) < 0 for choice in others)
    for choice in [*others[:better], middle, *others[better:]]:
        lines.append(f"| {' | '.join(_cells(choice, middle))} |")
    return text + "\n".join(lines) + "\n"


def _cells(choice: Choice, middle: Choice) -> list[str]:
    eers = [100 * run.mean_eer for run in choice.runs.values()]
    first = next(iter(choice.runs.values()))
    shown = [f"**{choice.name}**" if choice is middle else choice.name, str(len(choice.runs))]
    shown.append(_mean_and_range(eers, ".1f"))
    if choice is middle:
        shown += ["", ""]
    else:
        points = against(choice, middle)
        shown.append(_mean_and_range(points, "+.1f"))
        shown.append(f"{sum(point < 0 for point in points)} of {len(points)}")
    shown.append(_mean_and_range(choice.spread("auc"), ".3f"))
    shown.append(_mean_and_range([100 * rate for rate in choice.spread("tpr_at_5_fpr")], ".0f"))
    shown.append(str(first.data["parameters"]))
    shown.append(f"{first.data['multiply_accumulates'] / 1e6:.0f}")
    shown.append(differences(choice.settings, middle.settings))
    return shown


def _mean_and_range(values: Sequence[float], form: str) -> str:
    mean = format(float(np.mean(values)), form)
    return f"{mean} ({format(min(values), form)} … {format(max(values), form)})"
