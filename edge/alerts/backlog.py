"""A bounded, memory-only queue of records between the detector and a slow destination."""

from __future__ import annotations

import threading
from collections import deque

from edge.alerts.sink import Record


class Backlog:
    """Takes records without ever waiting; when full, the oldest window goes first.

    Window records come every second and only the latest matter, so they make room for alerts and
    events; only when there is none left does the oldest other record go.

    Args:
        max_records: most records to hold.
    """

    def __init__(self, max_records: int) -> None:
        self._records: deque[Record] = deque()
        self._max_records = max_records
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0

    def put(self, record: Record) -> None:
        """Add a record; never waits."""
        with self._changed:
            self._records.append(record)
            if len(self._records) > self._max_records:
                self._drop_one()
            self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> Record | None:
        """The oldest record, or None if there is none in time or the backlog is closed and empty.

        Args:
            timeout_s: seconds to wait; None: for ever.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._closed, timeout_s)
            return self._records.popleft() if self._records else None

    def close(self) -> None:
        """Let `take` return None once the rest has been taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """Closed, and everything taken."""
        with self._changed:
            return self._closed and not self._records

    def _drop_one(self) -> None:
        oldest = next(
            (i for i, record in enumerate(self._records) if record["type"] == "window"), 0
        )
        del self._records[oldest]
        self.dropped += 1
