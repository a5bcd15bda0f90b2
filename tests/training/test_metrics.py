from __future__ import annotations

import numpy as np
import pytest
import sklearn.isotonic
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st

from training.metrics import (
    CostModel,
    accuracy,
    area_under_curve,
    balanced_accuracy,
    bootstrap_interval,
    detection_rate_at,
    equal_error_rate,
    error_curve,
    figures,
    log_likelihood_cost,
    min_detection_cost,
    min_log_likelihood_cost,
    pool_adjacent_violators,
)

trials = st.lists(st.tuples(st.integers(-8, 8), st.booleans()), min_size=4, max_size=60)


def split(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores = np.array([score / 2 for score, _ in rows])
    labels = np.array([label for _, label in rows])
    assume(labels.any() and not labels.all())
    return scores, labels


def test_perfectly_separated_scores_have_no_error() -> None:
    made = figures([-3.0, -2.0, 2.0, 3.0], [0, 0, 1, 1])
    assert (made.eer, made.auc, made.accuracy, made.tpr_at_5_fpr, made.min_dcf) == (0, 1, 1, 1, 0)
    assert made.min_cllr == 0
    assert made.cllr > 0


def test_reversed_scores_are_entirely_wrong() -> None:
    scores, labels = [3.0, 2.0, -2.0, -3.0], [0, 0, 1, 1]
    assert equal_error_rate(scores, labels)[0] == 1
    assert area_under_curve(scores, labels) == 0
    assert min_log_likelihood_cost(scores, labels) == pytest.approx(1)


def test_eer_worked_by_hand_where_a_threshold_balances_the_errors() -> None:
    # At threshold 2: one of four spoofs (1) missed, one of four bona fide (3) called spoof.
    rate, threshold = equal_error_rate([0, 0, 0, 3, 1, 2, 4, 5], [0, 0, 0, 0, 1, 1, 1, 1])
    assert rate == pytest.approx(0.25)
    assert 1 < threshold <= 3


def test_eer_worked_by_hand_between_two_thresholds() -> None:
    # Bona fide 0, 2; spoof 1, 3, 4. At 2: misses 1/3, alerts 1/2; at 3: misses 1/3, alerts 0.
    rate, _ = equal_error_rate([0, 2, 1, 3, 4], [0, 0, 1, 1, 1])
    assert rate == pytest.approx(1 / 3)


def test_eer_of_scores_that_tell_nothing_is_a_half() -> None:
    rate, threshold = equal_error_rate([1.0] * 6, [0, 1, 0, 1, 0, 1])
    assert rate == 0.5
    assert np.isfinite(threshold)


@given(trials)
def test_the_error_curve_runs_from_all_alerts_to_all_misses(rows: list[tuple[int, bool]]) -> None:
    scores, labels = split(rows)
    thresholds, misses, alerts = error_curve(scores, labels)
    assert (misses[0], alerts[0], misses[-1], alerts[-1]) == (0, 1, 1, 0)
    assert (np.diff(misses) >= 0).all() and (np.diff(alerts) <= 0).all()
    for at, miss, alert in zip(thresholds, misses, alerts):
        assert miss == pytest.approx((scores[labels] < at).mean())
        assert alert == pytest.approx((scores[~labels] >= at).mean())


@given(trials)
def test_auc_is_that_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores, labels = split(rows)
    expected = sklearn.metrics.roc_auc_score(labels, scores)
    assert area_under_curve(scores, labels) == pytest.approx(expected)


@given(trials)
def test_eer_lies_where_scikit_learns_roc_crosses_the_diagonal(
    rows: list[tuple[int, bool]],
) -> None:
    scores, labels = split(rows)
    alerts, hits, _ = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    grid = np.linspace(0, 1, 20001)
    crossing = np.argmin(np.abs(1 - np.interp(grid, alerts, hits) - grid))
    rate, _ = equal_error_rate(scores, labels)
    # Where the ROC steps upwards the interpolation above is ambiguous; the EER lies on the step.
    at = grid[crossing]
    low = 1 - hits[alerts <= at + 1e-4].max()
    high = 1 - hits[alerts >= at - 1e-4].min()
    assert min(low, at) - 2e-4 <= rate <= max(high, at) + 2e-4


@given(trials)
def test_pav_is_scikit_learns_isotonic_regression(rows: list[tuple[int, bool]]) -> None:
    values = np.array([float(score) for score, _ in rows])
    weights = np.array([1.0 + label for _, label in rows])
    expected = sklearn.isotonic.isotonic_regression(values, sample_weight=weights)
    np.testing.assert_allclose(pool_adjacent_violators(values, weights), expected, atol=1e-9)


@given(trials)
def test_no_calibration_beats_min_cllr(rows: list[tuple[int, bool]]) -> None:
    scores, labels = split(rows)
    least = min_log_likelihood_cost(scores, labels)
    assert -1e-12 <= least <= 1 + 1e-12
    for scale, offset in ((1.0, 0.0), (0.3, 0.2), (3.0, -1.0)):
        assert least <= log_likelihood_cost(scale * scores + offset, labels) + 1e-9


def test_cllr_worked_by_hand() -> None:
    assert log_likelihood_cost([0.0, 0.0], [0, 1]) == pytest.approx(1.0)
    # ln 3 for the spoof: log2(1 + 1/3); -ln 3 for the bona fide: the same.
    ratios = [np.log(3), -np.log(3)]
    assert log_likelihood_cost(ratios, [1, 0]) == pytest.approx(np.log2(4 / 3))


def test_tpr_at_five_percent_keeps_to_the_limit() -> None:
    bonafide = np.arange(100.0)
    spoof = np.array([10.0, 93.5, 95.5, 200.0])
    scores = np.concatenate([bonafide, spoof])
    labels = np.concatenate([np.zeros(100), np.ones(4)])
    # Five of a hundred may be at or above the threshold: those from 95 on.
    rate, threshold = detection_rate_at(scores, labels, 0.05)
    assert (rate, threshold) == (0.5, 95.0)


def test_min_dcf_worked_by_hand() -> None:
    scores, labels = [0, 2, 1, 3], [0, 0, 1, 1]
    # Equal weights: at 1, no miss and one of two alerts cost 0.5 * 0.5, relative to 0.5.
    costs = CostModel(spoof_prior=0.5, miss_cost=1, false_alert_cost=1)
    assert min_detection_cost(scores, labels, costs) == pytest.approx(0.5)
    # Misses ten times as dear, spoofs rare: 0.5 * 0.95 against 0.5 * 0.5, relative to 0.5.
    assert min_detection_cost(scores, labels) == pytest.approx(0.5)


def test_accuracy_counts_both_sides_of_the_threshold() -> None:
    scores, labels = [-1.0, 0.0, 1.0, 2.0, 3.0], [0, 0, 0, 1, 1]
    assert accuracy(scores, labels, 0.0) == pytest.approx(3 / 5)
    assert balanced_accuracy(scores, labels, 0.0) == pytest.approx((1 / 3 + 1) / 2)


@pytest.mark.parametrize(
    ("scores", "labels", "complaint"),
    [
        ([1.0, 2.0], [1, 1], "both bona fide and spoof"),
        ([1.0, np.nan], [1, 0], "finite"),
        ([1.0], [1, 0], "1 scores but 2 labels"),
    ],
)
def test_trials_that_allow_no_figure_are_refused(
    scores: list[float], labels: list[int], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        equal_error_rate(scores, labels)


def test_the_interval_over_sources_is_wider_than_over_trials() -> None:
    rng = np.random.default_rng(0)
    shift = np.repeat(rng.normal(0, 2, 10), 40)
    labels = np.tile([0, 1], 200)
    scores = labels + shift + rng.normal(0, 0.5, 400)
    sources = np.repeat([f"s{i}" for i in range(10)], 40)

    def width(groups: list[str]) -> float:
        low, high = bootstrap_interval(
            scores, labels, groups, area_under_curve, np.random.default_rng(1), 200
        )
        assert low <= area_under_curve(scores, labels) <= high
        return high - low

    assert width(list(sources)) > 1.5 * width([str(i) for i in range(400)])


def test_the_interval_is_the_same_for_the_same_rng() -> None:
    scores, labels, groups = [0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1], ["a", "a", "b", "b"]

    def interval() -> tuple[float, float]:
        rng = np.random.default_rng(3)
        return bootstrap_interval(scores, labels, groups, area_under_curve, rng, 50)

    assert interval() == interval()
