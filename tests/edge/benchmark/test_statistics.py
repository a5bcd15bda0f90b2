"""Percentiles and verdicts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.benchmark.statistics import (
    against_hop,
    percentile,
    streams_per_core,
    summary,
    verdict,
)


def test_percentiles_worked_by_hand():
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, p) for p in (0, 1, 50, 90, 99, 100)] == [1, 1, 50, 90, 99, 100]
    assert percentile([7.0], 99) == 7


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(0, 100))
def test_a_percentile_is_an_observed_value_that_enough_values_do_not_exceed(values, percent):
    limit = percentile(values, percent)
    assert limit in values
    assert sum(value <= limit for value in values) * 100 >= percent * len(values)


def test_no_values_have_no_percentile():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_summary_names_every_figure():
    figures = summary([1.0, 2.0, 6.0])
    assert figures == {"p50": 2, "p90": 6, "p95": 6, "p99": 6, "max": 6, "mean": 3}


def test_a_fifth_of_the_core_stays_free():
    assert streams_per_core(8.0, 1.0) == 100
    assert streams_per_core(8.0, 0.5) == 50
    assert streams_per_core(900.0, 1.0) == 0


def stages(wall_ms: float, cpu_ms: float) -> dict:
    return {"end_to_end": {"wall_ms": summary([wall_ms]), "cpu_ms": summary([cpu_ms])}}


@pytest.mark.parametrize(
    ("wall_ms", "cpu_ms", "words"),
    [
        (14, 13, "uses 1.3 % of one core at a hop of 1 s; 61 streams would fit"),
        (700, 700, "uses 70 % of one core at a hop of 1 s; 1 stream would fit"),
        (900, 900, "uses 90 % of one core at a hop of 1 s; it keeps up, but leaves no room"),
        (1100, 1100, "too slow for this device: needs 1.1e+02 % of one core"),
    ],
)
def test_the_verdict_says_what_it_means_for_the_device(wall_ms, cpu_ms, words):
    figures = against_hop(stages(wall_ms, cpu_ms), 1.0)
    assert verdict(figures, 1.0).startswith(words)


def test_shares_are_of_the_hop():
    figures = against_hop(stages(10, 8), 0.5)
    assert figures["real_time_factor"] == pytest.approx(0.02)
    assert figures["cpu_share"] == pytest.approx(0.016)
    assert figures["keeps_up"]
