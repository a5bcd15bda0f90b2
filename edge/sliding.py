"""Numbers of a window that slides by half seconds, measuring only what is new in it. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

RATE_HZ = 16000
STEP = RATE_HZ // 2
# Numbers and log-Mel share eight bits where a network is quantised, so what has no unit is
# multiplied by this to be as large as decibels.
UNITS = np.float32(20)


@dataclass(frozen=True)
class Frames:
    """What log-Mel frames are made of.

    Attributes:
        length: samples of a frame.
        hop: samples from one to the next.
        bands_hz: middles of their bands, Hz.
        padded: those at a window's ends reach beyond it, so that other windows do not have them.
    """

    length: int
    hop: int
    bands_hz: tuple[float, ...]
    padded: bool


class SlidingNumbers(ABC):
    """Numbers of a sliding window, made of what each of its steps has by itself.

    A window that slides by other than whole half seconds is measured anew.

    Attributes:
        name: setting of `edge.features.FrontEnd` that asks for them.
        count: how many numbers.
        version: part of a fingerprint.
        limits: of each number.
        least_steps: of a window.
        of_spoofs: larger numbers are found in spoofs alone, so none may ever speak for a person.
        of_frames: they are measured of log-Mel frames, not of samples.
        frame_hops: samples between frames that they can be measured of, the least and the most.
        dimensions: of what they are measured of.
        step: how many samples (or frames) a step has.
        slides: windows that slide by whole half seconds share steps.
    """

    name: ClassVar[str]
    count: ClassVar[int]
    version: ClassVar[int]
    limits: ClassVar[tuple[float, float]]
    least_steps: ClassVar[int] = 1
    of_spoofs: ClassVar[bool] = False
    of_frames: ClassVar[bool] = False
    frame_hops: ClassVar[tuple[float, float]] = (1, np.inf)
    dimensions: ClassVar[int] = 1
    step = STEP
    slides = True

    def __init__(self) -> None:
        self.reset()

    @classmethod
    def beside(cls, frames: Frames) -> SlidingNumbers:
        """Such a stream for windows that have these log-Mel frames."""
        return cls()

    @property
    def least_samples(self) -> int:
        """Of a window, at `RATE_HZ`."""
        return self.least_steps * STEP

    def reset(self) -> None:
        """Forget the last window: the next one does not overlap it."""
        self._steps: NDArray[Any] = np.empty(0)

    def numbers(self, heard: Float32, slid_samples: int) -> Float32:
        """Numbers of a window, equal to those that it has alone.

        Args:
            heard: the window, of the same length each time: its samples, float32, shape (n,); or
                its log-Mel, dB, float32, shape (frames, bands).
            slid_samples: how far it starts after the window of the last call; ignored when there
                was none since `reset`.

        Returns:
            float32, shape (numbers,).

        Raises:
            ValueError: what is heard is not float32 of that shape, or too short.
        """
        least = self.least_steps * self.step
        if heard.ndim != self.dimensions or heard.dtype != np.float32 or len(heard) < least:
            raise ValueError(
                f"{self.name} takes {self.dimensions}-dimensional float32 "
                f"{'frames' if self.of_frames else 'samples'}, at least {least}, "
                f"not {heard.dtype} {heard.shape}"
            )
        steps, off_grid = divmod(slid_samples, STEP)
        if off_grid or not self.slides or not 0 <= steps < len(self._steps):
            self.reset()
        kept = self._steps[steps:]
        if not len(kept):
            self._steps = self._of_steps(heard)
        elif len(kept) < len(heard) // self.step:
            made = self._of_steps(heard[len(kept) * self.step :])
            self._steps = np.concatenate([kept, made])
        return self._over(self._steps)

    @abstractmethod
    def _of_steps(self, heard: Float32) -> NDArray[Any]:
        """What each whole step of what is heard has, shape (steps, ...)."""

    def _over(self, steps: NDArray[Any]) -> Float32:
        """Numbers of a window that has such steps, shape (numbers,); their mean, if not said."""
        # As in `mean_over_time`.
        mean = np.einsum("sn->n", steps) / np.float32(len(steps))
        limited: Float32 = np.clip(mean, *self.limits)
        return limited


class SlidingFrameNumbers(SlidingNumbers):
    """Those that are measured of log-Mel frames.

    Args:
        frames: what these are.
    """

    of_frames, dimensions = True, 2

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.step = STEP // frames.hop
        # Frames that are padded, or lie on another grid than steps, belong to one window.
        self.slides = not frames.padded and STEP % frames.hop == 0
        super().__init__()

    @classmethod
    def beside(cls, frames: Frames) -> SlidingNumbers:
        return cls(frames)

    @property
    def least_samples(self) -> int:
        return (self.least_steps * self.step - 1) * self.frames.hop + self.frames.length


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


def mean_over_time(signals: Float32) -> Float32:
    """Over the last axis. A third of what `mean` takes for a few."""
    mean: Float32 = np.einsum("...t->...", signals) / np.float32(signals.shape[-1])
    return mean


def eased(length: int, share: float) -> Float64:
    """A window that is flat but for a share at its ends, as a Hann window (Tukey's)."""
    from_end = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    window: Float64 = 0.5 - 0.5 * np.cos(np.pi * np.minimum(2 * from_end / (share * length), 1))
    return window
