"""A threshold for days of human speech, chosen as the daemon hears it."""

from __future__ import annotations

import json
from math import log
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import DEFAULT_BUNDLE, ModelBundle
from edge.decision import Calibration, DecisionRule, DecisionSettings, sigmoid
from training.alert_rule import (
    Heard,
    Limits,
    Listener,
    alerts_in,
    choose,
    hear,
    lowest_threshold,
    spoof_shares,
    within,
)
from training.channel import Channel
from training.cli import _parser, main
from training.errors import TrainingError
from training.protocols import CONDITIONS, Trial

RULE = DecisionSettings(alert_windows=2, of_windows=3, cooldown_s=0.0)


def heard(log_odds, source="a"):
    windows = tuple((float(second), value) for second, value in enumerate(log_odds))
    return Heard(source, float(len(windows)), windows)


def hours_of_speech(outbursts: int, source="a"):
    """An hour of calm speech in which so many stretches of 3 s look synthetic, each more so."""
    log_odds = np.full(3600, -4.0)
    for index in range(outbursts):
        log_odds[100 + 200 * index : 103 + 200 * index] = 1.0 + 0.1 * index
    return heard(list(log_odds), source)


def test_alerts_are_those_of_the_daemons_rule():
    assert alerts_in(heard([-4, 2, -4, -4, 2, 2, -4, None]), DecisionRule(0.5, RULE)) == 1
    assert alerts_in(hours_of_speech(7), DecisionRule(0.5, RULE)) == 7


def test_the_threshold_lies_just_above_the_outbursts_that_are_too_many():
    chosen = lowest_threshold([hours_of_speech(10)], RULE, Limits(alerts_per_hour=2), 60)
    assert sigmoid(1.7) <= chosen < sigmoid(1.8)
    assert within([hours_of_speech(10)], DecisionRule(chosen, RULE), Limits(2))


def test_one_source_that_is_mistaken_raises_the_threshold():
    odd = heard(list(np.linspace(-1, 3, 100)) + [-4.0] * 100, "odd")
    calm = [hours_of_speech(0), odd]
    chosen = lowest_threshold(calm, RULE, Limits(alerts_per_hour=100, source_share=0.15), 60)
    assert 0.10 < spoof_shares(calm, chosen)["odd"] <= 0.15


def test_an_alert_that_never_ends_is_not_taken_for_peace():
    always = heard([10.0] * 3600)
    with pytest.raises(TrainingError, match="no threshold"):
        lowest_threshold([always], RULE, Limits(alerts_per_hour=2), 60)


def test_speech_that_was_never_scored_cannot_choose():
    with pytest.raises(TrainingError, match="no scored"):
        lowest_threshold([heard([None] * 10)], RULE, Limits())


def test_speech_is_heard_through_the_condition_that_is_named():
    human = DEFAULT_BUNDLE.parents[1] / "demo" / "human.flac"
    trials = [Trial("human", human, source="demo")]
    bundle = ModelBundle.load()
    calibration = bundle.manifest.calibration
    clean, again, replayed = (
        hear(bundle, calibration, trials, 1.0, Channel(name))
        for name in ("clean", "clean", "replay")
    )
    assert clean == again
    assert len(clean[0].windows) == len(replayed[0].windows) > 0
    assert clean[0].windows != replayed[0].windows


def test_the_command_line_knows_every_condition():
    for name in CONDITIONS:
        assert _parser().parse_args(["evaluate", "run", "--condition", name]).condition == name
        rule = _parser().parse_args(["alert-rule", "run", "bundle", "--condition", name])
        assert rule.condition == [name]
        alerts = _parser().parse_args(["false-alerts", "bundle", "--condition", name])
        assert alerts.condition == [name]


def finished_run(folder: Path) -> Path:
    """What of a run the rule needs: its calibration and its scores on val."""
    point = {"threshold": 0.5, "false_alert_rate": 0.0, "miss_rate": 0.0, "chosen_for": "a test"}
    stored = {"scale": 1.0, "offset": 0.0, "operating_point": point}
    (folder / "calibration.json").write_text(json.dumps(stored))
    (folder / "scores-val.csv").write_text("probability,label\n0.1,bonafide\n0.9,spoof\n")
    return folder


def test_several_networks_share_the_speech_that_the_threshold_is_chosen_on(tmp_path):
    demo = DEFAULT_BUNDLE.parents[1] / "demo"
    run = finished_run(tmp_path)

    def threshold(*names: str, calibration: Calibration | None = None) -> float:
        listeners = [
            Listener(DEFAULT_BUNDLE, [Trial(name, demo / f"{name}.flac", source=name)], calibration)
            for name in names
        ]
        return choose(run, listeners, 1.0, Limits(source_share=0.9))["threshold"]

    calm, mistaken = threshold("human"), threshold("synthetic")
    assert calm < mistaken
    assert threshold("human", "synthetic") == mistaken
    stored = json.loads((run / "calibration.json").read_text())
    assert stored["operating_point"]["threshold"] == mistaken and stored["scale"] == 1.0
    # A judge has a calibration of its own, and leaves the run's as it is.
    judged = threshold("human", calibration=Calibration(1.0, -1.0))
    assert log(judged / (1 - judged)) == pytest.approx(log(calm / (1 - calm)) - 1)
    assert json.loads((run / "calibration.json").read_text())["offset"] == 0.0


def test_conditions_are_judged_one_by_one_or_together(tmp_path, monkeypatch):
    run = finished_run(tmp_path)
    demo = DEFAULT_BUNDLE.parents[1] / "demo"
    listener = Listener(DEFAULT_BUNDLE, [Trial("a", demo / "human.flac", source="a")])
    loud = {"clean": 0.0, "telephone": 3.0}

    def heard_through(bundle, calibration, trials, hours, channel):
        odds = [loud[channel.condition]] * 6 + [-5.0] * 60
        return [Heard("a", 3600.0, tuple((float(end), one) for end, one in enumerate(odds)))]

    monkeypatch.setattr("training.alert_rule.hear", heard_through)

    def threshold(together, least=0.0):
        limits = Limits(alerts_per_hour=0.5, source_share=0.9)
        channels = [Channel(name) for name in loud]
        point = choose(
            run, [listener], 1.0, limits, channels, together=together, least=least
        )
        return point["threshold"]

    # Two hours may hold one alert; of one hour, neither.
    assert threshold(together=False) == pytest.approx(sigmoid(3.0))
    assert sigmoid(0.0) <= threshold(together=True) < sigmoid(3.0)
    chosen = json.loads((run / "calibration.json").read_text())["operating_point"]["chosen_for"]
    assert "clean, telephone; all together" in chosen and "would do" not in chosen
    # And it is no lower than what devices hold.
    assert threshold(together=True, least=0.93) == 0.93
    assert threshold(together=False, least=0.93) == pytest.approx(sigmoid(3.0))


def test_it_is_said_whose_speech_is_to_be_heard(tmp_path, capsys):
    run = str(finished_run(tmp_path))
    assert main(["alert-rule", run]) != 0
    assert main(["alert-rule", run, "bundle", "--fold", "run", "bundle"]) != 0
    assert main(["alert-rule", run, "--judge", "a", "b", "--fold", "a", "b"]) != 0
    assert capsys.readouterr().err.count("needs a bundle, or --fold RUN BUNDLE for each fold,") == 3
