"""Whether a benchmark's figures can be believed, and what spoils them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.board import Board, names, throttled_now

# The clocks of these governors follow the load of the moment; others hold them.
ADAPTIVE_GOVERNORS = ("powersave", "ondemand", "conservative", "schedutil", "interactive")
BUSY_SHARE = 0.3
TAKEN_AWAY_SHARE = 0.05
FREQUENCY_SHARE = 0.9
HOT_C = 80.0
SPREAD = 3.0


@dataclass(frozen=True)
class Concern:
    """A reason to doubt.

    Attributes:
        spoils: the figures are wrong; otherwise they are right for the state described.
        text: one sentence.
    """

    spoils: bool
    text: str


def concerns(before: Board, after: Board, runs: Sequence[Mapping[str, Any]]) -> list[Concern]:
    """Everything that may have disturbed a measurement.

    Args:
        before, after: the board at its two ends.
        runs: what was measured, as in the JSON.
    """
    found = [*_load(before), *_throttling(before, after), *_clock(before, after)]
    for run in runs:
        found += _interruptions(run)
    return found


def _load(before: Board) -> list[Concern]:
    if before.load_1min is None:
        return []
    limit = BUSY_SHARE * (before.cores or 1)
    if before.load_1min <= limit:
        return []
    return [
        Concern(
            False,
            f"other programs were running (load {before.load_1min:.1f} on {before.cores or '?'} "
            "cores); stop them and measure again for the best figures",
        )
    ]


def _throttling(before: Board, after: Board) -> list[Concern]:
    now = sorted({*throttled_now(before.throttling), *throttled_now(after.throttling)})
    had = set(names(before.throttling or {}, occurred=True))
    came = [name for name in names(after.throttling or {}, occurred=True) if name not in had]
    found = []
    if now or came:
        what = ", ".join(_words(name) for name in dict.fromkeys([*now, *map(_momentary, came)]))
        found.append(
            Concern(
                True,
                f"the board held its clock back during the measurement ({what}); check its power "
                "supply and cooling",
            )
        )
    if after.temperature_c is not None and after.temperature_c >= HOT_C:
        found.append(
            Concern(
                True,
                f"the CPU was {after.temperature_c:.0f} degrees Celsius hot at the end; "
                "boards slow down there, so cool it",
            )
        )
    return found


def _clock(before: Board, after: Board) -> list[Concern]:
    if before.governor in ADAPTIVE_GOVERNORS:
        return [
            Concern(
                False,
                f"the governor {before.governor} moves the clock with the load, as it would for "
                "the daemon; for figures that repeat, set it to performance",
            )
        ]
    now, most = after.frequency_mhz, after.max_frequency_mhz
    if now is not None and most and now < FREQUENCY_SHARE * most:
        return [Concern(True, f"the CPU ran at {now:.0f} MHz of its {most:.0f} MHz")]
    return []


def _interruptions(run: Mapping[str, Any]) -> list[Concern]:
    """Time that passed without this process computing is time that others had."""
    name = f"{run['model']['name']} {run['model']['variant']}"
    stage = run["stages"]["end_to_end"]
    found = []
    taken = 1 - stage["cpu_ms"]["mean"] / stage["wall_ms"]["mean"]
    if run["threads"] == 1 and taken > TAKEN_AWAY_SHARE:
        found.append(
            Concern(
                True,
                f"{name}: other programs took the CPU away for {100 * taken:.0f} % of the time; "
                "only the CPU times below can be believed",
            )
        )
    spread = stage["wall_ms"]["p99"] / stage["wall_ms"]["p50"]
    if spread > SPREAD:
        found.append(
            Concern(
                True,
                f"{name}: the slowest of a hundred hops took {spread:.1f} times the median; "
                "something disturbed it",
            )
        )
    return found


def _words(name: str) -> str:
    return name.replace("_", " ")


def _momentary(name: str) -> str:
    return name[: -len("_occurred")]
