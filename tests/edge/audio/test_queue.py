"""Several sources, one consumer, and what happens when it is too slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge.audio.block import AudioBlock, SourceEvent
from edge.audio.queue import SourceQueue
from edge.errors import AudioError
from tests.patience import HANG_S, wait_until

SECOND = 16000


class Tape:
    """A source that gives numbered seconds as fast as it is asked."""

    sample_rate_hz = SECOND

    def __init__(self, name: str, seconds: int, live: bool, error: Exception | None = None) -> None:
        self.name = name
        self.live = live
        self.given = 0
        self._seconds = seconds
        self._error = error
        self._closing = threading.Event()

    def blocks(self) -> Iterator[AudioBlock]:
        for index in range(self._seconds):
            if self._closing.is_set():
                return
            self.given = index + 1
            yield AudioBlock(np.full(SECOND, index, np.float32), index * SECOND)
        if self._error:
            raise self._error

    def close(self) -> None:
        self._closing.set()


def drain(queue: SourceQueue) -> list:
    deliveries = []
    while queue.active():
        delivery = queue.get(timeout_s=HANG_S)
        if delivery is not None:
            deliveries.append(delivery)
    return deliveries


def test_a_slow_consumer_loses_the_oldest_audio_and_is_told():
    events: list[SourceEvent] = []
    tape = Tape("mic", 100, live=True)
    queue = SourceQueue([tape], events.append, capacity_s=10)
    queue.start()
    wait_until(lambda: tape.given == 100 and not queue._threads[0].is_alive())
    assert queue.waiting_s("mic") == 10
    assert queue.dropped_samples("mic") == 90 * SECOND
    blocks = [delivery.block for delivery in drain(queue) if delivery.block]
    assert [block.start // SECOND for block in blocks] == list(range(90, 100))
    assert {event.kind for event in events} == {"overload"}
    assert sum(event.lost_samples for event in events) == 90 * SECOND
    assert len(events) == 2  # the first at once, the others gathered
    queue.close()


def test_a_file_waits_for_a_slow_consumer_and_loses_nothing():
    events: list[SourceEvent] = []
    tape = Tape("file", 100, live=False)
    queue = SourceQueue([tape], events.append, capacity_s=10)
    queue.start()
    wait_until(lambda: tape.given == 11)
    time.sleep(0.05)
    assert tape.given == 11
    blocks = [delivery.block for delivery in drain(queue) if delivery.block]
    assert [block.start // SECOND for block in blocks] == list(range(100))
    assert events == []
    queue.close()


def test_sources_take_turns():
    tapes = [Tape(name, 5, live=False) for name in "abc"]
    queue = SourceQueue(tapes, lambda event: None)
    queue.start()
    wait_until(lambda: not any(thread.is_alive() for thread in queue._threads))
    deliveries = drain(queue)
    # Whose thread came first begins each round.
    first_round = [delivery.source for delivery in deliveries[:3]]
    assert sorted(first_round) == list("abc")
    assert [delivery.source for delivery in deliveries] == first_round * 6
    assert [delivery.block is None for delivery in deliveries] == [False] * 15 + [True] * 3


def test_an_error_of_one_source_is_delivered_and_the_others_go_on():
    error = AudioError("gone")
    queue = SourceQueue([Tape("bad", 2, False, error), Tape("good", 50, False)], lambda event: None)
    queue.start()
    deliveries = drain(queue)
    ends = {delivery.source: delivery.error for delivery in deliveries if delivery.block is None}
    assert ends == {"bad": error, "good": None}
    assert sum(1 for delivery in deliveries if delivery.block) == 52


def test_getting_nothing_ends_with_the_timeout():
    queue = SourceQueue([Tape("a", 0, live=True)], lambda event: None)
    assert queue.get(timeout_s=0.01) is None


def test_closing_ends_the_threads_of_waiting_sources():
    queue = SourceQueue([Tape("a", 1000, live=False)], lambda event: None, capacity_s=2)
    queue.start()
    wait_until(lambda: queue.waiting_s("a") >= 2)
    queue.close()
    assert not any(thread.is_alive() for thread in queue._threads)
    assert not queue.active()


def test_two_sources_of_one_name_are_refused():
    with pytest.raises(ValueError, match="same name"):
        SourceQueue([Tape("a", 1, True), Tape("a", 1, True)], lambda event: None)
