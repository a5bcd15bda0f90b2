"""What numbers of a window tell: a small network, fitted to pairs of windows of one source.

One of a pair is human and one synthetic (RankNet, Burges et al., "Learning to rank using gradient
descent", ICML 2005): what tells a source, and not the class, tells it nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.models.pairwise import fit_pairs
from training.pool import Scale
from training.pool_cues import Windows

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Three deviations are all that a number has to say; farther out are clicks and silence.
LIMIT = 3.0
# A source counts if it has so many windows of either class.
LEAST_WINDOWS = 5
# More windows than these give a source no more weight.
MOST_PAIRS = 100
# A teller is the mean of so many, which differ in where they began and what they drew.
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Teller:
    """A small network of numbers that has unit deviation where it was fitted; higher = spoof.

    Attributes:
        scale: of the numbers.
        hidden: weights of each rectified unit, shape (numbers, units).
        biases: of the units, shape (units,).
        out: what each unit counts, shape (units,).
        straight: what each number counts by itself, shape (numbers,).
    """

    scale: Scale
    hidden: Float32
    biases: Float32
    out: Float32
    straight: Float32

    def of(self, numbers: Float32) -> Float64:
        """Of (windows, numbers): shape (windows,)."""
        standard = _standard(numbers, self.scale)
        units = np.maximum(standard @ self.hidden + self.biases, 0)
        told: Float64 = units @ self.out + standard @ self.straight
        return told

    def times(self, factor: float) -> Teller:
        """One that says so many times as much."""
        return replace(self, out=factor * self.out, straight=factor * self.straight)


def fit_within_sources(
    windows: Windows, of_spoofs: Bools | None = None, seeds: Sequence[int] = SEEDS
) -> Teller:
    """What tells the classes apart in sources that publish both.

    Args:
        windows: measured.
        of_spoofs: numbers that must never speak for a person, shape (numbers,); without it none.
        seeds: the teller is the mean of one for each.

    Raises:
        TrainingError: no source has windows enough of both classes.
    """
    mixed = list(windows.mixed_sources(LEAST_WINDOWS).values())
    if not mixed:
        raise TrainingError(
            f"no source of the pools has {LEAST_WINDOWS} windows of both classes; make a pool "
            "from corpora that publish human speech and spoofs"
        )
    scale = Scale.of(windows.numbers)
    standard = _standard(windows.numbers, scale).astype(np.float32)
    share = np.array([min(len(human), len(spoof), MOST_PAIRS) for human, spoof in mixed], float)

    def pairs(rng: np.random.Generator, count: int) -> tuple[Float32, Float32]:
        chosen = rng.choice(len(mixed), count, p=share / share.sum())
        human, spoof = (
            np.array([rng.choice(mixed[one][side]) for one in chosen]) for side in (0, 1)
        )
        return standard[human], standard[spoof]

    told = np.zeros(standard.shape[1], bool) if of_spoofs is None else of_spoofs
    found = [_unit(Teller(scale, *fit_pairs(pairs, told, seed)), windows) for seed in seeds]
    return Teller(
        scale,
        np.concatenate([one.hidden for one in found], axis=1),
        np.concatenate([one.biases for one in found]),
        np.concatenate([one.out for one in found]) / np.float32(len(found)),
        np.mean([one.straight for one in found], axis=0),
    )


def _unit(teller: Teller, windows: Windows) -> Teller:
    """The teller with unit deviation on some windows."""
    return teller.times(1 / float(teller.of(windows.numbers).std()))


def _standard(numbers: Float32, scale: Scale) -> Float64:
    return np.clip(scale.standard(numbers), -LIMIT, LIMIT).astype(np.float64)
