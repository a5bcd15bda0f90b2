"""One name for this device, in alerts, staged rollouts and the fleet's table."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")


def derived_id(machine_id: str) -> str:
    """A stable id from the content of /etc/machine-id, which must not itself be shown around.

    See machine-id(5): applications hash it with a word of their own.
    """
    return hashlib.sha256(b"earwitness:" + machine_id.strip().encode()).hexdigest()[:12]


def device_id(configured: str | None = None, path: Path = MACHINE_ID) -> str:
    """The configured name, else one derived from this installation of the system.

    Where there is no machine-id the host's name takes its place.
    """
    if configured:
        return configured
    try:
        machine_id = path.read_text().strip()
    except OSError:
        machine_id = ""
    return derived_id(machine_id or socket.gethostname())
