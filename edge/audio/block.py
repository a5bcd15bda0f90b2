"""Audio never travels without its place in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AudioBlock:
    """A run of contiguous mono samples.

    Attributes:
        samples: float32, shape (n,), nominally in [-1, 1], at the source's `sample_rate_hz`.
        start: index of the first sample on the source's own timeline. The timeline counts lost
            samples too, so a block that starts later than the last one ended follows a gap.
    """

    samples: NDArray[np.float32]
    start: int

    @property
    def end(self) -> int:
        """Index one past the last sample."""
        return self.start + len(self.samples)


@dataclass(frozen=True)
class SourceEvent:
    """Something that happened to a source, told to the daemon and through it to people.

    Attributes:
        source: name of the source.
        kind: machine-readable word, e.g. "opened", "lost", "stalled", "gap", "overload".
        message: one sentence for a person.
        lost_samples: how many samples went missing, where that is known.
    """

    source: str
    kind: str
    message: str
    lost_samples: int = 0


class AudioSource(Protocol):
    """Where audio comes from: a microphone, a file, standard input, a child process.

    A source converts to mono at `sample_rate_hz` itself. `blocks` ends when a file ends; a live
    source goes on for ever, reopening what it lost, until `close` is called from any thread.
    """

    name: str
    sample_rate_hz: int
    live: bool

    def blocks(self) -> Iterator[AudioBlock]:
        """Yield blocks in order of `start`, never overlapping.

        Raises:
            AudioError: the source cannot be opened at all (a file that is missing or damaged).
        """
        ...

    def close(self) -> None:
        """Stop; `blocks` ends soon after. Safe to call twice and from another thread."""
        ...
