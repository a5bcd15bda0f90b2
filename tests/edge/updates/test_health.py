"""When a model on trial is committed, and when it is sent back."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edge.updates.health import Step, Trial, TrialSettings, WindowOutcome, judge

SETTINGS = TrialSettings(healthy_windows=50, late_windows=3, compared_windows=20)
GOOD = WindowOutcome(0.01, True, False, False)


def run(outcomes, settings=SETTINGS):
    trial = Trial(settings, hop_s=1.0)
    for outcome in outcomes:
        trial, judgement = judge(trial, outcome)
        if judgement.step is not Step.GO_ON:
            return trial, judgement
    return trial, judgement


def test_enough_healthy_windows_commit():
    trial, judgement = run([GOOD] * 100)
    assert judgement.step is Step.COMMIT and trial.windows == 50


def test_silence_proves_nothing():
    _, judgement = run([WindowOutcome(0.01)] * 1000)
    assert judgement.step is Step.GO_ON


def test_a_score_that_is_no_number_rolls_back_at_once():
    trial, judgement = run([GOOD, GOOD, WindowOutcome(0.01, finite=False)])
    assert judgement.step is Step.ROLL_BACK and trial.windows == 3
    assert "no finite score" in judgement.reason


def test_a_latency_that_is_no_number_rolls_back():
    assert run([WindowOutcome(math.nan)])[1].step is Step.ROLL_BACK


def test_one_late_window_is_forgiven_and_a_run_of_them_is_not():
    late = WindowOutcome(1.5, True, False, False)
    assert run([GOOD, late, late, GOOD, late, late, GOOD])[1].step is Step.GO_ON
    _, judgement = run([GOOD, late, late, late])
    assert judgement.step is Step.ROLL_BACK and "longer than the hop" in judgement.reason


def test_a_model_that_calls_everything_spoof_rolls_back():
    trial, judgement = run([WindowOutcome(0.01, True, True, False)] * 30)
    assert judgement.step is Step.ROLL_BACK and trial.windows == 20
    assert "calls 100% of 20 windows spoof" in judgement.reason


def test_a_model_that_calls_nothing_spoof_among_spoofs_rolls_back():
    assert run([WindowOutcome(0.01, True, False, True)] * 30)[1].step is Step.ROLL_BACK


def test_a_room_full_of_synthetic_voices_is_no_fault():
    assert run([WindowOutcome(0.01, True, True, True)] * 50)[1].step is Step.COMMIT


def test_without_a_reference_nothing_is_compared():
    assert run([WindowOutcome(0.01, True, True, None)] * 50)[1].step is Step.COMMIT


outcomes = st.builds(
    WindowOutcome,
    st.floats(0, 2),
    st.booleans() | st.just(True),
    st.none() | st.booleans(),
    st.none() | st.booleans(),
)


@given(st.lists(outcomes, max_size=120))
def test_no_trial_commits_early_or_with_a_fault(seen):
    trial = Trial(SETTINGS, hop_s=1.0)
    for count, outcome in enumerate(seen, 1):
        trial, judgement = judge(trial, outcome)
        if judgement.step is Step.COMMIT:
            assert outcome.finite and trial.fault() is None
            assert sum(o.spoof is not None for o in seen[:count]) >= SETTINGS.healthy_windows
        if not outcome.finite:
            assert judgement.step is Step.ROLL_BACK and judgement.reason
