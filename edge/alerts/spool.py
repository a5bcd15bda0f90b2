"""Alerts outlive brokers that are away, crashes and power cuts.

Only alerts are spooled, never windows: a day without alerts writes nothing. The whole queue is also
held in memory, so a disk that fails costs durability and nothing else.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.alerts.outage import Outage
from edge.alerts.queue import AlertQueue, Entry
from edge.alerts.sink import Clock, EventHandler, Record, local_now
from edge.alerts.store import AlertStore, DamagedStoreError, StoreFaultError, set_aside
from edge.report import event_record

SOURCE = "alerts.spool"
# Acknowledgements may wait for company: losing one to a crash only repeats an alert, whose id
# tells, and waiting halves the writes.
ACKNOWLEDGE_DELAY_S = 1.0


@dataclass(frozen=True)
class SpoolSettings:
    """Where undelivered alerts wait, and how many."""

    path: str = field(
        default="",
        metadata={
            "unit": "path",
            "doc": "file that keeps undelivered alerts; empty: alerts.db in the state directory",
        },
    )
    max_alerts: int = field(
        default=5000,
        metadata={
            "unit": "alerts",
            "doc": "most undelivered alerts to keep; beyond it the oldest is dropped and counted",
            "minimum": 1,
            "maximum": 100_000,
        },
    )
    commit_wait_s: float = field(
        default=0.5,
        metadata={
            "unit": "s",
            "doc": "longest that an alert holds up detection while the disk takes it",
            "minimum": 0.0,
            "maximum": 5.0,
        },
    )
    retry_disk_s: float = field(
        default=30.0,
        metadata={
            "unit": "s",
            "doc": "pause before a disk that failed is tried again",
            "minimum": 0.1,
            "maximum": 3600.0,
        },
    )


def default_spool_path(environment: Mapping[str, str]) -> Path:
    """`alerts.db` in systemd's $STATE_DIRECTORY, else in the user's state directory (XDG)."""
    state = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return Path(state) / "alerts.db"
    home = environment.get("HOME", "/tmp")
    base = environment.get("XDG_STATE_HOME") or f"{home}/.local/state"
    return Path(base) / "earwitness" / "alerts.db"


class Spool:
    """A bounded queue of alerts on disk, read by several sinks at their own pace.

    An alert counts as acknowledged once `append` has returned true: it is then on disk and is
    removed only when every sink has delivered it. Order is kept. After a crash an alert may be
    delivered twice, never not at all; its id tells. A full queue drops its oldest alert.

    A disk that is full, read-only or broken, and a file that is damaged, are events and never
    errors: the damaged file is set aside, alerts go on in memory, and the disk is tried again.

    Args:
        path: the SQLite file.
        sinks: names of the sinks that will read, the same from run to run; a sink that is new to
            the file starts after the alerts already in it, one that is gone is forgotten.
        settings: limits.
        on_event: told of faults and recoveries.
        now: time of day, for the events.
    """

    def __init__(
        self,
        path: Path,
        sinks: Iterable[str],
        settings: SpoolSettings,
        on_event: EventHandler,
        now: Clock = local_now,
    ) -> None:
        self._path = path
        self._settings = settings
        self._on_event = on_event
        self._now = now
        self._queue = AlertQueue(sinks, settings.max_alerts)
        self._changed = threading.Condition()
        self._outage = Outage()
        self._overflow = Outage()
        self._store: AlertStore | None = None
        self._ever_read = False
        self._on_disk = 0
        self._appended = self._acknowledged = False
        self._closing = False
        self._open_store()
        self._writer = threading.Thread(target=self._write, name="alert-spool", daemon=True)
        self._writer.start()

    def append(self, record: Record) -> bool:
        """Queue an alert and wait, at most `commit_wait_s`, until it is on disk.

        Returns:
            True if the alert will survive a crash or a power cut; false if the disk is failing or
            slow, in which case it is queued all the same.
        """
        payload = json.dumps(record, separators=(",", ":"))
        with self._changed:
            lost_before = sum(self._queue.dropped.values())
            entry = self._queue.append(payload)
            lost = sum(self._queue.dropped.values()) - lost_before
            self._appended = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._on_disk >= entry.seq or self._outage.active,
                timeout=self._settings.commit_wait_s,
            )
            durable = self._on_disk >= entry.seq
        if lost:
            self._tell_full()
        return durable

    def pending(self, sink: str, limit: int, after: int = 0) -> list[Entry]:
        """The next alerts for a sink, oldest first, leaving out those up to `after`."""
        with self._changed:
            return self._queue.pending(sink, limit, after)

    def acknowledge(self, sink: str, seq: int) -> None:
        """Note that a sink has delivered every alert up to and with `seq`."""
        with self._changed:
            if self._queue.acknowledge(sink, seq):
                self._acknowledged = True
                self._changed.notify_all()

    def depth(self, sink: str) -> int:
        """Alerts that a sink has yet to deliver."""
        with self._changed:
            return self._queue.depth(sink)

    def dropped(self, sink: str) -> int:
        """Alerts that a sink lost to the limit since the start."""
        with self._changed:
            return self._queue.dropped[sink]

    @property
    def degraded(self) -> bool:
        """Alerts are in memory only, because the disk fails."""
        return self._outage.active

    def close(self, timeout_s: float) -> None:
        """Write what is left and let go of the file."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join(timeout_s)

    def _write(self) -> None:
        """The writer thread: the only one that touches the disk after the start."""
        while self._wait_for_work():
            self._save()
        self._save()
        if self._store is not None:
            self._close_store()

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to write; false when the spool is closing."""
        with self._changed:
            if self._outage.active:
                self._changed.wait_for(lambda: self._closing, self._settings.retry_disk_s)
                return not self._closing
            self._changed.wait_for(lambda: self._appended or self._acknowledged or self._closing)
            if not self._appended:
                self._changed.wait_for(lambda: self._appended or self._closing, ACKNOWLEDGE_DELAY_S)
            return not self._closing

    def _save(self) -> None:
        if self._store is None and not self._open_store():
            return
        assert self._store is not None
        with self._changed:
            entries = self._queue.after(self._on_disk)
            cursors, floor, last = dict(self._queue.cursors), self._queue.floor, self._queue.last
            self._appended = self._acknowledged = False
            afresh = self._on_disk == 0
        try:
            self._store.save(entries, cursors, floor, afresh)
        except StoreFaultError as error:
            self._fail(error)
        except DamagedStoreError as error:
            self._replace_damaged(error)
        else:
            self._saved(last)

    def _saved(self, seq: int) -> None:
        with self._changed:
            self._on_disk = max(self._on_disk, seq)
            lasted_s = self._outage.recovered(time.monotonic())
            self._changed.notify_all()
        if lasted_s is not None:
            self._tell(
                "spool-recovered",
                f"The alert spool {self._path} is on disk again after {lasted_s:.0f} s in memory.",
            )

    def _open_store(self) -> bool:
        """Open the file, setting a damaged one aside; false if the disk refuses."""
        try:
            self._store = AlertStore(self._path)
            self._take_over(*self._store.load())
        except StoreFaultError as error:
            self._fail(error)
        except DamagedStoreError as error:
            self._replace_damaged(error)
        return self._store is not None

    def _take_over(self, entries: list[Entry], cursors: dict[str, int]) -> None:
        """Adopt what an earlier run left in the file, once."""
        with self._changed:
            self._on_disk = 0
            if self._ever_read:
                return
            self._ever_read = True
            if self._queue.pristine:
                self._queue.restore(entries, cursors)
                self._on_disk = max((entry.seq for entry in entries), default=0)
                return
            # The disk came late and this run has queued alerts of its own: the old ones go behind.
            delivered = min(cursors.values(), default=0)
            for entry in entries:
                if entry.seq > delivered:
                    self._queue.append(entry.payload)

    def _replace_damaged(self, error: DamagedStoreError) -> None:
        if self._store is not None:
            self._close_store()
        try:
            kept = set_aside(self._path)
            self._store = AlertStore(self._path)
        except (StoreFaultError, DamagedStoreError) as again:
            self._fail(again)
            return
        with self._changed:
            self._ever_read = True
            self._on_disk = 0
            self._appended = True
        self._tell(
            "spool-damaged",
            f"The alert spool {self._path} was damaged ({error}); it was set aside as {kept} "
            "and a new one begun. Alerts that waited only in the old file are not delivered.",
        )

    def _fail(self, error: Exception) -> None:
        if self._store is not None:
            self._close_store()
        with self._changed:
            # After a failed flush the kernel may have dropped pages that it never wrote, so
            # nothing counts as written until it has all been written again.
            self._on_disk = 0
            tell = self._outage.failed(str(error), time.monotonic())
            self._changed.notify_all()
        if tell:
            self._tell(
                "spool-degraded",
                f"The alert spool {self._path} cannot be written ({error}); alerts are kept in "
                f"memory, where a restart loses them. Trying again every "
                f"{self._settings.retry_disk_s:g} s.",
            )

    def _close_store(self) -> None:
        store, self._store = self._store, None
        assert store is not None
        try:
            store.close()
        except (StoreFaultError, DamagedStoreError) as error:
            self._tell("spool-degraded", f"The alert spool {self._path} did not close: {error}.")

    def _tell_full(self) -> None:
        if self._overflow.failed("full", time.monotonic()):
            lost = ", ".join(f"{sink} {count}" for sink, count in self._queue.dropped.items())
            self._tell(
                "spool-full",
                f"The alert spool holds its limit of {self._settings.max_alerts} undelivered "
                f"alerts, so the oldest are dropped (so far: {lost}).",
            )

    def _tell(self, kind: str, message: str) -> None:
        self._on_event(event_record(SOURCE, kind, message, self._now()))
