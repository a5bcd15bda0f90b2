"""What cues tell by themselves of sources that their teller has not heard, to choose among them.

`val` has few sources, and of many trials that are chosen on it the best is best there alone. Pools
of training data and of `val` have more: a teller is fitted to all sources but a part of them, and
judges that part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.cues import CUES
from training.cache import progress
from training.errors import TrainingError
from training.metrics import area_under_curve, detection_rate_at
from training.pool import pool_front_end
from training.pool_cues import NUMBERS, OF_SPOOFS, Windows, measured, with_all_cues
from training.teller import SEEDS, fit_within_sources

Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
Places = NDArray[np.int64]

# A source is told apart within if it has so many windows of either class.
LEAST_WINDOWS = 20


@dataclass(frozen=True)
class Trial:
    """What some cues tell of sources that have not been heard.

    Attributes:
        cues: which.
        numbers: how many they have.
        within: area under the curve of windows of one source, the mean of those of both classes.
        across: of all windows together.
        tpr_at_5_fpr: likewise.
    """

    cues: str
    numbers: int
    within: float
    across: float
    tpr_at_5_fpr: float


def try_cues(pools: Sequence[Path], parts: int) -> list[Trial]:
    """Try all cues, and all but each.

    Args:
        pools: windows of training data and of `val` with their audio; what is measured is left
            beside them.
        parts: that sources are dealt out to; each is judged by a teller of the others.

    Raises:
        TrainingError: a pool holds no audio, or its windows are too short, or fewer sources than
            parts have windows of both classes.
    """
    windows = measured(pools, with_all_cues(pool_front_end(pools[0])))
    mixed = windows.mixed_sources(LEAST_WINDOWS)
    if len(mixed) < 2:
        raise TrainingError(
            f"{len(mixed)} sources of the pools have {LEAST_WINDOWS} windows of both classes, and "
            "2 are needed; name more pools, of corpora that publish human speech and spoofs"
        )
    if not 2 <= parts <= len(mixed):
        raise TrainingError(
            f"sources cannot be dealt out to {parts} parts; there must be 2 to {len(mixed)}, as "
            f"many as sources of the pools have {LEAST_WINDOWS} windows of both classes"
        )
    part = parts_of_sources(windows.sources, list(mixed), parts)
    cue_of = np.repeat(np.arange(len(CUES)), [cue.count for cue in CUES])
    kept = {"all": np.ones(NUMBERS, bool)}
    kept |= {f"without {cue.name}": cue_of != place for place, cue in enumerate(CUES)}
    told = {name: np.empty(len(part)) for name in kept}
    work = list(product(kept, range(parts)))
    for name, one in progress(work, len(work), "tellers", "teller"):
        told[name][part == one] = told_of(windows, part == one, kept[name])
    return [
        Trial(
            name,
            int(kept[name].sum()),
            within_sources(told[name], windows, mixed),
            area_under_curve(told[name], windows.spoof),
            detection_rate_at(told[name], windows.spoof)[0],
        )
        for name in kept
    ]


def told_of(windows: Windows, judged: Bools, kept: Bools) -> Float64:
    """What a teller of some numbers, fitted to the other windows, says of those to be judged."""
    others = windows.where(~judged)
    others = replace(others, numbers=others.numbers[:, kept])
    teller = fit_within_sources(others, OF_SPOOFS[kept], SEEDS)
    return teller.of(windows.numbers[judged][:, kept])


def parts_of_sources(sources: NDArray[np.str_], mixed: Sequence[str], parts: int) -> Places:
    """The part of each window: mixed sources are dealt out first, all in a fixed random order."""
    rng = np.random.default_rng(0)
    others = np.setdiff1d(sources, mixed)
    dealt = np.concatenate([rng.permutation(np.array(mixed)), rng.permutation(others)])
    part = {name: place % parts for place, name in enumerate(dealt.tolist())}
    return np.array([part[name] for name in sources.tolist()])


def within_sources(told: Float64, windows: Windows, mixed: Iterable[str]) -> float:
    """Area under the curve of the windows of one source, the mean of such sources."""
    of_each = [windows.sources == name for name in mixed]
    return float(np.mean([area_under_curve(told[own], windows.spoof[own]) for own in of_each]))


def table(trials: Sequence[Trial]) -> str:
    """Markdown."""
    rows = [
        "| cues | numbers | within sources | across | TPR at 5 % FPR |",
        "|---|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {one.cues} | {one.numbers} | {one.within:.4f} | {one.across:.4f} "
        f"| {one.tpr_at_5_fpr:.1%} |"
        for one in trials
    ]
    return "\n".join(rows)

