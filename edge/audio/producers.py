"""The programs that audio can come from, and what their complaints mean. Pure."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import edge
from edge.audio.block import SAMPLE_RATE_HZ
from edge.audio.child import Producer
from edge.audio.framing import Stream
from edge.audio.naming import pulse_source
from edge.audio.settings import SourceSettings

ALSA_FORMATS = {
    "u8": "U8",
    "s16le": "S16_LE",
    "s24le": "S24_3LE",
    "s32le": "S32_LE",
    "f32le": "FLOAT_LE",
}
ABSENT_WORDS = ("No such file or directory", "No such device", "Unknown PCM", "Cannot get card")
BUSY_WORDS = ("Device or resource busy",)


def portaudio(settings: SourceSettings) -> Producer:
    """PortAudio in a process of its own."""
    device = settings.device
    command = [sys.executable, "-m", "edge.audio.portaudio_child"]
    command += ["--format", settings.sample_format]
    command += ["--chunk-s", str(settings.chunk_s), "--buffer-s", str(settings.buffer_s)]
    for option, value in (
        ("--device", device),
        ("--rate", settings.rate_hz),
        ("--channels", settings.channels),
    ):
        command += [] if value is None else [f"{option}={value}"]
    return Producer(
        command=tuple(command),
        what=f"input {device!r}" if device else "default input",
        stream=None,
        explain=lambda complaint: ("crashed", complaint),
        environment=child_environment(),
        expected_route=pulse_source(device),
    )


def child_environment() -> dict[str, str]:
    """Let the capture process find this very package, wherever it was imported from."""
    here = str(Path(edge.__file__).resolve().parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{here}{os.pathsep}{inherited}" if inherited else here}


def raw_stream(settings: SourceSettings, device: str) -> Stream:
    """What headerless PCM is said to be."""
    rate_hz = settings.rate_hz or SAMPLE_RATE_HZ
    return Stream(rate_hz, settings.channels or 1, settings.sample_format, device)


def arecord(settings: SourceSettings) -> Producer:
    """ALSA's own recorder, raw PCM."""
    device = settings.device or "default"
    stream = raw_stream(settings, device)
    command = ["arecord", "--quiet", "--file-type=raw", f"--device={device}"]
    command += [f"--format={ALSA_FORMATS[stream.sample_format]}", f"--rate={stream.rate_hz}"]
    command += [f"--channels={stream.channels}", f"--period-time={round(settings.chunk_s * 1e6)}"]
    command += [f"--buffer-time={round(settings.buffer_s * 1e6)}"]
    what = f"ALSA input {device!r}"
    return Producer(
        command=tuple(command),
        what=what,
        stream=stream,
        explain=lambda complaint: explain_arecord(what, complaint),
        environment={"LC_ALL": "C"},
    )


def explain_arecord(what: str, complaint: str) -> tuple[str, str]:
    """What arecord's last words mean: kind of event and sentence."""
    if any(words in complaint for words in BUSY_WORDS):
        return "busy", f"another program is using the {what}"
    if any(words in complaint for words in ABSENT_WORDS):
        return "absent", f"the {what} is not there"
    return "ended", f"the {what} has gone away{last_line(complaint)}"


def ffmpeg(settings: SourceSettings) -> Producer:
    """Whatever ffmpeg reads, as float PCM at the model's rate."""
    url = settings.url or ""
    stream = Stream(SAMPLE_RATE_HZ, 1, "f32le", url)
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error"]
    command += [*settings.ffmpeg_options, "-i", url, "-vn", "-sn", "-dn"]
    # ffmpeg's own resampler aliases less with soxr, which its Debian and Pi OS builds have.
    command += ["-af", "aresample=resampler=soxr", "-ac", "1", "-ar", str(SAMPLE_RATE_HZ)]
    command += ["-f", "f32le", "-flush_packets", "1", "pipe:1"]
    what = f"stream {without_password(url)}"
    return Producer(
        command=tuple(command),
        what=what,
        stream=stream,
        explain=lambda complaint: explain_ffmpeg(what, url, complaint),
    )


def explain_ffmpeg(what: str, url: str, complaint: str) -> tuple[str, str]:
    """What ffmpeg's last words mean: kind of event and sentence."""
    reason = last_line(complaint.replace(url, without_password(url)))
    if not reason:
        return "ended", f"the {what} has ended"
    return "failed", f"the {what} cannot be read{reason}"


def without_password(url: str) -> str:
    """A URL fit for a log: user and password replaced."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if "@" not in host:
        return url
    return f"{scheme}{separator}***@{host.rpartition('@')[2]}{slash}{path}"


def last_line(complaint: str) -> str:
    """The last line of a complaint as the end of a sentence; empty if there is none."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    return f" ({lines[-1]})" if lines else ""
