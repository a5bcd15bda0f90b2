"""What happens to a voice between the mouth and the model, simulated. Pure; rng is passed in.

Every draw is independent of the label, and every step has a probability of its own in
`AugmentSettings`, so each can be switched off. Signals are float32, shape (n,), at 16 kHz, about
-1 ... 1; features are float32, shape (frames, bands).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import scipy.fft
import soxr
from numpy.typing import NDArray

from training.codecs import TELEPHONE_CODECS, WIDEBAND_CODECS, transcode
from training.protocols import CONDITIONS

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]
Rng = np.random.Generator
Sampler = Callable[[Rng, int], Float32]
"""Draws a stretch of recorded noise (rng, samples wanted), or a room impulse response."""

SAMPLE_RATE_HZ = 16000
SILENCE_BLOCK_SAMPLES = 160
OCTAVE_SEMITONES = 12
WSOLA_FRAME_SAMPLES = 1024
TINY = 1e-9


@dataclass(frozen=True)
class AugmentSettings:
    """Probabilities (0 = never, 1 = always) and ranges of every step.

    Attributes:
        speed: change of speed; `speed_range` is the largest relative change of tempo and pitch.
        pitch: change of pitch alone, by `pitch_semitones`, at most an octave.
        stretch: change of tempo alone; `stretch_range` is its largest relative change.
        trim: cutting off the silence at both ends of the clip, `trim_below_db` under its peak.
        loudspeaker: the voice is replayed through a loudspeaker, slightly non-linear.
        room: a room impulse response; `recorded_room_share` of them recorded, the rest synthetic.
        noise: recorded background noise (coloured noise where there is none), at a ratio of
            `noise_snr_db`.
        microphone: random smooth frequency response and a high-pass.
        band_limit: random low-pass, `band_limit_hz`.
        telephone: 300 ... 3400 Hz at 8 kHz, with one of the cheap telephone codecs.
        slow_codec: one of all codecs, through FFmpeg; 50 times as expensive as any other step.
        rawboost_convolutive, rawboost_impulsive, rawboost_stationary: RawBoost's three noises.
        level: gain, to a peak of `level_db`.
        noise_floor: white noise at `noise_floor_db` of full scale.
        quantise: rounding to 8 ... 16 bits with triangular dither.
        spec_average, spec_augment: masks over the features, filled with their mean or with zero.
        spec_mix: pairs of a batch are mixed by time-frequency masks, and their targets with them.
        mix_style: the level and spread of every band are mixed with those of another recording.
    """

    speed: float = 0.1
    speed_range: float = 0.1
    pitch: float = 0.0
    pitch_semitones: tuple[float, float] = (-2.0, 2.0)
    stretch: float = 0.0
    stretch_range: float = 0.1
    trim: float = 0.7
    trim_below_db: float = 45.0
    loudspeaker: float = 0.15
    room: float = 0.35
    recorded_room_share: float = 0.6
    noise: float = 0.4
    noise_snr_db: tuple[float, float] = (5.0, 35.0)
    microphone: float = 0.3
    band_limit: float = 0.25
    band_limit_hz: tuple[float, float] = (3000.0, 8000.0)
    telephone: float = 0.12
    slow_codec: float = 0.02
    rawboost_convolutive: float = 0.08
    rawboost_impulsive: float = 0.08
    rawboost_stationary: float = 0.08
    level: float = 1.0
    level_db: tuple[float, float] = (-24.0, -0.5)
    noise_floor: float = 0.5
    noise_floor_db: tuple[float, float] = (-90.0, -55.0)
    quantise: float = 0.1
    spec_average: float = 1.0
    spec_augment: float = 0.0
    spec_mix: float = 0.0
    mix_style: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, tuple):
                if len(value) != 2 or value[0] > value[1]:
                    raise ValueError(f"{field.name} is {value!r}; it must be two numbers in order")
            elif field.name not in ("trim_below_db",) and not 0 <= value <= 1:
                raise ValueError(f"{field.name} is {value!r}; it must lie between 0 and 1")
        if max(map(abs, self.pitch_semitones)) > OCTAVE_SEMITONES:
            raise ValueError(
                f"pitch_semitones is {self.pitch_semitones!r}; it must lie within an octave, "
                f"{-OCTAVE_SEMITONES} ... {OCTAVE_SEMITONES}"
            )

    @classmethod
    def off(cls) -> AugmentSettings:
        """Nothing at all."""
        probabilities: dict[str, Any] = {
            field.name: 0.0
            for field in fields(cls)
            if not isinstance(field.default, tuple)
            and not field.name.endswith(("_range", "_share", "_db"))
        }
        return replace(cls(), **probabilities)


def samples_needed(wanted: int, settings: AugmentSettings) -> int:
    """How many samples `augment` must be given for it to leave so many, but for what `trim` cuts.

    WSOLA leaves out up to a frame at the end.
    """
    if settings.stretch:
        wanted = math.ceil((wanted + WSOLA_FRAME_SAMPLES) * (1 + settings.stretch_range))
    if settings.pitch:
        # The frame is lost before the resampling, which makes it two where the pitch falls an
        # octave.
        wanted += 2 * WSOLA_FRAME_SAMPLES
    return wanted + (int(wanted * settings.speed_range) if settings.speed else 0)


def augment(
    samples: Float32,
    settings: AugmentSettings,
    rng: Rng,
    noises: Sampler | None = None,
    rirs: Sampler | None = None,
) -> Float32:
    """One random passage from mouth to file.

    Args:
        samples: float32, shape (n,), not changed.
        settings: probabilities and ranges.
        rng: every draw comes from it.
        noises: draws recorded noise; None = coloured noise.
        rirs: draws recorded room impulse responses; None = synthetic ones.

    Returns:
        float32, shape (m,); m differs from n where `speed`, `pitch`, `stretch` or `trim` acted.
    """

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability)

    if chance(settings.trim):
        samples = trim_edges(samples, settings.trim_below_db)
    if chance(settings.speed):
        samples = change_speed(samples, 1 + settings.speed_range * rng.uniform(-1, 1))
    # These came later: while off they draw nothing, so that older settings give what they gave.
    if settings.pitch and chance(settings.pitch):
        semitones = rng.uniform(*settings.pitch_semitones)
        samples = shift_pitch(samples, 2 ** (semitones / OCTAVE_SEMITONES))
    if settings.stretch and chance(settings.stretch):
        samples = stretch_time(samples, (1 + settings.stretch_range) ** rng.uniform(-1, 1))
    if chance(settings.rawboost_convolutive):
        samples = convolutive_noise(samples, rng)
    if chance(settings.rawboost_impulsive):
        samples = impulsive_noise(samples, rng)
    firs: list[Float32] = []
    if chance(settings.loudspeaker):
        samples = soft_clip(samples, rng.uniform(0.3, 2.0))
        firs.append(loudspeaker(rng))
    if chance(settings.room):
        recorded = rirs is not None and chance(settings.recorded_room_share)
        rir = rirs(rng, SAMPLE_RATE_HZ) if recorded and rirs else synthetic_rir(rng)
        firs.append(from_direct_sound(rir))
    samples = apply_firs(samples, firs)
    if chance(settings.rawboost_stationary):
        samples = stationary_noise(samples, rng)
    if chance(settings.noise):
        noise = noises(rng, len(samples)) if noises else coloured_noise(rng, len(samples))
        samples = add_noise(samples, noise, rng.uniform(*settings.noise_snr_db))
    firs = []
    if chance(settings.microphone):
        firs.append(microphone(rng))
    if chance(settings.band_limit):
        firs.append(low_pass(rng.uniform(*settings.band_limit_hz)))
    samples = apply_firs(samples, firs)
    if chance(settings.level):
        samples = to_peak(samples, rng.uniform(*settings.level_db))
    if chance(settings.noise_floor):
        samples = add_floor(samples, rng.uniform(*settings.noise_floor_db), rng)
    if chance(settings.telephone):
        samples = telephone(samples, str(rng.choice(["mu-law", "a-law", "none"])))
    elif chance(settings.slow_codec):
        samples = transcode(samples, str(rng.choice(TELEPHONE_CODECS + WIDEBAND_CODECS)))
    if chance(settings.quantise):
        samples = quantise(samples, int(rng.integers(8, 17)), rng)
    return samples


# Levels


def rms(samples: Float32) -> float:
    """Root of the mean square, never 0."""
    return float(np.sqrt(np.dot(samples, samples) / max(1, len(samples)) + TINY**2))


def to_peak(samples: Float32, peak_db: float) -> Float32:
    """Scale so that the largest magnitude is `peak_db` below full scale."""
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * np.float32(10 ** (peak_db / 20) / peak) if peak > TINY else samples


def trim_edges(samples: Float32, below_db: float) -> Float32:
    """Cut off what is `below_db` under the loudest 10 ms at both ends; never everything."""
    count = len(samples) // SILENCE_BLOCK_SAMPLES
    if count < 2:
        return samples
    blocks = samples[: count * SILENCE_BLOCK_SAMPLES].reshape(count, -1)
    power = np.einsum("ij,ij->i", blocks, blocks)
    loud = np.flatnonzero(power > power.max() * 10 ** (-below_db / 10))
    if not len(loud):
        return samples
    last = len(samples) if loud[-1] == count - 1 else (loud[-1] + 1) * SILENCE_BLOCK_SAMPLES
    return samples[loud[0] * SILENCE_BLOCK_SAMPLES : last]


def quantise(samples: Float32, bits: int, rng: Rng) -> Float32:
    """Round to so many bits with triangular dither of one step (Lipshitz et al., JAES 1992)."""
    steps = np.float32(2 ** (bits - 1))
    dither = rng.random(len(samples), np.float32) - rng.random(len(samples), np.float32)
    return np.clip(np.round(samples * steps + dither) / steps, -1, 1).astype(np.float32)


def add_floor(samples: Float32, floor_db: float, rng: Rng) -> Float32:
    """White noise of `floor_db` relative to full scale, uniform, which is cheaper than Gaussian."""
    amplitude = np.float32(np.sqrt(3) * 10 ** (floor_db / 20))
    return samples + amplitude * (2 * rng.random(len(samples), np.float32) - 1)


# Speed


def change_speed(samples: Float32, factor: float) -> Float32:
    """Play faster (factor > 1) or slower by resampling.

    Tempo and pitch move together, as on a tape: it costs a tenth of a phase vocoder and leaves
    none of the vocoder's artefacts, which a detector would learn. `shift_pitch` and
    `stretch_time` move one alone.
    """
    return np.asarray(
        soxr.resample(samples, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ, quality="LQ"), np.float32
    )


def stretch_time(
    samples: Float32, factor: float, frame_samples: int = WSOLA_FRAME_SAMPLES
) -> Float32:
    """Change the tempo and keep the pitch: WSOLA (Verhelst and Roelands, ICASSP 1993).

    Args:
        samples: float32, shape (n,).
        factor: above 1 is faster; the result has about n / factor samples.
        frame_samples: length of the overlapped frames.
    """
    hop = frame_samples // 2
    reach = frame_samples // 4
    count = int((len(samples) / factor - frame_samples) // hop)
    if count < 2:
        return samples
    fade = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame_samples) / frame_samples)
    window = fade.astype(np.float32)
    out = np.zeros(count * hop + hop, np.float32)
    out[:hop] = samples[:hop] * window[hop:]
    start = 0
    last = max(0, len(samples) - frame_samples - reach - 1)
    for index in range(count):
        if index:
            follow = samples[start + hop : start + hop + frame_samples]
            ideal = min(round(index * hop * factor), last)
            first = max(0, ideal - reach)
            field = samples[first : ideal + reach + len(follow)]
            size = scipy.fft.next_fast_len(len(field), real=True)
            match = scipy.fft.irfft(
                scipy.fft.rfft(field, size) * scipy.fft.rfft(follow, size).conj(), size
            )
            start = first + int(np.argmax(match[: len(field) - len(follow) + 1]))
        piece = samples[start : start + frame_samples]
        out[index * hop : index * hop + len(piece)] += piece * window[: len(piece)]
    return out


def shift_pitch(samples: Float32, factor: float) -> Float32:
    """Change the pitch by `factor` and keep the tempo: stretched by WSOLA, then resampled."""
    return change_speed(stretch_time(samples, 1 / factor), factor)


# Linear steps: each is an impulse response, and those in a row are joined before the signal is
# touched. Convolution goes by blocks, whose transforms stay in the processor's cache and are
# computed side by side: half the time of one long transform.

BLOCK_SAMPLES = 2048
FIR_TAPS = 1024
FIR_HZ = scipy.fft.rfftfreq(FIR_TAPS, 1 / SAMPLE_RATE_HZ)
FIR_OCTAVES = np.log2(np.maximum(FIR_HZ, 10.0))


def _block_spectra(samples: Float32) -> Complex64:
    """Spectra of overlapping blocks: (blocks, BLOCK_SAMPLES + 1)."""
    count = -(-len(samples) // BLOCK_SAMPLES)
    padded = np.zeros((count + 1) * BLOCK_SAMPLES, np.float32)
    padded[BLOCK_SAMPLES : BLOCK_SAMPLES + len(samples)] = samples
    blocks = np.lib.stride_tricks.sliding_window_view(padded, 2 * BLOCK_SAMPLES)[::BLOCK_SAMPLES]
    spectra: Complex64 = scipy.fft.rfft(blocks, axis=1)
    return spectra


def _filtered_spectra(samples: Float32, fir: Float32) -> Complex64:
    """Spectra of the blocks of a filtered signal: uniformly partitioned overlap-save."""
    spectra = _block_spectra(samples)
    parts = -(-len(fir) // BLOCK_SAMPLES)
    padded = np.zeros(parts * BLOCK_SAMPLES, np.float32)
    padded[: len(fir)] = fir
    gains = scipy.fft.rfft(padded.reshape(parts, -1), 2 * BLOCK_SAMPLES, axis=1)
    total: Complex64 = spectra * gains[0]
    for part in range(1, min(parts, len(spectra))):
        total[part:] += spectra[:-part] * gains[part]
    return total


def _from_spectra(spectra: Complex64, length: int) -> Float32:
    blocks: Float32 = scipy.fft.irfft(spectra, axis=1)[:, BLOCK_SAMPLES:]
    return blocks.reshape(-1)[:length]


def convolve(samples: Float32, fir: Float32) -> Float32:
    """Causal convolution, cut to the signal's length: float32, shape (n,)."""
    return _from_spectra(_filtered_spectra(samples, fir), len(samples))


