"""The benchmark says when its figures are spoiled, and only then."""

from __future__ import annotations

import dataclasses

import pytest

from edge.benchmark.honesty import concerns
from edge.benchmark.statistics import summary
from edge.board import THROTTLING_BITS, Board

COOL_PI = Board(
    model="Raspberry Pi 4 Model B Rev 1.4",
    architecture="aarch64",
    kernel="6.1",
    cores=4,
    governor="performance",
    frequency_mhz=1800.0,
    max_frequency_mhz=1800.0,
    temperature_c=48.0,
    throttling=dict.fromkeys(THROTTLING_BITS, False),
    power_mode=None,
    load_1min=0.1,
)
SILENT_BOARD = Board(None, "x86_64", "6.1", *[None] * 8)


def changed(**changes) -> Board:
    return dataclasses.replace(COOL_PI, **changes)


def throttled(*names: str) -> Board:
    return changed(throttling={name: name in names for name in THROTTLING_BITS})


def run(wall_ms=(10.0,) * 100, cpu_ms=9.9, threads=1) -> dict:
    return {
        "model": {"name": "lcnn", "variant": "int8"},
        "threads": threads,
        "stages": {
            "end_to_end": {"wall_ms": summary(wall_ms), "cpu_ms": summary([cpu_ms])},
        },
    }


def test_a_quiet_cool_board_raises_no_concern():
    assert concerns(COOL_PI, COOL_PI, [run()]) == []


def test_a_board_that_tells_nothing_raises_no_concern():
    assert concerns(SILENT_BOARD, SILENT_BOARD, [run()]) == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (COOL_PI, throttled("throttled", "throttled_occurred"), "throttled"),
        (COOL_PI, throttled("under_voltage_occurred"), "under voltage"),
        (throttled("frequency_capped"), throttled("frequency_capped"), "frequency capped"),
        (COOL_PI, changed(temperature_c=81.0), "81 degrees"),
        (COOL_PI, changed(frequency_mhz=600.0), "600 MHz of its 1800"),
    ],
)
def test_throttling_heat_and_low_clocks_spoil_the_figures(before, after, words):
    found = concerns(before, after, [run()])
    assert [c.spoils for c in found] == [True]
    assert words in found[0].text


def test_throttling_long_before_the_measurement_does_not():
    old = throttled("under_voltage_occurred", "throttled_occurred")
    assert concerns(old, old, [run()]) == []


def test_an_adaptive_governor_is_noted_but_spoils_nothing():
    board = changed(governor="ondemand", frequency_mhz=600.0)
    found = concerns(board, board, [run()])
    assert [c.spoils for c in found] == [False]
    assert "ondemand" in found[0].text


def test_load_by_others_is_noted_by_core():
    assert concerns(changed(load_1min=1.1), COOL_PI, [run()]) == []
    found = concerns(changed(load_1min=1.3), COOL_PI, [run()])
    assert [c.spoils for c in found] == [False]
    assert "load 1.3 on 4 cores" in found[0].text


def test_a_cpu_that_others_took_away_spoils_the_figures():
    found = concerns(COOL_PI, COOL_PI, [run(cpu_ms=6.0)])
    assert [c.spoils for c in found] == [True]
    assert "lcnn int8" in found[0].text
    assert "40 %" in found[0].text


def test_with_several_threads_more_cpu_than_time_is_no_sign_of_anything():
    assert concerns(COOL_PI, COOL_PI, [run(cpu_ms=6.0, threads=4)]) == []


def test_hops_that_were_held_up_spoil_the_figures():
    found = concerns(COOL_PI, COOL_PI, [run(wall_ms=[10.0] * 98 + [50.0] * 2, cpu_ms=10.75)])
    assert [c.spoils for c in found] == [True]
    assert "5.0 times the median" in found[0].text
