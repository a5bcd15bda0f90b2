"""CPU times that a busy machine cannot spoil much: in turn, and as ratios within each turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

ROUNDS = 15
ROUND_S = 0.02

Times = Mapping[str, Sequence[float]]


def take_turns(
    functions: Mapping[str, Callable[[], object]], rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Mean CPU time per call, ms, of each function in each round.

    The functions take turns, each for about ROUND_S, so that a change of the machine's speed meets
    them all; within a turn the caches are those of a program that does nothing else.
    """
    calls = {name: _calls(function) for name, function in functions.items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            function()
            times[name].append(_mean_ms(function, calls[name]))
    return times


def median_ms(times: Times, name: str) -> float:
    """Its median over the rounds."""
    return statistics.median(times[name])


def ratio(times: Times, numerator: str, denominator: str) -> float:
    """Median over the rounds of one time over the other, of the same round."""
    pairs = zip(times[numerator], times[denominator])
    return statistics.median(above / below for above, below in pairs)


def _calls(function: Callable[[], object]) -> int:
    function()
    return max(1, round(ROUND_S * 1000 / max(_mean_ms(function, 3), 1e-3)))


def _mean_ms(function: Callable[[], object], calls: int) -> float:
    begin = time.process_time_ns()
    for _ in range(calls):
        function()
    return (time.process_time_ns() - begin) / calls / 1e6
