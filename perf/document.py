"""Figures to docs/performance.md and its plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARM_BASELINE = Path(__file__).parent / "arm" / "baseline.json"
SHIPPED_ARM = "arm64-py311"
# CPU ms on one thread, measured once on one machine beside librosa's log-Mel of a 5 s window
# (2048/512/40), which took YARDSTICK_MS there. Ratios to it travel to other machines.
YARDSTICK_MS = 3.0
OTHERS_MS = {"LFCC-LCNN-LSTM": 25.4, "AASIST-L": 581.0}


@dataclass(frozen=True)
class Goal:
    """A figure that must stay at or below (or above) a limit."""

    name: str
    value: float
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Is it?"""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def shown(self) -> str:
        """The figure for people."""
        return f"{self.value:.3g}{self.unit}"

    @property
    def limit_shown(self) -> str:
        """The limit for people."""
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g}{self.unit}"


def default_hop(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The hop of the variant that this machine uses."""
    hops = [hop for hop in figures["hops"] if hop["variant"] == figures["machine_variant"]]
    return dict(hops[0])


def arm_baseline() -> dict[str, Any]:
    """Instruction counts, if they were recorded."""
    return dict(json.loads(ARM_BASELINE.read_text())) if ARM_BASELINE.exists() else {}


def goals(figures: Mapping[str, Any]) -> list[Goal]:
    """Everything that was promised, with what was measured."""
    log_mel, hop = figures["log_mel"]["shipped"], default_hop(figures)
    found = [
        Goal("log-Mel, whole window / librosa", log_mel["whole_over_librosa"], 1 / 3),
        Goal("log-Mel, new frames of a hop / librosa", log_mel["new_over_librosa"], 0.1),
        Goal("log-Mel, whole window / bare batched FFT", log_mel["whole_over_floor"], 2.5),
        Goal("one hop, end to end / librosa's log-Mel alone", hop["hop_over_librosa"], 1.0),
        Goal("inference, share of the GEMM rate", hop["gemm_share"], 0.45, at_least=True),
        Goal("operations outside XNNPACK", hop["operations"] - hop["delegated"], 0),
        Goal("partitions in XNNPACK", hop["partitions"], 1),
        Goal("CPU time to the first frame captured", figures["first_frame"]["cpu_s"], 1.0, " s"),
        Goal("wall time to the first frame captured", figures["first_frame"]["wall_s"], 1.0, " s"),
        Goal("peak memory of the daemon", figures["peak_rss_mb"], 80, " MB"),
        Goal("modules imported that a device does without", len(figures["foreign_imports"]), 0),
    ]
    arm = arm_baseline().get(SHIPPED_ARM, {}).get(figures["arm_variant"])
    if arm:
        millions = arm["stages"]["hop"] / 1e6
        found.append(Goal("instructions per hop, Cortex-A72", millions, 60, " million"))
    if figures.get("load"):
        most = streams_held(figures["load"])
        found.append(Goal("streams on one core in real time", most, 100, at_least=True))
    return found


def streams_held(curve: Sequence[Mapping[str, Any]]) -> int:
    """The most streams that were judged without a late window or lost audio."""
    return max((p["streams"] for p in curve if not p["late"] and not p["lost"]), default=0)


def text(figures: Mapping[str, Any]) -> str:
    """The document."""
    parts = [
        INTRODUCTION,
        machine(figures),
        "## Goals\n\n" + goal_table(goals(figures)),
        "## Log-Mel\n\n" + log_mel_table(figures["log_mel"]),
        "## One hop, by variant\n\n" + hop_table(figures),
        ARM + "\n\n" + arm_table(arm_baseline()),
    ]
    if figures.get("load"):
        parts.append(LOAD + "\n\n" + load_table(figures["load"]))
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
# Performance

This page is written by `make perf` (everything on this machine) from figures that it keeps in
`docs/performance/figures.json`, and from the instruction counts of `make perf-arm` in
`perf/arm/baseline.json`. For your own board, run `earwitness benchmark`.

All times are CPU times on one thread. They depend on the machine; the ratios hardly do, because
both sides of a ratio are run in turn, within the same seconds."""

ARM = """\
## Instructions on ARM

Counted by QEMU (`-cpu cortex-a72`, and `cortex-a15` for 32 bits) with a plugin of the project's own
that reads a counter at markers between the stages (`perf/arm`). Counts repeat to a few parts in ten
thousand whatever else the machine does; they are no times, since a processor runs one to three
instructions per cycle. `make perf-arm` fails where a stage takes over 2 % more than the figures
committed in `perf/arm/baseline.json`. On 32 bits the runtime is tflite-runtime 2.14."""

LOAD = """\
## How many streams one core carries

The real daemon (`earwitness run`), bound to one core, with recordings that play in real time as
sources. All streams start together, so their windows all fall due at the same moment of each
second: the hardest case. A window is late when it is judged after the next one was due.

![Latency and CPU share against the number of streams](performance/load.png)"""


def machine(figures: Mapping[str, Any]) -> str:
    """Where this was measured."""
    board, software = figures["board"], figures["software"]
    return (
        f"Measured on: {board['model']}, {board['cores']} cores, {board['architecture']}; "
        f"Python {software['python']}, numpy {software['numpy']}, scipy {software['scipy']}."
    )


def goal_table(found: Sequence[Goal]) -> str:
    """Goals with what was measured."""
    rows = [[g.name, g.shown, g.limit_shown, "yes" if g.met else "**no**"] for g in found]
    return table([["", "measured", "goal", "met"], *rows])


def log_mel_table(figures: Mapping[str, Any]) -> str:
    """Log-Mel at the two front ends."""
    head = ["front end", "librosa, ms", "whole window, ms", "new second, ms", "bare FFT, ms"]
    head += ["whole / librosa", "new / librosa", "whole / FFT"]
    rows = [
        [
            f"{name} ({s['n_fft']}/{s['frame_hop']}/{s['n_bands']})",
            *(f"{f[key]:.2f}" for key in ("librosa_ms", "whole_ms", "new_ms", "floor_ms")),
            *(f"{f[key]:.3f}" for key in ("whole_over_librosa", "new_over_librosa")),
            f"{f['whole_over_floor']:.2f}",
        ]
        for name, f in figures.items()
        for s in [f["settings"]]
    ]
    legend = (
        "A window is 5 s. *New second*: only the frames that the window one hop earlier did not "
        "have. *Bare FFT*: one batched float32 `scipy.fft.rfft` of the window's frames, already "
        "cut and laid out, which is a floor. In brackets: FFT length, frame hop, bands.\n\n"
        "![Time by stage](performance/stages.png)"
    )
    return table([head, *rows]) + "\n\n" + legend


def hop_table(figures: Mapping[str, Any]) -> str:
    """Hops by variant, and what that means beside others."""
    head = ["network", "size", "MMAC", "cues, ms", "inference, ms", "share of GEMM rate"]
    head += ["in XNNPACK", "hop, ms", "hop / librosa"]
    rows = [
        [
            f"{hop['name']} {hop['variant']}",
            f"{hop['bytes'] / 1000:.0f} kB",
            f"{hop['macs'] / 1e6:.1f}",
            f"{hop['cues_ms']:.2f}",
            f"{hop['inference_ms']:.2f}",
            f"{100 * hop['gemm_share']:.0f} % of {hop['gemm_gflops']:.0f} GFLOP/s",
            f"{hop['delegated']} of {hop['operations']}"
            + (f" (not {', '.join(hop['left'])})" if hop["left"] else ""),
            f"{hop['hop_ms']:.2f}",
            f"{hop['hop_over_librosa']:.2f}",
        ]
        for hop in figures["hops"]
    ]
    hop_yardstick_ms = default_hop(figures)["hop_over_librosa"] * YARDSTICK_MS
    others = "; ".join(
        f"{name} {ms:g} ms, {ms / hop_yardstick_ms:.0f} times as much"
        for name, ms in OTHERS_MS.items()
    )
    legend = (
        "*Hop*: all that the daemon's detector does for one second of audio: health, new log-Mel "
        "frames, speech gate, cues beside the spectrum, inference, decision. *librosa*: its "
        "log-Mel alone, of the same window (2048/512/40). On the machine where that takes "
        f"{YARDSTICK_MS:g} ms, other detectors were measured per clip: {others}.\n\n"
        "![Latency against size and error](performance/models.png)"
    )
    return table([head, *rows]) + "\n\n" + legend


def arm_table(baseline: Mapping[str, Any]) -> str:
    """Millions of instructions."""
    if not baseline:
        return "Not recorded yet."
    stages = (
        "log_mel",
        "inference",
        "decision",
        "gate",
        "health",
        "accept",
        "hop",
        "log_mel_whole",
    )
    rows = [
        [system, variant, *(f"{record['stages'][stage] / 1e6:.2f}" for stage in stages)]
        for system, variants in baseline.items()
        for variant, record in variants.items()
    ]
    fewest = "; ".join(f"{name}: {' or '.join(leanest(v))}" for name, v in baseline.items() if v)
    head = ["million instructions per hop", "variant", "features, new", "inference", "decision"]
    head += ["gate", "health", "keep", "**hop**", "log-Mel, whole"]
    return f"{table([head, *rows])}\n\nWith the fewest, to within 1 %: {fewest}."


def leanest(variants: Mapping[str, Any]) -> list[str]:
    """Those with the fewest instructions per hop, to within 1 %."""
    hops = {name: record["stages"]["hop"] for name, record in variants.items()}
    return [name for name, count in hops.items() if count <= 1.01 * min(hops.values())]


def load_table(curve: Sequence[Mapping[str, Any]]) -> str:
    """Latency by number of streams."""
    head = ["streams", "core used", "by others", "CPU per window, ms"]
    head += ["latency p50, ms", "p99, ms", "max, ms", "late", "lost"]
    rows = [
        [
            str(point["streams"]),
            f"{100 * point['cpu_share']:.0f} %",
            f"{100 * point['others_share']:.0f} %",
            f"{point['cpu_ms_per_window']:.1f}",
            *(f"{point['latency_ms'][name]:.0f}" for name in ("p50", "p99", "max")),
            f"{point['late']} of {point['windows']}",
            str(point["lost"]),
        ]
        for point in curve
        if point["windows"]
    ]
    return table([head, *rows])


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first row the head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "|---|" + "---:|" * (len(rows[0]) - 1)
    return "\n".join([lines[0], rule, *lines[1:]])


def plots(figures: Mapping[str, Any], folder: Path) -> None:
    """The plots that the document shows."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    plot_stages(figures, folder / "stages.png")
    plot_models(figures, folder / "models.png")
    if figures.get("load"):
        plot_load(figures["load"], folder / "load.png")


def plot_stages(figures: Mapping[str, Any], path: Path) -> None:
    """What a hop's time goes to, beside librosa."""
    import matplotlib.pyplot as plt

    log_mel, hop = figures["log_mel"]["shipped"], default_hop(figures)
    known = ("inference_ms", "cues_ms")
    rest = max(0.0, hop["hop_ms"] - sum(hop[name] for name in known) - log_mel["new_ms"])
    bars = {
        "librosa, whole window": [(log_mel["librosa_ms"], "log-Mel")],
        "here, whole window": [(log_mel["whole_ms"], "log-Mel")],
        "here, one hop": [
            (log_mel["new_ms"], "log-Mel"),
            (hop["cues_ms"], "cues"),
            (hop["inference_ms"], "inference"),
            (rest, "health, gate, decision"),
        ],
    }
    names = ("log-Mel", "inference", "health, gate, decision", "cues")
    colours = {name: f"C{number}" for number, name in enumerate(names)}
    figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
    for label, parts in bars.items():
        left = 0.0
        for width, part in parts:
            named = axes.get_legend_handles_labels()[1]
            legend = None if part in named else part
            axes.barh(label, width, left=left, color=colours[part], label=legend)
            left += width
    axes.invert_yaxis()
    axes.set_xlabel("CPU time, ms")
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_models(figures: Mapping[str, Any], path: Path) -> None:
    """Time against size, and error against time."""
    import matplotlib.pyplot as plt

    figure, (size, error) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for hop in figures["hops"]:
        label = f"{hop['name']} {hop['variant']}"
        size.scatter(hop["bytes"] / 1000, hop["inference_ms"], label=label)
        for condition in ("test", "val"):
            eer = hop["results"].get(condition, {}).get("all", {}).get("eer")
            if eer is not None:
                error.scatter(hop["hop_ms"], 100 * eer, label=f"{label}, {condition}")
                break
    size.set(xlabel="size, kB", ylabel="inference, CPU ms")
    error.set(xlabel="one hop, CPU ms", ylabel="EER, %")
    for axes in (size, error):
        axes.set(xlim=(0, 1.15 * axes.get_xlim()[1]), ylim=(0, 1.15 * axes.get_ylim()[1]))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, loc="lower left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_load(curve: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Latency and CPU share against the number of streams."""
    import matplotlib.pyplot as plt

    points = [point for point in curve if point["windows"]]
    streams = [point["streams"] for point in points]
    figure, latency = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for name in ("p50", "p99", "max"):
        values = [point["latency_ms"][name] for point in points]
        latency.plot(streams, values, marker="o", label=f"latency {name}")
    latency.axhline(1000, color="grey", linestyle=":", label="late")
    latency.set(xlabel="streams", ylabel="latency, ms", ylim=(0, None))
    share = latency.twinx()
    used = [100 * point["cpu_share"] for point in points]
    share.plot(streams, used, color="black", linestyle="--", label="core used")
    share.set(ylabel="core used, %", ylim=(0, 105))
    latency.legend(loc="upper left")
    share.legend(loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)
