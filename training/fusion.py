"""How much a teller counts beside a network's logit, by logistic regression.

Bruemmer et al., "Fusion of heterogeneous speaker recognition systems", IEEE TASLP 2007.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError

Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

# As in the evaluations of speaker recognition by NIST.
SPOOF_PRIOR = 0.01


@dataclass(frozen=True)
class Fusion:
    """log-odds = `alone` * those of the network alone + `told` * the teller + `offset`."""

    alone: float
    told: float
    offset: float

    def of(self, log_odds: Float64, told: Float64) -> Float64:
        """Log-odds of recordings, shape (recordings,)."""
        return self.alone * log_odds + self.told * told + self.offset


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
