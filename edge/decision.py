"""From scores to decisions: calibration, operating point, smoothing, voting, hysteresis. Pure.

State goes in and comes out as a value, and time is passed in, so a recording replayed at any speed
gives the decisions of the live daemon. Each rule has one setting and none changes another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace


def sigmoid(x: float) -> float:
    """Logistic function without overflow."""
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))


@dataclass(frozen=True)
class Calibration:
    """Affine map from the network's logit to log-odds of spoof (Platt, 1999), equal priors.

    Attributes:
        scale: positive slope.
        offset: log-odds at logit 0.
    """

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0 and math.isfinite(self.offset)):
            raise ValueError(
                f"calibration scale {self.scale} and offset {self.offset} must be finite, "
                "the scale above 0"
            )

    def log_odds(self, logit: float) -> float:
        """Natural log-odds that the voice is a spoof."""
        return self.scale * logit + self.offset


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold together with the error rates it was chosen for.

    Attributes:
        threshold: spoof probability above which a window counts as spoof, in (0, 1).
        false_positive_rate: share of bona fide above it, on the data it was chosen on.
        false_negative_rate: share of spoofs at or below it, likewise.
        chosen_on: that data, in words.
    """

    threshold: float
    false_positive_rate: float
    false_negative_rate: float
    chosen_on: str

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"operating point {self.threshold} must lie between 0 and 1")
        for name in ("false_positive_rate", "false_negative_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} must lie in 0 to 1")


@dataclass(frozen=True)
class DecisionSettings:
    """How scored windows become alerts.

    A threshold of None stands for the operating point of the bundle.
    """

    threshold: float | None = field(
        default=None,
        metadata={
            "doc": "spoof probability that a window must exceed; null = the model's own",
            "exclusive_minimum": 0.0,
            "exclusive_maximum": 1.0,
        },
    )
    smoothing_windows: int = field(
        default=1,
        metadata={
            "unit": "windows",
            "doc": "the log-odds of this many scored windows are averaged; 1 = no smoothing",
            "minimum": 1,
            "maximum": 600,
        },
    )
    alert_windows: int = field(
        default=3,
        metadata={
            "unit": "windows",
            "doc": "an alert needs this many of the last of_windows above the threshold",
            "minimum": 1,
            "maximum": 600,
        },
    )
    of_windows: int = field(
        default=5,
        metadata={
            "unit": "windows",
            "doc": "how many scored windows vote",
            "minimum": 1,
            "maximum": 600,
        },
    )
    release_margin: float = field(
        default=0.1,
        metadata={
            "doc": "hysteresis: an alert ends when fewer than alert_windows exceed threshold "
            "minus this probability",
            "minimum": 0.0,
            "maximum": 1.0,
        },
    )
    cooldown_s: float = field(
        default=30.0,
        metadata={
            "unit": "s",
            "doc": "least time between the starts of two alerts of one source",
            "minimum": 0.0,
            "maximum": 86400.0,
        },
    )
    evidence_s: float = field(
        default=60.0,
        metadata={
            "unit": "s",
            "doc": "a window older than this neither votes nor is smoothed over",
            "minimum": 1.0,
            "maximum": 86400.0,
        },
    )

    def problems(self) -> list[str]:
        """Contradictions between settings, one sentence each."""
        if self.alert_windows > self.of_windows:
            return [
                f"alert_windows ({self.alert_windows}) is more than of_windows "
                f"({self.of_windows}), so no alert could ever be raised"
            ]
        return []


@dataclass(frozen=True)
class DecisionRule:
    """Settings with the threshold filled in."""

    threshold: float
    settings: DecisionSettings = DecisionSettings()

    @classmethod
    def of(cls, settings: DecisionSettings, point: OperatingPoint) -> DecisionRule:
        """The rule in force: the settings' threshold, or else the bundle's operating point."""
        return cls(point.threshold if settings.threshold is None else settings.threshold, settings)

    @property
    def release_threshold(self) -> float:
        """Probability at or below which a window no longer holds an alert up."""
        return max(0.0, self.threshold - self.settings.release_margin)

    def sentence(self) -> str:
        """The rule in words."""
        s = self.settings
        what = (
            f"the spoof probability averaged over {s.smoothing_windows} windows"
            if s.smoothing_windows > 1
            else "the spoof probability"
        )
        return (
            f"Alerts when {what} exceeds {self.threshold:.3g} in {s.alert_windows} of the last "
            f"{s.of_windows} windows with speech (none older than {s.evidence_s:g} s), ends when "
            f"fewer than {s.alert_windows} of them exceed {self.release_threshold:.3g}, and "
            f"alerts again no sooner than {s.cooldown_s:g} s after the last alert began."
        )


@dataclass(frozen=True)
class Evidence:
    """One scored window that still counts."""

    time_s: float
    log_odds: float
    smoothed: float  # probability


@dataclass(frozen=True)
class DecisionState:
    """All that a source's decision remembers."""

    evidence: tuple[Evidence, ...] = ()
    raised: bool = False
    last_raised_s: float = -math.inf


@dataclass(frozen=True)
class Decision:
    """What one window did to the decision.

    Attributes:
        smoothed: probability after smoothing; None when the window was not scored.
        raised: is an alert standing?
        change: "raised" or "cleared" when that changed with this window, else None.
    """

    smoothed: float | None
    raised: bool
    change: str | None


def decide(
    rule: DecisionRule, state: DecisionState, time_s: float, log_odds: float | None
) -> tuple[DecisionState, Decision]:
    """Take one window into account.

    Args:
        rule: the rule in force.
        state: what the last call returned, or `DecisionState()`.
        time_s: the window's end on the source's timeline, s; never falls.
        log_odds: calibrated log-odds of spoof; None when the window holds no usable speech.

    Returns:
        The new state and what came of this window.
    """
    settings = rule.settings
    evidence = tuple(e for e in state.evidence if time_s - e.time_s <= settings.evidence_s)
    smoothed = None
    if log_odds is not None:
        before = settings.smoothing_windows - 1
        recent = [e.log_odds for e in evidence[-before:]] if before else []
        smoothed = sigmoid((sum(recent) + log_odds) / (len(recent) + 1))
        kept = max(settings.smoothing_windows, settings.of_windows)
        evidence = (*evidence, Evidence(time_s, log_odds, smoothed))[-kept:]
    change = _change(rule, replace(state, evidence=evidence), time_s)
    raised = state.raised if change is None else change == "raised"
    last_raised_s = time_s if change == "raised" else state.last_raised_s
    return DecisionState(evidence, raised, last_raised_s), Decision(smoothed, raised, change)


def _change(rule: DecisionRule, state: DecisionState, time_s: float) -> str | None:
    settings = rule.settings
    voters = state.evidence[-settings.of_windows :]
    level = rule.release_threshold if state.raised else rule.threshold
    enough = sum(e.smoothed > level for e in voters) >= settings.alert_windows
    if state.raised:
        return None if enough else "cleared"
    cooled = time_s - state.last_raised_s >= settings.cooldown_s
    return "raised" if enough and cooled else None


def aggregate(log_odds: list[float]) -> float:
    """One probability for a recording: that of the mean log-odds over its scored windows.

    Raises:
        ValueError: there is no scored window.
    """
    if not log_odds:
        raise ValueError("a recording without scored windows has no probability")
    return sigmoid(math.fsum(log_odds) / len(log_odds))
