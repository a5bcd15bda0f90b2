"""From raw scores to probabilities, and the threshold at which to act. Pure.

probability = sigmoid(scale * logit + offset), fitted with both classes weighted alike, so the
calibrated score is a log likelihood ratio (Bruemmer's convention).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import ArrayLike, NDArray

import edge.decision
from training.metrics import detection_rate_at, equal_error_rate

Float64 = NDArray[np.float64]
# A little weight decay keeps the scale finite where a threshold separates the classes entirely.
SCALE_DECAY = 1e-4


@dataclass(frozen=True)
class Calibration(edge.decision.Calibration):
    """The device's calibration, for arrays: its log-odds are log likelihood ratios here."""

    def log_ratio(self, logits: ArrayLike) -> Float64:
        return self.scale * np.asarray(logits, np.float64) + self.offset

    def probability(self, logits: ArrayLike) -> Float64:
        probability: Float64 = scipy.special.expit(self.log_ratio(logits))
        return probability

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on the spoof probability with the error rates it was chosen for (on `val`).

    Attributes:
        threshold: spoof probability at or above which a recording is called spoof.
        false_alert_rate: share of bona fide trials at or above it.
        miss_rate: share of spoof trials below it.
        chosen_for: the criterion, in words.
    """

    threshold: float
    false_alert_rate: float
    miss_rate: float
    chosen_for: str

    def to_dict(self) -> dict[str, float | str]:
        return asdict(self)


def fit_calibration(logits: ArrayLike, labels: ArrayLike) -> Calibration:
    """Logistic regression of one variable, classes weighted alike, scale kept positive.

    Platt, "Probabilistic outputs for support vector machines", 1999; equal priors after Bruemmer
    and du Preez, 2006.

    Args:
        logits: raw scores, shape (n,), higher = more likely spoof.
        labels: 1 = spoof.

    Raises:
        ValueError: a class is missing.
    """
    scores = np.asarray(logits, np.float64).reshape(-1)
    spoof = np.asarray(labels).reshape(-1).astype(bool)
    if spoof.all() or not spoof.any():
        raise ValueError("calibration needs both bona fide and spoof trials")
    centre, spread = scores.mean(), max(scores.std(), 1e-9)
    unit = (scores - centre) / spread
    weights = np.where(spoof, 0.5 / spoof.sum(), 0.5 / (~spoof).sum())
    signs = np.where(spoof, 1.0, -1.0)

    def loss(parameters: Float64) -> tuple[float, Float64]:
        scale = np.exp(parameters[0])
        margin = signs * (scale * unit + parameters[1])
        slope = -weights * signs * scipy.special.expit(-margin)
        value = weights @ np.logaddexp(0, -margin) + SCALE_DECAY * scale**2
        gradient = np.array([slope @ unit * scale + 2 * SCALE_DECAY * scale**2, slope.sum()])
        return float(value), gradient

    found = scipy.optimize.minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B")
    scale = float(np.exp(found.x[0]) / spread)
    return Calibration(scale, float(found.x[1] - scale * centre))


def choose_operating_point(
    probabilities: ArrayLike, labels: ArrayLike, false_alert_rate: float | None = 0.05
) -> OperatingPoint:
    """The lowest threshold that keeps false alerts within a rate, or the one of equal errors.

    Args:
        probabilities: calibrated, shape (n,).
        labels: 1 = spoof.
        false_alert_rate: the largest allowed; None = equal error rates.

    Raises:
        ValueError: a class is missing.
    """
    values = np.asarray(probabilities, np.float64).reshape(-1)
    spoof = np.asarray(labels).reshape(-1).astype(bool)
    if false_alert_rate is None:
        _, threshold = equal_error_rate(values, spoof)
        reason = "equal error rates on val"
    else:
        _, threshold = detection_rate_at(values, spoof, false_alert_rate)
        reason = f"at most {false_alert_rate:.1%} false alerts on val"
    # Halfway to the next lower score, so that rounding on a device moves no trial across it.
    lower = values[values < threshold].max(initial=0.0)
    threshold = float((min(threshold, 1.0) + lower) / 2)
    called = values >= threshold
    return OperatingPoint(
        threshold=threshold,
        false_alert_rate=float(called[~spoof].mean()),
        miss_rate=float((~called[spoof]).mean()),
        chosen_for=reason,
    )
