from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge.decision import DecisionRule
from edge.detector import WindowResult
from edge.report import (
    Style,
    alert_record,
    bar,
    event_record,
    json_line,
    recording_text,
    text_line,
    timestamp,
    window_record,
)

TIME = datetime(2024, 1, 2, 3, 4, 5, 678900, timezone(timedelta(hours=-3, minutes=-30)))


def window(**changes) -> dict:
    values = {
        "index": 7,
        "start": 32000,
        "end": 112000,
        "health": "ok",
        "level_dbfs": -20.0,
        "speech": True,
        "logit": 2.0,
        "probability": 0.8807970779778823,
        "smoothed": 0.7,
        "verdict": "spoof",
        "raised": False,
        "alert": None,
    }
    values.update(changes)
    return window_record(
        WindowResult(**values),
        source="hall",
        sample_rate_hz=16000,
        time=TIME,
        model="m 1.0.0",
        latency_ms=12.5,
    )


SILENT = {
    "speech": False,
    "logit": None,
    "probability": None,
    "smoothed": None,
    "verdict": "no-speech",
}


def test_a_window_record_holds_what_is_promised() -> None:
    assert window() == {
        "type": "window",
        "time": "2024-01-02T03:04:05.678-03:30",
        "source": "hall",
        "window": 7,
        "start_s": 2.0,
        "end_s": 7.0,
        "speech": True,
        "spoof_probability": 0.8807970779778823,
        "smoothed_probability": 0.7,
        "verdict": "spoof",
        "alerting": False,
        "health": "ok",
        "level_dbfs": -20.0,
        "model": "m 1.0.0",
        "latency_ms": 12.5,
    }


def test_every_field_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    alert = alert_record(window(), "raised", "a", "a", DecisionRule(0.5))
    for name in {*window(), *alert, *event_record("s", "k", "m", TIME)} - {"type"}:
        assert f"`{name}`" in text


def test_records_are_json_whatever_the_input_was() -> None:
    silent = window(**SILENT, level_dbfs=-math.inf, health="silent-input")
    assert json.loads(json_line(silent))["level_dbfs"] is None
    assert "\n" not in json_line(event_record("a\nb", "k", "m\u2028", TIME))


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        timestamp(datetime(2024, 1, 1))


def test_windows_read_well_on_a_terminal() -> None:
    assert text_line(window()) == "03:04:05  ##################..  88.1%  spoof"
    assert text_line(window(**SILENT)) == f"03:04:05  {'':20} {'':6}  no-speech"
    assert "(clipped)" in text_line(window(**{**SILENT, "health": "clipped"}))
    assert text_line(window(raised=True)).endswith("ALERT")
    assert "hall" in text_line(window(), Style(sources=True))
    assert text_line(window(), Style(positions=True)).startswith("   2.0 -   7.0 s")
    assert "\x1b[31m" in text_line(window(), Style(colour=True))
    assert "█" in text_line(window(), Style(blocks=True))


def test_a_voice_that_is_likely_synthetic_but_below_the_threshold_is_not_called_human() -> None:
    below = window(verdict="bonafide")
    assert below["verdict"] == "bonafide"
    assert text_line(below) == "03:04:05  ##################..  88.1%  unsure"
    assert "\x1b[33m" in text_line(below, Style(colour=True))
    assert text_line(window(verdict="bonafide", probability=0.4)).endswith("40.0%  bonafide")
    record = {
        "file": "x.wav", "verdict": "bonafide", "spoof_probability": 0.9, "windows": [{}],
        "windows_without_speech": 0,
    }
    assert recording_text(record).startswith("unsure ")


def test_alerts_and_events_read_well_on_a_terminal() -> None:
    alert = alert_record(window(), "raised", "a", "a", DecisionRule(0.5))
    assert "ALERT  The voice at hall is likely synthetic" in text_line(alert)
    event = event_record("hall", "stalled", "The input has stopped.", TIME)
    assert text_line(event) == "03:04:05  hall: stalled: The input has stopped."


@pytest.mark.parametrize(("fraction", "filled"), [(-1, 0), (0, 0), (0.5, 10), (1, 20), (7, 20)])
def test_a_bar_is_as_long_as_what_it_shows(fraction: float, filled: int) -> None:
    assert bar(fraction) == "#" * filled + "." * (20 - filled)


def test_a_recording_that_cannot_be_read_is_a_line_too() -> None:
    line = recording_text({"file": "x.wav", "error": "is empty"})
    assert line.startswith("error") and line.endswith("x.wav: is empty")
