"""The arithmetic behind docs/performance.md; the times themselves are no tests."""

from __future__ import annotations

import pytest

from perf.document import Goal, streams_held, table
from perf.load import configuration, figures
from perf.process import imported
from perf.timing import median_ms, ratio, take_turns


def test_a_ratio_is_taken_within_each_round():
    # The machine became four times slower in the third round, for both.
    times = {"ours": [1.0, 1.0, 4.0], "theirs": [2.0, 2.0, 8.0]}
    assert ratio(times, "ours", "theirs") == 0.5
    assert median_ms(times, "ours") == 1.0


def test_functions_take_turns():
    called = []
    times = take_turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, rounds=3)
    assert [len(values) for values in times.values()] == [3, 3]
    turns = [name for name, before in zip(called, ["", *called]) if name != before]
    assert turns[-6:] == ["a", "b"] * 3


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "met"),
    [(0.9, 1.0, False, True), (1.1, 1.0, False, False), (99, 100, True, False)],
)
def test_a_goal_is_met_on_the_right_side_of_its_limit(value, limit, at_least, met):
    assert Goal("x", value, limit, at_least=at_least).met is met


def window(latency_ms: float) -> dict:
    return {"type": "window", "latency_ms": latency_ms}


def test_a_window_is_late_when_the_next_one_was_due():
    records = [window(10.0), window(1000.0), window(1001.0), {"type": "event", "kind": "overload"}]
    found = figures(records, streams=2, seconds=2.0)
    assert (found["windows"], found["expected"], found["late"], found["lost"]) == (3, 4, 1, 1)
    assert found["latency_ms"] == {"p50": 1000.0, "p99": 1001.0, "max": 1001.0}


def test_streams_are_held_only_without_late_windows_and_lost_audio():
    curve = [
        {"streams": 50, "late": 0, "lost": 0},
        {"streams": 100, "late": 0, "lost": 0},
        {"streams": 150, "late": 1, "lost": 0},
        {"streams": 200, "late": 0, "lost": 3},
    ]
    assert streams_held(curve) == 100
    assert streams_held(curve[2:]) == 0


def test_every_stream_of_the_load_test_has_a_name_of_its_own():
    sources = configuration(100)["sources"]
    assert len({source["name"] for source in sources}) == 100


def test_tables_are_markdown():
    assert table([["", "a"], ["x", "1"]]) == "|  | a |\n|---|---:|\n| x | 1 |"


def test_a_device_imports_nothing_that_it_does_without():
    assert imported("import edge") == []
    assert imported("import edge.cli, edge.run, edge.score, edge.inference") == []
