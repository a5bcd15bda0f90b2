"""What a recording is heard through, the same for a recording every time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.audio import read_clip
from training.augment import Rng, condition, trial_rng
from training.protocols import CONDITIONS, Clip

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Channel:
    """One of the conditions that results are given for.

    Attributes:
        condition: one of `protocols.CONDITIONS`.
        noises: recorded noise for "replay"; () = coloured noise.

    Raises:
        ValueError: the condition is unknown.
    """

    condition: str = "clean"
    noises: Sequence[Clip] = ()

    def __post_init__(self) -> None:
        if self.condition not in CONDITIONS:
            raise ValueError(
                f"condition is {self.condition!r}; it must be one of {', '.join(CONDITIONS)}"
            )

    def heard(self, samples: Float32, key: str) -> Float32:
        """A recording through it: float32, shape (n,), 16 kHz, like `samples`.

        Args:
            samples: of the recording.
            key: names the recording; every draw follows from it.
        """
        rng = trial_rng(key, self.condition)
        return condition(samples, self.condition, rng, self._noise if self.noises else None)

    def variant(self, key: str) -> str:
        """Names what `heard` makes of a recording in a cache; "" = nothing."""
        if self.condition == "clean":
            return ""
        # What it makes of a recording depends on the choice of noises, too.
        noises = self.noises if self.condition == "replay" else ()
        text = ",".join(noise.id for noise in noises)
        return f"{self.condition}:{key}:{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def _noise(self, rng: Rng, count: int) -> Float32:
        whole = read_clip(self.noises[int(rng.integers(len(self.noises)))])
        first = int(rng.integers(0, max(1, len(whole) - count + 1)))
        return whole[first : first + count]


CLEAN = Channel()
