"""What the capture process says arrives whole, however the pipe cuts it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.audio.framing import (
    Chunk,
    FrameDecoder,
    FramingError,
    Note,
    Stream,
    encode_chunk,
    encode_note,
    encode_stream,
)

STREAM = Stream(48000, 2, "s16le", "Mikrofon (ä)")
MESSAGES = [
    STREAM,
    Note({"kind": "route", "source": "mic.monitor"}),
    Chunk(b"\x01\x02\x03\x04" * 50, 12.5),
    Chunk(b"", 12.75, overflow=True),
    Chunk(b"EWAU" * 10, 13.0),
]
BYTES = b"".join(
    [encode_stream(STREAM), encode_note(MESSAGES[1]), *map(encode_chunk, MESSAGES[2:])]
)


@given(st.lists(st.integers(0, len(BYTES)), max_size=20))
def test_any_cut_gives_the_same_messages(cuts):
    decoder = FrameDecoder()
    edges = [0, *sorted(cuts), len(BYTES)]
    messages = [m for a, b in zip(edges, edges[1:]) for m in decoder.feed(BYTES[a:b])]
    assert messages == MESSAGES


def test_an_error_may_come_instead_of_a_stream():
    note = Note({"kind": "busy", "message": "taken"})
    assert FrameDecoder().feed(encode_note(note)) == [note]


@pytest.mark.parametrize(
    "nonsense",
    [
        b"Segmentation fault\n",
        b"{}\n",
        b"[1, 2]\n",
        b'{"rate_hz": "fast", "channels": 1, "sample_format": "s16le", "device": "x"}\n',
        b"x" * 5000,
        encode_stream(STREAM) + b"ALSA lib pcm.c: underrun occurred",
        encode_stream(STREAM) + encode_note(MESSAGES[1]).replace(b"}", b"]"),
        encode_stream(STREAM) + encode_chunk(Chunk(b"", 0.0)).replace(b"EWAU\x01", b"EWAU\x09"),
    ],
)
def test_nonsense_is_an_error(nonsense):
    with pytest.raises(FramingError):
        FrameDecoder().feed(nonsense)


@given(st.binary(max_size=200))
def test_no_bytes_break_it_in_any_other_way(data):
    decoder = FrameDecoder()
    with contextlib.suppress(FramingError):
        decoder.feed(encode_stream(STREAM) + data)