def apply_firs(samples: Float32, firs: Sequence[Float32]) -> Float32:
    """Filter by all of them: float32, shape (n,), of the loudness that it had."""
    if not firs:
        return samples
    joined = firs[0]
    for fir in firs[1:]:
        longer, shorter = (joined, fir) if len(joined) >= len(fir) else (fir, joined)
        joined = convolve(np.pad(longer, (0, len(shorter) - 1)), shorter)
    filtered = convolve(samples, joined)
    return filtered * np.float32(rms(samples) / rms(filtered))


def fir_of_gain(gain: NDArray[np.floating]) -> Float32:
    """Minimum-phase FIR of a magnitude response (the cepstral method), shape (FIR_TAPS,).

    Minimum phase, because a voice must not be delayed or ring before its onsets.

    Args:
        gain: above 0, shape (FIR_TAPS // 2 + 1,), from 0 Hz to half the sampling rate.
    """
    cepstrum = scipy.fft.irfft(np.log(np.maximum(gain, 1e-4)))
    cepstrum[1 : FIR_TAPS // 2] *= 2
    cepstrum[FIR_TAPS // 2 + 1 :] = 0
    fir = scipy.fft.irfft(np.exp(scipy.fft.rfft(cepstrum)))
    return fir.astype(np.float32)


def fir_through(knots_hz: Sequence[float], knots_db: Sequence[float]) -> Float32:
    """FIR whose gain runs straight in dB over log frequency between knots."""
    decibels = np.interp(FIR_OCTAVES, np.log2(knots_hz), knots_db)
    return fir_of_gain(10 ** (decibels / 20))


def low_pass(cutoff_hz: float) -> Float32:
    """FIR, flat up to the cutoff, 60 dB down a sixth of an octave above it."""
    return fir_through((10.0, cutoff_hz, cutoff_hz * 2 ** (1 / 6)), (0.0, 0.0, -60.0))


def band_pass(low_hz: float, high_hz: float) -> Float32:
    """FIR, flat in the band, 40 dB down a third of an octave outside."""
    outside = 2 ** (1 / 3)
    knots_hz = (low_hz / outside, low_hz, high_hz, high_hz * outside)
    return fir_through(knots_hz, (-40.0, 0.0, 0.0, -40.0))


def loudspeaker(rng: Rng) -> Float32:
    """FIR of a small loudspeaker: little below 100 ... 500 Hz, resonances of up to 8 dB."""
    low_hz = rng.uniform(100, 500)
    knots_hz = np.concatenate([[low_hz / 4, low_hz], np.geomspace(low_hz * 1.3, 8000, 10)])
    knots_db = np.concatenate([[-30.0, 0.0], rng.normal(0, 3, 10).clip(-8, 8)])
    return fir_through(list(knots_hz), list(knots_db))


def microphone(rng: Rng) -> Float32:
    """FIR of a cheap microphone: high-pass at 20 ... 200 Hz, a tilt, ripples of a few dB."""
    low_hz = rng.uniform(20, 200)
    knots_hz = np.concatenate([[low_hz / 2, low_hz], np.geomspace(low_hz * 1.5, 8000, 8)])
    tilt_db = np.linspace(0, rng.uniform(-6, 6), 8)
    knots_db = np.concatenate([[-12.0, 0.0], tilt_db + rng.normal(0, 2, 8)])
    return fir_through(list(knots_hz), list(knots_db))


def from_direct_sound(rir: Float32) -> Float32:
    """A room impulse response, its direct sound moved to time 0: the voice is not delayed."""
    direct = int(np.argmax(np.abs(rir)))
    return rir[direct : direct + SAMPLE_RATE_HZ // 2].astype(np.float32)


def synthetic_rir(rng: Rng, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Float32:
    """A made-up room: direct sound, some early echoes, and noise that decays by 60 dB in RT60.

    RT60 is 0.1 ... 0.8 s, the direct-to-reverberant ratio -3 ... 15 dB (Polack's model of late
    reverberation). float32, shape (n,), n at most 0.5 s.
    """
    rt60_s = rng.uniform(0.1, 0.8)
    count = int(min(rt60_s, 0.5) * sample_rate_hz)
    time_s = np.arange(count, dtype=np.float32) / sample_rate_hz
    tail = rng.standard_normal(count, np.float32) * np.exp(-6.9 * time_s / np.float32(rt60_s))
    tail[: int(0.002 * sample_rate_hz)] = 0
    for delay in rng.integers(int(0.002 * sample_rate_hz), int(0.03 * sample_rate_hz), 6):
        if delay < count:
            tail[delay] += rng.uniform(-4, 4)
    ratio = 10 ** (rng.uniform(-3, 15) / 20)
    tail /= np.float32(np.linalg.norm(tail) * ratio + TINY)
    tail[0] = 1
    return tail


# Noise


def coloured_noise(rng: Rng, count: int) -> Float32:
    """Noise whose power falls with frequency as f^-a, a drawn from 0 ... 2; shape (count,)."""
    # Uniform white noise is cheaper than Gaussian and becomes Gaussian in the filter.
    white = rng.random(count, np.float32) - np.float32(0.5)
    slope = -rng.uniform(0, 2) / 2
    return convolve(white, fir_of_gain(np.exp2(slope * (FIR_OCTAVES - FIR_OCTAVES[-1]))))


def add_noise(samples: Float32, noise: Float32, snr_db: float) -> Float32:
    """Lay noise under a signal at a ratio of powers; noise that is short is repeated.

    Silence on either side leaves the signal as it is.
    """
    noise = np.resize(noise, len(samples)) if len(noise) != len(samples) else noise
    level = rms(noise)
    if level <= TINY:
        return samples
    return samples + noise * np.float32(rms(samples) / level * 10 ** (-snr_db / 20))


def soft_clip(samples: Float32, drive: float) -> Float32:
    """A driven loudspeaker's saturation: tanh, with the gain of small signals kept."""
    peak = max(float(np.abs(samples).max(initial=0.0)), TINY)
    scale = np.float32(drive / peak)
    return np.tanh(samples * scale) / scale


# RawBoost (Tak et al., ICASSP 2022), with the ranges of its published code.


def band_stop(low_hz: float, high_hz: float, taps: int) -> NDArray[np.float64]:
    """Windowed-sinc band-stop of odd length and unit gain at 0 Hz, shape (taps,).

    As `scipy.signal.firwin(taps, [low, high], window="hamming")`, at a sixth of its cost.
    """
    place = np.arange(taps) - taps // 2
    low, high = 2 * low_hz / SAMPLE_RATE_HZ, 2 * high_hz / SAMPLE_RATE_HZ
    passed = low * np.sinc(low * place) - high * np.sinc(high * place)
    passed[taps // 2] += 1
    passed *= 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(taps) / (taps - 1))
    return np.asarray(passed / passed.sum(), np.float64)


def _notches(rng: Rng, taps: tuple[int, int] = (10, 100), bands: int = 5) -> Float32:
    """FIR of several random band-stops in a row, of unit peak gain."""
    fir = np.ones(1)
    for _ in range(bands):
        centre_hz = rng.uniform(20, 8000)
        half_hz = rng.uniform(100, 1000) / 2
        low_hz = min(max(centre_hz - half_hz, 1.0), 7990.0)
        high_hz = max(min(centre_hz + half_hz, 7999.0), low_hz + 5)
        fir = np.convolve(fir, band_stop(low_hz, high_hz, int(rng.integers(*taps)) | 1))
    peak = np.abs(scipy.fft.rfft(fir, FIR_TAPS)).max()
    return (fir / max(float(peak), TINY)).astype(np.float32)


def convolutive_noise(samples: Float32, rng: Rng, order: int = 5) -> Float32:
    """Linear and non-linear convolutive noise: powers of the signal, each through notches.

    The first power is unattenuated, the others 5 ... 20 dB below it.
    """
    peak = max(float(np.abs(samples).max(initial=0.0)), TINY)
    normal = samples / np.float32(peak)
    power = normal
    total = _filtered_spectra(power, _notches(rng))
    for _ in range(1, order):
        power = power * normal
        gain = np.float32(10 ** (-rng.uniform(5, 20) / 20))
        total += gain * _filtered_spectra(power, _notches(rng))
    out = _from_spectra(total, len(samples))
    out -= out.mean()
    return out * np.float32(peak / max(float(np.abs(out).max()), TINY))


def impulsive_noise(samples: Float32, rng: Rng, share: float = 0.1, gain: float = 2.0) -> Float32:
    """Impulsive, signal-dependent noise: up to `share` of the samples are hit in proportion."""
    count = int(len(samples) * rng.uniform(0, share))
    hit = rng.integers(0, len(samples), count)
    strength = (2 * rng.random(count) - 1) * (2 * rng.random(count) - 1)
    out = samples.copy()
    out[hit] += (gain * samples[hit] * strength).astype(np.float32)
    return out * np.float32(rms(samples) / rms(out))


def stationary_noise(
    samples: Float32, rng: Rng, snr_db: tuple[float, float] = (10.0, 40.0)
) -> Float32:
    """Stationary, signal-independent noise, coloured by random notches."""
    white = rng.random(len(samples), np.float32) - np.float32(0.5)
    noise = convolve(white, _notches(rng))
    return add_noise(samples, noise, rng.uniform(*snr_db))


# Telephone


def telephone(samples: Float32, codec: str = "mu-law") -> Float32:
    """300 ... 3400 Hz at 8 kHz through a telephone codec ("none" = the band alone).

    The band is that of ITU-T G.712. The cheap codecs (mu-law, a-law; ITU-T G.711) are computed
    here, the others by `training.codecs`.
    """
    narrow = apply_firs(samples, [band_pass(300.0, 3400.0)])
    if codec == "none":
        return narrow
    if codec in ("mu-law", "a-law"):
        peak = max(1.0, float(np.abs(narrow).max(initial=0.0)))
        low = soxr.resample(narrow / np.float32(peak), SAMPLE_RATE_HZ, 8000, quality="LQ")
        companded = mu_law(low) if codec == "mu-law" else a_law(low)
        high = soxr.resample(companded, 8000, SAMPLE_RATE_HZ, quality="LQ")
        return np.resize(np.asarray(high, np.float32), len(samples))
    return transcode(narrow, codec)


def mu_law(samples: Float32, mu: float = 255.0) -> Float32:
    """Companded to 8 bits and back (the continuous law of ITU-T G.711)."""
    limited = np.clip(samples, -1, 1)
    packed = np.sign(limited) * np.log1p(mu * np.abs(limited)) / np.log1p(mu)
    packed = np.round(packed * 127) / 127
    return (np.sign(packed) * np.expm1(np.abs(packed) * np.log1p(mu)) / mu).astype(np.float32)


def a_law(samples: Float32, a: float = 87.6) -> Float32:
    """Companded to 8 bits and back by the A-law (the continuous law of ITU-T G.711)."""
    size = np.abs(np.clip(samples, -1, 1))
    whole = 1 + np.log(a)
    packed = np.where(size < 1 / a, a * size, 1 + np.log(np.maximum(a * size, 1))) / whole
    packed = np.round(packed * 127) / 127 * whole
    size = np.where(packed < 1, packed / a, np.exp(packed - 1) / a)
    return (np.sign(samples) * size).astype(np.float32)


# Features


def spec_average(features: Float32, rng: Rng, width_of_60: int = 12) -> Float32:
    """SpecAverage (Cohen et al., arXiv 2110.10491): one frequency mask filled with the mean.

    The mask's width is drawn from 0 ... 12 of the paper's 60 bins (scaled to the bands here), its
    place uniformly; it spans all frames, and its value is the mean of these features. No time
    mask. Drawn anew on each call; for training only.
    """
    bands = features.shape[1]
    widest = max(1, round(width_of_60 * bands / 60))
    width = int(rng.integers(0, widest + 1))
    first = int(rng.integers(0, bands - width + 1))
    masked = features.copy()
    masked[:, first : first + width] = features.mean()
    return masked


def spec_augment(
    features: Float32,
    rng: Rng,
    frequency_share: float = 0.2,
    time_share: float = 0.1,
    masks: int = 2,
    fill: float = 0.0,
) -> Float32:
    """SpecAugment (Park et al., Interspeech 2019) without warping: frequency and time masks."""
    masked = features.copy()
    frames, bands = features.shape
    for _ in range(masks):
        width = int(rng.integers(0, max(1, int(bands * frequency_share)) + 1))
        first = int(rng.integers(0, bands - width + 1))
        masked[:, first : first + width] = fill
        width = int(rng.integers(0, max(1, int(frames * time_share)) + 1))
        first = int(rng.integers(0, frames - width + 1))
        masked[first : first + width] = fill
    return masked


def spec_mix(
    features: Float32,
    targets: Float32,
    rng: Rng,
    probability: float,
    shape_share: float = 0.4,
) -> tuple[Float32, Float32]:
    """SpecMix (Kim, Han and Ko, Interspeech 2021): bands and stretches of another recording.

    Args:
        features: a batch, float32, shape (batch, frames, bands); not changed.
        targets: shape (batch,).
        rng: draws partners and masks.
        probability: of each recording to be mixed.
        shape_share: widest mask, as a share of the bands and of the frames.

    Returns:
        Features and targets; a target is mixed by the area that each of the two has.
    """
    count, frames, bands = features.shape
    partners = rng.permutation(count)
    mixed, mixed_targets = features.copy(), targets.copy()
    for index in np.flatnonzero(rng.random(count) < probability):
        mask = np.zeros((frames, bands), bool)
        width = int(rng.integers(0, int(bands * shape_share) + 1))
        first = int(rng.integers(0, bands - width + 1))
        mask[:, first : first + width] = True
        width = int(rng.integers(0, int(frames * shape_share) + 1))
        first = int(rng.integers(0, frames - width + 1))
        mask[first : first + width] = True
        other = partners[index]
        mixed[index][mask] = features[other][mask]
        share = np.float32(mask.mean())
        mixed_targets[index] = (1 - share) * targets[index] + share * targets[other]
    return mixed, mixed_targets


def freq_mix_style(
    features: Float32, rng: Rng, probability: float, concentration: float = 0.4
) -> Float32:
    """Freq-MixStyle (Schmid et al., DCASE 2022, after Zhou et al., ICLR 2021): another's channel.

    Mean and standard deviation over time of each band say which microphone, room and codec a
    recording went through. They are moved part of the way, Beta-distributed, towards those of
    another recording of either class; what is said, and the target, stay.

    Args:
        features: a batch, float32, shape (batch, frames, bands); not changed.
        rng: draws partners and shares.
        probability: of each recording to be changed.
        concentration: both parameters of the Beta distribution.
    """
    count = len(features)
    partners = rng.permutation(count)
    moved = rng.random(count) < probability
    drawn = rng.beta(concentration, concentration, count) * moved
    share = drawn.astype(np.float32)[:, None, None]
    mean = features.mean(axis=1, keepdims=True)
    spread = features.std(axis=1, keepdims=True) + np.float32(1e-3)
    new_mean = mean + share * (mean[partners] - mean)
    new_spread = spread + share * (spread[partners] - spread)
    mixed: Float32 = (features - mean) * (new_spread / spread) + new_mean
    return mixed


def mask_features(features: Float32, settings: AugmentSettings, rng: Rng) -> Float32:
    """One window, shape (frames, bands), behind the masks that are drawn for it."""
    if rng.random() < settings.spec_average:
        features = spec_average(features, rng)
    if rng.random() < settings.spec_augment:
        features = spec_augment(features, rng, fill=float(features.mean()))
    return features


def mix_batch(
    features: Float32, targets: Float32, settings: AugmentSettings, rng: Rng
) -> tuple[Float32, Float32]:
    """A batch (see `spec_mix`) whose recordings are mixed with each other, where so set."""
    if settings.spec_mix:
        features, targets = spec_mix(features, targets, rng, settings.spec_mix)
    if settings.mix_style:
        features = freq_mix_style(features, rng, settings.mix_style)
    return features, targets


# Conditions of evaluation

REPLAY_SNR_DB = 15.0


def trial_rng(trial_id: str, purpose: str) -> Rng:
    """A generator that depends on the trial alone, so that a condition is the same every time."""
    digest = hashlib.sha256(f"{purpose}:{trial_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def condition(samples: Float32, name: str, rng: Rng, noises: Sampler | None = None) -> Float32:
    """One of the conditions that results are given for.

    Args:
        samples: float32, shape (n,), 16 kHz.
        name: "clean"; "telephone" (300 ... 3400 Hz, then A-law, mu-law, GSM or AMR-NB at 8 kHz);
            "codec" (mp3 at 32 kbit/s or opus at 16 kbit/s); "replay" (a small loudspeaker, a
            room, noise at 15 dB, a cheap microphone).
        rng: see `trial_rng`.
        noises: draws recorded noise for "replay"; None = coloured noise.

    Raises:
        ValueError: the condition is unknown.
    """
    if name == "clean":
        return samples
    if name == "telephone":
        return telephone(samples, str(rng.choice(TELEPHONE_CODECS)))
    if name == "codec":
        return transcode(samples, str(rng.choice(["mp3-32k", "opus-16k"])))
    if name == "replay":
        played = soft_clip(samples, rng.uniform(0.5, 1.5))
        played = apply_firs(played, [loudspeaker(rng), from_direct_sound(synthetic_rir(rng))])
        noise = noises(rng, len(played)) if noises else coloured_noise(rng, len(played))
        played = add_noise(played, noise, REPLAY_SNR_DB)
        return to_peak(apply_firs(played, [microphone(rng)]), -6.0)
    raise ValueError(f"condition is {name!r}; it must be one of {', '.join(CONDITIONS)}")
