"""Recordings: WAV, FLAC, OGG, MP3 and what else libsndfile reads. The only user of soundfile."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Callable

import numpy as np

from edge.audio.block import SAMPLE_RATE_HZ, AudioBlock
from edge.audio.clock import now_s
from edge.audio.pcm import Float32, to_mono
from edge.audio.resample import Resampler
from edge.errors import AudioError

BLOCK_S = 0.25
# libsndfile's wrapper seeks after each read, which FLAC and MP3 pay for: seldom and much.
READ_S = 2.0
# Writers that do not know the length beforehand (a pipe) leave 0 or a huge number in the header.
UNKNOWN_LENGTH_MIN = 0x7FFFF000
# Many a writer counts its headers or the last packet wrongly, and nothing is missing.
TRUNCATION_TOLERANCE = 0.01


class FileSource:
    """A recording, as fast as it is read or, paced, as a microphone would give it.

    A paced source is live: who reads it too slowly gets late, and through a SourceQueue loses.
    """

    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        channel: int | None = None,
        pace: bool = False,
        loop: bool = False,
        block_s: float = BLOCK_S,
        clock: Callable[[], float] = now_s,
    ) -> None:
        self.name = name or Path(path).name
        self.live = pace
        self._path = Path(path)
        self._channel = channel
        self._loop = loop
        self._block_s = block_s
        self._clock = clock
        self._closing = threading.Event()

    def close(self) -> None:
        """Stop; `blocks` ends with the block that is under way."""
        self._closing.set()

    def blocks(self) -> Iterator[AudioBlock]:
        """See AudioSource.

        Raises:
            AudioError: the file is missing, empty, truncated, damaged, no audio, or holds numbers
                that are not finite.
        """
        begin_s = self._clock()
        for block in self._unpaced():
            if self.live:
                # A microphone gives a block when it is over, not when it begins.
                due_s = begin_s + block.end / SAMPLE_RATE_HZ
                self._closing.wait(max(0.0, due_s - self._clock()))
                captured_s = begin_s + block.start / SAMPLE_RATE_HZ
                block = AudioBlock(block.samples, block.start, captured_s)
            if self._closing.is_set():
                return
            yield block

    def _unpaced(self) -> Iterator[AudioBlock]:
        resampler: Resampler | None = None
        position = 0
        for samples, rate_hz in self._passes():
            resampler = resampler or Resampler(rate_hz)
            ready = resampler.accept(samples)
            yield from self._cut(ready, position)
            position += len(ready)
        if resampler is not None:
            yield from self._cut(resampler.finish(), position)

    def _cut(self, samples: Float32, start: int) -> Iterator[AudioBlock]:
        size = max(1, round(self._block_s * SAMPLE_RATE_HZ))
        for offset in range(0, len(samples), size):
            yield AudioBlock(samples[offset : offset + size], start + offset)

    def _passes(self) -> Iterator[tuple[Float32, int]]:
        yield from read_mono(self._path, self._channel)
        while self._loop and not self._closing.is_set():
            yield from read_mono(self._path, self._channel)


def read_mono(path: Path, channel: int | None = None) -> Iterator[tuple[Float32, int]]:
    """Read a recording in pieces.

    Yields:
        mono float32 samples, shape (n,), at the file's own rate, and that rate in Hz.

    Raises:
        AudioError: see FileSource.blocks.
    """
    import soundfile

    check_whole(path)
    frames = 0
    try:
        # As bytes, because a name on POSIX need not be text; on Windows it is.
        with soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path)) as file:
            size = max(1, round(file.samplerate * READ_S))
            while len(data := file.read(size, dtype="float32", always_2d=True)):
                check_finite(data, path, frames, file.samplerate)
                frames += len(data)
                yield to_mono(data, channel), file.samplerate
            check_complete(path, file, frames)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: {complaint_of(error)}") from error


def check_finite(data: Float32, path: Path, first_frame: int, rate_hz: int) -> None:
    """Raise AudioError if a sample is NaN or infinite; data has the shape (frames, channels)."""
    if np.isfinite(data).all():
        return
    bad_s = (first_frame + int(np.argmin(np.isfinite(data).all(axis=1)))) / rate_hz
    raise AudioError(
        f"{path}: holds samples that are not numbers (NaN or infinite), the first at {bad_s:.2f} s"
    )


def check_complete(path: Path, file: Any, frames: int) -> None:
    """Raise AudioError if fewer frames could be read than the file promised, or none."""
    if frames == 0:
        raise AudioError(f"{path}: holds no audio")
    promised = file.frames
    if frames < promised * (1 - TRUNCATION_TOLERANCE):
        raise AudioError(f"{path}: is truncated: {frames} of {promised} samples can be read")


def complaint_of(error: Any) -> str:
    """libsndfile's reason as the rest of a sentence."""
    reason = str(error.error_string).strip().rstrip(".")
    return f"is damaged or not audio that can be read ({reason})"


def check_whole(path: Path) -> None:
    """Raise AudioError if the file is missing, empty, or a WAV shorter than its header says."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            if size == 0:
                raise AudioError(f"{path}: is empty (0 bytes)")
            missing = wav_bytes_missing(file, size)
    except OSError as error:
        raise AudioError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if missing:
        raise AudioError(f"{path}: is truncated: {missing} bytes of its audio are missing")


def wav_bytes_missing(file: BinaryIO, size: int) -> int:
    """How many bytes of audio a RIFF WAV promises and does not hold; 0 for other files.

    libsndfile reads such files without a word.
    """
    if file.read(4) != b"RIFF":
        return 0
    file.seek(12)
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", header)
        begin = file.tell()
        if name == b"data":
            unknown = length == 0 or length >= UNKNOWN_LENGTH_MIN
            missing = begin + length - size
            return missing if not unknown and missing > length * TRUNCATION_TOLERANCE else 0
        file.seek(begin + length + length % 2)
    return 0
