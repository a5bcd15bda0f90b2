"""Figures of merit of a detector, from scores and labels alone. Pure.

Scores are float, shape (n,), higher = more likely spoof; labels are 1 for spoof (the positive
class), 0 for bona fide, shape (n,). A threshold `t` calls spoof what scores `t` or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class CostModel:
    """Parameters of the detection cost: prior of spoof, and the costs of the two errors.

    The defaults are those of ASVspoof 5 (Wang et al., 2024, track 1): a spoof is rare and missing
    it costs ten times a false alert.
    """

    spoof_prior: float = 0.05
    miss_cost: float = 10.0
    false_alert_cost: float = 1.0


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Float64, NDArray[np.bool_]]:
    score_array = np.asarray(scores, np.float64).reshape(-1)
    label_array = np.asarray(labels).reshape(-1).astype(bool)
    if len(score_array) != len(label_array):
        raise ValueError(f"{len(score_array)} scores but {len(label_array)} labels")
    if not np.isfinite(score_array).all():
        raise ValueError("scores must be finite numbers")
    if label_array.all() or not label_array.any():
        raise ValueError("both bona fide and spoof trials are needed")
    return score_array, label_array


def error_curve(scores: ArrayLike, labels: ArrayLike) -> tuple[Float64, Float64, Float64]:
    """Errors at every threshold worth taking.

    Returns:
        thresholds (ascending, the last one infinite), miss rate of spoofs, false alert rate on
        bona fide, each of shape (distinct scores + 1,). Misses rise from 0 to 1, false alerts
        fall from 1 to 0.

    Raises:
        ValueError: a class is missing, a score is not finite, or the lengths differ.
    """
    score_array, label_array = _checked(scores, labels)
    thresholds = np.unique(score_array)
    spoof = np.sort(score_array[label_array])
    bonafide = np.sort(score_array[~label_array])
    misses = np.append(np.searchsorted(spoof, thresholds) / len(spoof), 1.0)
    above = len(bonafide) - np.searchsorted(bonafide, thresholds)
    alerts = np.append(above / len(bonafide), 0.0)
    return np.append(thresholds, np.inf), misses, alerts


def equal_error_rate(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """EER, where the straight line between neighbouring points has equal errors.

    Returns:
        The rate (0 ... 1), and the finite threshold nearest to it.
    """
    thresholds, misses, alerts = error_curve(scores, labels)
    # Misses start below alerts and end above: the first point where they are not below.
    after = int(np.argmax(misses >= alerts))
    finite = min(after, len(thresholds) - 2)
    if after == 0:
        return float(misses[0]), float(thresholds[0])
    gap_before = alerts[after - 1] - misses[after - 1]
    gap_after = misses[after] - alerts[after]
    share = gap_before / (gap_before + gap_after)
    rate = misses[after - 1] + share * (misses[after] - misses[after - 1])
    return float(rate), float(thresholds[finite])


def area_under_curve(scores: ArrayLike, labels: ArrayLike) -> float:
    """AUC of the ROC: the chance that a spoof outscores a bona fide clip, ties counting half."""
    score_array, label_array = _checked(scores, labels)
    bonafide = np.sort(score_array[~label_array])
    spoof = score_array[label_array]
    below = np.searchsorted(bonafide, spoof, "left")
    up_to = np.searchsorted(bonafide, spoof, "right")
    return float(np.mean((below + up_to) / 2) / len(bonafide))


def accuracy(scores: ArrayLike, labels: ArrayLike, threshold: float = 0.0) -> float:
    """Share of trials on the right side of a threshold."""
    score_array, label_array = _checked(scores, labels)
    return float(np.mean((score_array >= threshold) == label_array))


def balanced_accuracy(scores: ArrayLike, labels: ArrayLike, threshold: float = 0.0) -> float:
    """Mean of the two classes' shares on the right side, which no imbalance flatters."""
    score_array, label_array = _checked(scores, labels)
    called = score_array >= threshold
    return float((called[label_array].mean() + (~called[~label_array]).mean()) / 2)


def detection_rate_at(
    scores: ArrayLike, labels: ArrayLike, false_alert_rate: float = 0.05
) -> tuple[float, float]:
    """TPR at the lowest threshold whose false alert rate is at most so much; and that threshold."""
    thresholds, misses, alerts = error_curve(scores, labels)
    first = int(np.argmax(alerts <= false_alert_rate))
    return float(1 - misses[first]), float(thresholds[first])


def min_detection_cost(
    scores: ArrayLike, labels: ArrayLike, costs: CostModel | None = None
) -> float:
    """minDCF: the least cost over all thresholds, relative to the better blind decision."""
    model = costs or CostModel()
    _, misses, alerts = error_curve(scores, labels)
    miss_weight = model.miss_cost * model.spoof_prior
    alert_weight = model.false_alert_cost * (1 - model.spoof_prior)
    cost = miss_weight * misses + alert_weight * alerts
    return float(cost.min() / min(miss_weight, alert_weight))


