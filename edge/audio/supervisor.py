"""When to start, give up and restart a capture. Pure: the clock's reading is passed in."""

from __future__ import annotations

from dataclasses import dataclass

from edge.audio.block import SourceEvent
from edge.audio.settings import SourceSettings

WAITING = "waiting"
OPENING = "opening"
RUNNING = "running"

START = "start"
READ = "read"
IDLE = "idle"
OPEN_TIMEOUT = "open-timeout"
STALL = "stall"

# A capture that ran this long has proved itself: its end does not lengthen the backoff.
PROVEN_S = 10.0
# We were not running ourselves for this long (suspend, SIGSTOP, a machine out of memory): what
# the capture did meanwhile must be read before it is judged.
BLACKOUT_S = 1.0


@dataclass(frozen=True)
class Policy:
    """Limits of a capture, seconds; see SourceSettings."""

    open_timeout_s: float = 8.0
    stall_s: float = 2.0
    backoff_min_s: float = 0.25
    backoff_max_s: float = 5.0

    @classmethod
    def of(cls, settings: SourceSettings) -> Policy:
        """The limits in a source's settings."""
        return cls(
            settings.open_timeout_s,
            settings.stall_limit_s(),
            settings.backoff_min_s,
            settings.backoff_max_s,
        )


class Supervisor:
    """waiting -> opening -> running -> waiting ..., for ever.

    Ask `step` what to do; report `started`, `audio` and `failed`.
    """

    def __init__(self, policy: Policy, now_s: float) -> None:
        self._policy = policy
        self.state = WAITING
        self._retry_at_s = now_s
        self._backoff_s = policy.backoff_min_s
        self._started_s = now_s
        self._alive_s = now_s
        self._last_step_s = now_s

    def step(self, now_s: float) -> str:
        """What to do now: START, IDLE, READ, or give up because of OPEN_TIMEOUT or STALL."""
        absent_s = now_s - self._last_step_s
        self._last_step_s = now_s
        if absent_s > BLACKOUT_S:
            self._alive_s += absent_s
        if self.state == WAITING:
            return START if now_s >= self._retry_at_s else IDLE
        silent_s = now_s - self._alive_s
        if self.state == OPENING and silent_s > self._policy.open_timeout_s:
            return OPEN_TIMEOUT
        if self.state == RUNNING and silent_s > self._policy.stall_s:
            return STALL
        return READ

    def wait_s(self, now_s: float) -> float:
        """How long nothing but the arrival of data can matter, seconds."""
        if self.state == WAITING:
            return max(0.0, self._retry_at_s - now_s)
        limit = self._policy.open_timeout_s if self.state == OPENING else self._policy.stall_s
        return max(0.0, self._alive_s + limit - now_s)

    def started(self, now_s: float) -> None:
        """A capture has been started."""
        self.state = OPENING
        self._started_s = self._alive_s = now_s

    def audio(self, now_s: float) -> bool:
        """Audio has arrived; true when it is the first of this capture."""
        first = self.state == OPENING
        self.state = RUNNING
        self._alive_s = now_s
        if now_s - self._started_s > PROVEN_S:
            self._backoff_s = self._policy.backoff_min_s
        return first

    def failed(self, now_s: float) -> float:
        """The capture is gone; return the wait before the next one, seconds."""
        wait_s = self._backoff_s
        self.state = WAITING
        self._retry_at_s = now_s + wait_s
        self._backoff_s = min(2 * wait_s, self._policy.backoff_max_s)
        return wait_s


@dataclass
class _Kept:
    last_s: float
    lost_samples: int = 0
    count: int = 0
    message: str = ""


class EventGate:
    """Lets the first event of a kind through at once and gathers its repetitions.

    Nothing is forgotten: what was gathered comes out with `lost_samples` and `count` added up when
    the interval is over.
    """

    def __init__(self, source: str, interval_s: float) -> None:
        self._source = source
        self._interval_s = interval_s
        self._kept: dict[str, _Kept] = {}

    def offer(self, event: SourceEvent, now_s: float) -> list[SourceEvent]:
        """Pass an event on, or keep it for later."""
        kept = self._kept.get(event.kind)
        if kept is None:
            self._kept[event.kind] = _Kept(now_s)
            return [event]
        kept.lost_samples += event.lost_samples
        kept.count += event.count
        kept.message = event.message
        return self.due(now_s)

    def due(self, now_s: float) -> list[SourceEvent]:
        """What has been gathered long enough."""
        events = []
        for kind, kept in list(self._kept.items()):
            if now_s - kept.last_s < self._interval_s:
                continue
            if kept.count:
                events.append(self._gathered(kind, kept))
                self._kept[kind] = _Kept(now_s)
            else:
                del self._kept[kind]
        return events

    def flush(self) -> list[SourceEvent]:
        """Everything that has been gathered, whatever its age."""
        events = [self._gathered(kind, kept) for kind, kept in self._kept.items() if kept.count]
        self._kept.clear()
        return events

    def _gathered(self, kind: str, kept: _Kept) -> SourceEvent:
        again = f" ({kept.count} times)" if kept.count > 1 else ""
        return SourceEvent(self._source, kind, kept.message + again, kept.lost_samples, kept.count)
