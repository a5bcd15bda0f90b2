"""Times to figures: percentiles, shares of a core, the verdict against the hop. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

PERCENTILES = (50, 90, 95, 99)

# A board is not to be filled to the brim: the sound server, the network and the kernel live on
# the same core, and a late window is a lost one.
USABLE_SHARE = 0.8


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` % of the values do not exceed: an observed one (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values have no percentile")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Percentiles, maximum and mean, under the names that the table and the JSON use."""
    figures = {f"p{percent}": percentile(values, percent) for percent in PERCENTILES}
    return {**figures, "max": max(values), "mean": math.fsum(values) / len(values)}


def streams_per_core(cpu_ms_per_hop: float, hop_s: float) -> int:
    """How many streams one core carries while a fifth of it stays free."""
    return int(USABLE_SHARE * hop_s * 1000 / cpu_ms_per_hop)


def against_hop(stages: Mapping[str, Mapping[str, Any]], hop_s: float) -> dict[str, Any]:
    """What a hop's end-to-end figures mean for a device that has `hop_s` for each.

    Args:
        stages: figures by stage, as in the JSON; `end_to_end` is read.
        hop_s: time between windows, s.

    Returns:
        `real_time_factor` (median time over hop), `cpu_share` (of one core, 0 to 1 and above),
        `streams_per_core`, `keeps_up` (does the slowest of a hundred hops end in time?).
    """
    wall, cpu = stages["end_to_end"]["wall_ms"], stages["end_to_end"]["cpu_ms"]
    return {
        "real_time_factor": wall["p50"] / (hop_s * 1000),
        "cpu_share": cpu["mean"] / (hop_s * 1000),
        "streams_per_core": streams_per_core(cpu["mean"], hop_s),
        "keeps_up": wall["p99"] <= hop_s * 1000,
    }


def verdict(figures: Mapping[str, Any], hop_s: float) -> str:
    """One sentence for people."""
    share = f"{100 * figures['cpu_share']:.2g} % of one core at a hop of {hop_s:g} s"
    if not figures["keeps_up"]:
        return f"too slow for this device: needs {share}"
    streams = figures["streams_per_core"]
    if streams == 0:
        return f"uses {share}; it keeps up, but leaves no room on that core"
    return f"uses {share}; {streams} stream{'s' if streams > 1 else ''} would fit"
