"""Live audio that comes back: the I/O around `supervisor` and `timeline`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Callable

from edge.audio.block import SAMPLE_RATE_HZ, AudioBlock, OnEvent, SourceEvent
from edge.audio.child import Child, Producer
from edge.audio.clock import now_s
from edge.audio.framing import Chunk, FramingError, Message, Note, Stream
from edge.audio.settings import SourceSettings
from edge.audio.supervisor import IDLE, OPEN_TIMEOUT, STALL, START, EventGate, Policy, Supervisor
from edge.audio.timeline import Gap, LiveTimeline, Piece
from edge.errors import AudioError

TURN_S = 0.25  # `close` is noticed within this time
STUCK_LIMIT = 3
INCIDENT_INTERVAL_S = 5.0
RETRY_INTERVAL_S = 600.0


class LiveSource:
    """A producer under supervision: blocks for ever, whatever happens to it.

    Losses, returns and gaps are told at once, and when they come faster than one in
    INCIDENT_INTERVAL_S, gathered; attempts in vain are told once in RETRY_INTERVAL_S.
    """

    live = True
    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(
        self,
        settings: SourceSettings,
        producer: Producer,
        on_event: OnEvent,
        clock: Callable[[], float] = now_s,
    ) -> None:
        self.name = settings.name
        self._producer = producer
        self._on_event = on_event
        self._clock = clock
        self._must_open = settings.must_open
        self._supervisor = Supervisor(Policy.of(settings), clock())
        self._timeline = LiveTimeline(
            settings.gap_limit_s(), settings.gap_confirmation_s(), settings.channel
        )
        self._incidents = EventGate(self.name, INCIDENT_INTERVAL_S)
        self._retries = EventGate(self.name, RETRY_INTERVAL_S)
        self._child: Child | None = None
        self._stuck: list[Child] = []
        self._stream: Stream | None = None
        self._route: str | None = None
        self._opened = False
        self.attempts = 0  # to open the capture, for whoever watches that it goes on
        self._closing = threading.Event()

    @property
    def state(self) -> str:
        """ "waiting" (for the device), "opening" or "running"."""
        return self._supervisor.state

    @property
    def child_pid(self) -> int | None:
        """Process id of the capture, None while there is none."""
        child = self._child
        return None if child is None else child.pid

    def close(self) -> None:
        """Stop; `blocks` ends within TURN_S."""
        self._closing.set()

    def blocks(self) -> Iterator[AudioBlock]:
        """See AudioSource.

        Raises:
            AudioError: the first opening failed, and the settings say `must_open`.
        """
        try:
            while not self._closing.is_set():
                yield from self._turn()
        finally:
            self._end_child()
            self._tell(self._incidents.flush())

    def _turn(self) -> Iterator[AudioBlock]:
        """Do what the supervisor says, waiting at most TURN_S."""
        now = self._clock()
        self._tell(self._incidents.due(now))
        step = self._supervisor.step(now)
        wait_s = min(self._supervisor.wait_s(now), TURN_S)
        if step == START:
            self._start()
        elif step == IDLE:
            self._closing.wait(wait_s)
        elif step == OPEN_TIMEOUT:
            yield from self._lose("silent-start", f"the {self._what} gave no audio when opened")
        elif step == STALL:
            yield from self._lose("stalled", f"the {self._what} has stopped giving audio")
        else:
            yield from self._read(wait_s)

    @property
    def _what(self) -> str:
        return self._producer.what

    def _start(self) -> None:
        """Run the producer."""
        self.attempts += 1
        self._stuck = [child for child in self._stuck if not child.reaped()]
        if len(self._stuck) >= STUCK_LIMIT:
            self._give_up("failed", f"the {self._what} hangs in the kernel; replug it or reboot")
            return
        try:
            self._child = Child(self._producer)
        except OSError as error:
            program = self._producer.command[0]
            self._give_up("failed", f"the program {program} cannot be run: {error.strerror}")
            return
        self._route = None
        self._supervisor.started(self._clock())

    def _read(self, timeout_s: float) -> Iterator[AudioBlock]:
        """Take what the producer has written."""
        child = self._running_child()
        try:
            messages = child.read(timeout_s, self._clock)
        except FramingError as error:
            yield from self._lose("crashed", f"the capture of the {self._what} is broken: {error}")
            return
        if messages is None:
            yield from self._lose(*self._reason(child))
            return
        for message in messages:
            yield from self._take(message)
            if self._child is None:
                return

    def _take(self, message: Message) -> Iterator[AudioBlock]:
        if isinstance(message, Stream):
            self._stream = message
            self._timeline.begin(message)
        elif isinstance(message, Note):
            yield from self._heed(message)
        else:
            yield from self._place(message)

    def _place(self, chunk: Chunk) -> Iterator[AudioBlock]:
        """Put audio on the timeline; tell of what is missing."""
        now = self._clock()
        first = self._supervisor.audio(now)
        pieces = self._timeline.accept(chunk)
        lost = sum(piece.lost_samples for piece in pieces if isinstance(piece, Gap))
        if first:
            self._tell_return(lost, now)
        elif lost:
            message = f"the {self._what} lost {lost / SAMPLE_RATE_HZ:.2f} s of audio"
            self._incident("gap", message, now, lost)
        yield from _blocks_of(pieces)

    def _heed(self, note: Note) -> Iterator[AudioBlock]:
        """The capture process has something to say."""
        kind, content = str(note.content.get("kind")), note.content
        if kind == "route":
            yield from self._check_route(str(content.get("source")))
        else:
            yield from self._lose(kind, str(content.get("message")))

    def _check_route(self, source: str) -> Iterator[AudioBlock]:
        """Reopen when the sound server has put us on another input than we had or asked for."""
        before = self._producer.expected_route or self._route
        self._route = source
        if before not in (None, source):
            message = f"the sound server moved the capture from {before!r} to {source!r}"
            yield from self._lose("moved", message)

    def _reason(self, child: Child) -> tuple[str, str]:
        """Why the stream has ended: kind of event and sentence."""
        status = child.exit_status()
        if self._producer.stream is not None:
            return self._producer.explain(child.complaint())
        how = f"killed by signal {-status}" if status is not None and status < 0 else "gone"
        return "crashed", f"the capture process of the {self._what} is {how}"

    def _lose(self, kind: str, message: str) -> Iterator[AudioBlock]:
        """The capture is over: end it, hand out what is left, try again later."""
        self._give_up(kind, message)
        yield from _blocks_of(self._timeline.interrupt())

    def _give_up(self, kind: str, message: str) -> None:
        was_running = self._supervisor.state == "running"
        self._end_child()
        if self._must_open and not self._opened:
            raise AudioError(f"{self.name}: {message}")
        now = self._clock()
        self._supervisor.failed(now)
        if was_running:
            self._incident(kind, message, now)
        else:
            self._tell(self._retries.offer(SourceEvent(self.name, kind, message), now))

    def _tell_return(self, lost_samples: int, now: float) -> None:
        """The first audio of a capture has come."""
        stream = self._stream
        message = f"audio comes from the {self._what}"
        if stream:
            message += f" ({stream.rate_hz} Hz, channels: {stream.channels})"
        if self._opened:
            message += f", after {lost_samples / SAMPLE_RATE_HZ:.1f} s without"
        self._incident("recovered" if self._opened else "opened", message, now, lost_samples)
        self._opened = True
        self._retries = EventGate(self.name, RETRY_INTERVAL_S)

    def _incident(self, kind: str, message: str, now: float, lost_samples: int = 0) -> None:
        event = SourceEvent(self.name, kind, message, lost_samples)
        self._tell(self._incidents.offer(event, now))

    def _tell(self, events: Iterable[SourceEvent]) -> None:
        for event in events:
            self._on_event(event)

    def _running_child(self) -> Child:
        if self._child is None:
            raise RuntimeError("nothing is being captured")
        return self._child

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None and not child.end():
            self._stuck.append(child)


def _blocks_of(pieces: Iterable[Piece]) -> Iterator[AudioBlock]:
    return (piece for piece in pieces if isinstance(piece, AudioBlock))
