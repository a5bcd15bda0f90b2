"""Speech and music codecs as channels: encode, decode, and bring back to the caller's rate.

FFmpeg's codecs come through PyAV (`av`, imported here only), GSM 06.10 and A-law/mu-law through
libsndfile. FFmpeg's wheels carry no Speex encoder: Speex comes through the program `ffmpeg`, and is
therefore never drawn at random, lest draws depend on the machine. Whoever wants it names it.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class CodecSpec:
    """How FFmpeg encodes and decodes.

    Attributes:
        encoder, decoder: FFmpeg's names.
        rate_hz: rate at which the codec works, Hz.
        sample_format: FFmpeg's name of the encoder's sample format.
        bit_rate: bit/s; None = the codec has only one.
        options: further encoder options.
        frame_samples: samples per encoded frame, where the encoder does not say.
    """

    encoder: str
    decoder: str
    rate_hz: int
    sample_format: str
    bit_rate: int | None = None
    options: dict[str, str] = field(default_factory=dict)
    frame_samples: int = 1024


def _opus(bit_rate: int, rate_hz: int = 16000) -> CodecSpec:
    options = {"application": "voip", "compression_level": "4"}
    return CodecSpec("libopus", "libopus", rate_hz, "s16", bit_rate, options)


def _mp3(bit_rate: int) -> CodecSpec:
    return CodecSpec("libmp3lame", "mp3float", 16000, "fltp", bit_rate, {"compression_level": "7"})


FFMPEG_CODECS = {
    "mp3-16k": _mp3(16000),
    "mp3-32k": _mp3(32000),
    "mp3-64k": _mp3(64000),
    "opus-8k": _opus(8000),
    "opus-16k": _opus(16000),
    "opus-32k": _opus(32000),
    "aac-32k": CodecSpec("aac", "aac", 16000, "fltp", 32000),
    "g722": CodecSpec("g722", "g722", 16000, "s16", frame_samples=320),
    "sbc": CodecSpec("sbc", "sbc", 16000, "s16", 64000),
    "amr-nb": CodecSpec("libopencore_amrnb", "amrnb", 8000, "s16", 7950, frame_samples=160),
}
SOUNDFILE_CODECS = {"gsm": "GSM610", "mu-law": "ULAW", "a-law": "ALAW"}
TELEPHONE_RATE_HZ = 8000

TELEPHONE_CODECS = ("mu-law", "a-law", "gsm", "amr-nb")
WIDEBAND_CODECS = (
    *("mp3-16k", "mp3-32k", "mp3-64k", "opus-8k", "opus-16k", "opus-32k"),
    *("aac-32k", "g722", "sbc"),
)
CODECS = TELEPHONE_CODECS + WIDEBAND_CODECS
"""Those that can be drawn at random: they are there wherever the package is."""

SPEEX = "speex"
SPEEX_BIT_RATE = 11000
NEEDS_FFMPEG = "needs the program ffmpeg with its encoder libspeex (apt install ffmpeg)"


def transcode(samples: Float32, codec: str, sample_rate_hz: int = 16000) -> Float32:
    """What is left of a recording after a codec.

    Args:
        samples: float32 in -1 ... 1, shape (n,).
        codec: one of `CODECS`, or "speex" (narrow band, 11 kbit/s).
        sample_rate_hz: of the samples, Hz.

    Returns:
        float32, shape (n,): the codec's delay is cut off as far as it makes the signal longer.

    Raises:
        ValueError: the codec is unknown, or the program that "speex" needs is missing.
    """
    if codec not in (*CODECS, SPEEX):
        raise ValueError(f"codec is {codec!r}; it must be one of {', '.join((*CODECS, SPEEX))}")
    rate_hz = FFMPEG_CODECS[codec].rate_hz if codec in FFMPEG_CODECS else TELEPHONE_RATE_HZ
    narrow = _resample(np.clip(samples, -1, 1), sample_rate_hz, rate_hz)
    if codec in SOUNDFILE_CODECS:
        decoded = _through_soundfile(narrow, SOUNDFILE_CODECS[codec])
    elif codec == SPEEX:
        decoded = _through_speex(narrow)
    else:
        decoded = _through_ffmpeg(narrow, FFMPEG_CODECS[codec])
    surplus = max(0, len(decoded) - len(narrow))
    restored = _resample(decoded[surplus : surplus + len(narrow)], rate_hz, sample_rate_hz)
    return _to_length(restored, len(samples))


def _resample(samples: Float32, from_hz: int, to_hz: int) -> Float32:
    if from_hz == to_hz:
        return samples
    resampled: Float32 = soxr.resample(samples, from_hz, to_hz, quality="MQ")
    return resampled


def _to_length(samples: Float32, length: int) -> Float32:
    short = length - len(samples)
    return np.pad(samples, (0, short)) if short > 0 else samples[:length]


def _through_soundfile(samples: Float32, subtype: str) -> Float32:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, TELEPHONE_RATE_HZ, format="WAV", subtype=subtype)
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    return np.asarray(decoded[: len(samples)], np.float32)


def _through_speex(samples: Float32) -> Float32:
    raw = ("-f", "f32le", "-ar", str(TELEPHONE_RATE_HZ), "-ac", "1")
    coder = ("-c:a", "libspeex", "-b:a", str(SPEEX_BIT_RATE), "-f", "ogg")
    coded = _ffmpeg((*raw, "-i", "pipe:0", *coder), samples.astype("<f4").tobytes())
    decoded = _ffmpeg(("-f", "ogg", "-i", "pipe:0", *raw), coded)
    return np.frombuffer(decoded, "<f4").astype(np.float32)


def _ffmpeg(arguments: Sequence[str], data: bytes) -> bytes:
    """What the program makes of the bytes.

    Raises:
        ValueError: there is none, or it cannot; says what to install.
    """
    command = ["ffmpeg", "-v", "error", *arguments, "pipe:1"]
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        said = done.stderr.decode("utf-8", "replace").strip()
    except FileNotFoundError:
        raise ValueError(f"{SPEEX} {NEEDS_FFMPEG}; none is installed") from None
    if done.returncode:
        raise ValueError(f"{SPEEX} {NEEDS_FFMPEG}; this one says: {said[:200]}")
    return done.stdout


def _through_ffmpeg(samples: Float32, spec: CodecSpec) -> Float32:
    import av

    encoder: Any = av.CodecContext.create(spec.encoder, "w")
    encoder.sample_rate = spec.rate_hz
    encoder.format = av.AudioFormat(spec.sample_format)
    encoder.layout = "mono"
    encoder.options = spec.options
    if spec.bit_rate is not None:
        encoder.bit_rate = spec.bit_rate
    encoder.open()
    decoder: Any = av.CodecContext.create(spec.decoder, "r")
    decoder.sample_rate = spec.rate_hz
    decoder.layout = "mono"
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    size = encoder.frame_size or spec.frame_samples
    pieces = []
    padded = _to_length(samples, -(-len(samples) // size) * size)
    for first in range(0, len(padded), size):
        frame = _frame(av, padded[first : first + size], spec)
        for packet in encoder.encode(frame):
            pieces += [_samples(decoded) for decoded in decoder.decode(packet)]
    for packet in encoder.encode(None):
        pieces += [_samples(decoded) for decoded in decoder.decode(packet)]
    pieces += [_samples(decoded) for decoded in decoder.decode(None)]
    decoded = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    # libopus decodes at 48 kHz whatever it was given.
    rate_hz = decoder.sample_rate or spec.rate_hz
    return _resample(decoded, rate_hz, spec.rate_hz)


def _frame(av: Any, samples: Float32, spec: CodecSpec) -> Any:
    planar = samples[None, :]
    if spec.sample_format == "s16":
        planar = np.round(planar * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(planar, format=spec.sample_format, layout="mono")
    frame.sample_rate = spec.rate_hz
    return frame


def _samples(frame: Any) -> Float32:
    """First channel of a decoded frame as float32 in -1 ... 1."""
    array = frame.to_ndarray()
    first = array[0] if frame.format.is_planar else array.reshape(-1, len(frame.layout.channels))
    mono = first if frame.format.is_planar else first[:, 0]
    if np.issubdtype(mono.dtype, np.integer):
        return (mono.astype(np.float32)) / np.float32(np.iinfo(mono.dtype).max)
    return np.asarray(mono, np.float32)


def decode_media(path: Path) -> tuple[Float32, int]:
    """First audio stream of any file that FFmpeg reads: mono float32 samples, and their rate.

    Raises:
        ValueError: FFmpeg finds no audio in it.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError("it has no audio stream")
            rate_hz = int(container.streams.audio[0].rate)
            # Channels stay apart here: FFmpeg's own mix would make them louder.
            resampler = av.AudioResampler(format="fltp", rate=rate_hz)
            frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
            frames += resampler.resample(None)
    except av.FFmpegError as error:
        raise ValueError(str(error)) from error
    pieces = [frame.to_ndarray().mean(axis=0) for frame in frames]
    samples = np.concatenate(pieces) if pieces else np.zeros(0)
    return samples.astype(np.float32), rate_hz
