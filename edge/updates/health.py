"""Is the model on trial as good as the one that it replaced? Pure.

The daemon runs a new model as *pending* for a number of windows. For each window it tells a `Trial`
what happened, and the trial says: go on, commit, or roll back and why. While the trial runs the
daemon scores the same window with the previous model too, so that both are judged on the same
sound: a room full of synthetic voices is no reason to send a good model back.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class TrialSettings:
    """When a model on trial is committed or sent back."""

    healthy_windows: int = field(
        default=300,
        metadata={
            "unit": "windows",
            "doc": "a new model is committed after this many healthy windows that it scored; "
            "silence proves nothing",
            "minimum": 1,
            "maximum": 1_000_000,
        },
    )
    max_starts: int = field(
        default=3,
        metadata={
            "doc": "a new model is sent back when the daemon starts more often than this on trial",
            "minimum": 1,
            "maximum": 100,
        },
    )
    late_windows: int = field(
        default=5,
        metadata={
            "unit": "windows",
            "doc": "this many windows in a row slower than the hop send a new model back",
            "minimum": 1,
            "maximum": 1000,
        },
    )
    max_rate_change: float = field(
        default=0.5,
        metadata={
            "doc": "a new model is sent back when the share of windows that it calls spoof lies "
            "further than this from the previous model's on the same sound",
            "minimum": 0.0,
            "maximum": 1.0,
        },
    )
    compared_windows: int = field(
        default=30,
        metadata={
            "unit": "windows",
            "doc": "the shares are compared from this many windows on, that both models scored",
            "minimum": 1,
            "maximum": 100_000,
        },
    )


@dataclass(frozen=True)
class WindowOutcome:
    """What a window on trial was like.

    Attributes:
        latency_s: from its last sample to its result, seconds.
        finite: did the network give a finite number? True for a window that was not scored.
        spoof: did the model on trial call it spoof? None = it was not scored (no speech).
        previous_spoof: did the previous model? None = not scored, or there is none.
    """

    latency_s: float
    finite: bool = True
    spoof: bool | None = None
    previous_spoof: bool | None = None


class Step(enum.Enum):
    """What is to be done."""

    GO_ON = "go on"
    COMMIT = "commit"
    ROLL_BACK = "roll back"


@dataclass(frozen=True)
class Trial:
    """How a trial stands.

    Attributes:
        settings: when it ends.
        hop_s: time budget of a window, seconds.
        windows: how many were seen; scored: how many of them the model scored.
        late: how many in a row, the newest included, were too slow.
        compared: windows that both models scored; spoof, previous_spoof: how many each called so.
    """

    settings: TrialSettings
    hop_s: float
    windows: int = 0
    scored: int = 0
    late: int = 0
    compared: int = 0
    spoof: int = 0
    previous_spoof: int = 0

    def after(self, outcome: WindowOutcome) -> Trial:
        """The trial with one more window."""
        late = self.late + 1 if outcome.latency_s > self.hop_s else 0
        scored = self.scored + (outcome.spoof is not None)
        seen = replace(self, windows=self.windows + 1, scored=scored, late=late)
        if outcome.spoof is None or outcome.previous_spoof is None:
            return seen
        return replace(
            seen,
            compared=self.compared + 1,
            spoof=self.spoof + outcome.spoof,
            previous_spoof=self.previous_spoof + outcome.previous_spoof,
        )

    def fault(self) -> str | None:
        """What speaks against the model so far, in words."""
        settings = self.settings
        if self.late >= settings.late_windows:
            return f"{self.late} windows in a row took longer than the hop of {self.hop_s:g} s"
        if self.compared >= settings.compared_windows:
            share, previous = self.spoof / self.compared, self.previous_spoof / self.compared
            if abs(share - previous) > settings.max_rate_change:
                return (
                    f"it calls {share:.0%} of {self.compared} windows spoof where the previous "
                    f"model calls {previous:.0%}"
                )
        return None

    @property
    def enough(self) -> bool:
        """Have enough healthy windows passed?"""
        return self.scored >= self.settings.healthy_windows


@dataclass(frozen=True)
class Judgement:
    """A step, and for a rollback its reason."""

    step: Step
    reason: str = ""


def judge(trial: Trial, outcome: WindowOutcome) -> tuple[Trial, Judgement]:
    """One more window of a trial; returns the trial after it and what is to be done."""
    trial = trial.after(outcome)
    if not outcome.finite or not math.isfinite(outcome.latency_s):
        return trial, Judgement(Step.ROLL_BACK, f"window {trial.windows}: no finite score")
    fault = trial.fault()
    if fault is not None:
        return trial, Judgement(Step.ROLL_BACK, fault)
    return trial, Judgement(Step.COMMIT if trial.enough else Step.GO_ON)
