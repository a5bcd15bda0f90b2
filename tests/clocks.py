"""Clocks for tests, moved by hand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from edge.ear import Clocks

NOON = datetime(2024, 3, 31, 12, tzinfo=timezone(timedelta(hours=2)))


class Time:
    """Both clocks, moved by hand; the wall clock can be set apart from the steady one."""

    def __init__(self) -> None:
        self.steady_s = 1000.0
        self.ahead = timedelta(0)

    def clocks(self) -> Clocks:
        """The two, as an Ear takes them."""
        return Clocks(
            lambda: NOON + timedelta(seconds=self.steady_s - 1000) + self.ahead,
            lambda: self.steady_s,
        )
