"""Tools of the audio tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from edge.audio.block import AudioBlock, AudioSource, SourceEvent
from edge.audio.settings import SourceSettings
from edge.audio.sources import open_source
from tests.patience import HANG_S
from tests.pulse import pulse

__all__ = ["pulse"]

# Not the product's: on a machine that has others to serve, audio may be late and a start take long.
PATIENT = {"open_timeout_s": 60.0, "stall_s": 20.0}


class Listener:
    """Reads a source in a thread and remembers what it gave."""

    def __init__(self, settings: SourceSettings) -> None:
        self.events: list[SourceEvent] = []
        self.blocks: list[AudioBlock] = []
        self.error: BaseException | None = None
        self.source: AudioSource = open_source(settings, self.events.append)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for block in self.source.blocks():
                self.blocks.append(block)
        except BaseException as error:
            self.error = error

    def heard(self, kind: str) -> int:
        """How many events of a kind there were, gathered ones counted."""
        return sum(event.count for event in list(self.events) if event.kind == kind)

    def wait_for(self, condition: Callable[[], bool], what: str) -> float:
        """Wait until something is true; return how long that took, seconds."""
        begin = time.monotonic()
        while not condition():
            elapsed = time.monotonic() - begin
            assert elapsed < HANG_S, f"no {what} within {HANG_S} s: {self.events}"
            time.sleep(0.01)
        return time.monotonic() - begin

    def wait_for_event(self, kind: str, count: int = 1) -> float:
        """Wait until so many events of a kind have come; return how long, seconds."""
        return self.wait_for(lambda: self.heard(kind) >= count, f"event {kind}")

    def wait_for_audio(self, blocks: int = 5) -> float:
        """Wait until so many more blocks have come."""
        wanted = len(self.blocks) + blocks
        return self.wait_for(lambda: len(self.blocks) >= wanted, "audio")

    def close(self) -> None:
        """Stop and wait for the end."""
        self.source.close()
        self._thread.join(HANG_S)
        assert not self._thread.is_alive(), "the source does not end"


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Open sources that are given time, and close them at the end."""
    listeners: list[Listener] = []

    def start(**settings: object) -> Listener:
        listeners.append(Listener(SourceSettings(**{**PATIENT, **settings})))  # type: ignore[arg-type]
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.close()


def lost_samples(blocks: list[AudioBlock]) -> int:
    """Samples that the timeline misses between the blocks; they must be in order."""
    pairs = list(zip(blocks, blocks[1:]))
    assert all(after.start >= before.end for before, after in pairs)
    return sum(after.start - before.end for before, after in pairs)
