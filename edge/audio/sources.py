"""From settings to a source."""

from __future__ import annotations

from edge.audio import producers
from edge.audio.block import AudioSource, OnEvent, SourceEvent
from edge.audio.files import FileSource
from edge.audio.live import LiveSource
from edge.audio.settings import SourceSettings
from edge.audio.stdin import StdinSource


def ignore(event: SourceEvent) -> None:
    """For callers that read files, to which nothing happens."""


def open_source(settings: SourceSettings, on_event: OnEvent = ignore) -> AudioSource:
    """The source that the settings describe. Nothing is opened before `blocks` is read.

    Args:
        settings: see SourceSettings.
        on_event: called with each SourceEvent from the thread that reads `blocks`.
    """
    if settings.kind == "file":
        return FileSource(
            settings.path or "",
            name=settings.name,
            channel=settings.channel,
            pace=settings.pace,
            loop=settings.loop,
        )
    if settings.kind == "stdin":
        return StdinSource(settings)
    producer = {
        "microphone": producers.portaudio,
        "arecord": producers.arecord,
        "url": producers.ffmpeg,
    }[settings.kind](settings)
    return LiveSource(settings, producer, on_event)
