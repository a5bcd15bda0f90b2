"""Where captured audio lies in time, and how much of it is missing. Pure.

No layer below tells of lost audio: through PulseAudio an overflow is never flagged. What cannot
lie is arithmetic: frames received against seconds passed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Union

import numpy as np

from edge.audio.block import SAMPLE_RATE_HZ, AudioBlock
from edge.audio.framing import Chunk, Stream
from edge.audio.pcm import Float32, decode, frame_bytes, to_mono
from edge.audio.resample import Resampler

# The clocks of sound cards are within 200 ppm of ours; this much is followed without a word.
SKEW_FOLLOWED = 500e-6


@dataclass(frozen=True)
class Placed:
    """A chunk with its place in a session.

    Attributes:
        chunk: the audio.
        first_frame: index of its first frame, lost ones counted.
        lost_frames: how many frames are missing right before it.
    """

    chunk: Chunk
    first_frame: int
    lost_frames: int = 0


@dataclass
class _Held:
    chunk: Chunk
    frames: int
    lag_s: float


class FrameClock:
    """Tells audio that comes late from audio that is lost.

    The lag of a chunk is its stamp minus the duration of all frames so far. Delays only ever make
    it larger, and go away when the late audio has come in; a loss makes it larger for good. So
    the baseline is the smallest lag seen, rising at most by SKEW_FOLLOWED. Chunks that lie
    `gap_s` above it are held back. If one returns to the baseline, they were late. If audio then
    comes at its normal pace for `confirm_s` and stays late, the smallest lag of that time is the
    new floor, and the difference is lost.

    Where the hole lies among the held chunks depends on which end of which buffer overflowed.
    All of them are given up with it: nothing may be scored across a hole.
    """

    def __init__(self, rate_hz: int, gap_s: float, confirm_s: float) -> None:
        self._rate_hz = rate_hz
        self._gap_s = gap_s
        self._confirm_s = confirm_s
        self._frames = 0  # released
        self._missing_frames = 0  # given up or lost after these
        self._baseline_s: float | None = None
        self._held: deque[_Held] = deque()
        self._held_frames = 0

    def accept(self, chunk: Chunk, frames: int) -> list[Placed]:
        """Take a chunk of so many frames; return the chunks whose places are now known."""
        seen = self._frames + self._missing_frames + self._held_frames
        lag_s = chunk.stamp_s - (seen + frames) / self._rate_hz
        late_s = lag_s - self._follow(lag_s, frames)
        self._hold(_Held(chunk, frames, lag_s))
        # Starting a stream flags an overflow now and then; nothing came before it to be cut off.
        overflow = self._frames > 0 and any(held.chunk.overflow for held in self._held)
        if late_s <= self._gap_s and not overflow:
            return self._release()
        floor_s = self._new_floor(chunk.stamp_s)
        if floor_s is not None:
            self._give_up(floor_s)
        return []

    def time_of(self, frame: float) -> float:
        """When a frame was captured, on the clock of the stamps, seconds."""
        return (self._baseline_s or 0.0) + frame / self._rate_hz

    def end_s(self) -> float:
        """When the last released frame had been captured."""
        return self.time_of(self._frames)

    def _follow(self, lag_s: float, frames: int) -> float:
        """Move the baseline towards a lag; return it."""
        if self._baseline_s is None:
            self._baseline_s = lag_s
        rise_s = 0.0 if self._held else SKEW_FOLLOWED * frames / self._rate_hz
        self._baseline_s = min(lag_s, self._baseline_s + rise_s)
        return self._baseline_s

    def _hold(self, held: _Held) -> None:
        self._held.append(held)
        self._held_frames += held.frames

    def _release(self) -> list[Placed]:
        """Let go of what is held: it was only late."""
        placed = []
        for held in self._held:
            lost, self._missing_frames = self._missing_frames, 0
            self._frames += lost
            placed.append(Placed(held.chunk, self._frames, lost))
            self._frames += held.frames
        self._drop_held()
        return placed

    def _new_floor(self, stamp_s: float) -> float | None:
        """Smallest lag of the last `confirm_s`, if audio came at its pace for all that time."""
        begin_s = stamp_s - self._confirm_s
        if self._held[0].chunk.stamp_s > begin_s:
            return None
        recent = [held for held in self._held if held.chunk.stamp_s > begin_s]
        audio_s = sum(held.frames for held in recent) / self._rate_hz
        if audio_s < self._confirm_s / 2:
            return None
        return min(held.lag_s for held in recent)

    def _give_up(self, floor_s: float) -> None:
        """Count what was lost, and all that is held, as missing."""
        lost_s = max(0.0, floor_s - (self._baseline_s or 0.0))
        self._missing_frames += round(lost_s * self._rate_hz) + self._held_frames
        self._drop_held()

    def _drop_held(self) -> None:
        self._held.clear()
        self._held_frames = 0


@dataclass(frozen=True)
class Gap:
    """Audio that is missing, at SAMPLE_RATE_HZ."""

    lost_samples: int


Piece = Union[AudioBlock, Gap]


class LiveTimeline:
    """Chunks of successive captures in, blocks on one timeline out.

    A session is one run of a capture process. Between two of them the timeline goes on with the
    clock, so an outage is a jump of `start` like any gap.
    """

    def __init__(self, gap_s: float, confirm_s: float, channel: int | None = None) -> None:
        self._gap_s = gap_s
        self._confirm_s = confirm_s
        self._channel = channel
        self._position = 0
        self._end_s: float | None = None
        self._session: _Session | None = None

    def begin(self, stream: Stream) -> None:
        """A capture has started."""
        clock = FrameClock(stream.rate_hz, self._gap_s, self._confirm_s)
        self._session = _Session(stream, clock)

    def accept(self, chunk: Chunk) -> list[Piece]:
        """Take a chunk of the running capture; return blocks, and gaps before them.

        Raises:
            RuntimeError: no capture has begun.
        """
        session = self._running()
        stream = session.stream
        frames = len(chunk.pcm) // frame_bytes(stream.sample_format, stream.channels)
        results: list[Piece] = []
        for placed in session.clock.accept(chunk, frames):
            results += self._place(session, placed)
        return results

    def interrupt(self) -> list[Piece]:
        """The capture has ended: what is still in the resampler.

        Chunks whose place is not known yet are given up: nobody can tell any more where the hole
        among them was.
        """
        if self._session is None:
            return []
        session, self._session = self._session, None
        rest = self._finish(session)
        if session.resampler is not None:
            self._end_s = session.clock.end_s()
        return rest

    def _running(self) -> _Session:
        if self._session is None:
            raise RuntimeError("audio before the stream's description")
        return self._session

    def _place(self, session: _Session, placed: Placed) -> list[Piece]:
        results: list[Piece] = []
        if session.resampler is None:
            results += self._resume(session)
        elif placed.lost_frames:
            results += self._finish(session)
            results.append(self._jump(session, placed.first_frame))
        if session.resampler is None:
            session.start_segment(placed.first_frame, self._position)
        stream = session.stream
        frames = decode(placed.chunk.pcm, stream.sample_format, stream.channels)
        return results + self._emit(session, session.resample(to_mono(frames, self._channel)))

    def _resume(self, session: _Session) -> list[Piece]:
        """First audio of a session: the timeline has gone on since the last one ended."""
        if self._end_s is None:
            return []
        outage_s = session.clock.time_of(0) - self._end_s
        lost = max(1, round(outage_s * SAMPLE_RATE_HZ))
        self._position += lost
        return [Gap(lost)]

    def _jump(self, session: _Session, first_frame: int) -> Gap:
        target = session.place(first_frame)
        lost = max(1, target - self._position)
        self._position += lost
        session.resampler = None
        return Gap(lost)

    def _finish(self, session: _Session) -> list[Piece]:
        return self._emit(session, session.flush())

    def _emit(self, session: _Session, samples: Float32) -> list[Piece]:
        if len(samples) == 0:
            return []
        block = AudioBlock(samples, self._position, session.time_of(self._position))
        self._position = block.end
        return [block]


class _Session:
    """One run of a capture: its clock, and the resampler of its present segment."""

    def __init__(self, stream: Stream, clock: FrameClock) -> None:
        self.stream = stream
        self.clock = clock
        self.resampler: Resampler | None = None
        self._first_frame = 0
        self._first_position = 0

    def start_segment(self, first_frame: int, position: int) -> None:
        """Contiguous audio begins: a frame of the session meets a place of the timeline."""
        self.resampler = Resampler(self.stream.rate_hz)
        self._first_frame = first_frame
        self._first_position = position

    def place(self, frame: int) -> int:
        """Where a later frame lies on the timeline."""
        seconds = (frame - self._first_frame) / self.stream.rate_hz
        return self._first_position + round(seconds * SAMPLE_RATE_HZ)

    def time_of(self, position: int) -> float:
        """When a sample of the timeline was captured."""
        seconds = (position - self._first_position) / SAMPLE_RATE_HZ
        return self.clock.time_of(self._first_frame + seconds * self.stream.rate_hz)

    def resample(self, samples: Float32) -> Float32:
        """Samples of the segment at SAMPLE_RATE_HZ, as far as they are ready."""
        if self.resampler is None:
            raise RuntimeError("no segment has been started")
        return self.resampler.accept(samples)

    def flush(self) -> Float32:
        """What the segment's resampler still holds."""
        return np.zeros(0, np.float32) if self.resampler is None else self.resampler.finish()
