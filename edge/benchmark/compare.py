"""Two benchmarks side by side: what became faster, slower, or cannot be compared. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.benchmark.table import STAGES, columns

# Two runs on a quiet board differ by this much.
NOISE = 0.05

Key = tuple[str, str, int]


def text(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Differences between two documents, for people."""
    lines = [*reservations(old, new)]
    before, after = runs_by_key(old), runs_by_key(new)
    shared = [key for key in before if key in after]
    for key in shared:
        lines += ["", heading(before[key], after[key]), *rows(before[key], after[key])]
    for word, only in (("old", set(before) - set(after)), ("new", set(after) - set(before))):
        lines += [f"only in the {word} one: {' '.join(map(str, key))}" for key in sorted(only)]
    if not shared:
        lines.append("No network was measured in both with the same variant and threads.")
    return "\n".join(lines).strip("\n")


def runs_by_key(document: Mapping[str, Any]) -> dict[Key, Mapping[str, Any]]:
    """Runs by the model's name, its variant and the number of threads."""
    return {
        (run["model"]["name"], run["model"]["variant"], run["threads"]): run
        for run in document["runs"]
    }


def reservations(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What makes the comparison doubtful."""
    found = []
    for word, document in (("old", old), ("new", new)):
        if not document["trustworthy"]:
            found.append(f"The {word} figures were spoiled when they were taken; see CPU alone.")
    for name in ("model", "governor", "power_mode"):
        values = [document["board"]["before"][name] for document in (old, new)]
        if values[0] != values[1]:
            what = "board" if name == "model" else name.replace("_", " ")
            found.append(f"The {what} differs: {values[0]} and {values[1]}.")
    return found


def heading(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which network, and what changed about it."""
    name = f"{old['model']['name']}, {old['model']['variant']}, threads: {old['threads']}"
    changes = []
    if old["model"]["sha256"] != new["model"]["sha256"]:
        changes.append(f"model {old['model']['version']} -> {new['model']['version']}")
    if old["runtime"] != new["runtime"]:
        both = (f"{run['runtime']['name']} {run['runtime']['version']}" for run in (old, new))
        changes.append(" -> ".join(both))
    return f"{name} ({', '.join(changes)})" if changes else name


def rows(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Figures with their change."""
    table = [["", "old", "new", "change"]]
    for stage, label in STAGES.items():
        if stage in old["stages"] and stage in new["stages"]:
            pairs = (
                (f"{label}, p50 ms", "wall_ms", "p50"),
                (f"{label}, CPU ms", "cpu_ms", "mean"),
            )
            for name, clock, figure in pairs:
                a, b = (run["stages"][stage][clock][figure] for run in (old, new))
                table.append([name, f"{a:.3f}", f"{b:.3f}", change(a, b)])
    if old["peak_rss_mb"] and new["peak_rss_mb"]:
        a, b = old["peak_rss_mb"], new["peak_rss_mb"]
        table.append(["peak memory, MB", f"{a:.1f}", f"{b:.1f}", change(a, b)])
    a, b = old["streams_per_core"], new["streams_per_core"]
    table.append(["streams per core", str(a), str(b), ""])
    return columns(table)


def change(old: float, new: float) -> str:
    """`-12 %`, with a word where it is more than noise."""
    if old == 0:
        return ""
    share = new / old - 1
    word = "" if abs(share) <= NOISE else (" more" if share > 0 else " less")
    return f"{100 * share:+.0f} %{word}"
