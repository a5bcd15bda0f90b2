"""Saying once that something is broken, and once that it works again. Pure."""

from __future__ import annotations

from collections import deque

REMIND_S = 3600.0
OUTAGES_TOLD = 6


class Outage:
    """Turns a stream of failures and successes into the few that are worth a line.

    A broker that is away for a night fails thousands of times, and one that flaps comes and goes
    as often. People need the first failure, each new reason, the recovery and a reminder now and
    then. At most `OUTAGES_TOLD` outages are told within `remind_s`; further ones pass in silence,
    are counted in `untold`, and are told if they last.

    Args:
        remind_s: seconds after which a standing fault is told again.
    """

    def __init__(self, remind_s: float = REMIND_S) -> None:
        self._remind_s = remind_s
        self._since_s: float | None = None
        self._told_s = 0.0
        self._silent = False
        self._reasons: set[str] = set()
        self._starts_told: deque[float] = deque(maxlen=OUTAGES_TOLD)
        self.failures = 0
        self.untold = 0

    @property
    def active(self) -> bool:
        """The last thing heard was a failure."""
        return self._since_s is not None

    def failed(self, reason: str, now_s: float) -> bool:
        """Note a failure at monotonic time `now_s`; true if it should be told."""
        self.failures += 1
        if self._since_s is None:
            self._since_s = self._told_s = now_s
            self._silent = self._too_many(now_s)
            self.untold += self._silent
        elif now_s - self._told_s >= self._remind_s:
            self._silent = False
        elif reason in self._reasons:
            return False
        self._reasons.add(reason)
        if self._silent:
            return False
        self._told_s = now_s
        self._starts_told.append(now_s)
        return True

    def recovered(self, now_s: float) -> float | None:
        """Note a success; seconds that an outage lasted if one has ended and was told."""
        if self._since_s is None:
            return None
        lasted_s = now_s - self._since_s
        self._since_s = None
        self._reasons.clear()
        self.failures = 0
        return None if self._silent else lasted_s

    def _too_many(self, now_s: float) -> bool:
        full = len(self._starts_told) == OUTAGES_TOLD
        return full and now_s - self._starts_told[0] < self._remind_s


def backoff_s(attempt: int, first_s: float, longest_s: float, chance: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): doubling, capped, spread.

    Args:
        attempt: failures in a row so far, at least 1.
        first_s: wait after the first failure.
        longest_s: the most to wait.
        chance: a random number in [0, 1): the wait lies between half of the doubled value and all
            of it, so that many devices do not return to a server in step ("equal jitter").
    """
    doubled_s = min(longest_s, first_s * 2.0 ** min(attempt - 1, 32))
    return doubled_s * (0.5 + 0.5 * chance)
