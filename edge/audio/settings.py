"""Settings of one audio source."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("microphone", "arecord", "stdin", "url", "file")
SAMPLE_FORMATS = ("u8", "s16le", "s24le", "s32le", "f32le")


@dataclass(frozen=True)
class SourceSettings:
    """Where audio comes from and when it counts as lost.

    Attributes:
        name: what events, windows and alerts call the source.
        kind: "microphone" (PortAudio), "arecord" (ALSA's own recorder), "stdin" (raw PCM), "url"
            (whatever ffmpeg reads) or "file" (WAV, FLAC, OGG, MP3).
        device: microphone: a name from `earwitness devices`, None = the default input;
            arecord: an ALSA device such as "plughw:CARD=Device".
        url: address for ffmpeg, e.g. "rtsp://camera.local/stream".
        path: the file.
        rate_hz: rate to open or to expect; None = the device's own (microphone), 16000 (others).
        channels: channels to open or to expect; None = as few as the device allows. Several
            are averaged.
        channel: the one channel to listen to, from 0, instead of the average.
        sample_format: one of SAMPLE_FORMATS, for microphone, arecord and stdin.
        chunk_s: how much audio travels at once, seconds.
        buffer_s: size of the device's buffer, seconds.
        open_timeout_s: longest time from starting a capture to its first audio, seconds.
        stall_s: longest silence of a running stream, seconds; None = 2 (url: 8).
        backoff_min_s, backoff_max_s: first and longest wait between attempts to reopen, seconds.
        gap_s: loss that counts as a gap, seconds; None = 0.1 (url: 2). Less than this is absorbed
            like the skew of the clocks.
        gap_confirm_s: how long audio must stay late before that is a loss and not a delay,
            seconds; None = 0.5 (url: 10, since its audio comes in bursts).
        pace: file: deliver in real time, as a microphone would.
        loop: file: start again at the end, for ever.
        ffmpeg_options: options for ffmpeg before its input, e.g. ("-rtsp_transport", "tcp"), or
            ("-re",) for a recording behind a URL.
        must_open: live sources: a first opening that fails is an AudioError instead of an event.
    """

    name: str = "microphone"
    kind: str = "microphone"
    device: str | None = None
    url: str | None = None
    path: str | None = None
    rate_hz: int | None = None
    channels: int | None = None
    channel: int | None = None
    sample_format: str = "s16le"
    chunk_s: float = 0.05
    buffer_s: float = 0.3
    open_timeout_s: float = 8.0
    stall_s: float | None = None
    backoff_min_s: float = 0.25
    backoff_max_s: float = 5.0
    gap_s: float | None = None
    gap_confirm_s: float | None = None
    pace: bool = False
    loop: bool = False
    ffmpeg_options: tuple[str, ...] = ()
    must_open: bool = False

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, KINDS)
        _one_of("sample_format", self.sample_format, SAMPLE_FORMATS)
        if self.kind == "url" and not self.url:
            raise ValueError("a source of kind 'url' needs the setting url")
        if self.kind == "file" and not self.path:
            raise ValueError("a source of kind 'file' needs the setting path")
        _in_range("rate_hz", self.rate_hz, 4000, 768000)
        _in_range("channels", self.channels, 1, 64)
        _in_range("channel", self.channel, 0, (self.channels or 64) - 1)
        _in_range("chunk_s", self.chunk_s, 0.01, 1.0)
        _in_range("buffer_s", self.buffer_s, self.chunk_s, 10.0)
        _in_range("open_timeout_s", self.open_timeout_s, 0.5, 60.0)
        _in_range("stall_s", self.stall_s, 0.2, 600.0)
        _in_range("backoff_min_s", self.backoff_min_s, 0.01, 60.0)
        _in_range("backoff_max_s", self.backoff_max_s, self.backoff_min_s, 3600.0)
        _in_range("gap_s", self.gap_s, 0.02, 60.0)
        _in_range("gap_confirm_s", self.gap_confirm_s, 0.1, 60.0)

    def stall_limit_s(self) -> float:
        """`stall_s` with the kind's default filled in."""
        return _first(self.stall_s, 8.0 if self.kind == "url" else 2.0)

    def gap_limit_s(self) -> float:
        """`gap_s` with the kind's default filled in."""
        return _first(self.gap_s, 2.0 if self.kind == "url" else 0.1)

    def gap_confirmation_s(self) -> float:
        """`gap_confirm_s` with the kind's default filled in."""
        return _first(self.gap_confirm_s, 10.0 if self.kind == "url" else 0.5)


def _first(value: float | None, default: float) -> float:
    return default if value is None else value


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")


def _in_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; it must lie between {low} and {high}")
