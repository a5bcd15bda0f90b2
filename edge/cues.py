"""What a network hears of a window beside its spectrum: all cues there are, and how to slide. Pure.

Each is so many numbers of a window, which a front end asks for by the cue's name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.modulation import ModulationStream
from edge.periodicity import PeriodicityStream
from edge.sliding import Float32, SlidingNumbers
from edge.tones import ToneStream

Cue = type[SlidingNumbers]

# In this order in the features: bundles hold those of theirs in it.
CUES: tuple[Cue, ...] = (ModulationStream, ToneStream, PeriodicityStream)


class CueStream:
    """Some cues of a sliding window, one after the other."""

    def __init__(self, cues: Sequence[Cue]) -> None:
        self._streams = [cue() for cue in cues]

    def reset(self) -> None:
        """Forget the last window of all."""
        for stream in self._streams:
            stream.reset()

    def numbers(self, samples: Float32, slid_samples: int) -> Float32:
        """Those of all, as `SlidingNumbers.numbers`."""
        told = [one.numbers(samples, slid_samples) for one in self._streams]
        return np.concatenate([np.empty(0, np.float32), *told])
