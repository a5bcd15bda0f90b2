"""Several sources into one consumer, bounded: a slow consumer loses the oldest live audio."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Callable

from edge.audio.block import AudioBlock, AudioSource, OnEvent, SourceEvent
from edge.audio.clock import now_s
from edge.audio.supervisor import EventGate

CAPACITY_S = 10.0
OVERLOAD_EVENT_INTERVAL_S = 10.0
JOIN_S = 5.0


@dataclass(frozen=True)
class Delivery:
    """What one source gave.

    Attributes:
        source: the source's name.
        block: audio; None at the end of the source.
        error: what ended the source, if it did not end by itself.
    """

    source: str
    block: AudioBlock | None = None
    error: BaseException | None = None


@dataclass
class _Lane:
    """One source with its thread and what waits to be fetched."""

    source: AudioSource
    capacity_samples: int
    gate: EventGate
    waiting: deque[Delivery] = field(default_factory=deque)
    samples: int = 0
    dropped_samples: int = 0
    ended: bool = False


class SourceQueue:
    """Reads each source in a thread of its own; `get` hands out what came, source by source.

    Live sources never wait: beyond `capacity_s` their oldest audio is dropped, counted and told
    as "overload", and the next block starts later. Others (files, standard input) wait for the
    consumer and lose nothing.
    """

    def __init__(
        self,
        sources: Sequence[AudioSource],
        on_event: OnEvent,
        capacity_s: float = CAPACITY_S,
        clock: Callable[[], float] = now_s,
    ) -> None:
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources have the same name: {', '.join(sorted(names))}")
        self._on_event = on_event
        self._clock = clock
        self._lanes = [
            _Lane(
                source,
                round(capacity_s * source.sample_rate_hz),
                EventGate(source.name, OVERLOAD_EVENT_INTERVAL_S),
            )
            for source in sources
        ]
        self._turns: deque[_Lane] = deque()  # lanes with something to fetch, each once
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(
                target=self._pump, args=(lane,), name=f"audio-{lane.source.name}", daemon=True
            )
            for lane in self._lanes
        ]

    def start(self) -> None:
        """Begin to read the sources."""
        for thread in self._threads:
            thread.start()

    def get(self, timeout_s: float | None = None) -> Delivery | None:
        """The next block (or end) of any source, each in its turn; None after the timeout.

        After the end of a source nothing more comes from it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._turns, timeout_s)
            if not self._turns:
                return None
            lane = self._turns.popleft()
            delivery = lane.waiting.popleft()
            if lane.waiting:
                self._turns.append(lane)
            if delivery.block is not None:
                lane.samples -= len(delivery.block.samples)
            if not lane.source.live:
                self._changed.notify_all()
            return delivery

    def active(self) -> bool:
        """Whether anything may still come."""
        with self._changed:
            return not self._closed and any(not lane.ended or lane.waiting for lane in self._lanes)

    def ended(self, source: str) -> bool:
        """Whether nothing more comes from a source."""
        with self._changed:
            lane = self._lane(source)
            return lane.ended and not lane.waiting

    def waiting_s(self, source: str) -> float:
        """How much audio of a source waits to be fetched, seconds."""
        lane = self._lane(source)
        return lane.samples / lane.source.sample_rate_hz

    def dropped_samples(self, source: str) -> int:
        """How much audio of a source was dropped so far."""
        return self._lane(source).dropped_samples

    def close(self) -> None:
        """Stop all sources and their threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for lane in self._lanes:
            lane.source.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(JOIN_S)

    def _lane(self, source: str) -> _Lane:
        return next(lane for lane in self._lanes if lane.source.name == source)

    def _append(self, lane: _Lane, delivery: Delivery) -> None:
        """Put something into a lane, which then gets its turn."""
        if not lane.waiting:
            self._turns.append(lane)
        lane.waiting.append(delivery)

    def _pump(self, lane: _Lane) -> None:
        """Run by the lane's thread: from the source into the lane."""
        error: BaseException | None = None
        blocks = lane.source.blocks()
        try:
            for block in blocks:
                self._put(lane, block)
                if self._closed:
                    break
        except BaseException as reason:  # handed to the consumer, who must not wait for ever
            error = reason
        self._tell(lane.gate.flush())
        with self._changed:
            self._append(lane, Delivery(lane.source.name, error=error))
            lane.ended = True
            self._changed.notify_all()

    def _put(self, lane: _Lane, block: AudioBlock) -> None:
        with self._changed:
            if not lane.source.live:
                self._changed.wait_for(lambda: self._closed or lane.samples < lane.capacity_samples)
            self._append(lane, Delivery(lane.source.name, block))
            lane.samples += len(block.samples)
            lost = self._drop_oldest(lane)
            self._changed.notify_all()
        self._tell(self._overload(lane, lost))

    def _drop_oldest(self, lane: _Lane) -> int:
        """Bring a live lane back to its capacity; how many samples that cost."""
        lost = 0
        while lane.source.live and lane.samples > lane.capacity_samples and len(lane.waiting) > 1:
            block = lane.waiting.popleft().block
            dropped = 0 if block is None else len(block.samples)
            lane.samples -= dropped
            lost += dropped
        lane.dropped_samples += lost
        return lost

    def _overload(self, lane: _Lane, lost: int) -> list[SourceEvent]:
        now = self._clock()
        if not lost:
            return lane.gate.due(now)
        message = "audio comes faster than it is scored; the oldest was dropped"
        return lane.gate.offer(SourceEvent(lane.source.name, "overload", message, lost), now)

    def _tell(self, events: list[SourceEvent]) -> None:
        for event in events:
            self._on_event(event)
