"""Late audio told from lost audio, in simulated captures whose every loss is known."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.audio.framing import Chunk, Stream
from edge.audio.timeline import FrameClock, Gap, LiveTimeline
from tests.patience import repeated

from .conftest import lost_samples

RATE_HZ = 16000
CHUNK = 800
PERIOD = 1 << 23
SCALE = 1 << 7
STREAM = Stream(RATE_HZ, 1, "s32le", "simulated")


def truth(first: int, count: int) -> np.ndarray:
    """Samples that tell their own place: sample n of the world holds n, modulo what floats hold."""
    return (np.arange(first, first + count) % PERIOD * SCALE).astype(np.int32)


class World:
    """A microphone, a clock, and a reader that gets what was captured late or never."""

    def __init__(self, skew: float = 0.0, jitter_s: float = 0.0, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.skew = skew
        self.jitter_s = jitter_s
        self.frame = 0
        self.read_at_s = 0.0

    def chunk(self, delay_s: float = 0.0, overflow: bool = False) -> Chunk:
        """The next audio, read some time after it was complete."""
        pcm = truth(self.frame, CHUNK).tobytes()
        self.frame += CHUNK
        captured_s = self.frame / RATE_HZ * (1 + self.skew)
        jitter_s = self.random.uniform(0, self.jitter_s)
        self.read_at_s = max(self.read_at_s, captured_s + delay_s + jitter_s)
        return Chunk(pcm, 1000 + self.read_at_s, overflow)

    def lose(self, frames: int) -> None:
        """Audio that nobody will ever read."""
        self.frame += frames


def listen(chunks) -> tuple[list, list]:
    timeline = LiveTimeline(gap_s=0.1, confirm_s=0.5)
    timeline.begin(STREAM)
    pieces = [piece for chunk in chunks for piece in timeline.accept(chunk)]
    pieces += timeline.interrupt()
    blocks = [piece for piece in pieces if not isinstance(piece, Gap)]
    return blocks, [piece for piece in pieces if isinstance(piece, Gap)]


def content(block) -> np.ndarray:
    return np.round(block.samples.astype(np.float64) * 2**31 / SCALE).astype(np.int64)


def assert_one_piece(block) -> None:
    steps = np.diff(content(block))
    assert ((steps == 1) | (steps == 1 - PERIOD)).all(), "a block spans a hole"


def misplacement(block) -> int:
    """How many samples a block lies away from where its content says."""
    away = (int(content(block)[0]) - block.start) % PERIOD
    return min(away, PERIOD - away)


def assert_contiguous_inside(blocks, tolerance: int) -> None:
    """No block has a hole in it, and each lies where its content says, within the tolerance."""
    for block in blocks:
        assert_one_piece(block)
        assert misplacement(block) <= tolerance


def test_steady_audio_has_no_gap():
    world = World(jitter_s=0.06)
    blocks, gaps = listen(world.chunk() for _ in range(2000))
    assert gaps == []
    assert lost_samples(blocks) == 0
    assert blocks[-1].end == 2000 * CHUNK


@pytest.mark.parametrize("skew", [-200e-6, 200e-6])
def test_a_day_of_clock_skew_is_no_loss(skew):
    rng = random.Random(1)
    clock = FrameClock(RATE_HZ, gap_s=0.1, confirm_s=0.5)
    for second in range(1, 24 * 3600 + 1):
        stamp_s = second * (1 + skew) + rng.uniform(0, 0.06)
        placed = clock.accept(Chunk(b"", stamp_s), RATE_HZ)
        assert [one.lost_frames for one in placed] == [0]
    # Frames alone would be 17 s off by now.
    assert clock.end_s() == pytest.approx(24 * 3600 * (1 + skew), abs=0.08)


@pytest.mark.parametrize("delay_s", [0.2, 0.5, 1.0, 1.9, 30.0])
def test_audio_that_is_only_late_is_not_lost(delay_s):
    world = World(jitter_s=0.02)
    chunks = [world.chunk() for _ in range(100)]
    chunks += [world.chunk(delay_s=delay_s)]
    chunks += [world.chunk() for _ in range(int(delay_s * RATE_HZ / CHUNK) + 100)]
    blocks, gaps = listen(chunks)
    assert gaps == []
    assert lost_samples(blocks) == 0


@pytest.mark.parametrize("lost_s", [0.11, 0.2, 1.0, 60.0])
@pytest.mark.parametrize("stall_s", [0.0, 0.3, 1.5])
def test_a_loss_is_placed_where_it_was(lost_s, stall_s):
    """Full buffers give their old audio first: the hole comes after it, and nobody can tell."""
    world = World(jitter_s=0.01)
    chunks = [world.chunk() for _ in range(100)]
    buffered = int(stall_s * RATE_HZ / CHUNK)
    chunks += [world.chunk(delay_s=stall_s + lost_s) for _ in range(min(1, buffered))]
    chunks += [world.chunk() for _ in range(max(0, buffered - 1))]
    world.lose(round(lost_s * RATE_HZ))
    chunks += [world.chunk() for _ in range(200)]
    blocks, gaps = listen(chunks)
    assert len(gaps) == 1
    # What came late beside the hole is given up as well.
    given_up_s = gaps[0].lost_samples / RATE_HZ - lost_s
    assert 0.4 < given_up_s < stall_s + 0.65
    assert_contiguous_inside(blocks, tolerance=round(0.02 * RATE_HZ))


def test_a_small_loss_is_absorbed_and_counted_with_the_next():
    world = World()
    chunks = [world.chunk() for _ in range(100)]
    for _ in range(2):
        world.lose(round(0.06 * RATE_HZ))
        chunks += [world.chunk() for _ in range(60)]
    _, gaps = listen(chunks)
    assert len(gaps) == 1
    assert gaps[0].lost_samples == pytest.approx((0.12 + 0.55) * RATE_HZ, abs=60)


def test_a_flagged_overflow_is_a_gap_however_short():
    world = World()
    chunks = [world.chunk() for _ in range(100)]
    world.lose(100)
    chunks += [world.chunk(overflow=True)]
    chunks += [world.chunk() for _ in range(100)]
    blocks, gaps = listen(chunks)
    assert [gap.lost_samples for gap in gaps] == [100 + 11 * CHUNK]
    assert_contiguous_inside(blocks, tolerance=1)


def test_an_overflow_at_the_very_start_delays_nothing():
    world = World()
    blocks, gaps = listen([world.chunk(overflow=True)])
    assert len(blocks) == 1
    assert gaps == []


@repeated(brief=1000, full=10_000)
def test_gaps_are_all_counted_and_none_is_bridged(count):
    """Losses, delays, jitter and skew at random, and every frame's true place is known."""
    rng = random.Random(42)
    clock = FrameClock(RATE_HZ, gap_s=0.1, confirm_s=0.5)
    frames, skew = 2 * CHUNK, 100e-6
    true_first, read_at_s = 0, 0.0
    expected, gaps, lost, reported = 0, 0, 0, 0
    placed = []
    for _ in range(count):
        hole = round(rng.uniform(0.15, 3.0) * RATE_HZ)
        true_first += hole
        lost += hole
        chunks = rng.randint(9, 20)
        delayed = rng.randrange(chunks)
        for index in range(chunks):
            delay_s = rng.uniform(0.1, 0.4) if index == delayed else rng.uniform(0, 0.02)
            complete_s = (true_first + frames) / RATE_HZ * (1 + skew)
            read_at_s = max(read_at_s, complete_s + delay_s)
            chunk = Chunk(true_first.to_bytes(8, "little"), read_at_s)
            true_first += frames
            placed += clock.accept(chunk, frames)
    for one in placed:
        first = int.from_bytes(one.chunk.pcm, "little")
        if one.lost_frames:
            gaps += 1
            reported += one.lost_frames
        elif expected:
            assert first == expected, "a hole inside audio that was called contiguous"
        expected = first + frames
    # Two holes less than `confirm_s` apart are one.
    assert 0.9 * count < gaps <= count
    kept = len(placed) * frames
    assert reported == pytest.approx(true_first - kept, rel=0.003)
    assert clock.end_s() == pytest.approx(read_at_s, abs=0.5)


