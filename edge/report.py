"""Results as records for machines and as lines for people. Pure.

A record is a flat dict that JSON can hold, told apart by its key `type`: "window", "alert" or
"event". Sinks carry records; the lines for a terminal are made from the same records.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge.decision import DecisionRule
from edge.detector import BONAFIDE, HEALTHY, NO_SPEECH, SPOOF, RecordingResult, WindowResult

Record = dict[str, Any]

BAR_CELLS = 20
RED, GREEN, YELLOW, DIM, BOLD = "31", "32", "33", "2", "1"
COLOURS = {BONAFIDE: GREEN, SPOOF: RED, NO_SPEECH: DIM}


def timestamp(time: datetime) -> str:
    """RFC 3339 with milliseconds and offset, as 2024-05-01T12:00:00.000+02:00.

    Raises:
        ValueError: the time has no zone.
    """
    if time.tzinfo is None:
        raise ValueError("a time stamp needs its zone")
    return time.isoformat(timespec="milliseconds")


def window_record(
    result: WindowResult,
    *,
    source: str,
    sample_rate_hz: int,
    time: datetime,
    model: str,
    latency_ms: float,
) -> Record:
    """What is told of a window.

    Args:
        result: from the detector.
        source: name of the source.
        sample_rate_hz: rate of the result's sample counts.
        time: when the window's last sample was heard.
        model: name and version of the model.
        latency_ms: from that sample's arrival to now.
    """
    return {
        "type": "window",
        "time": timestamp(time),
        "source": source,
        "window": result.index,
        "start_s": result.start / sample_rate_hz,
        "end_s": result.end / sample_rate_hz,
        "speech": result.speech,
        "spoof_probability": result.probability,
        "smoothed_probability": result.smoothed,
        "verdict": result.verdict,
        "alert": result.raised,
        "health": result.health,
        "level_dbfs": result.level_dbfs if math.isfinite(result.level_dbfs) else None,
        "model": model,
        "latency_ms": latency_ms,
    }


def alert_record(window: Record, state: str, alert_id: str, rule: DecisionRule) -> Record:
    """An alert's beginning or end.

    Args:
        window: record of the window that brought it.
        state: "raised" or "cleared".
        alert_id: the same for the beginning and the end of one alert, and for no other.
        rule: the rule in force.
    """
    carried = ("window", "start_s", "end_s", "spoof_probability", "smoothed_probability", "model")
    return {
        "type": "alert",
        "id": alert_id,
        "time": window["time"],
        "source": window["source"],
        "state": state,
        **{key: window[key] for key in carried},
        "threshold": rule.threshold,
        "message": _alert_sentence(window["source"], state, rule),
    }


def _alert_sentence(source: str, state: str, rule: DecisionRule) -> str:
    settings = rule.settings
    if state == "raised":
        return (
            f"The voice at {source} is likely synthetic: at least {settings.alert_windows} of the "
            f"last {settings.of_windows} windows exceed {rule.threshold:.3g}."
        )
    return (
        f"The alert at {source} is over: fewer than {settings.alert_windows} of the last "
        f"{settings.of_windows} windows exceed {rule.release_threshold:.3g}."
    )


def event_record(source: str, kind: str, message: str, time: datetime, **facts: Any) -> Record:
    """Something that happened to a source or a part.

    Args:
        source: name of the source or part.
        kind: machine-readable word.
        message: one sentence for a person.
        time: when.
        facts: more that JSON can hold.
    """
    return {
        "type": "event",
        "time": timestamp(time),
        "source": source,
        "kind": kind,
        "message": message,
        **facts,
    }


def recording_record(file: str, result: RecordingResult, sample_rate_hz: int) -> Record:
    """The result of `earwitness score` for one file; `windows` holds the scored ones."""
    windows = [
        {
            "start_s": window.start / sample_rate_hz,
            "end_s": window.end / sample_rate_hz,
            "spoof_probability": window.probability,
        }
        for window in result.windows
        if window.probability is not None
    ]
    record: Record = {
        "file": file,
        "verdict": result.verdict,
        "spoof_probability": result.probability,
        "windows": windows,
    }
    faults = sorted({window.health for window in result.windows} - {HEALTHY})
    return {**record, "health": faults[0]} if faults else record


def json_line(record: Mapping[str, Any]) -> str:
    """A record on one line, without its newline; numbers at full precision."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Style:
    """What a terminal can show.

    Attributes:
        colour: ANSI colours.
        blocks: characters beyond ASCII.
        sources: name the source in each line, because there are several.
    """

    colour: bool = False
    blocks: bool = False
    sources: bool = False

    def paint(self, text: str, code: str) -> str:
        """Text in a colour, where there are colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text


def bar(fraction: float, blocks: bool = False, cells: int = BAR_CELLS) -> str:
    """A horizontal bar of fixed width, filled to a fraction in [0, 1]."""
    filled = round(max(0.0, min(1.0, fraction)) * cells)
    full, empty = ("█", "░") if blocks else ("#", ".")
    return full * filled + empty * (cells - filled)


def text_line(record: Mapping[str, Any], style: Style = Style()) -> str:
    """A window, alert or event record as one line for people."""
    lines = {"window": _window_text, "alert": _alert_text, "event": _event_text}
    return lines[record["type"]](record, style)


def _window_text(record: Mapping[str, Any], style: Style) -> str:
    probability = record["spoof_probability"]
    if probability is None:
        gauge, number = " " * BAR_CELLS, "    "
    else:
        gauge, number = bar(probability, style.blocks), f"{probability:4.0%}"
    verdict = record["verdict"]
    reason = "" if record["health"] == HEALTHY else f" ({record['health']})"
    mark = style.paint("  ALERT", f"{BOLD};{RED}") if record["alert"] else ""
    colour = COLOURS.get(verdict, YELLOW)
    told = style.paint(f"{gauge} {number}  {verdict}{reason}", colour)
    return f"{_head(record, style)}  {told}{mark}"


def _alert_text(record: Mapping[str, Any], style: Style) -> str:
    word = "ALERT" if record["state"] == "raised" else "ALERT OVER"
    colour = RED if record["state"] == "raised" else GREEN
    told = style.paint(f"{word}  {record['message']}", f"{BOLD};{colour}")
    return f"{_head(record, style)}  {told}"


def _event_text(record: Mapping[str, Any], style: Style) -> str:
    told = style.paint(f"{record['kind']}: {record['message']}", YELLOW)
    return f"{_head(record, style)}  {told}"


def _head(record: Mapping[str, Any], style: Style) -> str:
    """Time of day, and the source where there are several; an event always names its part."""
    time = str(record["time"])[11:19]
    named = style.sources or record["type"] == "event"
    return f"{time}  {record['source']}" if named else time


def recording_text(record: Mapping[str, Any], style: Style = Style()) -> str:
    """The result of `earwitness score` for one file as one line for people."""
    if "error" in record:
        return style.paint(f"error           {record['file']}: {record['error']}", YELLOW)
    probability = record["spoof_probability"]
    number = "    " if probability is None else f"{probability:4.0%}"
    count = len(record["windows"])
    windows = f"{count} window{'' if count == 1 else 's'}"
    health = f", {record['health']}" if "health" in record else ""
    verdict = style.paint(f"{record['verdict']:<10}", COLOURS.get(record["verdict"], YELLOW))
    return f"{verdict}{number}  {record['file']}  ({windows}{health})"
