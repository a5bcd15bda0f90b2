"""Numbers of a window that slides by half seconds, measuring only what is new in it. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

RATE_HZ = 16000
STEP = RATE_HZ // 2
# Numbers and log-Mel share eight bits where a network is quantised, so what has no unit is
# multiplied by this to be as large as decibels.
UNITS = np.float32(20)


class SlidingNumbers(ABC):
    """Numbers of a sliding window, made of what each of its steps has by itself.

    A window that slides by other than whole half seconds is measured anew.

    Attributes:
        name: setting of `edge.features.FrontEnd` that asks for them.
        count: how many numbers.
        least_samples: of a window, at `RATE_HZ`.
        version: part of a fingerprint.
        of_spoofs: larger numbers are found in spoofs alone, so none may ever speak for a person.
    """

    name: ClassVar[str]
    count: ClassVar[int]
    least_samples: ClassVar[int]
    version: ClassVar[int]
    of_spoofs: ClassVar[bool] = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last window: the next one does not overlap it."""
        self._steps: NDArray[Any] = np.empty(0)

    def numbers(self, samples: Float32, slid_samples: int) -> Float32:
        """Numbers of a window, equal to those that it has alone.

        Args:
            samples: the window, float32, shape (n,), of the same length each time.
            slid_samples: how far it starts after the window of the last call; ignored when there
                was none since `reset`.

        Returns:
            float32, shape (numbers,).

        Raises:
            ValueError: the samples are not one-dimensional float32, or too few.
        """
        if samples.ndim != 1 or samples.dtype != np.float32 or len(samples) < self.least_samples:
            raise ValueError(
                f"{self.name} takes one-dimensional float32 samples, at least "
                f"{self.least_samples}, not {samples.dtype} {samples.shape}"
            )
        steps, off_grid = divmod(slid_samples, STEP)
        if off_grid or not 0 <= steps < len(self._steps):
            self.reset()
        kept = self._steps[steps:]
        if not len(kept):
            self._steps = self._of_steps(samples)
        elif len(kept) < len(samples) // STEP:
            made = self._of_steps(samples[len(kept) * STEP :])
            self._steps = np.concatenate([kept, made])
        return self._over(self._steps)

    @abstractmethod
    def _of_steps(self, samples: Float32) -> NDArray[Any]:
        """What each whole step of the samples has, shape (steps, ...)."""

    @abstractmethod
    def _over(self, steps: NDArray[Any]) -> Float32:
        """Numbers of a window that has such steps, shape (numbers,)."""


def frames_of_steps(samples: Float32, count: int, length: int, hop: int) -> Float32:
    """So many frames of each whole step, as a view, shape (steps, count, length)."""
    return overlapping(samples, (len(samples) // STEP, count, length), (STEP, hop))


def overlapping(samples: Float32, shape: tuple[int, ...], hops: tuple[int, ...]) -> Float32:
    """Pieces of such a shape as a view; from one to the next of each axis are so many samples.

    The constructor checks that they fit, and costs a twentieth of `sliding_window_view`, which
    would be a tenth of a hop's features.
    """
    strides = [hop * samples.itemsize for hop in (*hops, 1)]
    pieces: Float32 = np.ndarray(shape, np.float32, np.ascontiguousarray(samples), 0, strides)
    return pieces


def loudest(power: Float32, count: int) -> NDArray[np.intp]:
    """Which frames of each step are loudest, in their order: (steps, all) -> (steps, count)."""
    return np.sort(np.argpartition(power, -count, axis=1)[:, -count:], axis=1)


def mean_over_time(signals: Float32) -> Float32:
    """Over the last axis. A third of what `mean` takes for a few."""
    mean: Float32 = np.einsum("...t->...", signals) / np.float32(signals.shape[-1])
    return mean
