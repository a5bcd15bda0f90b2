"""Sound around alerts, kept only where the owner has asked for it.

Nothing here runs unless `clips.directory` is set. The limits on size and age hold before a file is
written, never after.
"""

from __future__ import annotations

import os
import queue
import re
import threading
import time
import wave
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Callable

import numpy as np
from numpy.typing import NDArray

from edge.alerts.sink import Clock, EventHandler, Record, local_now
from edge.audio.block import AudioBlock
from edge.report import event_record

Int16 = NDArray[np.int16]

SUFFIX = ".wav"
HEADER_BYTES = 44
BYTES_PER_SAMPLE = 2
# Clips waiting for a slow disk; more than this many at once are dropped and said.
WAITING_CLIPS = 4
TURN_S = 0.5
LOOK_S = 3600.0


@dataclass(frozen=True)
class ClipSettings:
    """Sound around alerts, for whoever may lawfully keep it."""

    directory: str = field(
        default="",
        metadata={
            "unit": "path",
            "doc": "folder for recordings of alerts; empty: no sound is ever kept",
        },
    )
    before_s: float = field(
        default=10.0,
        metadata={
            "unit": "s",
            "doc": "sound to keep from before the alert",
            "minimum": 0.0,
            "maximum": 120.0,
        },
    )
    after_s: float = field(
        default=5.0,
        metadata={
            "unit": "s",
            "doc": "sound to keep from after the alert",
            "minimum": 0.0,
            "maximum": 120.0,
        },
    )
    max_total_mb: float = field(
        default=100.0,
        metadata={
            "unit": "MB",
            "doc": "most that the folder may hold; the oldest recordings make room",
            "minimum": 1.0,
            "maximum": 1_000_000.0,
        },
    )
    max_age_days: float = field(
        default=7.0,
        metadata={
            "unit": "days",
            "doc": "recordings older than this are deleted",
            "minimum": 0.01,
            "maximum": 3650.0,
        },
    )


def consent_line(settings: ClipSettings) -> str | None:
    """What must be said at start-up when sound is kept; None when it is not."""
    if not settings.directory:
        return None
    return (
        f"SOUND IS KEPT: {settings.before_s:g} s before and {settings.after_s:g} s after each "
        f"alert are recorded into {settings.directory}, at most {settings.max_total_mb:g} MB and "
        f"{settings.max_age_days:g} days. Make sure that everybody who can be heard has agreed."
    )


@dataclass(frozen=True)
class Clip:
    """Sound to be written.

    Attributes:
        alert: the record of the alert that it belongs to.
        samples: int16, shape (n,).
    """

    alert: Record
    samples: Int16


class PreRoll:
    """The last seconds of one source, and the clips that wait for their ends. Pure.

    A gap in the audio ends every clip that is open and empties what was held, so a recording never
    joins two moments that were not one.

    Args:
        before, after: samples to keep from before and after an alert.
    """

    def __init__(self, before: int, after: int) -> None:
        self._before = before
        self._after = after
        self._held: deque[Int16] = deque()
        self._held_samples = 0
        self._end = 0
        self._open: list[tuple[Record, list[Int16], int]] = []

    def accept(self, block: AudioBlock) -> list[Clip]:
        """Take the next block; return the clips that it completed or that a gap cut short."""
        finished = self.flush() if block.start != self._end else []
        self._end = block.end
        samples = to_int16(block.samples)
        self._extend(samples)
        self._hold(samples)
        return finished + self._take_finished()

    def start(self, alert: Record) -> list[Clip]:
        """An alert was raised now; return its clip if nothing is wanted from after it."""
        held = joined(list(self._held))
        self._open.append((alert, [held[max(0, len(held) - self._before) :]], self._after))
        return self._take_finished()

    def flush(self) -> list[Clip]:
        """End every open clip where it stands and forget what is held."""
        clips = [Clip(alert, joined(parts)) for alert, parts, _ in self._open]
        self._open.clear()
        self._held.clear()
        self._held_samples = 0
        return clips

    def _extend(self, samples: Int16) -> None:
        self._open = [
            (alert, [*parts, samples[:missing]], missing - len(samples))
            for alert, parts, missing in self._open
        ]

    def _hold(self, samples: Int16) -> None:
        self._held.append(samples)
        self._held_samples += len(samples)
        while self._held and self._held_samples - len(self._held[0]) >= self._before:
            self._held_samples -= len(self._held.popleft())

    def _take_finished(self) -> list[Clip]:
        finished = [Clip(alert, joined(parts)) for alert, parts, left in self._open if left <= 0]
        self._open = [clip for clip in self._open if clip[2] > 0]
        return finished


@dataclass(frozen=True)
class StoredClip:
    """A file of the folder."""

    path: Path
    size_bytes: int
    modified: datetime


def to_delete(
    stored: list[StoredClip], new_bytes: int, limit_bytes: int, oldest: datetime
) -> list[StoredClip]:
    """Which files must go so that a new one keeps the limits. Pure.

    Args:
        stored: what the folder holds.
        new_bytes: size of the file to come; 0 to only enforce the limits.
        limit_bytes: most that the folder may hold.
        oldest: files from before this go in any case.
    """
    doomed = [clip for clip in stored if clip.modified < oldest]
    kept = sorted((clip for clip in stored if clip not in doomed), key=lambda c: c.modified)
    total = new_bytes + sum(clip.size_bytes for clip in kept)
    for clip in kept:
        if total <= limit_bytes:
            break
        doomed.append(clip)
        total -= clip.size_bytes
    return doomed


