"""Calibration, operating point, smoothing, voting, hysteresis, cooldown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decision import (
    Calibration,
    DecisionRule,
    DecisionSettings,
    DecisionState,
    OperatingPoint,
    aggregate,
    decide,
    sigmoid,
)

SPOOF, HUMAN = 4.0, -4.0  # log-odds


def replay(
    rule: DecisionRule, log_odds: list[float | None], hop_s: float = 1.0
) -> list[str | None]:
    state, changes = DecisionState(), []
    for i, value in enumerate(log_odds):
        state, decision = decide(rule, state, i * hop_s, value)
        changes.append(decision.change)
    return changes


def rule(threshold: float = 0.5, **settings: float) -> DecisionRule:
    values = {"smoothing_windows": 1, "alert_windows": 2, "of_windows": 3, "cooldown_s": 0.0}
    return DecisionRule(threshold, DecisionSettings(**{**values, **settings}))


def test_sigmoid_of_extremes_does_not_overflow():
    assert sigmoid(-1e6) == 0.0
    assert sigmoid(1e6) == 1.0
    assert sigmoid(0.0) == 0.5


def test_calibration_is_the_affine_map_of_platt():
    assert Calibration(2.0, -1.0).log_odds(3.0) == 5.0


@pytest.mark.parametrize("bad", [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (1.0, math.inf)])
def test_a_calibration_that_would_turn_scores_around_is_refused(bad):
    with pytest.raises(ValueError, match="calibration"):
        Calibration(*bad)


@pytest.mark.parametrize("bad", [(0.0, 0.1, 0.1), (1.0, 0.1, 0.1), (0.5, -0.1, 0.1), (0.5, 0.1, 2)])
def test_an_impossible_operating_point_is_refused(bad):
    with pytest.raises(ValueError, match=r"operating point|rate"):
        OperatingPoint(*bad, chosen_on="val")


def test_the_settings_threshold_wins_over_the_bundles():
    point = OperatingPoint(0.7, 0.05, 0.3, "val")
    assert DecisionRule.of(DecisionSettings(), point).threshold == 0.7
    assert DecisionRule.of(DecisionSettings(threshold=0.9), point).threshold == 0.9


def test_an_alert_needs_n_of_the_last_m_windows():
    assert replay(rule(), [SPOOF, HUMAN, HUMAN, SPOOF, HUMAN, SPOOF]) == [
        None, None, None, None, None, "raised",
    ]  # fmt: skip


def test_windows_without_speech_neither_vote_nor_push_votes_out():
    assert replay(rule(), [SPOOF, None, None, None, SPOOF])[-1] == "raised"


def test_old_evidence_expires():
    assert replay(rule(evidence_s=2.0), [SPOOF, None, None, None, SPOOF])[-1] is None


def test_a_standing_alert_ends_when_its_evidence_has_expired():
    changes = replay(rule(evidence_s=2.0), [SPOOF, SPOOF, None, None, None])
    assert changes == [None, "raised", None, "cleared", None]


def test_hysteresis_holds_an_alert_up_between_the_two_levels():
    between = math.log(0.45 / 0.55)
    steady = [SPOOF, SPOOF, between, between, between]
    assert replay(rule(release_margin=0.1), steady) == [None, "raised", None, None, None]
    assert "cleared" in replay(rule(release_margin=0.0), steady)


def test_cooldown_delays_the_next_alert_and_does_not_lose_it():
    flapping = [SPOOF, SPOOF, HUMAN, HUMAN, SPOOF, SPOOF, SPOOF, SPOOF]
    assert replay(rule(cooldown_s=6.0), flapping) == [
        None, "raised", None, "cleared", None, None, None, "raised",
    ]  # fmt: skip


def test_smoothing_averages_log_odds_of_scored_windows():
    state = DecisionState()
    for i, value in enumerate([2.0, None, -1.0]):
        state, decision = decide(rule(smoothing_windows=3), state, float(i), value)
    assert decision.smoothed == pytest.approx(sigmoid(0.5))


@given(st.lists(st.one_of(st.none(), st.floats(-50, 50)), max_size=40), st.integers(1, 9))
def test_smoothing_always_averages_exactly_the_last_k_scored_windows(values, k):
    state = DecisionState()
    scored: list[float] = []
    for i, value in enumerate(values):
        state, decision = decide(rule(smoothing_windows=k, evidence_s=1e4), state, float(i), value)
        if value is None:
            assert decision.smoothed is None
            continue
        scored.append(value)
        last = scored[-k:]
        assert decision.smoothed == pytest.approx(sigmoid(sum(last) / len(last)), abs=1e-9)


@given(st.lists(st.one_of(st.none(), st.floats(-9, 9)), max_size=60))
def test_raised_and_cleared_alternate(values):
    changes = [c for c in replay(rule(), values) if c]
    assert changes == ["raised", "cleared"] * (len(changes) // 2) + ["raised"] * (len(changes) % 2)


def test_a_rule_that_can_never_alert_is_a_problem():
    assert "no alert" in DecisionSettings(alert_windows=4, of_windows=3).problems()[0]
    assert DecisionSettings().problems() == []


def test_the_rule_is_said_in_a_sentence():
    text = DecisionRule(0.82, DecisionSettings(smoothing_windows=2)).sentence()
    for part in ("0.82", "3 of the last 5", "0.72", "30 s", "averaged over 2 windows"):
        assert part in text


def test_a_recording_has_the_probability_of_its_mean_log_odds():
    assert aggregate([3.0, -1.0]) == pytest.approx(sigmoid(1.0))
    with pytest.raises(ValueError, match="without scored windows"):
        aggregate([])
