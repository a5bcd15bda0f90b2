"""Writes that a power cut cannot tear: afterwards a file is the old one or the new one.

A rename without fsync of the file and of its directory is lost or empty after a power cut on ext4;
every function here returns only when both are on the disk.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def sync(path: Path) -> None:
    """Flush a file or a directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Create a folder and its parents, each durably; one that is there is left alone."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o755)
    sync(path.parent)


def write_file(path: Path, content: bytes) -> None:
    """Replace a file's content.

    Raises:
        OSError: it cannot be written; the old content is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync(path.parent)


def point_link(link: Path, target: str) -> None:
    """Make a symbolic link point elsewhere; at every instant it points to the old or the new.

    Raises:
        OSError: the link cannot be made; the old one is untouched.
    """
    temporary = link.with_name(f".{link.name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, link)
    sync(link.parent)


def remove_file(path: Path) -> None:
    """Remove a file or link if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        sync(path.parent)


def move_folder(folder: Path, destination: Path) -> None:
    """Rename a folder of files, after its content has reached the disk.

    Raises:
        OSError: it cannot be flushed or renamed; the destination does not exist then.
    """
    for entry in sorted(folder.iterdir()):
        sync(entry)
    sync(folder)
    os.rename(folder, destination)
    sync(destination.parent)
    sync(folder.parent)