def test_an_outage_is_a_jump_of_the_timeline():
    world = World()
    timeline = LiveTimeline(gap_s=0.1, confirm_s=0.5)
    timeline.begin(STREAM)
    before = [b for _ in range(20) for b in timeline.accept(world.chunk())] + timeline.interrupt()
    world.lose(60 * RATE_HZ)
    timeline.begin(Stream(48000, 2, "s16le", "another"))
    after = timeline.accept(Chunk(bytes(4 * 2400), 1000 + world.frame / RATE_HZ + 0.05))
    assert isinstance(after[0], Gap)
    assert after[0].lost_samples == pytest.approx(60 * RATE_HZ, abs=2)
    assert before[-1].end + after[0].lost_samples == pytest.approx(world.frame, abs=2)


def test_times_follow_the_clock_of_the_machine():
    world = World(skew=200e-6)
    blocks, _ = listen(world.chunk() for _ in range(20_000))
    elapsed_s = blocks[-1].captured_s - blocks[0].captured_s
    assert elapsed_s == pytest.approx((20_000 - 1) * 0.05 * (1 + 200e-6), abs=0.002)


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000])
def test_after_a_gap_the_resampler_starts_afresh(rate_hz):
    """A constant stays a constant up to both edges of the hole but for the filter's own edges."""
    stream = Stream(rate_hz, 1, "f32le", "constant")
    timeline = LiveTimeline(gap_s=0.1, confirm_s=0.5)
    timeline.begin(stream)
    frames = rate_hz // 20
    pcm = np.full(frames, 0.5, np.float32).tobytes()
    pieces = []
    for index in range(100):
        late_s = 1.0 if index >= 50 else 0.0
        pieces += timeline.accept(Chunk(pcm, index * 0.05 + late_s))
    pieces += timeline.interrupt()
    blocks = [piece for piece in pieces if not isinstance(piece, Gap)]
    assert lost_samples(blocks) == pytest.approx((1 + 11 * 0.05) * 16000, abs=2)
    assert sum(len(block.samples) for block in blocks) == pytest.approx((100 - 11) * 800, abs=2)


@given(
    cuts=st.lists(st.integers(1, 5000), min_size=1, max_size=30),
    rate_hz=st.sampled_from([8000, 16000, 44100]),
)
def test_any_chunking_gives_the_same_samples(cuts, rate_hz):
    rng = np.random.default_rng(3)
    pcm = rng.integers(-20000, 20000, 40_000).astype("<i2").tobytes()
    stream = Stream(rate_hz, 1, "s16le", "noise")

    def heard(sizes) -> np.ndarray:
        timeline = LiveTimeline(gap_s=0.1, confirm_s=0.5)
        timeline.begin(stream)
        pieces, at = [], 0
        for size in sizes:
            data = pcm[2 * at : 2 * (at + size)]
            at += len(data) // 2
            pieces += timeline.accept(Chunk(data, at / rate_hz)) if data else []
        pieces += timeline.interrupt()
        assert lost_samples(pieces) == 0
        return np.concatenate([piece.samples for piece in pieces])

    whole = heard([40_000])
    pieces = heard([*cuts, *[1777] * 23])
    np.testing.assert_array_equal(pieces, whole)
