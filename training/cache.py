"""Decoded audio and features on disk, so that an epoch costs neither decoding nor log-Mel.

Everything is keyed by the content of the file and by the settings that made it: a changed file or
front end is made anew, a moved or renamed one is not. Both caches can be interrupted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.features import FrontEnd, window_features
from edge.windows import fit_window, window_starts
from training.audio import clip_seconds, read_clip
from training.errors import CorpusError
from training.protocols import Clip

Float32 = NDArray[np.float32]
SAMPLE_RATE_HZ = 16000
BYTES_PER_SAMPLE = 2
FULL_SCALE = 32767
DIGEST_BYTES = 16
HASH_CHUNK_BYTES = 1 << 20
GIB = 1 << 30


def content_digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, 32 hex digits.

    Raises:
        CorpusError: the file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    try:
        with path.open("rb") as file:
            while chunk := file.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error
    return digest.hexdigest()


def write_atomically(path: Path, write: Callable[[Any], None]) -> None:
    """Write a file that is either whole or absent, whatever interrupts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def refuse_beyond(needed_bytes: float, limit_gib: float, what: str) -> None:
    """Say before the work that it would not fit, not after.

    Raises:
        CorpusError: more is needed than the limit allows.
    """
    if needed_bytes > limit_gib * GIB:
        raise CorpusError(
            f"{what} would take {needed_bytes / GIB:.1f} GiB, more than the limit of "
            f"{limit_gib:g} GiB; raise cache_limit_gib or use fewer clips"
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time write to a cache; the others wait."""
    import fcntl

    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def progress(items: Iterable[Any], total: int, what: str, unit: str = "clip") -> Iterator[Any]:
    """The same items, with a bar on a terminal."""
    from tqdm import tqdm

    yield from tqdm(items, total=total, desc=what, unit=unit, disable=None)


class ContentKeys:
    """Content digests that are remembered by path, size and time of change."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "digests.json"
        self._known: dict[str, str] = {}
        if self._path.exists():
            try:
                self._known = json.loads(self._path.read_text(encoding="utf-8"))
            except ValueError:
                # Only a memo: what is lost is read again from the files themselves.
                self._known = {}
        self._fresh = 0

    def key(self, clip: Clip, settings: str = "") -> str:
        """Key of a clip under settings: its bytes, its stretch of the file, and the settings."""
        try:
            stat = clip.path.stat()
        except OSError as error:
            raise CorpusError(f"{clip.path} cannot be read: {error}") from error
        memo = f"{clip.path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}"
        if memo not in self._known:
            self._known[memo] = content_digest(clip.path)
            self._fresh += 1
        text = f"{self._known[memo]}|{clip.offset_s}|{clip.seconds}|{settings}"
        return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()

    def save(self) -> None:
        if self._fresh:
            text = json.dumps(self._known).encode()
            write_atomically(self._path, lambda file: file.write(text))
            self._fresh = 0


@dataclass(frozen=True)
class Extent:
    """Where a clip lies in the packed file, in samples."""

    start: int
    length: int


Transform = Callable[[Float32, Clip], Float32]


class WaveCache:
    """Clips as 16 kHz int16 in one memory-mapped file, in the order in which they came.

    `clips.i16` only ever grows, and a line of `index.jsonl` is written once its samples are on
    disk: after an interruption the next build goes on where the last one stopped.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._samples_path = folder / "clips.i16"
        self._index_path = folder / "index.jsonl"
        self._extents: dict[str, Extent] = {}
        self._by_id: dict[str, Extent] = {}
        self._samples: NDArray[np.int16] | None = None
        self._read_index()

    def _read_index(self) -> None:
        if not self._index_path.exists():
            return
        size = self._samples_path.stat().st_size // BYTES_PER_SAMPLE
        for line in self._index_path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                break  # the torn last line of an interrupted build
            extent = Extent(entry["start"], entry["length"])
            if extent.start + extent.length > size:
                break
            self._extents[entry["key"]] = extent

    def add(
        self,
        clips: Sequence[Clip],
        variant: str = "",
        transform: Transform | None = None,
        max_seconds: float = 60.0,
        limit_gib: float = 20.0,
    ) -> list[str]:
        """Decode the clips that are not there yet, and make all of them available by id.

        Args:
            clips: what to hold; one that cannot be read is left out.
            variant: names a version of the clip (for example a codec); "" = as it is. Read it
                with the id `ID@VARIANT`.
            transform: makes the variant from 16 kHz float32 samples.
            max_seconds: longer clips are cut, s.
            limit_gib: refuse to grow past this size, GiB.

        Returns:
            One sentence for each clip that could not be read.

        Raises:
            CorpusError: the cache would grow past its limit.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder):
            self._read_index()
            return self._add(clips, variant, transform, max_seconds, limit_gib)

    def _add(
        self,
        clips: Sequence[Clip],
        variant: str,
        transform: Transform | None,
        max_seconds: float,
        limit_gib: float,
    ) -> list[str]:
        keys = ContentKeys(self._folder)
        settings = f"{SAMPLE_RATE_HZ}|{max_seconds}|{variant}"
        unread: list[str] = []
        keyed = []
        for clip in clips:
            try:
                keyed.append((clip, keys.key(clip, settings)))
            except CorpusError as error:
                unread.append(str(error))
        keys.save()
        missing = [(clip, key) for clip, key in keyed if key not in self._extents]
        unread += self._append(missing, transform, max_seconds, limit_gib)
        suffix = f"@{variant}" if variant else ""
        for clip, key in keyed:
            if key in self._extents:
                self._by_id[clip.id + suffix] = self._extents[key]
        self._samples = None
        return unread

    def _append(
        self,
        missing: Sequence[tuple[Clip, str]],
        transform: Transform | None,
        max_seconds: float,
        limit_gib: float,
    ) -> list[str]:
        if not missing:
            return []
        end = max((e.start + e.length for e in self._extents.values()), default=0)
        self._refuse_if_large(missing, end, max_seconds, limit_gib)
        unread = []
        self._drop_torn_tail(end)
        with (
            self._samples_path.open("ab") as samples_file,
            self._index_path.open("a", encoding="utf-8") as index_file,
        ):
            for clip, key in progress(missing, len(missing), "decoding"):
                if key in self._extents:
                    continue
                try:
                    samples = read_clip(clip, SAMPLE_RATE_HZ)
                except CorpusError as error:
                    unread.append(str(error))
                    continue
                samples = samples[: round(max_seconds * SAMPLE_RATE_HZ)]
                if transform is not None:
                    samples = transform(samples, clip)
                packed = to_int16(samples)
                samples_file.write(packed.tobytes())
                samples_file.flush()
                extent = Extent(end, len(packed))
                entry = {"key": key, "start": extent.start, "length": extent.length}
                index_file.write(json.dumps(entry) + "\n")
                self._extents[key] = extent
                end += len(packed)
        return unread

    def _refuse_if_large(
        self,
        missing: Sequence[tuple[Clip, str]],
        end: int,
        max_seconds: float,
        limit_gib: float,
    ) -> None:
        seconds = 0.0
        for clip, _ in missing:
            try:
                seconds += min(max_seconds, clip_seconds(clip))
            except CorpusError:
                continue  # named when it is decoded
        needed = (end + seconds * SAMPLE_RATE_HZ) * BYTES_PER_SAMPLE
        refuse_beyond(needed, limit_gib, f"the audio cache in {self._folder}")

    def _drop_torn_tail(self, end: int) -> None:
        """Cut off what an interrupted build left after its last whole entry."""
        self._samples_path.touch()
        os.truncate(self._samples_path, end * BYTES_PER_SAMPLE)
        lines = [
            json.dumps({"key": key, "start": extent.start, "length": extent.length})
            for key, extent in self._extents.items()
        ]
        text = "".join(line + "\n" for line in lines).encode()
        write_atomically(self._index_path, lambda file: file.write(text))

    def __contains__(self, clip_id: str) -> bool:
        return clip_id in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    def length(self, clip_id: str) -> int:
        """Samples of a clip."""
        return self._by_id[clip_id].length

    def read(self, clip_id: str, first: int = 0, count: int | None = None) -> Float32:
        """Samples of a clip: float32 in -1 ... 1, shape (n,), from `first` on, at most `count`."""
        extent = self._by_id[clip_id]
        if self._samples is None:
            self._samples = np.memmap(self._samples_path, np.int16, "r")
        last = extent.length if count is None else min(extent.length, first + count)
        stretch = self._samples[extent.start + first : extent.start + last]
        return stretch.astype(np.float32) / np.float32(FULL_SCALE)

    def __getstate__(self) -> dict[str, Any]:
        """A worker process maps the file itself."""
        return {**self.__dict__, "_samples": None}


