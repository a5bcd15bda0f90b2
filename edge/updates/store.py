"""Releases side by side on the device, and which of them is current.

    STORE/releases/1.2.0-3f9c0a1b2c4d/   a bundle; the digest is its manifest's
    STORE/current  -> releases/...       what the daemon loads
    STORE/previous -> releases/...       the last good one before it
    STORE/state.json                     trial, hold, quarantine, last error
    STORE/root.json, floor.json, tuf/    what is trusted

A release is complete and on the disk before any link names it, and links are swapped by rename, so
at every instant `current` names a complete bundle, whatever is killed or loses power.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edge.bundle import MANIFEST, ModelBundle, read_manifest
from edge.errors import BundleError, UpdateError
from edge.updates import durable, trust
from edge.updates.owner import denied

RELEASES, STAGING = "releases", "staging"
CURRENT, PREVIOUS = "current", "previous"

_RELEASE = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Pending:
    """A release that is current on trial.

    Attributes:
        release: its name.
        since_s: when it was activated, Unix seconds.
    """

    release: str
    since_s: float


@dataclass(frozen=True)
class Failure:
    """Why a release was sent back, and when (Unix seconds)."""

    reason: str
    at_s: float


@dataclass(frozen=True)
class StoreState:
    """What is known beside the links.

    Attributes:
        pending: the trial under way.
        held: a person chose the current release; updates wait until they let go.
        quarantine: releases that failed here, by name; they are not installed again.
        last_error: the last failed installation.
        starts: how often the daemon has started with the current release and neither stopped in
            good order nor settled; many in a row are a crash loop.
    """

    pending: Pending | None = None
    held: bool = False
    quarantine: dict[str, Failure] = field(default_factory=dict)
    last_error: Failure | None = None
    starts: int = 0

    def to_json(self) -> str:
        """As the state file holds it."""
        return json.dumps(asdict(self), sort_keys=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> StoreState:
        """Read a state file.

        Raises:
            ValueError: it is not one.
        """
        try:
            document: dict[str, Any] = json.loads(text)
            pending, error = document["pending"], document["last_error"]
            return cls(
                pending=Pending(**pending) if pending else None,
                held=bool(document["held"]),
                quarantine={n: Failure(**f) for n, f in document["quarantine"].items()},
                last_error=Failure(**error) if error else None,
                starts=int(document["starts"]),
            )
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError(f"not a state file: {problem!r}") from None


class ReleaseStore:
    """The releases of one device.

    Args:
        root: its folder; created, with what belongs in it, on the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._state_path = root / "state.json"

    # What is there

    def current(self) -> str | None:
        """Name of the current release; None = none, the model of the package serves."""
        return self._named_by(CURRENT)

    def previous(self) -> str | None:
        """Name of the last good release before it."""
        return self._named_by(PREVIOUS)

    def releases(self) -> list[str]:
        """Names of all complete releases, oldest version first."""
        folder = self.root / RELEASES
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        return sorted(filter(_RELEASE.fullmatch, names), key=_order)

    def path(self, release: str) -> Path:
        """Folder of a release."""
        return self.root / RELEASES / release

    def state(self) -> StoreState:
        """What is known beside the links.

        Raises:
            UpdateError: the state file is damaged.
        """
        try:
            return StoreState.from_json(self._state_path.read_text())
        except FileNotFoundError:
            return StoreState()
        except (ValueError, UnicodeDecodeError) as error:
            raise UpdateError(
                f"{self._state_path} is damaged ({error}); delete it to go on (the quarantine "
                "is forgotten then)."
            ) from None

    def stamp(self) -> tuple[int, int] | None:
        """Which state file it is, to notice another; None = there is none."""
        try:
            status = self._state_path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def pending(self) -> Pending | None:
        """The trial of the current release; None = it is proven, or there is none."""
        pending = self.state().pending
        return pending if pending and pending.release == self.current() else None

    def find(self, version: str) -> str:
        """The release with this version or name.

        Raises:
            UpdateError: there is none.
        """
        for name in reversed(self.releases()):
            if version in (name, name.split("-")[0]):
                return name
        known = ", ".join(self.releases()) or "none"
        raise UpdateError(f"{version!r} is not installed in {self.root}; installed: {known}.")

    def verify(self, release: str, variant: str | None = None) -> ModelBundle:
        """Read a release whole and hold it against its name and manifest.

        Args:
            release: its name.
            variant: form of the network; None = the manifest's default.

        Raises:
            BundleError: any byte of any file differs from what was installed.
        """
        folder = self.path(release)
        if release_of(folder) != release:
            raise BundleError(
                f"{folder / MANIFEST} is not the one that was installed; it is damaged or was "
                "changed, install the release again."
            )
        return ModelBundle.load(folder, variant)

    # Changing it

    @contextmanager
    def installing(self) -> Iterator[None]:
        """One installation at a time; removes what an interrupted one left behind.

        Raises:
            UpdateError: another installation runs, or the folder cannot be written.
        """
        try:
            durable.make_folder(self.root)
            with _lock(self.root / "install.lock", wait=False):
                self.sweep()
                yield
        except BlockingIOError:
            raise UpdateError(
                f"Another installation into {self.root} is running; wait until it has finished."
            ) from None
        except PermissionError as error:
            raise UpdateError(denied(self.root)) from error

    def staging(self) -> Path:
        """A new, empty folder on the same file system as the releases."""
        durable.make_folder(self.root / STAGING)
        return Path(tempfile.mkdtemp(dir=self.root / STAGING))

    def add(self, staged: Path) -> str:
        """Make a staged bundle a release. It must have been checked and proven.

        Returns:
            its name. A release of that name that is whole already is kept as it is.

        Raises:
            OSError: it cannot be flushed or moved.
        """
        name = release_of(staged)
        destination = self.path(name)
        durable.make_folder(self.root / RELEASES)
        if destination.exists():
            try:
                self.verify(name)
                return name
            except BundleError:
                # Damaged on the disk: out of the way, then the good copy in its place.
                os.rename(destination, self.staging() / "damaged")
        durable.move_folder(staged, destination)
        return name

    def activate(self, release: str, now_s: float, *, trial: bool = True) -> None:
        """Make a release current; the last good one becomes previous.

        Args:
            release: name of a complete release.
            now_s: Unix seconds.
            trial: it is on trial until the daemon commits it.
        """
        with self._changing() as state:
            before = self.current()
            if before == release:
                return
            on_trial = state.pending is not None and state.pending.release == before
            pending = Pending(release, now_s) if trial else None
            self._write(replace(state, pending=pending, last_error=None, starts=0))
            if before is not None and not on_trial:
                durable.point_link(self.root / PREVIOUS, f"{RELEASES}/{before}")
            durable.point_link(self.root / CURRENT, f"{RELEASES}/{release}")

    def commit(self, release: str) -> None:
        """The trial of this release ended well. Without such a trial nothing happens."""
        with self._changing() as state:
            if state.pending is not None and state.pending.release == release:
                self._write(replace(state, pending=None, starts=0))

    def count_start(self) -> int:
        """The daemon starts with the current release; returns how often, this time included."""
        with self._changing() as state:
            self._write(replace(state, starts=state.starts + 1))
            return state.starts + 1

    def count_stop(self) -> None:
        """The daemon stops in good order: its last start is no sign of a crash loop."""
        with self._changing() as state:
            if state.starts > 0:
                self._write(replace(state, starts=state.starts - 1))

    def settle(self) -> None:
        """The daemon has run long enough: none of its starts so far is a sign of a crash loop."""
        with self._changing() as state:
            if state.starts > 0:
                self._write(replace(state, starts=0))

    def roll_back(
        self,
        reason: str,
        now_s: float,
        *,
        bad: str | None = None,
        quarantine: bool = True,
    ) -> str | None:
        """Go back from the current release to the last good one.

        Args:
            reason: why, for people.
            now_s: Unix seconds.
            bad: the release that failed; if it is no longer current, nothing happens.
            quarantine: never install it again. Not for one that the disk damaged.

        Returns:
            the release that is current now; None = none, the model of the package serves.
        """
        with self._changing() as state:
            current = self.current()
            if current is None or (bad is not None and bad != current):
                return current
            failure = Failure(reason, now_s)
            bad_ones = {**state.quarantine, **({current: failure} if quarantine else {})}
            self._write(
                replace(state, pending=None, quarantine=bad_ones, last_error=failure, starts=0)
            )
            self._leave(current, bad_ones)
            return self.current()

    def recover(self) -> None:
        """Finish a rollback that a power cut interrupted between its two writes."""
        state = self.state()
        current = self.current()
        if current is not None and current in state.quarantine:
            with self._changing():
                self._leave(current, state.quarantine)

    def hold(self, held: bool) -> None:
        """Make updates wait for a person, or let them go on."""
        with self._changing() as state:
            if state.held != held:
                self._write(replace(state, held=held))

    def forgive(self, release: str) -> None:
        """Take a release out of quarantine."""
        with self._changing() as state:
            if release in state.quarantine:
                kept = {n: f for n, f in state.quarantine.items() if n != release}
                self._write(replace(state, quarantine=kept))

    def note_error(self, reason: str, now_s: float, bad: str | None = None) -> None:
        """Record a failed installation; a release that failed its proof is quarantined."""
        with self._changing() as state:
            failure = Failure(reason, now_s)
            quarantine = {**state.quarantine, bad: failure} if bad else state.quarantine
            self._write(replace(state, last_error=failure, quarantine=quarantine))

    def forget_error(self) -> None:
        """What went wrong on the way has passed; what a model in quarantine did has not."""
        with self._changing() as state:
            if state.last_error and state.last_error not in state.quarantine.values():
                self._write(replace(state, last_error=None))

    def prune(self, keep: int) -> None:
        """Remove the oldest releases beyond `keep`, never the current or the previous one."""
        needed = {self.current(), self.previous()}
        spare = [name for name in self.releases() if name not in needed]
        for name in spare[: max(0, len(spare) + len(needed - {None}) - keep)]:
            os.rename(self.path(name), self.staging() / name)
        self.sweep()

    # Within

    def _leave(self, bad: str, quarantine: dict[str, Failure]) -> None:
        good = self.previous()
        if good is not None and good != bad and good not in quarantine and self._is_whole(good):
            durable.point_link(self.root / CURRENT, f"{RELEASES}/{good}")
        else:
            durable.remove_file(self.root / CURRENT)

    def _is_whole(self, release: str) -> bool:
        try:
            self.verify(release)
        except BundleError:
            return False
        return True

    def _named_by(self, link: str) -> str | None:
        try:
            folder, _, name = os.readlink(self.root / link).partition("/")
        except OSError:
            return None
        known = folder == RELEASES and _RELEASE.fullmatch(name) is not None
        return name if known and self.path(name).is_dir() else None

    def sweep(self) -> None:
        """Remove what an installation left half-done. Only within `installing`."""
        shutil.rmtree(self.root / STAGING, ignore_errors=True)
        for leftover in self.root.glob(".*.new"):
            durable.remove_file(leftover)

    @contextmanager
    def _changing(self) -> Iterator[StoreState]:
        """Links and state change under a lock that nobody holds for long."""
        durable.make_folder(self.root)
        with _lock(self.root / "state.lock", wait=True):
            yield self.state()

    def _write(self, state: StoreState) -> None:
        durable.write_file(self._state_path, state.to_json().encode())


def release_of(folder: Path) -> str:
    """Name that a bundle has as a release.

    Raises:
        BundleError: it has no usable manifest.
    """
    version = read_manifest(folder).version
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    return trust.release_name(version, digest)


def _order(release: str) -> tuple[tuple[int, ...], str]:
    return trust.version_order(release.split("-")[0]), release


@contextmanager
def _lock(path: Path, *, wait: bool) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)
