"""The sources, opened and being read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.audio.block import AudioSource, OnEvent
from edge.audio.queue import SourceQueue
from edge.audio.settings import SourceSettings
from edge.audio.sources import open_source


@dataclass(frozen=True)
class Listening:
    """Sources by their names, and the queue into which they are read."""

    sources: dict[str, AudioSource]
    audio: SourceQueue


def listen(settings: Iterable[SourceSettings], tell: OnEvent) -> Listening:
    """Open sources and begin to read them. Those that cannot be opened say so in the queue.

    Args:
        settings: of the sources, each with a name of its own.
        tell: takes their events; from any thread.
    """
    sources = [open_source(source, tell) for source in settings]
    audio = SourceQueue(sources, tell)
    audio.start()
    return Listening({source.name: source for source in sources}, audio)
