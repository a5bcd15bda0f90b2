"""A benchmark for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "unknown"
STAGES = {
    "capture": "capture copy",
    "resample": "resample 48 kHz",
    "accept": "keep the window",
    "health": "input health",
    "log_mel": "features, new",
    "gate": "speech gate",
    "inference": "inference",
    "decision": "decision",
    "end_to_end": "end to end",
    "log_mel_whole": "log-Mel, whole window",
}
COLUMNS = ("p50", "p90", "p95", "p99", "max")


def text(document: Mapping[str, Any]) -> str:
    """Board, figures of each run, what to doubt, and the verdicts."""
    parts = [board_lines(document), *(run_lines(run) for run in document["runs"])]
    if len(document["runs"]) > 1:
        parts.append(side_by_side(document["runs"]))
    parts.append(trust_lines(document))
    return "\n\n".join("\n".join(part) for part in parts if part)


def board_lines(document: Mapping[str, Any]) -> list[str]:
    """Where this was measured."""
    before, after = document["board"]["before"], document["board"]["after"]
    software = document["software"]
    return [
        f"{before['model'] or 'board unknown'}, {before['architecture']}, "
        f"{_known(before['cores'])} cores, kernel {before['kernel']}",
        f"governor {_known(before['governor'])}, "
        f"clock {_known(before['frequency_mhz'], '{:.0f}')}"
        f" -> {_known(after['frequency_mhz'], '{:.0f} MHz')}"
        f" of {_known(after['max_frequency_mhz'], '{:.0f} MHz')}, "
        f"load {_known(before['load_1min'])}"
        + (f", power mode {before['power_mode']}" if before["power_mode"] else ""),
        f"temperature {_known(before['temperature_c'], '{:.1f}')}"
        f" -> {_known(after['temperature_c'], '{:.1f} C')}, "
        f"throttling {_throttling(before)} -> {_throttling(after)}",
        f"earwitness {software['earwitness']}, Python {software['python']}, "
        f"numpy {_known(software['numpy'])}, scipy {_known(software['scipy'])}",
    ]


def run_lines(run: Mapping[str, Any]) -> list[str]:
    """One network's figures."""
    model, start = run["model"], run["start"]
    head = [
        f"{model['name']} {model['version']}, {model['variant']}: "
        f"{model['bytes'] / 1000:.0f} kB, sha256 {model['sha256'][:12]}",
        f"{run['runtime']['name']} {run['runtime']['version']}, {run['threads']} "
        f"thread{'s' if run['threads'] > 1 else ''}, {_graph(run['graph'])}",
        f"import {start['import_ms']:.0f} ms, load {start['load_ms']:.1f} ms, "
        f"first inference {start['first_inference_ms']:.1f} ms, "
        f"peak memory {_known(run['peak_rss_mb'], '{:.0f} MB')}",
        f"{run['windows']} windows of {run['window_s']:g} s after {run['warm_up_windows']} to warm "
        f"up; times per hop of {run['hop_s']:g} s, ms:",
    ]
    rows = [
        stage_row(label, run["stages"][stage])
        for stage, label in STAGES.items()
        if stage in run["stages"]
    ]
    table = columns([["", *COLUMNS, "CPU"], *rows])
    return [*head, *table, f"real-time factor {run['real_time_factor']:.2g}; {run['verdict']}"]


def stage_row(label: str, stage: Mapping[str, Any]) -> list[str]:
    """One line of a run's table."""
    wall_ms = [_ms(stage["wall_ms"][column]) for column in COLUMNS]
    return [label, *wall_ms, _ms(stage["cpu_ms"]["mean"])]


def side_by_side(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures that one chooses by."""
    head = ["", "end to end p50", "p99", "CPU", "inference", "memory", "size", "streams"]
    rows = [
        [
            f"{run['model']['name']} {run['model']['version']} {run['model']['variant']}",
            _ms(run["stages"]["end_to_end"]["wall_ms"]["p50"]),
            _ms(run["stages"]["end_to_end"]["wall_ms"]["p99"]),
            _ms(run["stages"]["end_to_end"]["cpu_ms"]["mean"]),
            _ms(run["stages"]["inference"]["wall_ms"]["p50"]),
            _known(run["peak_rss_mb"], "{:.0f} MB"),
            f"{run['model']['bytes'] / 1000:.0f} kB",
            str(run["streams_per_core"]),
        ]
        for run in runs
    ]
    return ["Side by side, ms:", *columns([head, *rows])]


def trust_lines(document: Mapping[str, Any]) -> list[str]:
    """What to doubt; nothing where there is nothing."""
    words = {True: "SPOILED", False: "note"}
    lines = [f"{words[c['spoils']]}: {c['text']}" for c in document["concerns"]]
    if not document["trustworthy"]:
        lines.append("These figures are not to be trusted; measure again.")
    return lines


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with the first column flush left and the others flush right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  "
        + row[0].ljust(widths[0])
        + "".join("  " + c.rjust(w) for c, w in zip(row[1:], widths[1:]))
        for row in rows
    ]


def _graph(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "delegation unknown"
    size = f"{found['macs'] / 1e6:.1f} million multiply-adds, "
    if not found["partitions"]:
        return size + "no operation in XNNPACK"
    told = f"{found['delegated']} of {found['operations']} operations in XNNPACK"
    parts = "" if found["partitions"] == 1 else f" in {found['partitions']} partitions"
    left = ", ".join(dict.fromkeys(found["left"]))
    return size + told + parts + (f" (not: {left})" if left else "")


def _throttling(board: Mapping[str, Any]) -> str:
    if board["throttling"] is None:
        return UNKNOWN
    on = [name.replace("_", " ") for name, value in board["throttling"].items() if value]
    return ", ".join(on) if on else "none"


def _known(value: Any, template: str = "{}") -> str:
    return UNKNOWN if value is None else template.format(value)


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
