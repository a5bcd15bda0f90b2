"""The order of undelivered alerts and how far each destination has come. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True)
class Entry:
    """One alert in the queue.

    Attributes:
        seq: its place in the order; grows by at least one from alert to alert.
        payload: the record as JSON text.
    """

    seq: int
    payload: str


class AlertQueue:
    """A bounded queue that several readers empty, each at its own pace.

    Every reader has a cursor: the last entry that it has delivered. An entry leaves the queue once
    all cursors have passed it. When the queue is full the OLDEST entry is dropped, and counted for
    every reader that had not delivered it: after a long outage the latest alerts matter most.

    Args:
        readers: names of the destinations.
        max_entries: most entries to hold.
    """

    def __init__(self, readers: Iterable[str], max_entries: int) -> None:
        if max_entries < 1:
            raise ValueError(f"max_entries is {max_entries}; it must be at least 1")
        self._entries: deque[Entry] = deque()
        self._max_entries = max_entries
        self._next_seq = 1
        self.cursors = dict.fromkeys(readers, 0)
        self.dropped = dict.fromkeys(self.cursors, 0)

    @property
    def pristine(self) -> bool:
        """Nothing has ever been queued or restored."""
        return self.last == 0

    def restore(self, entries: Iterable[Entry], cursors: dict[str, int]) -> None:
        """Begin where an earlier run stopped. A reader that it did not know starts at the end."""
        self._entries = deque(entries)
        last = max([0, *cursors.values(), *(entry.seq for entry in self._entries)])
        self._next_seq = last + 1
        self.cursors = {name: cursors.get(name, last) for name in self.cursors}
        self._forget_delivered()
        while len(self._entries) > self._max_entries:
            self._drop_oldest()

    def append(self, payload: str) -> Entry:
        """Add an alert at the end."""
        entry = Entry(self._next_seq, payload)
        self._next_seq += 1
        if not self.cursors:
            return entry
        self._entries.append(entry)
        if len(self._entries) > self._max_entries:
            self._drop_oldest()
        return entry

    def pending(self, reader: str, limit: int, after: int = 0) -> list[Entry]:
        """The next entries for a reader, oldest first.

        Args:
            reader: name of the destination.
            limit: most entries to return.
            after: entries up to this one are left out too (they are under way).
        """
        after = max(after, self.cursors[reader])
        return list(islice((entry for entry in self._entries if entry.seq > after), limit))

    def acknowledge(self, reader: str, seq: int) -> bool:
        """Note that a reader has delivered everything up to and with `seq`; true if it is news."""
        if seq <= self.cursors[reader]:
            return False
        self.cursors[reader] = seq
        self._forget_delivered()
        return True

    def depth(self, reader: str) -> int:
        """How many entries a reader has yet to deliver."""
        cursor = self.cursors[reader]
        return sum(entry.seq > cursor for entry in self._entries)

    def after(self, seq: int) -> list[Entry]:
        """Every entry later than `seq`, whoever has delivered it."""
        return [entry for entry in self._entries if entry.seq > seq]

    @property
    def last(self) -> int:
        """The latest `seq` given out, or 0."""
        return self._next_seq - 1

    @property
    def floor(self) -> int:
        """The first `seq` still needed; everything below it may be forgotten."""
        return self._entries[0].seq if self._entries else self._next_seq

    def _forget_delivered(self) -> None:
        slowest = min(self.cursors.values(), default=0)
        while self._entries and self._entries[0].seq <= slowest:
            self._entries.popleft()

    def _drop_oldest(self) -> None:
        seq = self._entries.popleft().seq
        for reader, cursor in self.cursors.items():
            if cursor < seq:
                self.dropped[reader] += 1
                self.cursors[reader] = seq
