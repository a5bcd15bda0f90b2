"""The operating point of a daemon: few false alerts in hours of human speech.

A threshold with so many false positives on single clips says little of a device that listens all
day: its windows overlap, a voice that is mistaken once is mistaken again, and the decision rule
votes. So the threshold is chosen on long human speech of `val`, as the daemon hears it.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import ModelBundle
from edge.decision import (
    Calibration,
    DecisionRule,
    DecisionSettings,
    DecisionState,
    decide,
    sigmoid,
)
from training.channel import CLEAN, Channel
from training.errors import TrainingError
from training.evaluate import write_json
from training.long_audio import RATE_HZ, judged
from training.protocols import Trial
from training.train import load_calibration

HIGHEST = 0.999


@dataclass(frozen=True)
class Heard:
    """A long recording of human speech, scored.

    Attributes:
        source: it came from.
        seconds: its length.
        windows: end on the timeline, s, and log-odds of spoof of each window; None = not scored.
    """

    source: str
    seconds: float
    windows: tuple[tuple[float, float | None], ...]


@dataclass(frozen=True)
class Listener:
    """A bundle that hears human speech of `val`.

    Attributes:
        bundle: its folder.
        trials: what it hears; spoofs are left out.
        calibration: of its logits; None = that of the run whose operating point is chosen.
    """

    bundle: Path
    trials: Sequence[Trial]
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Limits:
    """What a threshold must keep to on human speech.

    Attributes:
        alerts_per_hour: over all of it.
        source_share: of the windows of any one source, called spoof.
    """

    alerts_per_hour: float = 0.5
    source_share: float = 0.15


def hear(
    bundle: ModelBundle,
    calibration: Calibration,
    trials: Sequence[Trial],
    hours: float,
    channel: Channel = CLEAN,
) -> list[Heard]:
    """Score human speech as the daemon does, joined to long recordings (see `long_audio`)."""
    log_odds = calibration.log_odds
    return [
        Heard(
            source,
            seconds,
            tuple(
                (one.end / RATE_HZ, None if one.logit is None else log_odds(one.logit))
                for one in results
            ),
        )
        for source, seconds, results in judged(bundle, trials, hours, channel)
    ]


def alerts_in(heard: Heard, rule: DecisionRule) -> int:
    """How often the daemon would have raised an alert."""
    state, count = DecisionState(), 0
    for end_s, log_odds in heard.windows:
        state, decision = decide(rule, state, end_s, log_odds)
        count += decision.change == "raised"
    return count


def spoof_shares(heard: Sequence[Heard], threshold: float) -> dict[str, float]:
    """Share of each source's scored windows that lie above a threshold."""
    scored: dict[str, list[float]] = defaultdict(list)
    for one in heard:
        scored[one.source] += [sigmoid(odds) for _, odds in one.windows if odds is not None]
    return {
        source: float(np.mean(np.array(values) > threshold)) if values else 0.0
        for source, values in scored.items()
    }


def within(heard: Sequence[Heard], rule: DecisionRule, limits: Limits) -> bool:
    """Does a rule keep to the limits?"""
    hours = sum(one.seconds for one in heard) / 3600
    alerts = sum(alerts_in(one, rule) for one in heard)
    shares = spoof_shares(heard, rule.threshold)
    return alerts <= limits.alerts_per_hour * hours and max(shares.values()) <= limits.source_share


def lowest_threshold(
    heard: Sequence[Heard], settings: DecisionSettings, limits: Limits, steps: int = 200
) -> float:
    """The lowest threshold within the limits, to one part in `steps` of the windows above it.

    Raises:
        TrainingError: not even the highest threshold keeps to the limits.
    """
    values = [sigmoid(odds) for one in heard for _, odds in one.windows if odds is not None]
    if not values:
        raise TrainingError("there is no scored human speech to choose a threshold on")
    # Candidates lie as densely as the scores do, and the highest few one by one.
    ranked = np.unique(np.minimum(values, HIGHEST))
    upper = ranked[-steps:] if len(ranked) > steps else ranked
    lower = np.quantile(ranked, np.linspace(0.5, 1, steps))
    found = None
    # From above: far below, an alert that never ends would count as one.
    for threshold in np.unique(np.concatenate([lower, upper, [HIGHEST]]))[::-1]:
        if not within(heard, DecisionRule(float(threshold), settings), limits):
            break
        found = float(threshold)
    if found is None:
        raise TrainingError(
            f"no threshold keeps false alerts to {limits.alerts_per_hour:g} per hour and every "
            f"source to {limits.source_share:.0%} of its windows"
        )
    return found


def choose(
    run: Path,
    listeners: Sequence[Listener],
    hours: float,
    limits: Limits,
    channels: Sequence[Channel] = (CLEAN,),
    together: bool = False,
    least: float = 0.0,
) -> dict[str, Any]:
    """Choose a run's operating point on long human speech and write it into calibration.json.

    Args:
        run: the run's folder, with its scores on `val`.
        listeners: the run's network, converted, and `val`; or those of its folds (see
            training.crossfit), each with what it was not trained on; or a judge that was trained
            otherwise, with its own calibration. Each in the form that this machine is given; the
            calibration and operating point that their bundles hold play no part.
        hours: of speech at most, by all of them together.
        limits: see there.
        channels: what the speech is heard through, each in turn.
        together: the limits hold over all conditions together. Each by itself, which is the rule,
            a quiet one cannot make up for a loud one; but where there are two hours of speech it
            must raise no alert at all, so that one loud minute in the worst condition decides.
        least: the threshold is no lower, such as that of the model which devices hold. A few hours
            of speech do not tell that a lower one is as quiet.

    Returns:
        The operating point as calibration.json holds it.

    Raises:
        TrainingError: there is no such threshold, or the run has no scores on `val`.
        BundleError: a bundle cannot be used.
    """
    calibration, _ = load_calibration(run)
    bundles = [(ModelBundle.load(one.bundle), one) for one in listeners]
    heard = [
        [
            one
            for bundle, listener in bundles
            for one in hear(
                bundle,
                listener.calibration or calibration,
                listener.trials,
                hours / len(bundles),
                channel,
            )
        ]
        for channel in channels
    ]
    spoken_hours = sum(one.seconds for one in heard[0]) / 3600
    judged_apart = [[one for some in heard for one in some]] if together else heard
    lowest = max(lowest_threshold(some, DecisionSettings(), limits) for some in judged_apart)
    threshold = max(lowest, least)
    try:
        with open(run / "scores-val.csv", newline="", encoding="utf-8") as file:
            rows = [(float(r["probability"]), r["label"] == "spoof") for r in csv.DictReader(file)]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{run} is not a finished run: {error}") from error
    values, spoof = (np.array(column) for column in zip(*rows))
    through = ", ".join(channel.condition for channel in channels)
    point = {
        "threshold": threshold,
        "false_alert_rate": float((values[~spoof] > threshold).mean()),
        "miss_rate": float((values[spoof] <= threshold).mean()),
        "chosen_for": f"at most {limits.alerts_per_hour:g} false alerts per hour in "
        f"{spoken_hours:.1f} hours of human speech of val ({through}"
        f"{'; all together' if together else ''}), and at most "
        f"{limits.source_share:.0%} of the windows of any of its sources"
        f"{f' ({lowest:.3f} would do)' if lowest < least else ''}",
    }
    write_json(run / "calibration.json", {**calibration.to_dict(), "operating_point": point})
    return point
