"""The capture process: PortAudio in, framed PCM on standard output. Run by `edge.audio.child`.

It lives apart because PortAudio can stop, spin or crash for good (portaudio issues 930, 1037,
1074) and freezes its list of devices when it starts: a process can be killed, a thread cannot.
It imports neither numpy nor anything else that is heavy, and uses no callbacks, which would need
writable and executable memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from edge.audio import naming, pulse
from edge.audio.clock import now_s
from edge.audio.framing import Chunk, Note, Stream, encode_chunk, encode_note, encode_stream

ROUTE_POLL_S = 3.0
POLL_MIN_S = 0.004
POLL_MAX_S = 0.05

DTYPES = {"u8": "uint8", "s16le": "int16", "s24le": "int24", "s32le": "int32", "f32le": "float32"}
SAMPLE_BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}

# PortAudio's own codes, and ALSA's inside "unanticipated host error".
_DEVICE_UNAVAILABLE = -9985
_INVALID_CHANNELS = -9998
_INVALID_RATE = -9997
_INVALID_DEVICE = -9996
_ALSA_BUSY = -16
_ALSA_GONE = (-2, -6, -19)

NO_PORTAUDIO = (
    "PortAudio is not installed; install it with: sudo apt-get install libportaudio2 "
    "(or set the source's kind to arecord)"
)


class CaptureError(Exception):
    """Why no audio can be had: `kind` is an event's kind."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Pipe:
    """Standard output, shared by the capture and the watch on its route."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, packet: bytes) -> None:
        """Write a whole packet."""
        with self._lock:
            self._stream.write(packet)
            self._stream.flush()


def claim_stdout() -> BinaryIO:
    """Keep standard output for ourselves: ALSA and JACK print on it, which goes to stderr now."""
    ours = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(ours, "wb")


def end_with_parent() -> None:
    """Exit when standard input closes: a device that hangs must not outlive the daemon."""

    def wait_for_end() -> None:
        while os.read(0, 64):
            pass
        os._exit(0)

    threading.Thread(target=wait_for_end, daemon=True).start()


def import_sounddevice() -> Any:
    """The module, or a CaptureError where libportaudio is missing."""
    try:
        import sounddevice
    except OSError as error:
        raise CaptureError("failed", NO_PORTAUDIO) from error
    except ImportError as error:
        raise CaptureError("failed", f"the package sounddevice is broken: {error}") from error
    return sounddevice


def explain(error: Exception, device: str) -> CaptureError:
    """What an error of PortAudio means to a person."""
    arguments = error.args
    code = arguments[1] if len(arguments) > 1 else None
    host_code = arguments[2][1] if len(arguments) > 2 else None
    if code == _DEVICE_UNAVAILABLE or host_code == _ALSA_BUSY:
        return CaptureError("busy", f"another program is using the input {device!r}")
    if code == _INVALID_DEVICE or host_code in _ALSA_GONE:
        return CaptureError("absent", f"the input {device!r} is not there")
    reason = arguments[2][2] if len(arguments) > 2 else arguments[0]
    return CaptureError("failed", f"the input {device!r} cannot be opened: {reason}")


def query_inputs(sd: Any) -> list[dict[str, Any]]:
    """PortAudio's descriptions of the inputs there are."""
    return [device for device in sd.query_devices() if device["max_input_channels"] > 0]


def list_inputs(sd: Any) -> list[dict[str, Any]]:
    """Inputs as PortAudio sees them now, with names for the config."""
    devices = query_inputs(sd)
    inputs = [naming.describe(device["name"]) for device in devices]
    default = sd.default.device[0]
    return [
        {
            "name": naming.config_name(position, inputs),
            "hostapi": sd.query_hostapis(device["hostapi"])["name"],
            "channels": device["max_input_channels"],
            "default_rate_hz": int(device["default_samplerate"]),
            "is_default": device["index"] == default,
        }
        for position, device in enumerate(devices)
    ]


def find_device(sd: Any, wanted: str | None) -> dict[str, Any]:
    """PortAudio's description of the input to open."""
    devices = query_inputs(sd)
    if not devices:
        raise CaptureError("absent", "there is no audio input on this machine")
    if wanted is None:
        default = [device for device in devices if device["index"] == sd.default.device[0]]
        return (default or devices)[0]
    try:
        position = naming.match(wanted, [naming.describe(device["name"]) for device in devices])
    except naming.NoSuchDevice as error:
        raise CaptureError("absent", str(error)) from error
    except naming.AmbiguousDevice as error:
        raise CaptureError("failed", str(error)) from error
    return devices[position]


def find_pulse_device(sd: Any, source: str) -> dict[str, Any]:
    """The ALSA device that leads to the sound server, where PULSE_SOURCE names the source."""
    for device in query_inputs(sd):
        if device["name"] in ("pulse", "default"):
            return device
    message = f"there is no input {naming.PULSE_PREFIX + source!r}: the sound server is away"
    raise CaptureError("absent", message)


def missing_source(source: str, error: CaptureError) -> CaptureError:
    """The better reason, if the sound server refused because it has no such source."""
    there = pulse.source_names()
    if not there or source in there:
        return error
    wanted = naming.PULSE_PREFIX + source
    names = ", ".join(repr(naming.PULSE_PREFIX + name) for name in there)
    return CaptureError("absent", f"there is no input {wanted!r}; there are: {names}")


