from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import numpy as np
import pytest

from edge.audio.block import AudioBlock
from edge.decision import Calibration, DecisionRule, DecisionSettings
from edge.detector import DetectorSettings
from edge.ear import Ear, Judge
from edge.updates.health import WindowOutcome
from tests.bundles import FRONT_END, RATE_HZ, tiny_logit, voice, whisper
from tests.clocks import NOON, Time

RULE = DecisionRule(0.5, DecisionSettings(alert_windows=2, of_windows=3, cooldown_s=0))


def judge(score=tiny_logit, rule: DecisionRule = RULE, model: str = "tiny 1.0.0", **more) -> Judge:
    settings = DetectorSettings(
        front_end=FRONT_END,
        model_samples=5 * RATE_HZ,
        window_samples=more.get("window_samples", 5 * RATE_HZ),
        hop_samples=more.get("hop_samples", RATE_HZ),
        padding="repeat",
        calibration=Calibration(),
        rule=rule,
    )
    return Judge(model, settings, score)


def make_ear(time: Time, **options) -> Ear:
    numbers = itertools.count()
    options.setdefault("judge", judge())
    options.setdefault("clocks", time.clocks())
    return Ear("hall", new_id=lambda: f"id-{next(numbers)}", **options)


def hear(ear: Ear, time: Time, samples: np.ndarray, start: int = 0, block_s: float = 0.5) -> list:
    """Live audio: each block is heard a twentieth of a second after it ended."""
    size = round(block_s * RATE_HZ)
    records = []
    for first in range(0, len(samples), size):
        piece = samples[first : first + size]
        captured_s = time.steady_s
        time.steady_s += len(piece) / RATE_HZ + 0.05
        records += ear.hear(AudioBlock(piece, start + first, captured_s))
        time.steady_s -= 0.05
    return records


def of_type(records: list, kind: str) -> list:
    return [record for record in records if record["type"] == kind]


def test_windows_are_stamped_with_the_time_at_which_they_were_heard() -> None:
    time = Time()
    records = hear(make_ear(time), time, voice(7.0))
    windows = of_type(records, "window")
    assert [w["window"] for w in windows] == [0, 1, 2]
    assert windows[0]["time"] == "2024-03-31T12:00:05.000+02:00"
    assert windows[2]["time"] == "2024-03-31T12:00:07.000+02:00"
    assert windows[0]["latency_ms"] == pytest.approx(50)
    assert windows[0]["model"] == "tiny 1.0.0"


@pytest.mark.parametrize("hours", [-1, 1, -24 * 365 * 54])
def test_after_the_clock_was_set_stamps_follow_it_and_windows_go_on(hours: int) -> None:
    time = Time()
    ear = make_ear(time)
    before = of_type(hear(ear, time, voice(6.0)), "window")
    time.ahead = timedelta(hours=hours)
    after = of_type(hear(ear, time, voice(2.0), start=6 * RATE_HZ), "window")
    assert [w["window"] for w in before + after] == [0, 1, 2, 3]
    stamp = datetime.fromisoformat(after[0]["time"])
    assert stamp == NOON + timedelta(seconds=7) + time.ahead
    assert (after[0]["start_s"], after[0]["end_s"]) == (2.0, 7.0)


def test_an_alert_has_an_id_and_its_end_names_it() -> None:
    time = Time()
    ear = make_ear(time)
    records = hear(ear, time, np.concatenate([whisper(8.0), voice(12.0)]))
    raised, cleared = of_type(records, "alert")
    assert (raised["state"], cleared["state"]) == ("raised", "cleared")
    assert raised["alert"] == raised["id"] == cleared["alert"] != cleared["id"]
    assert "likely synthetic" in raised["message"]
    alerting = [w["alerting"] for w in of_type(records, "window")]
    assert alerting[0] is False and any(alerting) and alerting[-1] is False
    before = records[records.index(raised) - 1]
    assert (before["type"], before["window"]) == ("window", raised["window"])


