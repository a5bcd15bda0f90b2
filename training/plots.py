"""Figures of a report; the only module that imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.special
from numpy.typing import ArrayLike

from training.metrics import equal_error_rate, error_curve

if TYPE_CHECKING:
    from training.history import EpochRecord

BONAFIDE_COLOUR, SPOOF_COLOUR = "#2b6cb0", "#c05621"
DET_TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def _axes() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    # A Figure of its own needs no display and leaves no global state behind.
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    return figure, figure.subplots()


def performance_bars(
    path: Path, figures: Mapping[str, Any] | None, best: EpochRecord | None
) -> None:
    """AUC, accuracy, EER and TPR at 5 % FPR of the best epoch as bars."""
    if figures is None:
        return
    figure, axes = _axes()
    names = {"AUC": "auc", "accuracy": "accuracy", "EER": "eer", "TPR at 5 % FPR": "tpr_at_5_fpr"}
    values = [figures[key] for key in names.values()]
    bars = axes.bar(list(names), values, color=BONAFIDE_COLOUR)
    axes.bar_label(bars, fmt="%.3f")
    axes.set_ylim(0, 1.08)
    axes.set_title(f"On val, best epoch {best.epoch if best else '-'}")
    figure.savefig(path, dpi=120)


def learning_curves(path: Path, records: Sequence[EpochRecord]) -> None:
    """Training loss and val EER by epoch."""
    figure, axes = _axes()
    epochs = [record.epoch for record in records]
    axes.plot(epochs, [r.loss for r in records], color=SPOOF_COLOUR, label="training loss")
    axes.plot(epochs, [r.eer for r in records], color=BONAFIDE_COLOUR, label="val EER")
    axes.set_xlabel("epoch")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, dpi=120)


def det_curve(path: Path, scores: ArrayLike, labels: ArrayLike) -> None:
    """Misses against false alerts on normal-deviate axes (Martin et al., Eurospeech 1997)."""
    figure, axes = _axes()
    _, misses, alerts = error_curve(scores, labels)
    inside = (misses > 0) & (misses < 1) & (alerts > 0) & (alerts < 1)
    axes.plot(scipy.special.ndtri(alerts[inside]), scipy.special.ndtri(misses[inside]))
    rate, _ = equal_error_rate(scores, labels)
    if 0 < rate < 1:
        at = scipy.special.ndtri(rate)
        axes.plot(at, at, "o", color=SPOOF_COLOUR, label=f"EER {rate:.1%}")
        axes.legend()
    ticks = scipy.special.ndtri(np.array(DET_TICKS))
    texts = [f"{tick:.1%}" for tick in DET_TICKS]
    axes.set_xticks(ticks, texts, rotation=45)
    axes.set_yticks(ticks, texts)
    axes.set_xlim(ticks[0], ticks[-1])
    axes.set_ylim(ticks[0], ticks[-1])
    axes.set_xlabel("false alert rate (bona fide called spoof)")
    axes.set_ylabel("miss rate (spoof called bona fide)")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def roc_curve(path: Path, scores: ArrayLike, labels: ArrayLike) -> None:
    """Detection rate against false alert rate."""
    figure, axes = _axes()
    _, misses, alerts = error_curve(scores, labels)
    axes.plot(alerts, 1 - misses)
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.set_xlabel("false alert rate")
    axes.set_ylabel("detection rate")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def score_histogram(
    path: Path, probabilities: ArrayLike, labels: ArrayLike, threshold: float
) -> None:
    """Spoof probabilities of the two classes, and the operating point."""
    figure, axes = _axes()
    values = np.asarray(probabilities)
    spoof = np.asarray(labels).astype(bool)
    bins = np.linspace(0, 1, 41)
    for mine, name, colour in (
        (~spoof, "bona fide", BONAFIDE_COLOUR),
        (spoof, "spoof", SPOOF_COLOUR),
    ):
        axes.hist(values[mine], bins, density=True, alpha=0.6, label=name, color=colour)
    axes.axvline(threshold, color="black", linestyle="--", label="operating point")
    axes.set_xlabel("spoof probability")
    axes.legend()
    figure.savefig(path, dpi=120)


def differences(path: Path, points: Mapping[str, Sequence[float]], middle: str) -> None:
    """Every choice of a search against its middle: a dot for each seed, a bar for their mean.

    Args:
        path: of the figure.
        points: EER less the middle's, in points, of each choice, best first.
        middle: its name.
    """
    figure, axes = _axes()
    figure.set_figheight(1 + 0.28 * len(points))
    for place, values in enumerate(points.values()):
        mean = float(np.mean(values))
        colour = BONAFIDE_COLOUR if mean < 0 else SPOOF_COLOUR
        axes.barh(place, mean, color=colour, alpha=0.3)
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=4)
    axes.set_yticks(range(len(points)), list(points))
    axes.set_ylim(len(points) - 0.4, -0.6)  # best on top
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"EER less that of {middle} with the same seed, points (left is better)")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=120)
