"""Telling systemd that the daemon is ready, and that it really hears (sd_notify(3))."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far one source has come; every number only grows.

    Attributes:
        frames: audio frames received.
        windows: windows judged, scored or not.
        attempts: attempts to open the source again.
        lost: the source is known to be lost and is being reopened.
    """

    frames: int
    windows: int
    attempts: int = 0
    lost: bool = False


def alive(before: Mapping[str, Progress], now: Mapping[str, Progress]) -> bool:
    """Has every source moved since the watchdog was last fed? Pure.

    A source moves when frames AND windows advance: frames alone come from a daemon that no longer
    judges, windows alone from one that judges stale audio. A source that is known to be lost moves
    by its attempts to reopen: restarting the daemon would not bring a microphone back, and a
    restart limit would then end the daemon for good; attempts that stop are a hang like any other.
    Sources that have ended are not in `now` and count for nothing; a daemon without any is alive.

    Args:
        before: progress by source at the last feeding.
        now: progress by source at present.
    """
    return all(moved(before.get(name, Progress(0, 0)), at) for name, at in now.items())


def moved(before: Progress, now: Progress) -> bool:
    """Has this source advanced?"""
    if now.lost:
        return now.attempts > before.attempts
    return now.frames > before.frames and now.windows > before.windows


class Watchdog:
    """Decides when to feed, from progress alone. Pure; the clock is the caller's.

    Args:
        interval_s: how often to look; a third of systemd's limit leaves room for a slow moment.
    """

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._fed: dict[str, Progress] = {}
        self._looked_s = float("-inf")

    def due(self, progress: Mapping[str, Progress], now_s: float) -> bool:
        """Should the watchdog be fed at monotonic time `now_s`?"""
        if now_s - self._looked_s < self.interval_s:
            return False
        self._looked_s = now_s
        if not alive(self._fed, progress):
            return False
        self._fed = dict(progress)
        return True


def watchdog_interval_s(environment: Mapping[str, str], pid: int) -> float | None:
    """How often to feed: a third of systemd's limit; None if it sets none for this process."""
    limit_us = environment.get("WATCHDOG_USEC", "")
    if not limit_us.isdecimal() or int(limit_us) == 0:
        return None
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(limit_us) / 3e6


class Notifier:
    """Sends states to the service manager, or nowhere when there is none.

    Args:
        environment: for $NOTIFY_SOCKET.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading "@" stands for the NUL of Linux's abstract names (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is complete."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon is on its way out."""
        self._send("STOPPING=1")

    def feed(self) -> None:
        """The daemon is alive; call it only when `Watchdog.due` says so."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
            link.setblocking(False)
            try:
                link.sendto(state.encode(), self._address)
            except OSError:
                # A service manager that is restarting or busy must not take the daemon down; it
                # hears the next message, and a watchdog that it misses is its own to act on.
                return
