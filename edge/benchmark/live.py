"""The running daemon's own histograms, as it shows them to Prometheus. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.benchmark.statistics import PERCENTILES
from edge.benchmark.table import STAGES, columns
from edge.errors import EdgeError

STAGE_METRIC = "earwitness_stage_seconds"
LATENCY_METRIC = "earwitness_latency_seconds"
CPU_METRIC = "process_cpu_seconds_total"
MEMORY_METRIC = "process_resident_memory_bytes"
WINDOWS_METRIC = "earwitness_windows_total"

# https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \S+)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Scrape:
    """Values of all samples, by name and labels."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Scrape:
    """Read the text format.

    Raises:
        EdgeError: it is not that, or not from an Earwitness daemon.
    """
    samples = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        try:
            if match is None:
                raise ValueError
            labels = frozenset(_LABEL.findall(match.group(2) or ""))
            samples[match.group(1), labels] = float(match.group(3))
        except ValueError:
            raise EdgeError(f"That is not a daemon's /metrics: it says {line[:60]!r}.") from None
    if not any(name.startswith(STAGE_METRIC) for name, _ in samples):
        raise EdgeError(
            f"The daemon shows no {STAGE_METRIC}; it has judged no window yet, or is another "
            "program."
        )
    return Scrape(samples)


def since(later: Scrape, earlier: Scrape) -> Scrape:
    """What happened between two scrapes: differences of all that only counts up.

    Raises:
        EdgeError: the daemon was restarted in between, or judged nothing.
    """
    counting = ("_bucket", "_count", "_sum", "_total")
    changes = {
        key: value - earlier.samples.get(key, 0.0) if key[0].endswith(counting) else value
        for key, value in later.samples.items()
    }
    counts = [value for key, value in changes.items() if key[0] == f"{STAGE_METRIC}_count"]
    if any(count < 0 for count in counts):
        raise EdgeError("The daemon was restarted while it was watched; try again.")
    if not any(counts):
        raise EdgeError("The daemon judged no window in that time; watch it for longer.")
    return Scrape(changes)


def document(scrape: Scrape, seconds: float | None) -> dict[str, Any]:
    """Figures by stage.

    Args:
        scrape: the daemon's samples.
        seconds: how long it was watched; None = since its start.
    """
    windows = sum(v for (name, _), v in scrape.samples.items() if name == WINDOWS_METRIC)
    cpu_s = scrape.samples.get((CPU_METRIC, frozenset()))
    memory = scrape.samples.get((MEMORY_METRIC, frozenset()))
    latencies = histograms(scrape, LATENCY_METRIC, "source")
    return {
        "kind": "earwitness-live",
        "format": 1,
        "seconds": seconds,
        "windows": int(windows),
        "cpu_ms_per_window": cpu_s * 1000 / windows if cpu_s is not None and windows else None,
        "cpu_share": cpu_s / seconds if cpu_s is not None and seconds else None,
        "rss_mb": None if memory is None else memory / 1e6,
        "stages": {n: figures(b) for n, b in histograms(scrape, STAGE_METRIC, "stage").items()},
        "latency": {name: figures(buckets) for name, buckets in latencies.items()},
    }


def histograms(scrape: Scrape, metric: str, label: str) -> dict[str, dict[float, float]]:
    """Cumulated counts by upper limit (s), by the value of one label."""
    found: dict[str, dict[float, float]] = {}
    for (name, labels), value in scrape.samples.items():
        if name == f"{metric}_bucket":
            by_name = dict(labels)
            buckets = found.setdefault(by_name.get(label, ""), {})
            buckets[float(by_name["le"])] = value
    return {name: dict(sorted(b.items())) for name, b in found.items() if max(b.values()) > 0}


def figures(buckets: Mapping[float, float]) -> dict[str, float | None]:
    """Percentiles, ms, and the limit that no value exceeded (None: beyond the last limit)."""
    total = buckets[math.inf]
    most = next(limit for limit, count in buckets.items() if count == total)
    named = {f"p{percent}": quantile(buckets, percent / 100) for percent in PERCENTILES}
    at_most = {**named, "at_most": most}
    return {name: s * 1000 if math.isfinite(s) else None for name, s in at_most.items()}


def quantile(buckets: Mapping[float, float], share: float) -> float:
    """As Prometheus's histogram_quantile: linear within a bucket; inf beyond the last limit."""
    rank = share * buckets[math.inf]
    lower, below = 0.0, 0.0
    for limit, count in buckets.items():
        if count >= rank and count > below:
            if math.isinf(limit):
                return limit
            # Rounding may carry the sum a hair above the bucket that holds the value.
            return min(limit, lower + (limit - lower) * (rank - below) / (count - below))
        lower, below = limit, count
    return math.inf


def text(document: Mapping[str, Any]) -> str:
    """The figures for people."""
    names = [f"p{percent}" for percent in PERCENTILES]
    rows = [["", *names, "at most"]]
    order = [name for name in STAGES if name in document["stages"]]
    order += [name for name in document["stages"] if name not in STAGES]
    measured = [(STAGES.get(name, name), document["stages"][name]) for name in order]
    measured += [(f"latency of {name}", f) for name, f in document["latency"].items()]
    for label, values in measured:
        rows.append([label, *(_ms(values[name]) for name in (*names, "at_most"))])
    period = "since it started" if document["seconds"] is None else f"{document['seconds']:g} s"
    lines = [f"The running daemon, {period}: {document['windows']} windows; ms:", *columns(rows)]
    if document["cpu_ms_per_window"] is not None:
        lines.append(f"CPU per window, everything included: {document['cpu_ms_per_window']:.2f} ms")
    if document["cpu_share"] is not None:
        lines.append(f"CPU: {100 * document['cpu_share']:.2g} % of one core")
    if document["rss_mb"] is not None:
        lines.append(f"memory: {document['rss_mb']:.0f} MB")
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    return "more" if value is None else f"{value:.2f}"
