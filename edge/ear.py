"""One source on its way from audio blocks to records.

A Detector knows samples and nothing else; here its results get their time, their model and their
alert's id. Clocks and ids are passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edge.audio.block import SAMPLE_RATE_HZ, AudioBlock, SourceEvent
from edge.audio.supervisor import EventGate
from edge.detector import (
    HEALTHY,
    MODEL_FAULT,
    SPOOF,
    Detector,
    DetectorSettings,
    WindowResult,
)
from edge.features import Float32
from edge.report import Record, alert_record, event_record, window_record
from edge.updates.health import WindowOutcome

# A microphone that clips now and then changes its health every second.
HEALTH_EVENT_INTERVAL_S = 60.0
RECOVERED = "input-ok"
HEALTH_MESSAGES = {
    "silent-input": "hears digital silence: the microphone is muted, unplugged or dead",
    "clipped": "is overdriven: turn the input's gain down, or move the microphone away",
    "dc-offset": "is offset from zero: the input is broken or wrongly wired",
    "invalid-samples": "gives samples that are not numbers",
    MODEL_FAULT: "cannot be judged: the network gave no finite number",
    RECOVERED: "can be judged again",
}


@dataclass(frozen=True)
class Judge:
    """What judges windows: a network under the settings in force.

    Attributes:
        model: its name and version.
        settings: everything else that shapes the results.
        score: features (frames, bands) to a logit.
    """

    model: str
    settings: DetectorSettings
    score: Callable[[Float32], float]

    def detector(self, on_stage: Callable[[str], None] = lambda stage: None) -> Detector:
        """A fresh detector."""
        return Detector(self.settings, self.score, on_stage)


@dataclass(frozen=True)
class Clocks:
    """The two clocks of live audio.

    Attributes:
        now: the time of day with its zone. It may jump.
        steady_s: seconds of the clock of `AudioBlock.captured_s`. It never does.
    """

    now: Callable[[], datetime]
    steady_s: Callable[[], float]

    def time_of(self, captured_s: float) -> datetime:
        """Time of day, as it is told now, of a moment on the steady clock.

        A time of day is never carried along: after a correction of the system's clock, windows
        that were heard before it are stamped rightly too.
        """
        return self.now() - timedelta(seconds=self.steady_s() - captured_s)


class Ear:
    """Hears one source.

    Args:
        name: of the source.
        judge: what judges its windows.
        clocks: see Clocks.
        new_id: gives an id that no record has had.
        on_stage: see Detector.
        on_outcome: told what each window was like, for a model on trial.
        rival: what judges the same windows too, for comparison.
        earlier_windows: where the count of windows goes on.
    """

    def __init__(
        self,
        name: str,
        judge: Judge,
        clocks: Clocks,
        new_id: Callable[[], str],
        on_stage: Callable[[str], None] = lambda stage: None,
        on_outcome: Callable[[WindowOutcome], None] = lambda outcome: None,
        rival: Judge | None = None,
        earlier_windows: int = 0,
    ) -> None:
        self.name = name
        self._judge = judge
        self._clocks = clocks
        self._new_id = new_id
        self._on_stage = on_stage
        self._on_outcome = on_outcome
        self._detector = judge.detector(on_stage)
        self._rival = _follower(rival, self._detector)
        self._earlier_windows = earlier_windows  # judged by detectors that were replaced
        self._last_window: Record | None = None
        self._alert = ""  # id of the alert that stands
        self._health = HEALTHY
        self._gate = EventGate(name, HEALTH_EVENT_INTERVAL_S)
        self.frames = 0

    @property
    def windows(self) -> int:
        """How many windows have been judged."""
        return self._earlier_windows + self._detector.windows

    def hear(self, block: AudioBlock) -> list[Record]:
        """Take the next block; return what is to be told, in order.

        Raises:
            RuntimeError: the network failed.
        """
        self.frames += len(block.samples)
        started_s = self._clocks.steady_s()
        results = self._detector.accept(block)
        rivals = {r.end: r for r in self._rival.accept(block)} if self._rival else {}
        records = []
        for result in results:
            heard_s = self._heard_s(block, result, started_s)
            latency_s = self._clocks.steady_s() - heard_s
            self._on_outcome(_outcome(result, rivals.get(result.end), latency_s))
            records += self._records(result, heard_s, latency_s)
        return records + self._events([])

    def finish(self) -> list[Record]:
        """The source has ended; judge what no window has covered."""
        started_s = self._clocks.steady_s()
        records = []
        for result in self._detector.finish():
            latency_s = self._clocks.steady_s() - started_s
            records += self._records(result, started_s, latency_s)
        return records

    def change(self, judge: Judge, rival: Judge | None, why: str) -> list[Record]:
        """Judge otherwise from the next window on, without losing audio where that can be.

        Args:
            judge: what judges from now on.
            rival: what judges the same windows too, for comparison.
            why: a sentence, for the alert that this ends.

        Returns:
            The end of the alert that stood, for it rested on evidence that is gone.
        """
        detector = judge.detector(self._on_stage)
        before = self._detector.windows
        try:
            detector.take_over(self._detector)
        except ValueError:
            self._earlier_windows += before
        self._judge, self._detector = judge, detector
        self._rival = _follower(rival, detector)
        return self._clear(why)

    def _clear(self, why: str) -> list[Record]:
        if not self._alert or self._last_window is None:
            return []
        window = {**self._last_window, "time": _stamp_now(self._clocks)}
        record = self._alert_record(window, "cleared", why)
        self._alert = ""
        return [record]

    def _heard_s(self, block: AudioBlock, result: WindowResult, started_s: float) -> float:
        """When the window's last sample was heard; for a recording, when it was read."""
        if block.captured_s is None:
            return started_s
        return block.captured_s + (result.end - block.start) / SAMPLE_RATE_HZ

    def _records(self, result: WindowResult, heard_s: float, latency_s: float) -> list[Record]:
        window = window_record(
            replace(result, index=result.index + self._earlier_windows),
            source=self.name,
            sample_rate_hz=SAMPLE_RATE_HZ,
            time=self._clocks.time_of(heard_s),
            model=self._judge.model,
            latency_ms=1000 * latency_s,
        )
        self._last_window = window
        records = self._events(self._health_events(result.health))
        records.append(window)
        if result.alert:
            records.append(self._alert_record(window, result.alert))
        return records

    def _alert_record(self, window: Record, state: str, why: str = "") -> Record:
        record_id = self._new_id()
        if state == "raised":
            self._alert = record_id
        rule = self._judge.settings.rule
        record = alert_record(window, state, record_id, self._alert, rule, why)
        if state == "cleared":
            self._alert = ""
        return record

    def _health_events(self, health: str) -> list[SourceEvent]:
        if health == self._health:
            return []
        self._health = health
        kind = RECOVERED if health == HEALTHY else health
        message = f"the input {HEALTH_MESSAGES.get(kind, kind)}"
        return [SourceEvent(self.name, kind, message)]

    def _events(self, events: list[SourceEvent]) -> list[Record]:
        """Events as records, repetitions gathered."""
        now_s = self._clocks.steady_s()
        passed = [told for event in events for told in self._gate.offer(event, now_s)]
        told = passed if events else self._gate.due(now_s)
        return [source_event_record(e, self._clocks.now()) for e in told]


def source_event_record(event: SourceEvent, now: datetime) -> Record:
    """What happened to a source, as the sinks carry it."""
    facts = {"count": event.count, "lost_s": event.lost_samples / SAMPLE_RATE_HZ}
    message = event.message[:1].upper() + event.message[1:] + "."
    return event_record(event.source, event.kind, message, now, **facts)


def _outcome(result: WindowResult, rival: WindowResult | None, latency_s: float) -> WindowOutcome:
    return WindowOutcome(
        latency_s,
        finite=result.health != MODEL_FAULT,
        spoof=_spoof(result),
        previous_spoof=_spoof(rival) if rival else None,
    )


def _spoof(result: WindowResult) -> bool | None:
    return None if result.probability is None else result.verdict == SPOOF


def _follower(rival: Judge | None, leader: Detector) -> Detector | None:
    """A detector that judges the leader's windows too; None where it would cut others."""
    if rival is None:
        return None
    detector = rival.detector()
    try:
        detector.take_over(leader)
    except ValueError:
        return None
    return detector


def _stamp_now(clocks: Clocks) -> str:
    return clocks.now().isoformat(timespec="milliseconds")
