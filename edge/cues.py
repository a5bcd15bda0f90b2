"""What a network hears of a window beside its spectrum: all cues there are, and how to slide. Pure.

Each is so many numbers of a window, which a front end asks for by the cue's name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.cepstral_modulation import CepstralModulationStream
from edge.modulation import ModulationStream
from edge.sliding import Float32, Frames, SlidingNumbers
from edge.tones import ToneStream

Cue = type[SlidingNumbers]

# In this order in the features: bundles hold those of theirs in it.
CUES: tuple[Cue, ...] = (ModulationStream, ToneStream, CepstralModulationStream)


class CueStream:
    """Some cues of a sliding window, one after the other.

    Attributes:
        streams: each of them.
    """

    def __init__(self, cues: Sequence[Cue], frames: Frames) -> None:
        self.streams = [cue.beside(frames) for cue in cues]

    def reset(self) -> None:
        """Forget the last window of all."""
        for stream in self.streams:
            stream.reset()

    def numbers(self, samples: Float32, decibels: Float32, slid_samples: int) -> Float32:
        """Those of all, as `SlidingNumbers.numbers`.

        Args:
            samples: the window, float32, shape (n,).
            decibels: its log-Mel as `edge.features.log_mel_db` gives it, shape (frames, bands).
            slid_samples: how far it starts after the last.
        """
        told = [
            one.numbers(decibels if one.of_frames else samples, slid_samples)
            for one in self.streams
        ]
        return np.concatenate([np.empty(0, np.float32), *told])
