"""Settings of one audio source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MICROPHONE = "microphone"
ARECORD = "arecord"
STDIN = "stdin"
URL = "url"
FILE = "file"
KINDS = (MICROPHONE, ARECORD, STDIN, URL, FILE)
SAMPLE_FORMATS = ("u8", "s16le", "s24le", "s32le", "f32le")


def _setting(
    default: Any,
    doc: str,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    **more: Any,
) -> Any:
    metadata = {"doc": doc, "unit": unit, "minimum": minimum, "maximum": maximum, **more}
    given = {name: value for name, value in metadata.items() if value not in (None, "")}
    return field(default=default, metadata=given)


@dataclass(frozen=True)
class SourceSettings:
    """Where audio comes from and when it counts as lost."""

    name: str = _setting("microphone", "what windows, alerts and messages call this source")
    kind: str = _setting(
        MICROPHONE,
        "microphone (PortAudio), arecord (ALSA's recorder), stdin (raw PCM), url (whatever ffmpeg "
        "reads) or file (WAV, FLAC, OGG, MP3)",
        choices=KINDS,
    )
    device: str | None = _setting(
        None,
        "microphone: a name that `earwitness devices` lists, null = the default input; "
        "arecord: an ALSA device",
        example="plughw:CARD=Device",
    )
    url: str | None = _setting(
        None, "url: address for ffmpeg, such as rtsp://camera.local/stream", secret=True
    )
    path: str | None = _setting(None, "file: the recording")
    rate_hz: int | None = _setting(
        None,
        "rate to open or to expect; null = the device's own (microphone), 16000 (others)",
        "Hz",
        4000,
        768000,
    )
    channels: int | None = _setting(
        None,
        "channels to open or to expect; null = one, or as few as the device gives",
        "",
        1,
        64,
    )
    channel: int | None = _setting(
        None, "the one channel to listen to, from 0; null = the average of all", "", 0, 63
    )
    sample_format: str = _setting(
        "s16le", "format of the samples: microphone, arecord, stdin", choices=SAMPLE_FORMATS
    )
    chunk_s: float = _setting(0.05, "how much audio travels at once", "s", 0.01, 1.0)
    buffer_s: float = _setting(0.3, "size of the device's buffer", "s", 0.02, 10.0)
    open_timeout_s: float = _setting(
        8.0, "longest time from starting a capture to its first audio", "s", 0.5, 60.0
    )
    stall_s: float | None = _setting(
        None, "longest pause of a running capture; null = 2, for url 8", "s", 0.2, 600.0
    )
    backoff_min_s: float = _setting(
        0.25, "wait before the first attempt to reopen; doubled each time", "s", 0.01, 60.0
    )
    backoff_max_s: float = _setting(5.0, "longest wait between attempts", "s", 0.01, 3600.0)
    gap_s: float | None = _setting(
        None,
        "more missing audio than this is a gap, less is absorbed; null = 0.1, for url 2",
        "s",
        0.02,
        60.0,
    )
    gap_confirm_s: float | None = _setting(
        None,
        "how long audio must stay late before it is lost and not delayed; null = 0.5, for url 10",
        "s",
        0.1,
        60.0,
    )
    pace: bool = _setting(False, "file: deliver in real time, as a microphone would")
    loop: bool = _setting(False, "file: start again at the end, for ever")
    ffmpeg_options: tuple[str, ...] = _setting(
        (),
        "url: ffmpeg's options before its input, such as [-rtsp_transport, tcp], or [-re] for a "
        "recording behind a URL",
    )
    must_open: bool = _setting(
        False, "end with an error if the source cannot be opened at start, instead of waiting"
    )

    def __post_init__(self) -> None:
        for name, allowed in (("kind", KINDS), ("sample_format", SAMPLE_FORMATS)):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
        problems = self._contradictions()
        if problems:
            raise ValueError("; ".join(problems))

    def _contradictions(self) -> list[str]:
        found = []
        if not self.name:
            found.append("name is empty; events and alerts need one")
        if self.kind == URL and not self.url:
            found.append("a source of kind url needs the setting url")
        if self.kind == FILE and not self.path:
            found.append("a source of kind file needs the setting path")
        if self.channel is not None and self.channels and self.channel >= self.channels:
            found.append(f"channel {self.channel} does not exist among {self.channels} channels")
        if self.backoff_max_s < self.backoff_min_s:
            found.append("backoff_max_s is less than backoff_min_s")
        if self.buffer_s < self.chunk_s:
            found.append("buffer_s is less than chunk_s")
        return found

    def stall_limit_s(self) -> float:
        """`stall_s` with the kind's default filled in."""
        return self._by_kind(self.stall_s, 2.0, 8.0)

    def gap_limit_s(self) -> float:
        """`gap_s` with the kind's default filled in."""
        return self._by_kind(self.gap_s, 0.1, 2.0)

    def gap_confirmation_s(self) -> float:
        """`gap_confirm_s` with the kind's default filled in."""
        return self._by_kind(self.gap_confirm_s, 0.5, 10.0)

    def _by_kind(self, value: float | None, default: float, url_default: float) -> float:
        if value is not None:
            return value
        # Network audio comes in bursts, and its pauses say little.
        return url_default if self.kind == URL else default
