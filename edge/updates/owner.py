"""The models belong to one user, and nobody else writes there: the daemon must be able to, too.

`sudo earwitness model install ...` on a board whose daemon runs as `earwitness` would leave root's
files in the daemon's folder. So whoever may become the owner does, before anything is read.
"""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

from edge.errors import UpdateError


def act_as_owner(store: Path) -> None:
    """Go on as the user who owns the store, or who owns the folder that it will be created in.

    Raises:
        UpdateError: this user may not even look at it.
    """
    try:
        owner = _status_of(store)
        readable = not store.exists() or os.access(store, os.R_OK | os.X_OK)
    except PermissionError:
        readable = False
    if not readable:
        raise UpdateError(denied(store))
    if os.geteuid() == 0 and owner.st_uid != 0:
        _become(owner.st_uid, owner.st_gid)


def denied(store: Path) -> str:
    """What to say to somebody who is not the owner."""
    return (
        f"The models in {store} belong to another user; put sudo before the command (for model "
        "push: --remote 'sudo earwitness'), or choose another folder with --store."
    )


def _status_of(path: Path) -> os.stat_result:
    """Of the path, or of the nearest folder above it that exists."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _status_of(path.parent)


def _become(uid: int, gid: int) -> None:
    try:
        user = pwd.getpwuid(uid)
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
    except KeyError:  # an owner without an account, such as a container's
        groups = [gid]
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)
    if not os.access(sys.executable, os.X_OK):
        raise UpdateError(
            f"{sys.executable} is closed to user {uid}, who owns the models; install earwitness "
            "where all users may run it, for instance with make install."
        )