def log_likelihood_cost(log_ratios: ArrayLike, labels: ArrayLike) -> float:
    """Cllr in bits of log likelihood ratios (natural log, spoof against bona fide).

    Bruemmer and du Preez, Computer Speech and Language 2006: 0 is perfect, 1 tells nothing.
    """
    ratios, label_array = _checked(log_ratios, labels)
    spoof = np.logaddexp(0, -ratios[label_array]).mean()
    bonafide = np.logaddexp(0, ratios[~label_array]).mean()
    return float((spoof + bonafide) / (2 * np.log(2)))


def pool_adjacent_violators(values: Float64, weights: Float64) -> Float64:
    """Best non-decreasing fit in weighted least squares, same shape (Ayer et al., 1955)."""
    means: list[float] = []
    masses: list[float] = []
    counts: list[int] = []
    for value, weight in zip(values, weights):
        means.append(float(value))
        masses.append(float(weight))
        counts.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            mass = masses[-2] + masses[-1]
            mean = (means[-2] * masses[-2] + means[-1] * masses[-1]) / mass
            count = counts[-2] + counts[-1]
            del means[-1], masses[-1], counts[-1]
            means[-1], masses[-1], counts[-1] = mean, mass, count
    return np.repeat(means, counts)


def min_log_likelihood_cost(scores: ArrayLike, labels: ArrayLike) -> float:
    """minCllr: Cllr after the best monotonic calibration (PAV) on these very trials."""
    score_array, label_array = _checked(scores, labels)
    distinct, where = np.unique(score_array, return_inverse=True)
    spoofs = np.bincount(where, label_array, len(distinct))
    totals = np.bincount(where, minlength=len(distinct)).astype(np.float64)
    posterior = pool_adjacent_violators(spoofs / totals, totals)
    prior = label_array.mean()
    with np.errstate(divide="ignore"):
        ratios = np.log(posterior) - np.log1p(-posterior) - np.log(prior / (1 - prior))
    bonafide_counts = totals - spoofs
    # A posterior of 1 holds no bona fide trial: its infinite cost is taken zero times.
    alert = np.where(bonafide_counts > 0, np.logaddexp(0, ratios), 0)
    miss = np.where(spoofs > 0, np.logaddexp(0, -ratios), 0)
    spoof = miss @ spoofs / spoofs.sum()
    bonafide = alert @ bonafide_counts / bonafide_counts.sum()
    return float((spoof + bonafide) / (2 * np.log(2)))


@dataclass(frozen=True)
class Figures:
    """All figures of one set of trials; rates are 0 ... 1.

    Attributes:
        trials, spoofs: how many.
        eer, auc, accuracy, tpr_at_5_fpr, min_dcf, cllr, min_cllr: as the functions above say;
            accuracy at the operating point given, Cllr of the calibrated scores.
    """

    trials: int
    spoofs: int
    eer: float
    auc: float
    accuracy: float
    tpr_at_5_fpr: float
    min_dcf: float
    cllr: float
    min_cllr: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def figures(
    log_ratios: ArrayLike, labels: ArrayLike, threshold: float = 0.0, costs: CostModel | None = None
) -> Figures:
    """All figures at once.

    Args:
        log_ratios: calibrated scores (log likelihood ratios).
        labels: 1 = spoof.
        threshold: operating point, in the same unit, for the accuracy.
        costs: of minDCF.

    Raises:
        ValueError: a class is missing or a score is not finite.
    """
    ratios, label_array = _checked(log_ratios, labels)
    return Figures(
        trials=len(ratios),
        spoofs=int(label_array.sum()),
        eer=equal_error_rate(ratios, label_array)[0],
        auc=area_under_curve(ratios, label_array),
        accuracy=accuracy(ratios, label_array, threshold),
        tpr_at_5_fpr=detection_rate_at(ratios, label_array, 0.05)[0],
        min_dcf=min_detection_cost(ratios, label_array, costs),
        cllr=log_likelihood_cost(ratios, label_array),
        min_cllr=min_log_likelihood_cost(ratios, label_array),
    )


Statistic = Callable[[Float64, NDArray[np.bool_]], float]


def bootstrap_interval(
    scores: ArrayLike,
    labels: ArrayLike,
    groups: Sequence[str],
    statistic: Statistic,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a statistic when whole sources are drawn anew.

    Trials of one source share speakers and channels and are not independent; drawing sources
    instead of trials says what another choice of sources would have given (Bengio and Mariethoz,
    Odyssey 2004). Draws without both classes are drawn again.

    Args:
        scores, labels: the trials.
        groups: source of each trial.
        statistic: of scores and labels.
        rng: draws the sources.
        draws: how many resamples.
        level: share of them that the interval holds.

    Raises:
        ValueError: no draw can have both classes.
    """
    score_array, label_array = _checked(scores, labels)
    names, where = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(where == index) for index in range(len(names))]
    values: list[float] = []
    for _ in range(draws * 20):
        picked = np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))])
        picked_labels = label_array[picked]
        if picked_labels.any() and not picked_labels.all():
            values.append(statistic(score_array[picked], picked_labels))
        if len(values) == draws:
            break
    if not values:
        raise ValueError("no resample of the sources holds both classes")
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
