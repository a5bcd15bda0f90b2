"""Audio never travels without its place in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable, Optional, Protocol

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16000

# Everything that can happen to a source, and what it means.
EVENT_KINDS = {
    "opened": "audio arrives for the first time",
    "recovered": "audio arrives again after an outage; lost_samples tells how much is missing",
    "absent": "the device is not there",
    "busy": "another program holds the device",
    "failed": "the device or stream cannot be opened for another reason",
    "silent-start": "no audio came within the time for opening",
    "stalled": "audio stopped arriving although the stream still claims to be active",
    "ended": "the stream ended or its device disappeared",
    "crashed": "the capture process died or spoke nonsense",
    "moved": "the sound server moved the capture to another input",
    "gap": "audio was lost inside a running stream",
    "overload": "audio was dropped because it was not consumed in time",
}


@dataclass(frozen=True)
class AudioBlock:
    """A run of contiguous mono samples.

    Attributes:
        samples: float32, shape (n,), nominally in [-1, 1], at the source's `sample_rate_hz`.
        start: index of the first sample on the source's own timeline. The timeline counts lost
            samples too, so a block that starts later than the last one ended follows a gap.
        captured_s: when the first sample was captured, on the clock `edge.audio.clock.now_s`
            (wall time = time.time() - (now_s() - captured_s)); None where audio is not live. It
            follows the device's clock, whose 50 to 200 ppm against ours make seconds in a day.
    """

    samples: NDArray[np.float32]
    start: int
    captured_s: float | None = None

    @property
    def end(self) -> int:
        """Index one past the last sample."""
        return self.start + len(self.samples)


@dataclass(frozen=True)
class SourceEvent:
    """Something that happened to a source, told to the daemon and through it to people.

    Attributes:
        source: name of the source.
        kind: one of EVENT_KINDS.
        message: one sentence for a person.
        lost_samples: how many samples (at the source's `sample_rate_hz`) went missing.
        count: how many events of the kind this one stands for: repetitions are gathered.
    """

    source: str
    kind: str
    message: str
    lost_samples: int = 0
    count: int = 1


OnEvent = Callable[[SourceEvent], None]
OptionalOnEvent = Optional[OnEvent]


class AudioSource(Protocol):
    """Where audio comes from: a microphone, a file, standard input, a child process.

    A source converts to mono at `sample_rate_hz` itself. `blocks` ends when a file ends; a live
    source goes on for ever, reopening what it lost, until `close` is called from any thread.
    A live source must be read without pause: `edge.audio.queue.SourceQueue` does that.
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
