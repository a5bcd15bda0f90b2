"""The table of everything tried, read from run folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.config import RunSettings

# Where the data lie, and how long it went on, are no choices of design.
NOT_COMPARED = ("cache", "cache_limit_gib", "workers", "corpora", "pool.folders", "start_from")
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class RunSummary:
    """One run: what was chosen, and what came of it on `val` (and `test`, if it was read).

    Attributes:
        name: of its folder.
        settings: flat, by dotted name.
        data: its data.json.
        reports: figures by report name ("val", "test-clean" ...), unseen generators where told.
    """

    name: str
    settings: Mapping[str, Any]
    data: Figures
    reports: Mapping[str, Figures]

    @property
    def val_eer(self) -> float:
        return float(self.reports.get("val", {}).get("eer", 1.0))


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return found


def read_runs(folder: Path) -> list[RunSummary]:
    """Finished runs below a folder, best first."""
    runs = [_read_run(path.parent) for path in sorted(folder.glob("*/report-val.json"))]
    return sorted(runs, key=lambda run: run.val_eer)


def _read_run(folder: Path) -> RunSummary:
    def read(name: str) -> Any:
        return json.loads((folder / name).read_text(encoding="utf-8"))

    reports = {}
    for path in sorted(folder.glob("report-*.json")):
        made = read(path.name)
        reports[path.stem[len("report-") :]] = made["unseen_generators"] or made["all"]
    return RunSummary(folder.name, flat(read("config.json")), read("data.json"), reports)


def differences(settings: Mapping[str, Any]) -> str:
    """Settings that are not the defaults, as `name=value` pairs."""
    defaults = flat(RunSettings().to_dict())
    pairs = [
        f"{name}={json.dumps(value)}"
        for name, value in settings.items()
        if name not in NOT_COMPARED and json.loads(json.dumps(defaults.get(name))) != value
    ]
    return ", ".join(f"`{pair}`" for pair in pairs)


def experiments_markdown(runs: Sequence[RunSummary]) -> str:
    """docs/experiments.md: rates in per cent, on generators that the run had not trained on."""
    conditions = sorted({name for run in runs for name in run.reports} - {"val"})
    head = ["run", "val EER", "val AUC", "val TPR at 5 % FPR", *(f"{c} EER" for c in conditions)]
    head += ["parameters", "MMAC", "what differs from the defaults"]
    lines = [
        "# Everything tried",
        "",
        "Made by `earwitness-train experiments RUNS --out docs/experiments.md`. Figures are on the "
        "reported clips, against generators that the run had not trained on; lower EER is better.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
    ]
    for run in runs:
        val = run.reports.get("val", {})
        cells = [run.name, _rate(val, "eer"), f"{val.get('auc', 0):.3f}"]
        cells.append(_rate(val, "tpr_at_5_fpr"))
        cells += [_rate(run.reports.get(name, {}), "eer") for name in conditions]
        cells.append(str(run.data["parameters"]))
        cells.append(f"{run.data['multiply_accumulates'] / 1e6:.0f}")
        cells.append(differences(run.settings))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _rate(figures: Figures, name: str) -> str:
    return f"{figures[name]:.1%}" if name in figures else "-"
