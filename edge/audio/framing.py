"""How the capture process speaks to its parent. Pure, and light: the child imports it too.

First one line of JSON (rate, channels, sample format, device), then packets: a header of 24 bytes
(magic, kind, length of the payload in bytes, a flag, stamp in ns) and the payload: PCM or JSON.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any, Union

MAGIC = b"EWAU"
AUDIO = 1
NOTE = 2
_PACKET = struct.Struct("<4sHHIIq")
_LINE_LIMIT_BYTES = 4096
_PAYLOAD_LIMIT_BYTES = 8 << 20


class FramingError(Exception):
    """What came through the pipe is not this protocol."""


@dataclass(frozen=True)
class Stream:
    """What the capture delivers: the first line."""

    rate_hz: int
    channels: int
    sample_format: str
    device: str


@dataclass(frozen=True)
class Chunk:
    """Interleaved PCM, with the time at which its last frame had been read."""

    pcm: bytes
    stamp_s: float
    overflow: bool = False


@dataclass(frozen=True)
class Note:
    """Something that the capture process has to say: {"kind": ..., ...}."""

    content: dict[str, Any]


Message = Union[Stream, Chunk, Note]


def encode_stream(stream: Stream) -> bytes:
    """The first line."""
    return json.dumps(stream.__dict__).encode() + b"\n"


def encode_chunk(chunk: Chunk) -> bytes:
    """A packet of audio."""
    stamp_ns = int(chunk.stamp_s * 1e9)
    header = _PACKET.pack(MAGIC, AUDIO, chunk.overflow, len(chunk.pcm), 0, stamp_ns)
    return header + chunk.pcm


def encode_note(note: Note) -> bytes:
    """A packet with a message."""
    payload = json.dumps(note.content).encode()
    return _PACKET.pack(MAGIC, NOTE, 0, len(payload), 0, 0) + payload


class FrameDecoder:
    """Bytes in, messages out, however the pipe has cut them."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._begun = False

    def feed(self, data: bytes) -> list[Message]:
        """Take what the pipe gave; return what is complete.

        Raises:
            FramingError: this is not the protocol.
        """
        self._pending += data
        messages: list[Message] = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Message | None:
        return self._packet() if self._begun else self._first_line()

    def _first_line(self) -> Message | None:
        """The stream's description; an early note (an error) may come in its place."""
        if self._pending[:1] == MAGIC[:1]:
            return self._packet()
        end = self._pending.find(b"\n")
        if end < 0:
            if len(self._pending) > _LINE_LIMIT_BYTES:
                raise FramingError("the first line has no end")
            return None
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        self._begun = True
        return _parse_stream(line)

    def _packet(self) -> Message | None:
        if len(self._pending) < _PACKET.size:
            return None
        magic, kind, flag, length, _, stamp_ns = _PACKET.unpack_from(self._pending)
        if magic != MAGIC or length > _PAYLOAD_LIMIT_BYTES or kind not in (AUDIO, NOTE):
            raise FramingError(f"a packet begins with {bytes(self._pending[:8])!r}")
        end = _PACKET.size + length
        if len(self._pending) < end:
            return None
        payload = bytes(self._pending[_PACKET.size : end])
        del self._pending[:end]
        if kind == AUDIO:
            return Chunk(payload, stamp_ns / 1e9, bool(flag))
        return _parse_note(payload)


def _parse_stream(line: bytes) -> Stream:
    try:
        content = json.loads(line)
        return Stream(
            rate_hz=int(content["rate_hz"]),
            channels=int(content["channels"]),
            sample_format=str(content["sample_format"]),
            device=str(content["device"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FramingError(f"the first line is {line[:80]!r}") from error


def _parse_note(payload: bytes) -> Note:
    try:
        content = json.loads(payload)
    except ValueError as error:
        raise FramingError(f"a note is {payload[:80]!r}") from error
    if not isinstance(content, dict):
        raise FramingError(f"a note is {payload[:80]!r}")
    return Note(content)
