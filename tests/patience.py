"""How often a proof is repeated, and how long a test waits for what may never come."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

# Only what hangs takes so long: a machine may be ten times slower than usual, or have others to
# serve, and no test is about the speed of the machine.
HANG_S = 180.0


def repeated(brief: int, full: int) -> pytest.MarkDecorator:
    """Give a test `count`: brief in `make test`, full in `make test-slow`."""
    return pytest.mark.parametrize("count", [brief, pytest.param(full, marks=pytest.mark.slow)])


def wait_until(condition: Callable[[], object], what: str = "it") -> None:
    """Poll until something is true, for what nobody announces."""
    ends_s = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < ends_s, f"{what} has not come true within {HANG_S:g} s"
        time.sleep(0.02)
