"""`make perf`: what Earwitness costs, in docs/performance.md with its plots.

python -m perf                  compute and process figures, then the document
python -m perf --load           also how many streams one core carries (minutes, a quiet machine)
python -m perf --document       only the document, from docs/performance/figures.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.benchmark.command import ONE_THREAD, software
from edge.board import read_board, run_tool
from edge.bundle import DEFAULT_BUNDLE, machine
from edge.features import FrontEnd

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
FIGURES = DOCUMENT.parent / "performance" / "figures.json"
STREAMS = (1, 10, 25, 50, 75, 100, 125, 150, 200, 250)
LOAD_S = 15.0


def main() -> int:
    """Measure, keep the figures, write the document; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m perf")
    parser.add_argument("--bundle", dest="bundles", type=Path, nargs="+", default=[DEFAULT_BUNDLE])
    parser.add_argument("--load", action="store_true", help="also count streams on one core")
    parser.add_argument("--only-load", action="store_true", help="count streams and nothing else")
    parser.add_argument("--document", action="store_true", help="measure nothing")
    args = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        # numpy reads it when it is imported, which has happened.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "perf", *sys.argv[1:]],
            {**os.environ, **ONE_THREAD},
        )
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if not (args.document or args.only_load):
        figures.update(compute(args.bundles))
        figures.update(processes(args.bundles[0]))
    if args.load or args.only_load:
        figures["load"] = load(args.bundles[0])
    if not args.document:
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
    from perf import document

    DOCUMENT.write_text(document.text(figures))
    document.plots(figures, FIGURES.parent)
    missed = [goal for goal in document.goals(figures) if not goal.met]
    for goal in document.goals(figures):
        print(
            f"{'ok  ' if goal.met else 'MISS'} {goal.name}: {goal.shown} (goal {goal.limit_shown})"
        )
    return 1 if missed else 0


def compute(folders: list[Path]) -> dict[str, Any]:
    """Ratios within this process."""
    from perf.compute import BASELINE, bundles, hop_figures, log_mel_figures

    loaded = [bundle for folder in folders for bundle in bundles(folder)]
    shipped: FrontEnd = loaded[0].manifest.front_end
    hops = []
    for bundle in loaded:
        results = bundle.manifest.metrics.get("conditions", {})
        hops.append({**hop_figures(bundle), "results": results})
    return {
        "software": software(),
        "board": asdict(read_board(run=run_tool)),
        "log_mel": {
            "shipped": {"settings": shipped.to_dict(), **log_mel_figures(shipped)},
            "baseline": {"settings": BASELINE.to_dict(), **log_mel_figures(BASELINE)},
        },
        "default_variant": loaded[0].manifest.default_variant,
        "machine_variant": loaded[0].manifest.variant_for(machine()),
        "arm_variant": loaded[0].manifest.variant_for("aarch64"),
        "hops": hops,
    }


def processes(bundle: Path) -> dict[str, Any]:
    """The daemon from outside."""
    from edge.benchmark.measure import RECORDINGS
    from perf.process import first_frame, imported, peak_rss_mb

    return {
        "foreign_imports": imported("import edge.cli, edge.run, edge.inference"),
        "first_frame": first_frame(bundle),
        "peak_rss_mb": _with_config(
            lambda config: peak_rss_mb(bundle, RECORDINGS / "human.flac", config)
        ),
    }


def load(bundle: Path) -> list[dict[str, Any]]:
    """The curve of streams on one core."""
    from perf.load import curve

    found: list[dict[str, Any]] = _with_config(
        lambda config: curve(bundle, STREAMS, LOAD_S, config)
    )
    return found


def _with_config(use: Callable[[Path], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return use(Path(folder) / "earwitness.yaml")


if __name__ == "__main__":
    sys.exit(main())
