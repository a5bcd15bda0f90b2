"""Raw PCM from standard input, or from any other pipe."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator

from edge.audio.block import SAMPLE_RATE_HZ, AudioBlock
from edge.audio.child import READ_BYTES, RawDecoder
from edge.audio.framing import Chunk
from edge.audio.pcm import Float32, decode, to_mono
from edge.audio.producers import raw_stream
from edge.audio.resample import Resampler
from edge.audio.settings import SourceSettings
from edge.errors import AudioError

TURN_S = 0.25


class StdinSource:
    """Headerless PCM of the rate, channels and format of the settings, until the writer ends.

    It is taken as fast as it comes and never dropped: whether it comes from a file or from a
    microphone nobody can tell, so what was lost before the pipe stays unknown.
    """

    live = False
    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self, settings: SourceSettings, descriptor: int | None = None) -> None:
        self.name = settings.name
        self._stream = raw_stream(settings, "standard input")
        self._channel = settings.channel
        self._descriptor = descriptor
        self._closing = threading.Event()

    def close(self) -> None:
        """Stop; `blocks` ends within TURN_S."""
        self._closing.set()

    def blocks(self) -> Iterator[AudioBlock]:
        """See AudioSource.

        Raises:
            AudioError: standard input is a terminal, or ended without a single frame.
        """
        resampler = Resampler(self._stream.rate_hz)
        position = 0
        for samples in self._mono():
            block = AudioBlock(resampler.accept(samples), position)
            position = block.end
            yield from [block] if len(block.samples) else []
        rest = resampler.finish()
        if len(rest):
            yield AudioBlock(rest, position)

    def _mono(self) -> Iterator[Float32]:
        decoder = RawDecoder(self._stream)
        frames = 0
        for data in self._bytes():
            for message in decoder.feed(data, 0.0):
                if isinstance(message, Chunk):
                    stream = self._stream
                    decoded = decode(message.pcm, stream.sample_format, stream.channels)
                    frames += len(decoded)
                    yield to_mono(decoded, self._channel)
        if frames == 0 and not self._closing.is_set():
            raise AudioError("standard input ended without any audio; pipe raw PCM into it")

    def _bytes(self) -> Iterator[bytes]:
        descriptor = sys.stdin.fileno() if self._descriptor is None else self._descriptor
        if os.isatty(descriptor):
            raise AudioError("standard input is a terminal; pipe raw PCM into it")
        while not self._closing.is_set():
            if select.select([descriptor], [], [], TURN_S)[0]:
                data = os.read(descriptor, READ_BYTES)
                if not data:
                    return
                yield data
