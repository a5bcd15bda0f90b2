"""Markers and counts to instructions per stage. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# The markers that perf/arm/guest.py sets, by the stage that ends there. What lies between the
# markers that a hop begins and ends with and the detector's own is keeping the audio.
STAGE_OF_MARKER = {
    "start": "accept",
    "health": "health",
    "log_mel": "log_mel",
    "gate": "gate",
    "network": "inference",
    "inference": "inference",
    "decision": "decision",
    "end": "accept",
}
TOLERANCE = 0.02
# Below this many instructions a share says nothing.
LEAST = 10_000


def parse(text: str, markers: Sequence[str]) -> list[tuple[str, int]]:
    """The plugin's lines as (marker, instructions since the start)."""
    pairs = (line.split() for line in text.splitlines())
    return [(markers[int(number)], int(count)) for number, count in pairs]


def stages(marks: Sequence[tuple[str, int]], hops: int) -> dict[str, int]:
    """Instructions per hop and stage, the markers' own taken off; medians over the last hops.

    Returns:
        By stage, with `hop` for all of it and `log_mel_whole` for a whole window's log-Mel.
    """
    overhead = marker_overhead(marks)
    last = [hop_stages(hop, overhead) for hop in runs(marks, "end")][-hops:]
    figures = {name: round(statistics.median(hop[name] for hop in last)) for name in last[0]}
    whole = [run[1][1] - run[0][1] - overhead for run in runs(marks, "whole")]
    return {**figures, "log_mel_whole": round(statistics.median(whole))}


def marker_overhead(marks: Sequence[tuple[str, int]]) -> int:
    """What setting one marker costs."""
    counts = [count for name, count in marks if name == "empty"]
    return round(statistics.median(b - a for a, b in zip(counts, counts[1:])))


def runs(marks: Sequence[tuple[str, int]], last: str) -> Iterator[list[tuple[str, int]]]:
    """Stretches from a `begin` to the next `last`, unless another `begin` comes first."""
    stretch: list[tuple[str, int]] = []
    for mark in marks:
        stretch = [mark] if mark[0] == "begin" else [*stretch, mark]
        if mark[0] == last and stretch[0][0] == "begin":
            yield stretch


def hop_stages(hop: Sequence[tuple[str, int]], overhead: int) -> dict[str, int]:
    """Instructions of one hop by stage, and in all."""
    found = dict.fromkeys(STAGE_OF_MARKER.values(), 0)
    for (_, before), (name, after) in zip(hop, hop[1:]):
        found[STAGE_OF_MARKER[name]] += after - before - overhead
    return {**found, "hop": sum(found.values())}


def regressions(
    baseline: Mapping[str, Any], measured: Mapping[str, Any], tolerance: float = TOLERANCE
) -> list[str]:
    """What takes more instructions than the baseline allows, one sentence each.

    Both map a system's name to variants, and these to a record with `stages`, the model's `sha256`
    and the `versions` of what computes. Inference is compared only on the same model.
    """
    found = []
    for system, variants in measured.items():
        for variant, record in variants.items():
            old = baseline.get(system, {}).get(variant)
            where = f"{system}, {variant}"
            if old is None:
                found.append(f"{where}: no baseline; record one with --record")
                continue
            same_model = old["sha256"] == record["sha256"]
            for stage, count in record["stages"].items():
                if not same_model and stage in ("inference", "hop"):
                    continue
                found += _regression(f"{where}, {stage}", old["stages"][stage], count, tolerance)
            if old["versions"] != record["versions"]:
                found.append(f"{where}: measured with {record['versions']}, not {old['versions']}")
    return found


def _regression(what: str, old: int, new: int, tolerance: float) -> list[str]:
    if new - old <= max(tolerance * old, LEAST):
        return []
    return [f"{what}: {new / 1e6:.3f} million instructions where there were {old / 1e6:.3f}"]
