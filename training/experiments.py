"""The table of everything tried, read from run folders."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.config import RunSettings
from training.errors import TrainingError
from training.history import lowest_eer

# Where the data lie, and how long it went on, are no choices of design.
NOT_COMPARED = ("cache", "cache_limit_gib", "workers", "corpora", "pool.folders", "start_from")
Figures = Mapping[str, Any]
Row = Mapping[str, str]
"""Cells of the table by the head of their column."""

TITLE = "# Everything tried\n\n"
ABOUT = (
    "Made by `earwitness-train experiments RUNS --out docs/experiments.md`. Figures are on the "
    "reported clips, against generators that the run had not trained on; lower EER is better.\n\n"
)
RUN, VAL_EER = "run", "val EER"
# The columns of reports other than val stand between these.
FIRST = (RUN, VAL_EER, "val AUC", "val TPR at 5 % FPR")
LAST = ("parameters", "MMAC", "what differs from the defaults")
TABLE = re.compile(r"^\| run \|.*\n\|[-:| ]+$(?:\n\|.*)*\n?", re.MULTILINE)


@dataclass(frozen=True)
class RunSummary:
    """One run: what was chosen, and what came of it on `val` (and `test`, if it was read).

    Attributes:
        name: of its folder.
        settings: flat, by dotted name.
        data: its data.json.
        reports: figures by report name ("val", "test-clean" ...), unseen generators where told.
        mean_eer: of the best epoch, over the conditions of validation and against all generators;
            nan where no epoch was trained.
    """

    name: str
    settings: Mapping[str, Any]
    data: Figures
    reports: Mapping[str, Figures]
    mean_eer: float = math.nan

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
    epochs = folder / "epochs.csv"
    eer = lowest_eer(epochs.read_text(encoding="utf-8")) if epochs.exists() else math.nan
    return RunSummary(folder.name, flat(read("config.json")), read("data.json"), reports, eer)


def differences(settings: Mapping[str, Any], others: Mapping[str, Any] | None = None) -> str:
    """Settings by dotted name that differ from others, as `name=value` pairs.

    Args:
        settings: flat (see `flat`).
        others: likewise; None = the defaults.
    """
    if others is None:
        others = flat(RunSettings().to_dict())
    pairs = [
        f"{name}={json.dumps(value)}"
        for name, value in settings.items()
        if name not in NOT_COMPARED and json.loads(json.dumps(others.get(name))) != value
    ]
    return ", ".join(f"`{pair}`" for pair in pairs)


def experiments_markdown(runs: Sequence[RunSummary], before: str = "") -> str:
    """docs/experiments.md: rates in per cent, on generators that the run had not trained on.

    Args:
        runs: each gives a row; of rows that show the same val EER, in this order.
        before: the file as it stands. Rows of its table stay if they are of other runs, for
            folders are not kept for ever; and so does, to the byte, all that follows the table.

    Raises:
        TrainingError: a row of the table that stands has not the columns of its head.
    """
    kept, rest = split_at_table(before)
    rows = {row[RUN]: row for row in kept}
    rows.update({run.name: _row(run) for run in runs})
    conditions = {column for row in rows.values() for column in row} - {*FIRST, *LAST}
    head = [*FIRST, *sorted(conditions), *LAST]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in sorted(rows.values(), key=_shown_val_eer):
        lines.append(f"| {' | '.join(row.get(column, '-') for column in head)} |")
    return TITLE + ABOUT + "\n".join(lines) + "\n" + rest


def split_at_table(text: str) -> tuple[list[Row], str]:
    """Rows of the table above the first section, in order, and all that follows the table.

    Where there is no such table only the title and what is said of it are left out of the rest.

    Raises:
        TrainingError: a row has not the columns of its head.
    """
    top = re.split("^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
    found = TABLE.search(top)
    if not found:
        return [], text.removeprefix(TITLE).removeprefix(ABOUT)
    head_line, _, *lines = found[0].rstrip("\n").split("\n")
    head = _cells(head_line)
    rows: list[Row] = []
    for line in lines:
        # The last column is free text, which may hold the sign that parts the others.
        cells = _cells(line, len(head) - 1)
        if len(cells) != len(head):
            raise TrainingError(
                f"the row of {cells[0]!r} has {len(cells)} cells, and the head of its table "
                f"{len(head)}; mend it first"
            )
        rows.append(dict(zip(head, cells)))
    return rows, text[found.end() :]


def _cells(line: str, parted: int = -1) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip() for cell in inner.split("|", parted)]


def _row(run: RunSummary) -> Row:
    val = run.reports.get("val", {})
    shown = {RUN: run.name, VAL_EER: _rate(val, "eer"), "val AUC": f"{val.get('auc', 0):.3f}"}
    shown["val TPR at 5 % FPR"] = _rate(val, "tpr_at_5_fpr")
    shown |= {f"{name} EER": _rate(run.reports[name], "eer") for name in run.reports}
    shown["parameters"] = str(run.data["parameters"])
    shown["MMAC"] = f"{run.data['multiply_accumulates'] / 1e6:.0f}"
    shown[LAST[-1]] = differences(run.settings)
    return shown


def _shown_val_eer(row: Row) -> float:
    """In per cent; rows without one come last."""
    number = re.match(r"[\d.]+", row.get(VAL_EER, ""))
    return float(number[0]) if number else math.inf


def _rate(figures: Figures, name: str) -> str:
    return f"{figures[name]:.1%}" if name in figures else "-"