def open_input(sd: Any, options: argparse.Namespace) -> tuple[Any, str]:
    """The running stream of the configured input, and the input's name.

    Raises:
        CaptureError: it is absent, busy, or cannot be opened.
    """
    source = naming.pulse_source(options.device)
    if source is None:
        device = find_device(sd, options.device)
        label = options.device or naming.describe(device["name"]).stable_name
        return open_stream(sd, device, label, options), label
    try:
        device = find_pulse_device(sd, source)
        return open_stream(sd, device, options.device, options), options.device
    except CaptureError as error:
        raise missing_source(source, error) from error


def open_stream(sd: Any, device: dict[str, Any], label: str, options: argparse.Namespace) -> Any:
    """Open and start, with as few channels as the device allows."""
    most = device["max_input_channels"]
    choices = [options.channels] if options.channels else sorted({1, min(2, most), most})
    rate = options.rate or int(device["default_samplerate"])
    for channels in choices:
        try:
            stream = sd.RawInputStream(
                samplerate=rate,
                device=device["index"],
                channels=channels,
                dtype=DTYPES[options.format],
                latency=options.buffer_s,
            )
            stream.start()
            return stream
        except sd.PortAudioError as error:
            code = error.args[1] if len(error.args) > 1 else None
            if code != _INVALID_CHANNELS or channels == choices[-1]:
                raise explain_settings(error, label, rate, channels) from error
    raise AssertionError("there is at least one choice")


def explain_settings(error: Exception, label: str, rate_hz: int, channels: int) -> CaptureError:
    """As `explain`, for errors that a setting cures."""
    code = error.args[1] if len(error.args) > 1 else None
    if code == _INVALID_RATE:
        message = f"the input {label!r} does not do {rate_hz} Hz; leave rate_hz out"
        return CaptureError("failed", message)
    if code == _INVALID_CHANNELS:
        return CaptureError("failed", f"the input {label!r} does not do {channels} channels")
    return explain(error, label)


def chunks(stream: Any, chunk_frames: int) -> Iterator[Chunk]:
    """Read for ever, without ever waiting inside PortAudio, whose wait can spin.

    Raises:
        sounddevice.PortAudioError: the device is gone.
    """
    rate = stream.samplerate
    while True:
        while (available := stream.read_available) < chunk_frames:
            missing_s = (chunk_frames - available) / rate
            time.sleep(min(max(missing_s, POLL_MIN_S), POLL_MAX_S))
        pcm, overflow = stream.read(chunk_frames)
        yield Chunk(bytes(pcm), now_s(), bool(overflow))


def watch_route(pipe: Pipe, token: str) -> None:
    """Tell whenever the sound server has put the capture on another source."""
    last = None
    misses = 0
    while misses < 2 or last is not None:
        source = pulse.current_source(token)
        misses = misses + 1 if source is None else 0
        if source is not None and source != last:
            pipe.send(encode_note(Note({"kind": "route", "source": source})))
            last = source
        time.sleep(ROUTE_POLL_S)


def capture(options: argparse.Namespace, pipe: Pipe) -> None:
    """Open the device and send what it gives, for ever.

    Raises:
        CaptureError: it cannot be opened, or is lost.
    """
    token = str(os.getpid())
    pulse.mark_capture(os.environ, token)  # type: ignore[arg-type]
    source = naming.pulse_source(options.device)
    if source is not None:
        os.environ["PULSE_SOURCE"] = source
    sd = import_sounddevice()
    stream, label = open_input(sd, options)
    rate = int(stream.samplerate)
    pipe.send(encode_stream(Stream(rate, stream.channels, options.format, label)))
    if pulse.has_pactl():
        threading.Thread(target=watch_route, args=(pipe, token), daemon=True).start()
    try:
        for chunk in chunks(stream, max(1, round(rate * options.chunk_s))):
            pipe.send(encode_chunk(chunk))
    except sd.PortAudioError as error:
        raise CaptureError("ended", f"the input {label!r} has gone away") from error


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Options of the capture process."""
    parser = argparse.ArgumentParser(prog="portaudio_child")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--device")
    parser.add_argument("--rate", type=int)
    parser.add_argument("--channels", type=int)
    parser.add_argument("--format", choices=sorted(DTYPES), default="s16le")
    parser.add_argument("--chunk-s", type=float, default=0.05)
    parser.add_argument("--buffer-s", type=float, default=0.3)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Capture until the parent goes away; the last note says why it ended before."""
    options = parse_arguments(arguments)
    output = claim_stdout()
    pipe = Pipe(output)
    try:
        if options.list:
            pipe.send(json.dumps(list_inputs(import_sounddevice())).encode())
            return 0
        end_with_parent()
        capture(options, pipe)
    except CaptureError as error:
        if options.list:
            print(error, file=sys.stderr)
        else:
            pipe.send(encode_note(Note({"kind": error.kind, "message": str(error)})))
        return 1
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    # The device may hang in PortAudio's own clean-up at exit.
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)
