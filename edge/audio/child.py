"""A child process that writes audio: what it is, what it says, and its certain end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable

from edge.audio.framing import Chunk, FrameDecoder, Message, Stream
from edge.audio.pcm import frame_bytes

READ_BYTES = 1 << 16
PIPE_BYTES = 1 << 20  # half a minute of 16 kHz mono: what a busy daemon may be late by
STDERR_TAIL_BYTES = 2000
REAP_S = 1.0
F_SETPIPE_SZ = 1031


@dataclass(frozen=True)
class Producer:
    """A program that writes audio to its standard output.

    Attributes:
        command: the program and its arguments.
        what: what it captures, for messages: "input 'USB Audio'".
        stream: what it delivers; None = it tells itself in the protocol of `framing`.
        explain: the last lines of its standard error -> (event kind, sentence).
        environment: variables to add.
        expected_route: name of the sound server's source that must stay open.
    """

    command: tuple[str, ...]
    what: str
    stream: Stream | None
    explain: Callable[[str], tuple[str, str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    expected_route: str | None = None


class RawDecoder:
    """Headerless PCM, cut at whole frames and stamped on arrival."""

    def __init__(self, stream: Stream) -> None:
        self._stream: Stream | None = stream
        self._frame_bytes = frame_bytes(stream.sample_format, stream.channels)
        self._pending = b""

    def feed(self, data: bytes, stamp_s: float) -> list[Message]:
        """Take what the pipe gave; return the stream's description first, then chunks."""
        messages: list[Message] = []
        if self._stream is not None:
            messages.append(self._stream)
            self._stream = None
        data = self._pending + data
        whole = len(data) - len(data) % self._frame_bytes
        self._pending = data[whole:]
        if whole:
            messages.append(Chunk(data[:whole], stamp_s))
        return messages


class Child:
    """A running producer: its pipes, and its certain end."""

    def __init__(self, producer: Producer) -> None:
        self._process = subprocess.Popen(
            producer.command,
            # Held open and never written to: its end tells the child that we are gone.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **producer.environment},
            start_new_session=True,
            bufsize=0,
        )
        self._decoder = FrameDecoder() if producer.stream is None else None
        self._raw = None if producer.stream is None else RawDecoder(producer.stream)
        self._stderr = b""
        self._selector = selectors.DefaultSelector()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ)
        with contextlib.suppress(OSError):  # not Linux, or the user's pipe quota is used up
            fcntl.fcntl(self._process.stdout.fileno(), F_SETPIPE_SZ, PIPE_BYTES)  # type: ignore[union-attr]

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def read(self, timeout_s: float, clock: Callable[[], float]) -> list[Message] | None:
        """What has arrived within the timeout; None at the end of the stream.

        Raises:
            FramingError: the child speaks nonsense.
        """
        messages: list[Message] = []
        for key, _ in self._selector.select(timeout_s):
            data = os.read(key.fd, READ_BYTES)
            if key.fileobj is self._process.stderr:
                self._take_stderr(data)
            elif not data:
                return None
            elif self._raw is not None:
                messages += self._raw.feed(data, clock())
            elif self._decoder is not None:
                messages += self._decoder.feed(data)
        return messages

    def end(self) -> bool:
        """Kill it and its children; false if it does not die (stuck in the kernel)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        try:
            self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:
            return False
        finally:
            self._drain_stderr()
            self._close()
        return True

    def reaped(self) -> bool:
        """Whether it has died after all."""
        return self._process.poll() is not None

    def exit_status(self) -> int | None:
        """Exit status if it ends by itself about now."""
        try:
            return self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return None

    def complaint(self) -> str:
        """The end of its standard error."""
        self._drain_stderr()
        return self._stderr.decode(errors="replace").strip()

    def _take_stderr(self, data: bytes) -> None:
        if not data and self._process.stderr is not None:
            self._selector.unregister(self._process.stderr)
        self._stderr = (self._stderr + data)[-STDERR_TAIL_BYTES:]

    def _drain_stderr(self) -> None:
        pipe = self._process.stderr
        if pipe is None or pipe.closed:
            return
        with contextlib.suppress(BlockingIOError):
            while data := os.read(pipe.fileno(), READ_BYTES):
                self._stderr = (self._stderr + data)[-STDERR_TAIL_BYTES:]

    def _close(self) -> None:
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
