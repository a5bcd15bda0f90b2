"""Raw PCM through a pipe."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.audio.settings import SourceSettings
from edge.audio.stdin import StdinSource
from edge.errors import AudioError
from tests.patience import HANG_S

from .conftest import lost_samples

NOISE = np.random.default_rng(4).integers(-20000, 20000, 20_000).astype("<i2").tobytes()


def through_pipe(pieces, **options):
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb", buffering=0) as pipe:
            for piece in pieces:
                pipe.write(piece)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        source = StdinSource(SourceSettings(kind="stdin", **options), read_end)
        return list(source.blocks())
    finally:
        writer.join()
        os.close(read_end)


@given(
    cuts=st.lists(st.integers(0, len(NOISE)), max_size=15),
    rate_hz=st.sampled_from([16000, 44100]),
    channels=st.sampled_from([1, 2]),
)
def test_any_cut_gives_the_same_audio(cuts, rate_hz, channels):
    def heard(edges) -> np.ndarray:
        pieces = [NOISE[a:b] for a, b in zip(edges, edges[1:])]
        blocks = through_pipe(pieces, rate_hz=rate_hz, channels=channels)
        assert lost_samples(blocks) == 0
        return np.concatenate([block.samples for block in blocks])

    whole = heard([0, len(NOISE)])
    assert len(whole) == pytest.approx(len(NOISE) / 2 / channels * 16000 / rate_hz, abs=1)
    np.testing.assert_array_equal(heard([0, *sorted(cuts), len(NOISE)]), whole)


def test_half_a_frame_at_the_end_is_left_out():
    assert through_pipe([NOISE[:2001]])[-1].end == 1000


def test_no_audio_at_all_is_an_error():
    with pytest.raises(AudioError, match="without any audio"):
        through_pipe([b""])


def test_a_terminal_is_an_error():
    parent, terminal = os.openpty()
    with pytest.raises(AudioError, match="is a terminal"):
        list(StdinSource(SourceSettings(kind="stdin"), terminal).blocks())
    os.close(parent)
    os.close(terminal)


def test_closing_ends_a_wait_for_audio():
    read_end, write_end = os.pipe()
    source = StdinSource(SourceSettings(kind="stdin"), read_end)
    blocks = []
    thread = threading.Thread(target=lambda: blocks.extend(source.blocks()))
    thread.start()
    source.close()
    thread.join(HANG_S)
    assert not thread.is_alive()
    assert blocks == []
    os.close(read_end)
    os.close(write_end)