def clip_name(alert: Record) -> str:
    """File name of an alert's clip: its time, source and id, whatever they hold."""
    parts = (str(alert["time"])[:19], str(alert["source"])[:40], str(alert["id"])[:40])
    return "_".join(re.sub(r"[^0-9A-Za-z-]+", "-", part) for part in parts) + SUFFIX


def joined(parts: list[Int16]) -> Int16:
    """Runs of samples as one."""
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def to_int16(samples: NDArray[np.float32]) -> Int16:
    """Full scale at 1 to 16 bit; what is beyond is clipped, what is no number becomes 0."""
    finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    scaled: Int16 = np.clip(np.rint(finite * 32767.0), -32768, 32767).astype(np.int16)
    return scaled


class ClipRecorder:
    """Writes the clips of all sources from a thread of its own.

    Args:
        settings: must name a directory.
        sources: names of the audio sources.
        sample_rate_hz: of their blocks.
        on_event: told of files written, and of failures.
        now: time of day.
    """

    name = "clips"

    def __init__(
        self,
        settings: ClipSettings,
        sources: tuple[str, ...],
        sample_rate_hz: int,
        on_event: EventHandler,
        now: Clock = local_now,
    ) -> None:
        self._settings = settings
        self._sample_rate_hz = sample_rate_hz
        self._on_event = on_event
        self._now = now
        before, after = (
            round(seconds * sample_rate_hz) for seconds in (settings.before_s, settings.after_s)
        )
        self._rolls = {source: PreRoll(before, after) for source in sources}
        self._locks = {source: threading.Lock() for source in sources}
        self._waiting: queue.Queue[Clip] = queue.Queue(WAITING_CLIPS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)
        self._thread.start()

    def accept(self, source: str, block: AudioBlock) -> None:
        """Take the next block of a source, before the detector's results on it are emitted."""
        with self._locks[source]:
            clips = self._rolls[source].accept(block)
        self._pass_on(clips)

    def emit(self, record: Record) -> None:
        """Start a clip when an alert is raised; other records mean nothing here."""
        source = record["source"]
        if record["type"] == "alert" and record["state"] == "raised" and source in self._rolls:
            with self._locks[source]:
                clips = self._rolls[source].start(record)
            self._pass_on(clips)

    def close(self, timeout_s: float) -> None:
        """Write what is open as it stands, within `timeout_s`."""
        if not self._stop.is_set():
            for source, roll in self._rolls.items():
                with self._locks[source]:
                    clips = roll.flush()
                self._pass_on(clips)
            self._stop.set()
        self._thread.join(timeout_s)

    def _pass_on(self, clips: list[Clip]) -> None:
        for clip in clips:
            try:
                self._waiting.put_nowait(clip)
            except queue.Full:
                self._tell("clip-dropped", "A recording was dropped: the disk is too slow.")

    def _run(self) -> None:
        """The writing thread; it also deletes what has grown too old, at least once an hour."""
        looked_s = 0.0
        while not (self._stop.is_set() and self._waiting.empty()):
            try:
                clip = self._waiting.get(timeout=TURN_S)
            except queue.Empty:
                if time.monotonic() - looked_s > LOOK_S:
                    looked_s = time.monotonic()
                    self._guarded(lambda: self._make_room(0))
            else:
                self._guarded(partial(self._write, clip))

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self._tell(
                "clip-failed",
                f"A recording could not be kept in {self._settings.directory}: "
                f"{error.strerror or error}.",
            )

    def _write(self, clip: Clip) -> None:
        size = HEADER_BYTES + BYTES_PER_SAMPLE * len(clip.samples)
        if size > self._limit_bytes:
            self._tell("clip-dropped", "A recording is larger than clips.max_total_mb allows.")
            return
        self._make_room(size)
        path = Path(self._settings.directory) / clip_name(clip.alert)
        write_wav(path, clip.samples, self._sample_rate_hz)
        self._tell("clip-kept", f"The sound around alert {clip.alert['id']} is in {path}.")

    @property
    def _limit_bytes(self) -> int:
        return int(self._settings.max_total_mb * 1e6)

    def _make_room(self, new_bytes: int) -> None:
        folder = Path(self._settings.directory)
        folder.mkdir(parents=True, exist_ok=True)
        oldest = self._now() - timedelta(days=self._settings.max_age_days)
        for clip in to_delete(stored_clips(folder), new_bytes, self._limit_bytes, oldest):
            clip.path.unlink(missing_ok=True)

    def _tell(self, kind: str, message: str) -> None:
        self._on_event(event_record("clips", kind, message, self._now()))


def stored_clips(folder: Path) -> list[StoredClip]:
    """The recordings in a folder, half-written ones included."""
    found = []
    for path in folder.glob(f"*{SUFFIX}*"):
        status = path.stat()
        modified = datetime.fromtimestamp(status.st_mtime).astimezone()
        found.append(StoredClip(path, status.st_size, modified))
    return found


def write_wav(path: Path, samples: Int16, sample_rate_hz: int) -> None:
    """A WAV file that is complete or not there, readable by the daemon's user and group only.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(path.name + ".part")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        with os.fdopen(descriptor, "wb") as file, wave.open(file, "wb") as sound:
            sound.setparams((1, BYTES_PER_SAMPLE, sample_rate_hz, len(samples), "NONE", ""))
            sound.writeframesraw(samples.astype("<i2").tobytes())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
