"""What every destination of records looks like, and the records that the destinations make."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Callable, Protocol

Record = Mapping[str, Any]
"""A JSON-ready window, alert or event record, told apart by its key `type`."""

EventHandler = Callable[[Record], None]
"""Told of faults and recoveries as event records. Called from any thread; must not block."""

Clock = Callable[[], datetime]
"""The time of day, with its time zone."""


class AlertSink(Protocol):
    """A place where records go.

    `emit` is called from the thread that detects: it hands the record over and returns. A broker
    that is away, a full disk or a slow reader is told through an event, never raised, and never
    holds the detector up.
    """

    name: str

    def emit(self, record: Record) -> None:
        """Take one record."""
        ...

    def close(self, timeout_s: float) -> None:
        """Deliver what can be delivered within `timeout_s` seconds, then stop. Safe to repeat."""
        ...


class AlertSpool(Protocol):
    """Where the fan-out makes alerts safe before any sink sees them (see edge.alerts.spool)."""

    def append(self, record: Record) -> bool:
        """Keep one alert; true if it will survive a power cut."""
        ...


class FanOut:
    """Gives every record to every sink, alerts to the spool first.

    An alert that any sink has seen is therefore already on disk, unless the disk itself fails.
    """

    name = "all"

    def __init__(self, sinks: Iterable[AlertSink], spool: AlertSpool | None = None) -> None:
        self._sinks = tuple(sinks)
        self._spool = spool

    def emit(self, record: Record) -> None:
        """Take one record."""
        if self._spool is not None and record["type"] == "alert":
            self._spool.append(record)
        for sink in self._sinks:
            sink.emit(record)

    def close(self, timeout_s: float) -> None:
        """Close all sinks at once, within `timeout_s`; the spool stays with its owner."""
        closing = [
            threading.Thread(target=sink.close, args=(timeout_s,), daemon=True)
            for sink in self._sinks
        ]
        for thread in closing:
            thread.start()
        deadline_s = time.monotonic() + timeout_s
        for thread in closing:
            thread.join(max(0.0, deadline_s - time.monotonic()))


def local_now() -> datetime:
    """The time of day in the machine's own zone."""
    return datetime.now().astimezone()
