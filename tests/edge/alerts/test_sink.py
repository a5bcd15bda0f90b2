"""The fan-out: alerts to the spool first, and an end in time whatever a sink does."""

from __future__ import annotations

import threading
import time

from edge.alerts.sink import FanOut
from tests.patience import HANG_S


class Notebook:
    """Writes down in a shared list what happens to it."""

    def __init__(self, name, happened, close_s=0.0):
        self.name, self._happened, self._close_s = name, happened, close_s
        self.stuck = threading.Event()

    def append(self, record):
        self._happened.append((self.name, record["type"]))
        return True

    emit = append

    def close(self, timeout_s):
        self.stuck.wait(self._close_s)
        self._happened.append((self.name, "closed"))


def test_an_alert_is_safe_before_any_sink_sees_it_and_windows_never_touch_the_disk():
    happened = []
    out = FanOut([Notebook("stdout", happened)], Notebook("spool", happened))
    out.emit({"type": "alert"})
    out.emit({"type": "window"})
    assert happened == [("spool", "alert"), ("stdout", "alert"), ("stdout", "window")]


def test_a_sink_that_does_not_end_takes_no_time_from_the_others():
    happened = []
    stuck = Notebook("stuck", happened, close_s=2 * HANG_S)
    out = FanOut([stuck, Notebook("quick", happened, 0.2)])
    began_s = time.monotonic()
    out.close(2.0)
    assert 1.9 < time.monotonic() - began_s < HANG_S
    assert happened == [("quick", "closed")]
    stuck.stuck.set()
