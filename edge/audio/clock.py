"""The clock of live audio."""

from __future__ import annotations

import sys
import time

if sys.platform == "linux":
    # CLOCK_MONOTONIC stands still while the machine sleeps, and a window would then be scored
    # across the sleep as if nothing were missing.
    def now_s() -> float:
        """Seconds of a clock that never steps and that goes on during suspend."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
else:

    def now_s() -> float:
        """Seconds of a clock that never steps."""
        return time.monotonic()
