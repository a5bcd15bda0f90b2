"""More bona fide speech from the sources that a manifest already names, as a manifest of its own.

A manifest lists a sample of its sources. Where all that it lists of a folder is bona fide speech
of `train`, the folder's other recordings are taken too, with the folder's speaker and language.
Nothing is taken from a source that also publishes spoofs, nor from any of `val` or `test`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import posixpath
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from training.audio import AUDIO_SUFFIXES, read_clip
from training.cache import write_atomically
from training.corpus import manifest_rows
from training.errors import CorpusError
from training.protocols import Clip

SAMPLE_RATE_HZ = 16000
# Shorter than any codec here could make of the shortest clip that is wanted: not worth decoding.
FEWEST_BYTES = 2400
COLUMNS = (
    *("id", "kind", "label", "generator", "family", "speaker", "utterance", "language"),
    *("format", "rate", "seconds", "offset", "source", "ref", "path", "split", "licence"),
    *("core", "report"),
)
Row = Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """A recording that the manifest does not list, and the listed row of its folder."""

    path: str
    like: Row


def eligible_sources(rows: Iterable[Row]) -> list[str]:
    """Sources all of whose rows are bona fide speech of `train`, sorted."""
    kinds = defaultdict(set)
    for row in rows:
        kinds[row["source"]].add((row["kind"], row["label"], row["split"]))
    return sorted(name for name, held in kinds.items() if held == {("speech", "bonafide", "train")})


def candidates(
    rows: Sequence[Row], paths_bytes: Mapping[str, int], per_folder: int
) -> list[Candidate]:
    """Unlisted audio in the folders of one source's rows, at most so many of a folder.

    Args:
        rows: of one source.
        paths_bytes: every file of the source and its size.
        per_folder: the first this many, by a hash of their path, so that the choice is stable.
    """
    listed = {row["path"] for row in rows}
    like: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        like[posixpath.dirname(row["path"])].append(row)
    found = defaultdict(list)
    for path, size in paths_bytes.items():
        folder = posixpath.dirname(path)
        audible = posixpath.splitext(path)[1].lower() in AUDIO_SUFFIXES
        if folder in like and path not in listed and audible and size >= FEWEST_BYTES:
            found[folder].append(path)
    return [
        Candidate(path, _commonest(like[folder]))
        for folder, paths in sorted(found.items())
        for path in sorted(paths, key=_digest)[:per_folder]
    ]


def _commonest(rows: Sequence[Row]) -> Row:
    """A row of the folder's commonest speaker."""
    speaker = Counter(row["speaker"] for row in rows).most_common(1)[0][0]
    return next(row for row in rows if row["speaker"] == speaker)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class GitSource:
    """Files of a git repository, read from its objects."""

    def __init__(self, git_dir: Path, ref: str = "HEAD") -> None:
        self._command = ["git", "-c", "safe.directory=*", "--git-dir", str(git_dir)]
        self._ref = ref

    def _run(self, *arguments: str) -> bytes:
        done = subprocess.run([*self._command, *arguments], capture_output=True, check=False)
        if done.returncode:
            raise CorpusError(f"git {arguments[0]} failed: {done.stderr.decode().strip()}")
        return done.stdout

    def paths_bytes(self) -> dict[str, int]:
        listing = self._run("ls-tree", "-r", "-l", "-z", self._ref).decode("utf-8", "replace")
        entries = (entry.split("\t", 1) for entry in listing.split("\0") if "\t" in entry)
        # A partial copy lists blobs that it does not hold, without a size.
        sized = ((path, head.split()[3]) for head, path in entries)
        return {path: int(size) for path, size in sized if size.isdigit()}

    def read(self, path: str) -> bytes:
        return self._run("cat-file", "blob", f"{self._ref}:{path}")


class PackageSource:
    """Files of an unpacked Debian package; paths are absolute, as installed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def paths_bytes(self) -> dict[str, int]:
        root = self._root
        files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        return {"/" + path.relative_to(root).as_posix(): path.stat().st_size for path in files}

    def read(self, path: str) -> bytes:
        return (self._root / path.lstrip("/")).read_bytes()


def open_source(name: str, mirrors: Path, packages: Path) -> GitSource | PackageSource | None:
    """A source by its name in the manifest; None when it is not on this machine."""
    if name.startswith("deb:"):
        root = packages / name[4:]
        return PackageSource(root) if root.is_dir() else None
    stem = name.replace("/", "+")
    for place in (f"{stem}/repo/.git", f"{stem}/repo", f"{stem}.git", stem):
        if (mirrors / place / "HEAD").exists():
            return GitSource(mirrors / place)
    return None


def decode(data: bytes, suffix: str) -> NDArray[np.float32]:
    """Samples at 16 kHz of an audio file's bytes.

    Raises:
        CorpusError: they are no audio.
    """
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        return read_clip(Clip("", Path(file.name)), SAMPLE_RATE_HZ)


def extend(
    manifest: Path,
    mirrors: Path,
    packages: Path,
    out: Path,
    min_seconds: float,
    per_folder: int,
    say: Callable[[str], None],
) -> int:
    """Write the further clips as ID.flac into `out`/audio, and `out`/manifest.csv; their number.

    Clips that are there already are kept, so an interrupted run goes on.

    Raises:
        CorpusError: the manifest cannot be read.
    """
    rows = manifest_rows(manifest)
    taken: list[Row] = []
    for name in eligible_sources(rows):
        source = open_source(name, mirrors, packages)
        if source is None:
            say(f"not there: {name}")
            continue
        mine = [row for row in rows if row["source"] == name]
        found = candidates(mine, source.paths_bytes(), per_folder)
        kept = list(_extract(source, found, out / "audio", min_seconds, say))
        say(f"{name}: {len(kept)} of {len(found)}")
        taken += kept
    write_manifest(out / "manifest.csv", taken)
    return len(taken)


def _extract(
    source: GitSource | PackageSource,
    found: Sequence[Candidate],
    folder: Path,
    min_seconds: float,
    say: Callable[[str], None],
) -> Iterator[Row]:
    for candidate in found:
        clip_id = _digest(f"{candidate.like['source']}:{candidate.path}")[:12]
        target = folder / f"{clip_id}.flac"
        suffix = posixpath.splitext(candidate.path)[1].lower()
        if target.exists():
            seconds = soundfile.info(str(target)).duration
        else:
            try:
                samples = decode(source.read(candidate.path), suffix)
            except CorpusError as error:
                say(f"left out: {candidate.path}: {error}")
                continue
            seconds = len(samples) / SAMPLE_RATE_HZ
            if seconds < min_seconds or not np.abs(samples).max() > 1e-3:
                continue
            write_flac(target, samples)
        yield {
            **candidate.like,
            "id": clip_id,
            "utterance": "",
            "format": suffix[1:],
            "seconds": f"{seconds:.3f}",
            "offset": "0",
            "path": candidate.path,
            "core": "0",
            "report": "0",
        }


def write_flac(target: Path, samples: NDArray[np.float32], rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """A 16-bit FLAC, whole or absent; turned down where it would clip."""
    peak = float(np.abs(samples).max(initial=0.0))
    buffer = io.BytesIO()
    scaled = samples * np.float32(0.999 / peak) if peak > 0.999 else samples
    soundfile.write(buffer, scaled, rate_hz, format="FLAC", subtype="PCM_16")
    write_atomically(target, lambda file: file.write(buffer.getvalue()))


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Rows with the columns of the corpus's manifest."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
