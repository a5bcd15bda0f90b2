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
from edge.detector import (
    BONAFIDE,
    HEALTHY,
    NO_SPEECH,
    NOT_SCORED,
    SPOOF,
    RecordingResult,
    WindowResult,
)

Record = dict[str, Any]

BAR_CELLS = 20
RED, GREEN, YELLOW, DIM, BOLD = "31", "32", "33", "2", "1"
COLOURS = {BONAFIDE: GREEN, SPOOF: RED, NO_SPEECH: DIM}
UNSURE = "unsure"


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
        "alerting": result.raised,
        "health": result.health,
        "level_dbfs": result.level_dbfs if math.isfinite(result.level_dbfs) else None,
        "model": model,
        "latency_ms": latency_ms,
    }


def alert_record(
    window: Record, state: str, record_id: str, alert: str, rule: DecisionRule, why: str = ""
) -> Record:
    """An alert's beginning or end.

    Args:
        window: record of the window that brought it.
        state: "raised" or "cleared".
        record_id: of this record and no other, so that repeated deliveries can be told.
        alert: the id of the record that raised the alert; on that record, its own.
        rule: the rule in force.
        why: a sentence in place of the rule's own.
    """
    carried = ("window", "start_s", "end_s", "spoof_probability", "smoothed_probability", "model")
    return {
        "type": "alert",
        "id": record_id,
        "alert": alert,
        "time": window["time"],
        "source": window["source"],
        "state": state,
        **{key: window[key] for key in carried},
        "threshold": rule.threshold,
        "message": why or _alert_sentence(window["source"], state, rule),
    }


def _alert_sentence(source: str, state: str, rule: DecisionRule) -> str:
    settings = rule.settings
    windows = f"of the last {settings.of_windows} windows with speech"
    if state == "raised":
        return (
            f"The voice at {source} is likely synthetic: at least {settings.alert_windows} "
            f"{windows} exceed {rule.threshold:.3g}."
        )
    return (
        f"The alert at {source} is over: fewer than {settings.alert_windows} {windows} exceed "
        f"{rule.release_threshold:.3g}."
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
    """The result of `earwitness score` for one file.

    `windows` holds those that were scored, `windows_without_speech` counts the others. Where the
    input of some was unfit, `health` says how.
    """
    scored = [window for window in result.windows if window.probability is not None]
    record: Record = {
        "file": file,
        # A recording of which nothing could be judged has no speech for us; `health` says why.
        "verdict": NO_SPEECH if result.verdict == NOT_SCORED else result.verdict,
        "spoof_probability": result.probability,
        "windows": [
            {
                "start_s": window.start / sample_rate_hz,
                "end_s": window.end / sample_rate_hz,
                "spoof_probability": window.probability,
            }
            for window in scored
        ],
        "windows_without_speech": len(result.windows) - len(scored),
    }
    faults = sorted({window.health for window in result.windows} - {HEALTHY})
    return {**record, "health": faults[0]} if faults else record


def json_line(record: Mapping[str, Any]) -> str:
    """A record on one line, without its newline; numbers at full precision."""
    return json.dumps(record, allow_nan=False)


@dataclass(frozen=True)
class Style:
    """What a terminal can show.

    Attributes:
        colour: ANSI colours.
        blocks: characters beyond ASCII.
        sources: name the source in each line, because there are several.
        positions: show the place in the recording and not the time of day.
    """

    colour: bool = False
    blocks: bool = False
    sources: bool = False
    positions: bool = False

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
        gauge, number = " " * BAR_CELLS, " " * 6
    else:
        gauge, number = bar(probability, style.blocks), f"{probability:6.1%}"
    word, colour = _told_verdict(record)
    reason = "" if record["health"] == HEALTHY else f" ({record['health']})"
    mark = style.paint("  ALERT", f"{BOLD};{RED}") if record["alerting"] else ""
    told = style.paint(f"{gauge} {number}  {word}{reason}", colour)
    return f"{_head(record, style)}  {told}{mark}"


def _told_verdict(record: Mapping[str, Any]) -> tuple[str, str]:
    """The word for a verdict, and its colour.

    A quiet threshold leaves voices below it that are more likely synthetic than not. To a person
    "bonafide" beside 90 % reads as a fault; the record's verdict, which machines act on, stays.
    """
    verdict, probability = record["verdict"], record["spoof_probability"]
    if verdict == BONAFIDE and probability is not None and probability > 0.5:
        return UNSURE, YELLOW
    return verdict, COLOURS.get(verdict, YELLOW)


def _alert_text(record: Mapping[str, Any], style: Style) -> str:
    word = "ALERT" if record["state"] == "raised" else "ALERT OVER"
    colour = RED if record["state"] == "raised" else GREEN
    told = style.paint(f"{word}  {record['message']}", f"{BOLD};{colour}")
    return f"{_head(record, style)}  {told}"


def _event_text(record: Mapping[str, Any], style: Style) -> str:
    if record["kind"] == "started":
        return _started_text(record, style)
    told = style.paint(f"{record['source']}: {record['kind']}: {record['message']}", YELLOW)
    return f"{_time(record, style)}  {told}"


def _started_text(record: Mapping[str, Any], style: Style) -> str:
    facts = {
        "model": record["model"],
        "sources": ", ".join(record["sources"]),
        "windows": record["windows"],
        "rule": record["rule"],
    }
    lines = (f"  {style.paint(f'{name:<9}', DIM)}{fact}" for name, fact in facts.items())
    return "\n".join([style.paint(f"earwitness {record['version']}", BOLD), *lines])


def _head(record: Mapping[str, Any], style: Style) -> str:
    """When, and the source where there are several."""
    time = _time(record, style)
    return f"{time}  {record['source']}" if style.sources else time


def _time(record: Mapping[str, Any], style: Style) -> str:
    if style.positions and "end_s" in record:
        return f"{record['start_s']:6.1f} -{record['end_s']:6.1f} s"
    time = str(record["time"])[11:19]
    return f"{time:>15}" if style.positions else time


def recording_text(record: Mapping[str, Any], style: Style = Style()) -> str:
    """The result of `earwitness score` for one file as one line for people."""
    if "error" in record:
        return style.paint(f"{'error':<10}        {record['file']}: {record['error']}", YELLOW)
    probability = record["spoof_probability"]
    number = " " * 6 if probability is None else f"{probability:6.1%}"
    scored = len(record["windows"])
    total = scored + record["windows_without_speech"]
    windows = f"{scored} of {total} window{'' if total == 1 else 's'} judged"
    health = f", {record['health']}" if "health" in record else ""
    word, colour = _told_verdict(record)
    verdict = style.paint(f"{word:<10}", colour)
    return f"{verdict}{number}  {record['file']}  ({windows}{health})"
