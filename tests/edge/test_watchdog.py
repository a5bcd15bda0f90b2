"""When systemd's watchdog is fed, and what systemd hears."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.watchdog import Notifier, Progress, Watchdog, alive, watchdog_interval_s
from tests.patience import HANG_S


def feed_times(steps, interval_s=10.0):
    """Seconds at which a watchdog is fed, for (second, progress by source) pairs."""
    watchdog = Watchdog(interval_s)
    return [second for second, progress in steps if watchdog.due(progress, second)]


def test_a_daemon_that_hears_and_judges_is_fed_at_every_look():
    steps = [(s, {"mic": Progress(s * 16000 + 1, s + 1)}) for s in range(0, 60)]
    assert feed_times(steps) == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize(
    "stuck",
    [
        lambda s: Progress(1000, 7),
        lambda s: Progress(s * 16000 + 1, 7),
        lambda s: Progress(1000, s + 1),
    ],
    ids=["nothing moves", "frames without windows", "windows without frames"],
)
def test_a_daemon_that_stops_hearing_or_judging_is_not_fed_again(stuck):
    steps = [(s, {"mic": stuck(s)}) for s in range(0, 60)]
    assert feed_times(steps) == [0]


def test_one_stuck_source_among_several_is_enough():
    steps = [
        (s, {"good": Progress(s * 16000 + 1, s + 1), "stuck": Progress(5, 5)}) for s in range(0, 60)
    ]
    assert feed_times(steps) == [0]


def test_a_lost_microphone_counts_by_its_attempts_to_return():
    trying = [(s, {"mic": Progress(1000, 7, attempts=s, lost=True)}) for s in range(1, 60)]
    assert len(feed_times(trying)) == 6
    hung = [(s, {"mic": Progress(1000, 7, attempts=3, lost=True)}) for s in range(1, 60)]
    assert feed_times(hung) == [1]


def test_a_source_that_has_ended_is_not_waited_for():
    both = {"file": Progress(10, 1), "mic": Progress(10, 1)}
    assert alive(both, {"mic": Progress(20, 2)})
    assert alive(both, {})


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=50))
def test_feeding_twice_always_means_both_counters_rose_in_between(steps):
    watchdog = Watchdog(interval_s=1.0)
    frames = windows = 0
    fed = [(0, 0)]
    for second, (more_frames, more_windows) in enumerate(steps):
        frames += more_frames
        windows += more_windows
        if watchdog.due({"mic": Progress(frames, windows)}, float(second)):
            assert frames > fed[-1][0] and windows > fed[-1][1]
            fed.append((frames, windows))


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_interval_follows_systemd(environment, interval_s):
    assert watchdog_interval_s(environment, pid=42) == interval_s


@pytest.mark.parametrize("abstract", [False, True])
def test_states_reach_the_service_manager(tmp_path, abstract):
    name = f"@earwitness-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(HANG_S)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        notifier.ready("listening")
        notifier.feed()
        notifier.reloading()
        notifier.status("3 sources")
        notifier.stopping()
        received = [manager.recv(1000).decode() for _ in range(5)]
    assert received[:2] == ["READY=1\nSTATUS=listening", "WATCHDOG=1"]
    assert received[2].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert received[3:] == ["STATUS=3 sources", "STOPPING=1"]


def test_without_a_service_manager_or_with_one_that_has_gone_nothing_happens(tmp_path):
    Notifier({}).ready("alone")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).feed()
