"""What a network hears of a window beside its spectrum: all cues there are, and how to slide. Pure.

Each is so many numbers of a window, which a front end asks for by the cue's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge import excitation, tones

Float32 = NDArray[np.float32]


class Stream(Protocol):
    """A cue of a sliding window."""

    def reset(self) -> None:
        """Forget the last window: the next one does not overlap it."""

    def numbers(self, samples: Float32, slid_samples: int) -> Float32:
        """Of the window, that starts so many samples after that of the last call."""


@dataclass(frozen=True)
class Cue:
    """Numbers of a window.

    Attributes:
        name: setting of `edge.features.FrontEnd`.
        count: how many numbers.
        rate_hz: of the samples, Hz.
        least_samples: of a window.
        version: part of a fingerprint.
        of_spoofs: larger numbers are found in spoofs alone, so none may ever speak for a person.
        stream: makes what measures a sliding window.
    """

    name: str
    count: int
    rate_hz: int
    least_samples: int
    version: int
    stream: Callable[[], Stream]
    of_spoofs: bool = False

    def of(self, samples: Float32) -> Float32:
        """Of one window, float32, shape (count,).

        Raises:
            ValueError: the samples are not one-dimensional float32, or too few.
        """
        return self.stream().numbers(samples, 0)


# In this order in the features. A new one is added at the end.
CUES = (
    Cue(
        "excitation",
        excitation.NUMBERS,
        excitation.RATE_HZ,
        excitation.LEAST_SAMPLES,
        excitation.VERSION,
        excitation.ExcitationStream,
    ),
    Cue(
        "tones",
        tones.TONES,
        tones.RATE_HZ,
        tones.LEAST_SAMPLES,
        tones.VERSION,
        tones.ToneStream,
        of_spoofs=True,
    ),
)


class CueStream:
    """Some cues of a sliding window, one after the other."""

    def __init__(self, cues: Sequence[Cue]) -> None:
        self._streams = [cue.stream() for cue in cues]

    def reset(self) -> None:
        """Forget the last window: the next one does not overlap it."""
        for stream in self._streams:
            stream.reset()

    def numbers(self, samples: Float32, slid_samples: int) -> Float32:
        """Numbers of all, equal to those of the window alone.

        Args:
            samples: the window, float32, shape (n,), of the same length each time.
            slid_samples: how far it starts after the window of the last call; ignored when there
                was none since `reset`.

        Raises:
            ValueError: the samples are not one-dimensional float32, or too few.
        """
        told = [one.numbers(samples, slid_samples) for one in self._streams]
        return np.concatenate([np.empty(0, np.float32), *told])
