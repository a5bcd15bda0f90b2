from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from training.calibrate import Calibration, choose_operating_point, fit_calibration
from training.metrics import log_likelihood_cost


def draw(rng: np.random.Generator, bonafide: int, spoof: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian scores whose log likelihood ratio is 4 x - 2."""
    scores = np.concatenate([rng.normal(0, 0.5, bonafide), rng.normal(1, 0.5, spoof)])
    return scores, np.concatenate([np.zeros(bonafide), np.ones(spoof)])


def test_a_known_likelihood_ratio_is_found_whatever_the_class_balance(
    rng: np.random.Generator,
) -> None:
    for counts in ((20000, 20000), (30000, 3000)):
        found = fit_calibration(*draw(rng, *counts))
        assert found.scale == pytest.approx(4, rel=0.08)
        assert found.offset == pytest.approx(-2, abs=0.15)


def test_it_is_scikit_learns_balanced_logistic_regression(rng: np.random.Generator) -> None:
    scores, labels = draw(rng, 400, 150)
    reference = LogisticRegression(C=1e6, class_weight="balanced").fit(scores[:, None], labels)
    found = fit_calibration(scores, labels)
    assert found.scale == pytest.approx(reference.coef_[0, 0], rel=0.02)
    assert found.offset == pytest.approx(reference.intercept_[0], rel=0.02)


def test_calibration_lowers_cllr_of_overconfident_scores(rng: np.random.Generator) -> None:
    scores, labels = draw(rng, 500, 500)
    wild = 40 * scores - 5
    found = fit_calibration(wild, labels)
    assert log_likelihood_cost(found.log_ratio(wild), labels) < 0.6
    assert log_likelihood_cost(wild, labels) > 1


def test_separated_classes_get_a_finite_scale() -> None:
    found = fit_calibration([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1])
    assert 0 < found.scale < 1e4
    assert np.isfinite(found.offset)


def test_scores_that_point_the_wrong_way_still_get_a_positive_scale() -> None:
    assert fit_calibration([3.0, 2.0, 1.0, 0.0], [0, 0, 1, 1]).scale > 0


def test_one_class_alone_cannot_be_calibrated() -> None:
    with pytest.raises(ValueError, match="both"):
        fit_calibration([1.0, 2.0], [1, 1])


def test_probability_is_the_sigmoid_of_the_log_ratio() -> None:
    made = Calibration(2.0, -1.0)
    assert made.probability([0.5, 1.0]).tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-1))])
    assert made.log_odds(1.0) == 1.0


def test_the_operating_point_keeps_to_the_false_alerts_it_was_chosen_for() -> None:
    probabilities = np.concatenate([np.linspace(0, 0.99, 100), [0.5, 0.96, 0.97, 0.98]])
    labels = np.concatenate([np.zeros(100), np.ones(4)])
    point = choose_operating_point(probabilities, labels, 0.05)
    assert point.false_alert_rate == 0.05
    assert point.miss_rate == 0.25
    called = probabilities >= point.threshold
    assert called[labels == 0].mean() == 0.05
    assert "5.0%" in point.chosen_for


def test_no_false_alert_at_all_can_be_asked_for() -> None:
    point = choose_operating_point([0.2, 0.95, 0.9, 0.95], [0, 0, 1, 1], 0.0)
    assert point.false_alert_rate == 0
    assert point.miss_rate == 1
    assert 0.95 < point.threshold < 1


def test_equal_errors_can_be_asked_for() -> None:
    point = choose_operating_point([0.1, 0.6, 0.4, 0.9], [0, 0, 1, 1], None)
    assert abs(point.false_alert_rate - point.miss_rate) <= 0.5
    assert "equal" in point.chosen_for
