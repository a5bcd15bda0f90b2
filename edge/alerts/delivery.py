"""Delivering spooled alerts to a remote that takes them one at a time: a webhook, a command."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Callable, Protocol

from edge.alerts.backlog import Backlog
from edge.alerts.outage import Outage, backoff_s
from edge.alerts.queue import Entry
from edge.alerts.sink import Clock, EventHandler, Record, local_now
from edge.alerts.spool import Spool
from edge.report import event_record

# Windows are worth sending only while they are news.
BACKLOG_RECORDS = 60


@dataclass(frozen=True)
class RetrySettings:
    """How a remote that fails is tried again."""

    first_s: float = field(
        default=1.0,
        metadata={
            "unit": "s",
            "doc": "pause after the first failure; it doubles from then on",
            "minimum": 0.01,
            "maximum": 600.0,
        },
    )
    longest_s: float = field(
        default=60.0,
        metadata={
            "unit": "s",
            "doc": "longest pause between attempts",
            "minimum": 0.01,
            "maximum": 3600.0,
        },
    )
    max_attempts: int = field(
        default=0,
        metadata={
            "unit": "attempts",
            "doc": "give an alert up after so many attempts; 0: never",
            "minimum": 0,
            "maximum": 1_000_000,
        },
    )


class DeliveryError(Exception):
    """A record was not delivered.

    Args:
        reason: half a sentence for a person.
        retry_after_s: how long the remote asked to be left alone, if it did.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Transport(Protocol):
    """One way to hand over one record."""

    def send(self, record: Record) -> None:
        """Hand over a record and return once the remote has taken it.

        Raises:
            DeliveryError: it was not taken.
        """
        ...


class SpooledSink:
    """Hands alerts from the spool to a transport, in order, until each one is taken.

    A thread of its own does it. Alerts that fail are tried again with growing pauses; windows and
    events, where they are wanted, are tried once and live in memory only.

    Args:
        name: the sink's name in the spool and in events.
        transport: how a record is handed over.
        spool: where alerts wait.
        retry: pauses and limits.
        wanted: the record types to send besides alerts: "window", "event".
        on_event: told of outages, recoveries and alerts given up.
        chance: random numbers in [0, 1), to spread the pauses.
        now: time of day, for the events.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        spool: Spool,
        retry: RetrySettings,
        wanted: tuple[str, ...],
        on_event: EventHandler,
        chance: Callable[[], float] = random.random,
        now: Clock = local_now,
    ) -> None:
        self.name = name
        self._transport = transport
        self._spool = spool
        self._retry = retry
        self._wanted = wanted
        self._on_event = on_event
        self._chance = chance
        self._now = now
        self._backlog = Backlog(BACKLOG_RECORDS)
        self._outage = Outage()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._attempts = 0
        self.given_up = 0
        self._thread = threading.Thread(target=self._run, name=f"alerts-{name}", daemon=True)
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Take one record; an alert only wakes the thread, which reads it from the spool."""
        if record["type"] in self._wanted:
            self._backlog.put(record)
        self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Deliver what can be delivered at once; the rest stays in the spool."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self._wake.clear()
            pause_s = self._deliver()
            if self._closing.is_set():
                return
            if pause_s is None:
                self._wake.wait()
            else:
                self._closing.wait(pause_s)

    def _deliver(self) -> float | None:
        """Deliver until nothing waits (None) or something fails (seconds to pause)."""
        while True:
            alerts = self._spool.pending(self.name, 1)
            if alerts:
                pause_s = self._deliver_alert(alerts[0])
            else:
                record = self._backlog.take(timeout_s=0)
                if record is None:
                    return None
                pause_s = self._try(record)
            if pause_s is not None:
                return pause_s

    def _deliver_alert(self, entry: Entry) -> float | None:
        pause_s = self._try(json.loads(entry.payload))
        if pause_s is None:
            self._spool.acknowledge(self.name, entry.seq)
        elif 0 < self._retry.max_attempts <= self._attempts:
            self._give_up(entry)
        return pause_s

    def _try(self, record: Record) -> float | None:
        """Send a record; None if it was taken, else the seconds to pause."""
        try:
            self._transport.send(record)
        except DeliveryError as error:
            return self._failed(str(error), error.retry_after_s or 0.0)
        except Exception as error:
            # A bug in a transport may cost an attempt, never the alerts that are yet to come.
            return self._failed(f"internal error {error!r}", 0.0)
        self._attempts = 0
        self._tell_recovery()
        return None

    def _failed(self, reason: str, asked_s: float) -> float:
        """Tell of a failure; seconds to pause, `asked_s` at least where that is bearable."""
        self._attempts += 1
        self._tell_failure(reason)
        retry = self._retry
        pause_s = backoff_s(self._attempts, retry.first_s, retry.longest_s, self._chance())
        return max(pause_s, min(asked_s, retry.longest_s))

    def _give_up(self, entry: Entry) -> None:
        self._spool.acknowledge(self.name, entry.seq)
        self.given_up += 1
        identity = json.loads(entry.payload).get("id")
        self._tell(
            "alert-given-up",
            f"Alert {identity} was not taken by {self.name} in {self._attempts} attempts and is "
            "given up.",
        )
        self._attempts = 0

    def _tell_failure(self, reason: str) -> None:
        if self._outage.failed(reason, time.monotonic()):
            self._tell(
                "delivery-failed",
                f"{self.name} does not take alerts: {reason}; {self._spool.depth(self.name)} "
                "wait and will be tried again.",
            )

    def _tell_recovery(self) -> None:
        lasted_s = self._outage.recovered(time.monotonic())
        if lasted_s is not None:
            self._tell(
                "delivery-recovered", f"{self.name} takes alerts again after {lasted_s:.0f} s."
            )

    def _tell(self, kind: str, message: str) -> None:
        self._on_event(event_record(f"alerts.{self.name}", kind, message, self._now()))
