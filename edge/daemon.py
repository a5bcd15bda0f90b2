"""source -> ear -> sinks, until the sources end or somebody asks to stop. Nothing numeric.

Each source is read in a thread of its own (`SourceQueue`); everything else happens in this loop,
one block at a time, so nothing here needs a lock. Other threads may only `tell` and `stop`.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from edge.alerts.sink import AlertSink, Record
from edge.audio.block import AudioBlock, SourceEvent
from edge.audio.queue import Delivery, SourceQueue
from edge.ear import Clocks, Ear, source_event_record
from edge.errors import EdgeError
from edge.report import event_record

# How soon a wish (stop, reload, another model) is noticed while no audio comes.
TURN_S = 0.25
# How long audio that was already captured may take to be judged after the wish to stop.
DRAIN_S = 0.5


class Recorder(Protocol):
    """Where the sound itself goes, for whoever keeps any."""

    def accept(self, source: str, block: AudioBlock) -> None:
        """Take the next block of a source."""
        ...


class Daemon:
    """The loop.

    Args:
        audio: where blocks come from.
        told: what other threads want to have told; see `tell`.
        clocks: see Clocks.
        on_turn: called between two blocks, at least every TURN_S; may change everything below.
        on_failure: called when judging has failed; true if something else will judge from now on.

    Attributes:
        ears: what hears them, by the source's name.
        sink: where records go.
        recorder: where the sound goes, if any is kept.
        failures: what ended sources before their time.
    """

    def __init__(
        self,
        audio: SourceQueue,
        told: queue.SimpleQueue[Record | SourceEvent],
        clocks: Clocks,
        on_turn: Callable[[], None] = lambda: None,
        on_failure: Callable[[Exception], bool] = lambda error: False,
    ) -> None:
        self.audio = audio
        self.ears: Mapping[str, Ear] = {}
        self.sink: AlertSink
        self.recorder: Recorder | None = None
        self.failures: list[EdgeError] = []
        self._clocks = clocks
        self._on_turn = on_turn
        self._on_failure = on_failure
        self._told = told
        self._stopping = False

    def tell(self, event: Record | SourceEvent) -> None:
        """Pass an event on to the sinks. From any thread; never waits."""
        self._told.put(event)

    def stop(self) -> None:
        """Let `run` end soon. From any thread or signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Hear until the sources end, or until `stop`; then judge what was heard and return."""
        while not self._stopping and self.audio.active():
            self._on_turn()
            self._take(self.audio.get(TURN_S))
            self._pass_on()
        self._drain()

    def _drain(self) -> None:
        deadline_s = self._clocks.steady_s() + DRAIN_S
        self.audio.close()
        while (delivery := self.audio.get(0)) is not None:
            if self._clocks.steady_s() < deadline_s:
                self._take(delivery)
        self._pass_on()

    def _take(self, delivery: Delivery | None) -> None:
        if delivery is None or delivery.source not in self.ears:
            return
        ear = self.ears[delivery.source]
        if delivery.block is not None:
            self._hear(ear, delivery.block)
        elif delivery.error is None:
            # A live source ends only when it is closed; what then hangs in the air is no window.
            self._emit(ear.finish() if not self._stopping else [])
        elif isinstance(delivery.error, EdgeError):
            self.failures.append(delivery.error)
            told = event_record(ear.name, "failed", str(delivery.error), self._clocks.now())
            self._emit([told])
        else:
            raise delivery.error

    def _hear(self, ear: Ear, block: AudioBlock) -> None:
        if self.recorder is not None:
            self.recorder.accept(ear.name, block)
        try:
            records = ear.hear(block)
        except (RuntimeError, ValueError, MemoryError) as error:
            if not self._on_failure(error):
                raise
        else:
            self._emit(records)

    def _pass_on(self) -> None:
        """Emit what other threads have told."""
        while True:
            try:
                event = self._told.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, SourceEvent):
                event = source_event_record(event, self._clocks.now())
            self._emit([event])

    def _emit(self, records: Iterable[Record]) -> None:
        for record in records:
            self.sink.emit(record)