def to_int16(samples: Float32) -> NDArray[np.int16]:
    """Round to 16 bits; clips that exceed full scale are turned down, not clipped."""
    peak = float(np.abs(samples).max(initial=0.0))
    scale = FULL_SCALE / max(1.0, peak)
    return np.round(samples * np.float32(scale)).astype(np.int16)


@dataclass(frozen=True)
class WindowSettings:
    """How a recording is cut for scoring.

    Attributes:
        window_s: length of a window, s.
        hop_s: between windows, s.
        padding: what fills up a short clip, "repeat" or "zero".
        scope: "file" (sliding windows over all of it), or "middle" (the one window in its
            middle).
    """

    window_s: float = 5.0
    hop_s: float = 1.0
    padding: str = "repeat"
    scope: str = "file"

    def __post_init__(self) -> None:
        if self.scope not in ("file", "middle"):
            raise ValueError(f"scope is {self.scope!r}; it must be 'file' or 'middle'")
        if not (self.window_s > 0 and self.hop_s > 0):
            raise ValueError("window_s and hop_s must be above 0")


def cut_windows(samples: Float32, settings: WindowSettings, sample_rate_hz: int) -> list[Float32]:
    """The windows over which a recording is scored, each of exactly `window_s`."""
    size = round(settings.window_s * sample_rate_hz)
    if settings.scope == "middle":
        starts = [max(0, (len(samples) - size) // 2)]
    else:
        starts = window_starts(len(samples), size, round(settings.hop_s * sample_rate_hz))
    return [fit_window(samples[start : start + size], size, settings.padding) for start in starts]


class FeatureCache:
    """Features of whole recordings, one `.npy` of shape (windows, frames, bands) each."""

    def __init__(self, folder: Path, front_end: FrontEnd, windows: WindowSettings) -> None:
        self._front_end = front_end
        self._windows = windows
        text = json.dumps(
            {"front_end": front_end.fingerprint(), "windows": windows.__dict__}, sort_keys=True
        )
        self._settings = text
        self._folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._keys = ContentKeys(folder)

    def needed_bytes(self, clips: Sequence[Clip]) -> int:
        """Size of the features of these clips when all are made, bytes."""
        window_samples = round(self._windows.window_s * self._front_end.sample_rate_hz)
        per_window = 4 * self._front_end.row_count(window_samples) * self._front_end.n_bands
        total = 0
        for clip in clips:
            count = 1
            if self._windows.scope == "file":
                count += max(
                    0, int(-(-(clip_seconds(clip) - self._windows.window_s) // self._windows.hop_s))
                )
            total += count * per_window
        return total

    def build(self, clips: Sequence[Clip], limit_gib: float = 20.0) -> None:
        """Make what is missing.

        Raises:
            CorpusError: it would not fit the limit, or a clip cannot be read.
        """
        refuse_beyond(self.needed_bytes(clips), limit_gib, f"the features in {self._folder}")
        for clip in progress(clips, len(clips), "features"):
            self.features(clip)
        self._keys.save()

    def features(
        self, clip: Clip, variant: str = "", transform: Transform | None = None
    ) -> Float32:
        """Features of a recording, made and kept if they are not there yet.

        Args:
            clip: the recording.
            variant: names what `transform` does; "" = nothing.
            transform: applied to the samples first.

        Returns:
            float32, shape (windows, frames, bands).

        Raises:
            CorpusError: the clip cannot be read.
        """
        path = self._folder / f"{self._keys.key(clip, variant)}.npy"
        if path.exists():
            stored: Float32 = np.load(path)
            return stored
        samples = read_clip(clip, self._front_end.sample_rate_hz)
        if transform is not None:
            samples = transform(samples, clip)
        made = recording_features(samples, self._front_end, self._windows)
        write_atomically(path, lambda file: np.save(file, made))
        return made

    def save(self) -> None:
        """Remember the files' digests for the next time."""
        self._keys.save()


def recording_features(samples: Float32, front_end: FrontEnd, windows: WindowSettings) -> Float32:
    """log-Mel of every window of a recording, as the device cuts and computes them.

    Returns:
        float32, shape (windows, frames, bands).
    """
    cut = cut_windows(samples, windows, front_end.sample_rate_hz)
    return np.stack([window_features(window, front_end) for window in cut])
