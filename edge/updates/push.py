"""Send a signed bundle to devices by ssh. ssh only carries it: the device believes no byte of it.

The archive goes through the standard input of `earwitness model install -` on the device, so
nothing is left lying there and no file name needs quoting.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edge.errors import UpdateError

MAX_PARALLEL = 16


@dataclass(frozen=True)
class PushSettings:
    """How devices are reached.

    Attributes:
        ssh: the command and its options, for instance `("ssh", "-p", "2222")`.
        remote: the command on the device, for instance `("sudo", "earwitness")`.
        timeout_s: longest time that one device may take, its proof included, seconds.
        parallel: how many devices at a time.
    """

    ssh: Sequence[str] = ("ssh",)
    remote: Sequence[str] = ("earwitness",)
    timeout_s: float = 300.0
    parallel: int = MAX_PARALLEL


@dataclass(frozen=True)
class HostOutcome:
    """What one device answered.

    Attributes:
        host: as it was named.
        ok: is the model installed there (now or before)?
        release: the release that is current there, if it said so.
        message: its sentence.
    """

    host: str
    ok: bool
    release: str | None
    message: str


def push(archive: Path, hosts: Iterable[str], settings: PushSettings) -> list[HostOutcome]:
    """Install an archive on devices, in parallel; outcomes in the order of the hosts.

    Raises:
        UpdateError: the archive cannot be read, or a host has no valid name.
    """
    wanted = list(dict.fromkeys(hosts))
    for host in wanted:
        if host.startswith("-") or not host.strip():
            raise UpdateError(f"{host!r} is no host; give user@host.")
    try:
        content = archive.read_bytes()
    except OSError as error:
        raise UpdateError(f"{archive} cannot be read ({error.strerror}).") from None
    with ThreadPoolExecutor(max(1, min(settings.parallel, len(wanted) or 1))) as pool:
        return list(pool.map(lambda host: _push_one(content, host, settings), wanted))


def _push_one(content: bytes, host: str, settings: PushSettings) -> HostOutcome:
    command = [
        *settings.ssh,
        *("-o", "BatchMode=yes", "-o", "ConnectTimeout=15"),
        "--",
        host,
        " ".join([*settings.remote, "model", "install", "--json", "-"]),
    ]
    try:
        child = subprocess.run(
            command, input=content, capture_output=True, timeout=settings.timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return HostOutcome(host, False, None, f"no answer within {settings.timeout_s:g} s")
    except OSError as error:
        return HostOutcome(host, False, None, f"{settings.ssh[0]} cannot be run ({error.strerror})")
    return _read_answer(host, child)


def _read_answer(host: str, child: subprocess.CompletedProcess[bytes]) -> HostOutcome:
    """The device's JSON line, or else what ssh says."""
    lines = child.stdout.decode(errors="replace").strip().splitlines()
    try:
        answer = json.loads(lines[-1])
        return HostOutcome(host, bool(answer["ok"]), answer["release"], str(answer["message"]))
    except (IndexError, ValueError, KeyError, TypeError):
        said = child.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"ssh ended with status {child.returncode}"
        return HostOutcome(host, False, None, reason)
