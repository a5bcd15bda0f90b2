"""The device's side of The Update Framework, by python-tuf.

Decisions that go beyond it (floor, rollout, quarantine) are in `edge.updates.trust`.

python-tuf 7 needs Python 3.10; on Python 3.9 pip installs 6.0, whose client is the same. What 7.0
mended concerns delegated roles and its own HTTP fetcher, and neither is used here.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from edge.bundle import MAX_FILE_BYTES
from edge.errors import UpdateError
from edge.updates import durable, trust

try:
    import tuf.api.exceptions as tuf_errors
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
    from tuf.ngclient import FetcherInterface, Updater
except ImportError as error:
    raise UpdateError(
        f"Updates need python-tuf ({error}); run: pip install 'earwitness[update]' "
        "(on Python 3.9 that is tuf 6.0, from 3.10 on tuf 7)."
    ) from error

MAX_BUNDLE_BYTES = 2 * MAX_FILE_BYTES


class Remembering(Protocol):
    """A fetcher that keeps something for the next poll."""

    def remember(self) -> None:
        """Called once the state of the repository was accepted."""


class RepositoryClient:
    """Reads a repository of models, believing nothing that its keys have not signed.

    Args:
        folder: where trusted metadata (`tuf/`) and the floor (`floor.json`) are kept.
        root: the pinned root metadata.
        base_url: of the repository: `https://...` or `file:///...`.
        fetcher: how its files are read.
        name: what to call it in sentences for people; None = its URL.
        clock_s: the system clock, Unix seconds.
    """

    def __init__(
        self,
        folder: Path,
        root: bytes,
        base_url: str,
        fetcher: FetcherInterface,
        clock_s: Callable[[], float] = time.time,
        name: str | None = None,
    ) -> None:
        self._name = name or base_url
        self._cache = folder / "tuf"
        self._floor_path = folder / "floor.json"
        self._base_url = base_url.rstrip("/")
        self._fetcher = fetcher
        self._clock_s = clock_s
        durable.make_folder(self._cache)
        with self._refusals():
            self._updater = Updater(
                str(self._cache),
                f"{self._base_url}/metadata/",
                target_base_url=f"{self._base_url}/targets/",
                fetcher=fetcher,
                bootstrap=root,
            )

    def refresh(self) -> tuple[trust.Offer, ...]:
        """Bring the metadata up to date, and see that it lies on or above the floor.

        Returns:
            the models on offer, oldest first.

        Raises:
            UpdateError: the repository cannot be read or must not be believed.
        """
        with self._refusals():
            self._updater.refresh()
            floor = read_floor(self._floor_path)
            new_floor = trust.raised(floor, self._sighting(), self._clock_s())
            if new_floor != floor:
                durable.write_file(self._floor_path, new_floor.to_json().encode())
            remember = getattr(self._fetcher, "remember", None)
            if remember is not None:
                remember()
            return trust.offers_of(self._targets())

    def download(self, offer: trust.Offer, destination: Path) -> None:
        """Download a bundle's files into an empty folder, each verified before it gets its name.

        Raises:
            UpdateError: a file is missing, too large, or not the one that was signed.
            OSError: it cannot be written.
        """
        beside = str(PurePosixPath(offer.manifest_path).parent) + "/"
        paths = [path for path in self._targets() if path.startswith(beside)]
        with self._refusals():
            wanted = [info for info in map(self._updater.get_targetinfo, paths) if info]
            total = sum(info.length for info in wanted)
            if total > MAX_BUNDLE_BYTES or any("/" in i.path[len(beside) :] for i in wanted):
                raise ValueError(f"its {offer.version} is no model bundle ({total} bytes)")
            for info in wanted:
                self._updater.download_target(info, str(destination / Path(info.path).name))

    def download_target(self, path: str, destination: Path) -> None:
        """Download one verified target by its path.

        Raises:
            UpdateError: it does not exist or is not the one that was signed.
        """
        with self._refusals():
            info = self._updater.get_targetinfo(path)
            if info is None:
                raise ValueError(f"it has no {path}")
            if self._updater.find_cached_target(info, str(destination)) is None:
                self._updater.download_target(info, str(destination))

    def _targets(self) -> dict[str, Any]:
        signed = Metadata[Targets].from_file(str(self._cache / "targets.json")).signed
        return {path: target.to_dict() for path, target in signed.targets.items()}

    def _sighting(self) -> trust.Sighting:
        """What the metadata says that `Updater.refresh` has just verified and stored."""
        root = Metadata[Root].from_file(str(self._cache / "root.json")).signed
        timestamp = Metadata[Timestamp].from_file(str(self._cache / "timestamp.json")).signed
        snapshot = Metadata[Snapshot].from_file(str(self._cache / "snapshot.json")).signed
        targets = Metadata[Targets].from_file(str(self._cache / "targets.json")).signed
        others = {"timestamp": timestamp, "snapshot": snapshot, "targets": targets}
        signed_at = timestamp.unrecognized_fields.get(trust.SIGNED_AT_FIELD, 0)
        if isinstance(signed_at, bool) or not isinstance(signed_at, int):
            raise ValueError(f"its {trust.SIGNED_AT_FIELD} is {signed_at!r}")
        return trust.Sighting(
            root=root.version,
            root_expires_s=_unix_s(root.expires),
            roles={
                name: trust.RoleState(signed.version, _keys_of(root, name))
                for name, signed in others.items()
            },
            expires_s=min(_unix_s(signed.expires) for signed in (root, *others.values())),
            signed_at_s=float(signed_at),
        )

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Every way in which a repository can be refused, as one sentence for people."""
        where = self._name
        try:
            yield
        except tuf_errors.ExpiredMetadataError as error:
            clock = datetime.fromtimestamp(self._clock_s(), timezone.utc)
            raise UpdateError(
                f"{where} is refused: {error}, by this device's clock ({clock:%Y-%m-%d %H:%M} "
                "UTC); run earwitness-convert repo refresh where it is kept, or set the clock."
            ) from error
        except (tuf_errors.BadVersionNumberError, ValueError) as error:
            raise UpdateError(
                f"{where} is refused: {error}; it is an old copy or has been tampered with."
            ) from error
        except tuf_errors.UnsignedMetadataError as error:
            raise UpdateError(
                f"{where} is refused: {error}; it is not signed by the keys that this device "
                "trusts (earwitness model trust shows them)."
            ) from error
        except tuf_errors.SlowRetrievalError as error:
            raise UpdateError(f"{where} answers too slowly; try again later.") from error
        except tuf_errors.DownloadLengthMismatchError as error:
            raise UpdateError(
                f"{where} is refused: it sends more than what was signed ({error})."
            ) from error
        except tuf_errors.DownloadError as error:
            reason = error.__cause__ if type(error) is tuf_errors.DownloadError else None
            raise UpdateError(
                f"{where} cannot be read: {error}{f' ({reason})' if reason else ''}; check that "
                "it is complete and can be reached."
            ) from error
        except tuf_errors.RepositoryError as error:
            raise UpdateError(
                f"{where} is refused: {error}; it is damaged or has been tampered with."
            ) from error


