"""How much a teller counts beside a network."""

from __future__ import annotations

import numpy as np
import pytest

from training.errors import TrainingError
from training.fusion import Fusion, fit_fusion


def test_a_fusion_weighs_what_knows_more(rng: np.random.Generator) -> None:
    labels = np.repeat([0.0, 1.0], 500)
    knows, guesses = rng.normal(0, 1, (2, 1000))
    fused = fit_fusion(3 * (labels - 0.5) + knows, guesses, labels)
    assert fused.alone > 10 * abs(fused.told)
    assert fused.of(np.array([1.0]), np.array([2.0])) == pytest.approx(
        fused.alone + 2 * fused.told + fused.offset
    )


def test_log_odds_that_are_right_stay_as_they_are(rng: np.random.Generator) -> None:
    labels = np.repeat([0.0, 1.0], 20000)
    log_odds = 4 * (labels - 0.5) + rng.normal(0, 2, 40000)
    fused = fit_fusion(log_odds, rng.normal(0, 1, 40000), labels)
    assert fused.alone == pytest.approx(1, abs=0.05)
    assert fused.told == pytest.approx(0, abs=0.05)
    assert fused.offset == pytest.approx(0, abs=0.1)


def test_what_now_and_then_mistakes_a_person_counts_less(rng: np.random.Generator) -> None:
    labels = np.repeat([0.0, 1.0], 20000)
    log_odds, told = 2 * (labels - 0.5) + rng.normal(0, 1, (2, 40000))
    even = fit_fusion(log_odds, told, labels)
    told[:400] += 4
    fused = fit_fusion(log_odds, told, labels)
    assert even.told == pytest.approx(even.alone, rel=0.1)
    # For equal priors it would be .71 of the other: two of a hundred are few.
    assert fused.told < 0.6 * fused.alone


def test_a_judge_that_tells_nothing_is_refused(rng: np.random.Generator) -> None:
    labels = np.repeat([0.0, 1.0], 100)
    with pytest.raises(TrainingError, match="no better than chance"):
        fit_fusion(-labels, rng.normal(0, 1, 200), labels)


def test_the_fusion_is_what_the_regression_says() -> None:
    assert Fusion(2.0, 3.0, -1.0).of(np.array([1.0]), np.array([1.0])).tolist() == [4.0]
