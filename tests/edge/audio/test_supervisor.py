"""Starting, stalling, giving up and coming back, without a clock or a process."""

from __future__ import annotations

import random

import pytest

from edge.audio.block import SourceEvent
from edge.audio.supervisor import (
    IDLE,
    OPEN_TIMEOUT,
    READ,
    STALL,
    START,
    EventGate,
    Policy,
    Supervisor,
)

POLICY = Policy(open_timeout_s=8.0, stall_s=2.0, backoff_min_s=0.25, backoff_max_s=5.0)
TURN_S = 0.25


def running(now_s: float = 0.0) -> Supervisor:
    supervisor = Supervisor(POLICY, now_s)
    assert supervisor.step(now_s) == START
    supervisor.started(now_s)
    assert supervisor.audio(now_s)
    return supervisor


def test_the_first_start_waits_for_nothing():
    assert Supervisor(POLICY, 100.0).step(100.0) == START


def test_a_stream_without_audio_is_given_up():
    supervisor = running()
    times = [index * TURN_S for index in range(1, 20)]
    steps = [supervisor.step(time_s) for time_s in times]
    assert steps.index(STALL) == times.index(2.25)


def test_a_device_that_never_gives_audio_is_given_up():
    supervisor = Supervisor(POLICY, 0.0)
    supervisor.started(0.0)
    steps = [supervisor.step(index * TURN_S) for index in range(1, 40)]
    assert steps.index(OPEN_TIMEOUT) == 32


def test_the_wait_doubles_up_to_its_limit_and_shrinks_again():
    supervisor = Supervisor(POLICY, 0.0)
    assert [supervisor.failed(0.0) for _ in range(7)] == [0.25, 0.5, 1, 2, 4, 5, 5]
    supervisor.started(0.0)
    supervisor.audio(0.1)
    assert supervisor.failed(0.2) == 5
    supervisor.started(10.0)
    supervisor.audio(10.1)
    supervisor.audio(21.0)
    assert supervisor.failed(21.1) == 0.25


def test_our_own_absence_is_not_the_device_s():
    """After a suspend the capture gets its chance to speak before it is judged."""
    supervisor = running()
    supervisor.step(0.2)
    assert supervisor.step(3600.0) == READ
    assert supervisor.step(3600.2) == READ
    steps = [supervisor.step(3600.2 + index * TURN_S) for index in range(1, 10)]
    assert STALL in steps


def test_ten_thousand_stalls_and_deaths_are_each_noticed_in_time():
    rng = random.Random(5)
    now_s, alive_s = 0.0, 0.0
    supervisor = Supervisor(POLICY, now_s)
    noticed = 0
    while noticed < 10_000:
        step = supervisor.step(now_s)
        if step == START:
            supervisor.started(now_s)
            alive_s = now_s
            will_open = rng.random() < 0.5
        elif step in (STALL, OPEN_TIMEOUT):
            assert now_s - alive_s < 10.0
            noticed += 1
            assert supervisor.failed(now_s) <= 5.0
            failed_s = now_s
        elif step == READ and will_open and rng.random() < 0.9:
            supervisor.audio(now_s)
            alive_s = now_s
            will_open = rng.random() < 0.8
        elif step == IDLE:
            assert now_s - failed_s <= 5.0
        now_s += rng.uniform(0, TURN_S)


def gap(lost: int) -> SourceEvent:
    return SourceEvent("door", "gap", "lost audio", lost)


def test_the_first_event_passes_and_its_repetitions_are_gathered():
    gate = EventGate("door", interval_s=10)
    assert gate.offer(gap(1), 0.0) == [gap(1)]
    assert gate.offer(gap(2), 1.0) == []
    assert gate.offer(gap(3), 2.0) == []
    assert gate.due(9.9) == []
    assert gate.due(10.0) == [SourceEvent("door", "gap", "lost audio (2 times)", 5, 2)]
    assert gate.offer(gap(4), 11.0) == []
    assert gate.due(20.0) == [SourceEvent("door", "gap", "lost audio", 4, 1)]
    assert gate.due(30.0) == []
    assert gate.offer(gap(5), 31.0) == [gap(5)]


def test_kinds_of_events_do_not_hold_each_other_back():
    gate = EventGate("door", interval_s=10)
    other = SourceEvent("door", "stalled", "stalled")
    assert gate.offer(gap(1), 0.0) == [gap(1)]
    assert gate.offer(other, 0.0) == [other]


@pytest.mark.parametrize("interval_s", [0.0, 1.0, 100.0])
def test_no_event_is_forgotten(interval_s):
    rng = random.Random(9)
    gate = EventGate("door", interval_s)
    now_s, told = 0.0, []
    for _ in range(1000):
        now_s += rng.uniform(0, 1)
        told += gate.offer(gap(3), now_s)
    told += gate.flush()
    assert sum(event.lost_samples for event in told) == 3000
    assert sum(event.count for event in told) == 1000
    assert len(told) <= now_s / interval_s + 3 if interval_s else True