def read_floor(path: Path) -> trust.Floor:
    """The floor file; a device without one has seen nothing.

    Raises:
        UpdateError: it is damaged. Starting anew silently would open the door that it guards.
    """
    try:
        return trust.Floor.from_json(path.read_text())
    except FileNotFoundError:
        return trust.Floor()
    except (ValueError, UnicodeDecodeError) as error:
        raise UpdateError(
            f"{path} is damaged ({error}); if you trust the repository as it stands today, "
            "delete that file and try again."
        ) from None


def describe_root(content: bytes) -> str:
    """Version, end and key ids of root metadata, for people to compare.

    Raises:
        UpdateError: it is not root metadata signed by its own keys.
    """
    try:
        metadata = Metadata[Root].from_bytes(content)
        root = metadata.signed
        root.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
    except (tuf_errors.RepositoryError, AttributeError) as error:
        raise UpdateError(
            f"This is not valid root metadata ({error}); give the root.json of the repository."
        ) from error
    role = root.roles[Root.type]
    keys = ", ".join(sorted(keyid[:12] for keyid in role.keyids))
    return (
        f"root {root.version}, valid until {root.expires:%Y-%m-%d}, "
        f"{role.threshold} of {len(role.keyids)} keys ({keys})"
    )


def _keys_of(root: Root, role: str) -> str:
    entry = root.roles[role]
    text = json.dumps([sorted(entry.keyids), entry.threshold])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _unix_s(time: datetime) -> float:
    """tuf 6 gives naive UTC datetimes, tuf 7 aware ones."""
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