def test_a_gap_is_not_judged_across() -> None:
    time = Time()
    ear = make_ear(time)
    hear(ear, time, voice(4.0))
    assert of_type(hear(ear, time, voice(4.0), start=5 * RATE_HZ), "window") == []
    later = of_type(hear(ear, time, voice(1.0), start=9 * RATE_HZ), "window")
    assert [(w["window"], w["start_s"]) for w in later] == [(0, 5.0)]


def test_unfit_input_is_an_event_when_it_begins_and_when_it_ends_not_in_between() -> None:
    time = Time()
    ear = make_ear(time)
    records = hear(ear, time, np.concatenate([np.zeros(9 * RATE_HZ, np.float32), voice(9.0)]))
    events = of_type(records, "event")
    assert [e["kind"] for e in events] == ["silent-input", "input-ok"]
    assert "muted" in events[0]["message"]
    verdicts = {w["verdict"] for w in of_type(records, "window") if w["health"] != "ok"}
    assert verdicts == {"not-scored"}


def test_input_that_flaps_is_told_at_most_once_a_minute() -> None:
    time = Time()
    ear = make_ear(time)
    flapping = np.concatenate([np.zeros(6 * RATE_HZ, np.float32), voice(6.0)] * 5)
    assert len(of_type(hear(ear, time, flapping), "event")) <= 4


def test_another_model_goes_on_between_two_windows_and_ends_the_old_ones_alert() -> None:
    time = Time()
    ear = make_ear(time)
    first = hear(ear, time, whisper(8.0))
    told = ear.change(judge(lambda features: -9.0, model="tiny 2.0.0"), None, "Another model.")
    second = hear(ear, time, whisper(2.0), start=8 * RATE_HZ)
    windows = of_type(first + second, "window")
    assert [w["window"] for w in windows] == [0, 1, 2, 3, 4, 5]
    assert [w["model"] for w in windows] == ["tiny 1.0.0"] * 4 + ["tiny 2.0.0"] * 2
    assert [(a["state"], a["message"]) for a in told] == [("cleared", "Another model.")]
    assert told[0]["alert"] == of_type(first, "alert")[0]["id"]


def test_other_windows_begin_anew_but_their_count_goes_on() -> None:
    time = Time()
    ear = make_ear(time)
    hear(ear, time, voice(6.0))
    assert ear.change(judge(window_samples=3 * RATE_HZ), None, "Other settings.") == []
    windows = of_type(hear(ear, time, voice(4.0), start=6 * RATE_HZ), "window")
    assert [(w["window"], w["start_s"], w["end_s"]) for w in windows] == [(2, 6, 9), (3, 7, 10)]


def test_a_model_on_trial_is_held_against_the_other_on_the_same_windows() -> None:
    time = Time()
    outcomes: list[WindowOutcome] = []
    rival = judge(lambda features: -9.0)
    hear(make_ear(time, rival=rival, on_outcome=outcomes.append), time, whisper(6.0))
    assert [(o.spoof, o.previous_spoof, o.finite) for o in outcomes] == [(True, False, True)] * 2


def test_a_network_that_gives_no_number_is_a_fault_and_not_a_human() -> None:
    time = Time()
    outcomes: list[WindowOutcome] = []
    broken = judge(lambda features: float("nan"))
    records = hear(make_ear(time, judge=broken, on_outcome=outcomes.append), time, voice(5.0))
    [window] = of_type(records, "window")
    assert (window["verdict"], window["health"]) == ("not-scored", "model-fault")
    assert [o.finite for o in outcomes] == [False]


def test_the_end_of_a_recording_is_judged_too() -> None:
    time = Time()
    ear = make_ear(time)
    samples = voice(6.4)
    records = ear.hear(AudioBlock(samples, 0)) + ear.finish()
    assert [w["end_s"] for w in of_type(records, "window")] == [5.0, 6.0, 6.4]
