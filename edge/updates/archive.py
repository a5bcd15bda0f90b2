"""A repository in one file: what `model push` sends and what fits on a USB stick.

The file is a plain, uncompressed tar. Nothing in it is believed before The Update Framework has
verified it; unpacking only has to be safe. So it allows exactly the names that a repository has,
regular files only, each once, up to a size, and nothing else: there is no path to leave the folder
by, no link to follow and no compression to explode.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from pathlib import Path
from typing import IO

from edge.errors import UpdateError
from edge.updates.trust import choose, offers_of

SUFFIX = ".earwitness"
MAX_FILES = 1024
MAX_BYTES = 128 * 2**20
CHUNK_BYTES = 2**16

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_ALLOWED = re.compile(
    rf"metadata/(\d{{1,9}}\.)?(root|targets|snapshot|timestamp)\.json"
    rf"|targets/{_NAME}/\d{{1,6}}\.\d{{1,6}}\.\d{{1,6}}/[0-9a-f]{{64}}\.{_NAME}"
)


def is_repository_file(name: str) -> bool:
    """Is this a path that a repository of models has?"""
    return _ALLOWED.fullmatch(name) is not None


def newest_files(repository: Path) -> tuple[str, list[str]]:
    """Version of the newest model of a repository, and the files that a device needs to take it.

    Reads the metadata without verifying it: the device will.

    Raises:
        UpdateError: the folder holds no repository, or it offers no model.
    """
    try:
        metadata = [f"metadata/{path.name}" for path in (repository / "metadata").iterdir()]
        latest = max(
            (repository / "metadata").glob("*.targets.json"),
            key=lambda path: int(path.name.split(".")[0]),
        )
        targets = json.loads(latest.read_bytes())["signed"]["targets"]
        offer = choose(offers_of(targets), "", (), by_hand=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UpdateError(
            f"{repository} holds no repository of models ({error}); give the folder that "
            "earwitness-convert repo made."
        ) from None
    if offer is None:
        raise UpdateError(f"{repository} offers no model; publish one first.")
    beside = offer.manifest_path.rsplit("/", 1)[0] + "/"
    files = [
        f"targets/{beside}{target['hashes']['sha256']}.{path[len(beside) :]}"
        for path, target in targets.items()
        if path.startswith(beside)
    ]
    return offer.version, [name for name in metadata if is_repository_file(name)] + files


def pack(repository: Path, names: list[str], destination: IO[bytes]) -> None:
    """Write files of a repository as one archive; the same files give the same bytes."""
    with tarfile.open(fileobj=destination, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(names):
            member = tarfile.TarInfo(name)
            member.size = (repository / name).stat().st_size
            member.mode = 0o644
            with open(repository / name, "rb") as content:
                archive.addfile(member, content)


def unpack(source: IO[bytes], folder: Path) -> None:
    """Unpack an archive into an empty folder.

    Args:
        source: read once, forwards; it may be a pipe.
        folder: exists and is empty.

    Raises:
        UpdateError: it is not such an archive, is cut short, or holds what it must not.
        OSError: a file cannot be written.
    """
    left = MAX_BYTES
    try:
        # The limit holds for the headers too: tarfile reads an extended header whole.
        limited = _Limited(source, MAX_BYTES + MAX_FILES * 4 * tarfile.BLOCKSIZE)
        with tarfile.open(fileobj=limited, mode="r|", errorlevel=2) as archive:  # type: ignore[call-overload]
            for count, member in enumerate(archive):
                if count >= MAX_FILES:
                    raise UpdateError(f"The archive holds more than {MAX_FILES} files; refused.")
                left -= _checked_size(member, left)
                content = archive.extractfile(member)
                assert content is not None  # regular files have content
                _write(content, member, folder)
    except (tarfile.TarError, EOFError, ValueError, OverflowError, UnicodeError) as error:
        raise UpdateError(
            f"This is not a signed bundle, or it was cut short ({error}); export it again with "
            "earwitness-convert repo export."
        ) from None


class _Limited:
    """A stream that ends after so many bytes."""

    def __init__(self, source: IO[bytes], limit_bytes: int) -> None:
        self._source = source
        self._left = limit_bytes

    def read(self, size: int) -> bytes:
        try:
            content = self._source.read(min(size, self._left))
        except OSError as error:  # a stick that was pulled out; not the disk that is written to
            raise UpdateError(
                f"The archive cannot be read to its end ({error.strerror})."
            ) from None
        self._left -= len(content)
        return content


def _checked_size(member: tarfile.TarInfo, left: int) -> int:
    if not member.isreg() or member.issparse():
        raise UpdateError(f"The archive holds {member.name!r}, which is no plain file; refused.")
    if not is_repository_file(member.name):
        raise UpdateError(
            f"The archive holds {member.name!r}, which is no file of a repository; refused."
        )
    if not 0 <= member.size <= left:
        raise UpdateError(f"The archive unpacks to more than {MAX_BYTES} bytes; refused.")
    return member.size


def _write(content: IO[bytes], member: tarfile.TarInfo, folder: Path) -> None:
    path = folder / member.name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise UpdateError(f"The archive holds {member.name!r} twice; refused.") from None
    with os.fdopen(handle, "wb") as file:
        left = member.size
        while left:
            chunk = content.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise UpdateError(f"The archive ends within {member.name!r}; copy it again.")
            file.write(chunk)
            left -= len(chunk)
