"""The fan-out: alerts to the spool first, and an end in time whatever a sink does."""

from __future__ import annotations

import time

from edge.alerts.sink import FanOut


class Notebook:
    """Writes down in a shared list what happens to it."""

    def __init__(self, name, happened, close_s=0.0):
        self.name, self._happened, self._close_s = name, happened, close_s

    def append(self, record):
        self._happened.append((self.name, record["type"]))
        return True

    emit = append

    def close(self, timeout_s):
        time.sleep(self._close_s)
        self._happened.append((self.name, "closed"))


def test_an_alert_is_safe_before_any_sink_sees_it_and_windows_never_touch_the_disk():
    happened = []
    out = FanOut([Notebook("stdout", happened)], Notebook("spool", happened))
    out.emit({"type": "alert"})
    out.emit({"type": "window"})
    assert happened == [("spool", "alert"), ("stdout", "alert"), ("stdout", "window")]


def test_a_sink_that_does_not_end_takes_no_time_from_the_others():
    happened = []
    out = FanOut([Notebook("stuck", happened, close_s=5.0), Notebook("quick", happened, 0.2)])
    began_s = time.monotonic()
    out.close(0.5)
    assert 0.4 < time.monotonic() - began_s < 1.5
    assert happened == [("quick", "closed")]
