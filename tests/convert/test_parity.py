"""The gate lets through what agrees with Keras and stops what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.parity import GATES, Gate, WindowScores, compare, parity_table
from edge.bundle import VARIANTS
from edge.decision import Calibration

GATE = Gate(eer_shift=0.005, mean_difference=0.01, max_difference=0.1)
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32)
RECORDINGS = np.repeat(np.arange(8), 2)
LOGITS = np.repeat([-4.0, -3, -2, 0.5, 0.4, 2, 3, 4], 2)


def scores(logits: np.ndarray) -> WindowScores:
    return WindowScores(np.asarray(logits, np.float64), RECORDINGS, LABELS)


def against_reference(logits: np.ndarray, gate: Gate = GATE) -> tuple[str, ...]:
    return compare("int8", scores(LOGITS), scores(logits), Calibration(), gate).failures


def test_the_same_scores_pass_with_no_difference():
    result = compare("float32", scores(LOGITS), scores(LOGITS), Calibration(), GATE)
    assert result.passed
    assert (result.mean_difference, result.max_difference) == (0, 0)
    assert result.eer == result.reference_eer == 0.25
    assert (result.recordings, result.windows) == (8, 16)


def test_a_recording_counts_by_the_mean_of_its_windows():
    logits = LOGITS.copy()
    logits[0::2] -= 5
    logits[1::2] += 5
    assert scores(logits).recording_logits() == pytest.approx(LOGITS[::2])


def test_recordings_may_have_different_numbers_of_windows():
    uneven = WindowScores(np.array([1.0, 2, 3, 10]), np.array([0, 0, 0, 1]), np.array([0, 1.0]))
    assert uneven.recording_logits().tolist() == [2, 10]


def test_a_shifted_equal_error_rate_stops_even_when_probabilities_agree():
    logits = LOGITS.copy()
    logits[6:8], logits[8:10] = 0.4, 0.5
    failures = against_reference(logits)
    assert len(failures) == 1
    assert "EER is 0.00% where Keras has 25.00%, more than 0.5 points apart" in failures[0]


def test_one_window_far_off_stops():
    logits = LOGITS.copy()
    logits[0] = -1.5
    lenient = Gate(eer_shift=0.005, mean_difference=0.1, max_difference=0.1)
    assert against_reference(logits, lenient) == (
        "the max difference of probability is 0.1644, above 0.1",
    )


def test_all_windows_a_little_off_stop():
    failures = against_reference(LOGITS + 0.2)
    assert any("mean difference" in failure for failure in failures)


def test_scores_that_are_no_numbers_stop():
    logits = LOGITS.copy()
    logits[3] = np.nan
    assert against_reference(logits) == ("some scores are not finite numbers",)


def test_differences_are_judged_after_calibration():
    offset = LOGITS + 0.2
    flat = compare("int8", scores(LOGITS), scores(offset), Calibration(scale=0.01), GATE)
    assert flat.passed and flat.max_logit_difference == pytest.approx(0.2)


@given(st.floats(0, 3), st.integers(0, 15))
def test_more_difference_is_never_better(size, place):
    def largest(step: float) -> float:
        logits = LOGITS.copy()
        logits[place] += step
        return compare(
            "int8", scores(LOGITS), scores(logits), Calibration(), GATE
        ).max_difference

    assert largest(size) <= largest(size + 0.5)


def test_every_variant_has_a_gate_and_half_a_point_is_the_most():
    assert set(GATES) == set(VARIANTS)
    assert all(gate.eer_shift <= 0.005 for gate in GATES.values())


def test_the_table_names_failures_and_bounds():
    bad = compare("int8", scores(LOGITS), scores(-LOGITS), Calibration(), GATE)
    good = compare("float32", scores(LOGITS), scores(LOGITS), Calibration(), GATE)
    table = parity_table([good, bad], {"float32": GATE, "int8": GATE})
    assert "16 windows of 8 recordings" in table
    assert "| float32 | 25.00% | +0.00 (0.5) | 0.00000 (0.01) | 0.0000 (0.1) | pass |" in table
    assert "| FAIL |" in table
    assert parity_table([], {}) == ""
