"""What a network hears: log-Mel features, in whole windows or sliding, with numpy and an FFT. Pure.

Training and device call this very code; its settings travel in the model's bundle. The numbers are
those of librosa's `feature.melspectrogram` followed by `power_to_db` (McFee et al., SciPy 2015).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.cues import CUES, Cue, CueStream
from edge.fft import rfft
from edge.sliding import RATE_HZ, Frames, overlapping

Float32 = NDArray[np.float32]

FILTERBANKS = ("slaney", "linear")
NORMALISATIONS = ("none", "mean", "mean-variance", "band-mean")

# Part of every fingerprint: raise it when the numbers that this module computes change.
FEATURES_VERSION = 1

# Mel filters overlap only their neighbours, so each group of bands needs a narrow run of FFT bins.
# Sixteen is the width that the kernels of BLAS are built for: fewer waste it, more waste zeros.
BANDS_AT_ONCE = 16

# Frames are transformed so many samples at a time: few enough for samples and spectrum to stay in
# a second-level cache of 1 MB (that of a Cortex-A72), enough for the calls to cost little.
SAMPLES_AT_ONCE = 2**16

MEAN_VARIANCE_FLOOR_DB = 1e-3
MOST_FFT = 2**16


@dataclass(frozen=True)
class FrontEnd:
    """Settings that turn samples into features. The defaults are the baseline's.

    Attributes:
        sample_rate_hz: rate of the samples, Hz.
        n_fft: length of the FFT, samples.
        win_length: length of the Hann window, samples; centred in `n_fft`.
        frame_hop: samples between frames.
        n_bands: number of filters.
        fmin_hz, fmax_hz: frequency range of the filterbank, Hz.
        filterbank: "slaney" (mel, area-normalised, as librosa) or "linear" (equal triangles).
        center: frames are centred on multiples of the hop, the window's ends padded with zeros
            (librosa's default). Without it frames lie wholly inside the window.
        power_floor: smallest power, before decibels (`amin`).
        top_db: values this far below the window's maximum are raised to that level; None = never.
        normalisation: "none"; "mean" (subtract the window's mean); "mean-variance" (then divide by
            its standard deviation); "band-mean" (subtract each band's own mean over the window).
        modulation: after the frames come rows of cues, among them how a voice's envelopes move (see
            `edge.modulation`); `sample_rate_hz` must be 16000.
        tones: among them are tones that a synthesiser leaves (see `edge.tones`); likewise.
        cepstral_modulation: among them is how fast it articulates (see `edge.cepstral_modulation`);
            likewise, and `frame_hop` must be 40 to 320.
    """

    sample_rate_hz: int = 16000
    n_fft: int = 2048
    win_length: int = 2048
    frame_hop: int = 512
    n_bands: int = 40
    fmin_hz: float = 0.0
    fmax_hz: float = 8000.0
    filterbank: str = "slaney"
    center: bool = True
    power_floor: float = 1e-10
    top_db: float | None = 80.0
    normalisation: str = "none"
    modulation: bool = False
    tones: bool = False
    cepstral_modulation: bool = False

    def __post_init__(self) -> None:
        if self.filterbank not in FILTERBANKS:
            raise ValueError(
                f"filterbank is {self.filterbank!r}; it must be one of {', '.join(FILTERBANKS)}"
            )
        if self.normalisation not in NORMALISATIONS:
            raise ValueError(
                f"normalisation is {self.normalisation!r}; "
                f"it must be one of {', '.join(NORMALISATIONS)}"
            )
        for name in ("sample_rate_hz", "n_fft", "win_length", "frame_hop", "n_bands"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
        # What is unbounded could take all memory, and a bundle's manifest may ask for it.
        if self.n_fft > MOST_FFT or self.n_bands > self.n_fft:
            raise ValueError(
                f"n_fft {self.n_fft} must be at most {MOST_FFT}, and n_bands {self.n_bands} at "
                "most n_fft"
            )
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is longer than n_fft {self.n_fft}")
        if not 0 <= self.fmin_hz < self.fmax_hz <= self.sample_rate_hz / 2:
            raise ValueError(
                f"fmin_hz {self.fmin_hz} and fmax_hz {self.fmax_hz} must lie in order "
                f"between 0 and {self.sample_rate_hz / 2}"
            )
        if not self.power_floor > 0:
            raise ValueError(f"power_floor is {self.power_floor!r}; it must be above 0")
        if self.top_db is not None and not self.top_db > 0:
            raise ValueError(f"top_db is {self.top_db!r}; it must be above 0, or null")
        for cue in self.cues:
            if self.sample_rate_hz != RATE_HZ:
                raise ValueError(
                    f"sample_rate_hz is {self.sample_rate_hz}; {cue.name} is measured at "
                    f"{RATE_HZ}"
                )
            least, most = cue.frame_hops
            if not least <= self.frame_hop <= most:
                raise ValueError(
                    f"frame_hop is {self.frame_hop}; with {cue.name} it must lie between {least} "
                    f"and {most}"
                )

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> FrontEnd:
        """Build from JSON.

        Raises:
            ValueError: a setting is unknown, missing or out of range.
        """
        known = {field.name for field in fields(cls)}
        if odd := sorted((set(settings) ^ known) - ({cue.name for cue in CUES} - set(settings))):
            names = ", ".join(odd)
            raise ValueError(f"front-end settings unknown to this version or missing: {names}")
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """Settings as JSON can hold them.

        Those of a front end without a cue are as they were before there was any.
        """
        settings = asdict(self)
        for cue in CUES:
            if not settings[cue.name]:
                del settings[cue.name]
        return settings

    def fingerprint(self) -> str:
        """SHA-256 over the settings and the version of this code: features agree iff it does."""
        versions = {"version": FEATURES_VERSION}
        versions |= {f"{cue.name}_version": cue.version for cue in self.cues}
        text = json.dumps({**versions, **self.to_dict()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def frame_count(self, window_samples: int) -> int:
        """Number of frames in a window of so many samples."""
        padded = window_samples + (self.n_fft // 2 * 2 if self.center else 0)
        return max(0, 1 + (padded - self.n_fft) // self.frame_hop)

    def row_count(self, window_samples: int) -> int:
        """Number of rows in such a window's features: its frames, and what comes after them."""
        return self.frame_count(window_samples) + self.cue_rows

    def with_cues(self, cues: Sequence[Cue]) -> FrontEnd:
        """The same, which hears these cues and no other.

        Raises:
            ValueError: a cue cannot be measured with these settings.
        """
        heard = {cue.name: cue in cues for cue in CUES}
        return FrontEnd.from_dict({**asdict(self), **heard})

    @property
    def cues(self) -> tuple[Cue, ...]:
        """What is heard beside the spectrum."""
        return tuple(cue for cue in CUES if getattr(self, cue.name))

    def cue_stream(self) -> CueStream:
        """What measures these in a sliding window."""
        return CueStream(self.cues, self.frames)

    @property
    def frames(self) -> Frames:
        """What the frames are made of."""
        bands_hz = tuple(band_edges_hz(self)[1:-1].tolist())
        return Frames(self.n_fft, self.frame_hop, bands_hz, self.center)

    @property
    def cue_rows(self) -> int:
        """How many rows the cues take."""
        return -(-sum(cue.count for cue in self.cues) // self.n_bands)


def hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above."""
    linear = hz * 3 / 200
    with np.errstate(divide="ignore"):
        logarithmic = 15 + np.log(hz / 1000) / (np.log(6.4) / 27)
    return np.where(hz >= 1000, logarithmic, linear)


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `hz_to_mel`."""
    return np.where(mel >= 15, 1000 * np.exp((mel - 15) * (np.log(6.4) / 27)), mel * 200 / 3)


def band_edges_hz(front_end: FrontEnd) -> NDArray[np.float64]:
    """Corner frequencies of the triangles, Hz, shape (n_bands + 2,)."""
    limits = np.array([front_end.fmin_hz, front_end.fmax_hz])
    if front_end.filterbank == "linear":
        return np.linspace(limits[0], limits[1], front_end.n_bands + 2)
    low, high = hz_to_mel(limits)
    return mel_to_hz(np.linspace(low, high, front_end.n_bands + 2))


def filterbank(front_end: FrontEnd) -> Float32:
    """Triangular filters of unit area (Slaney's normalisation), as `librosa.filters.mel`.

    Returns:
        float32, shape (n_bands, n_fft // 2 + 1).
    """
    bins = np.fft.rfftfreq(front_end.n_fft, 1 / front_end.sample_rate_hz)
    edges = band_edges_hz(front_end)
    widths = np.diff(edges)
    ramps = edges[:, None] - bins
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    weights = np.maximum(0, np.minimum(rising, falling))
    weights *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return weights.astype(np.float32)


@dataclass(frozen=True)
class _BandGroup:
    """Neighbouring bands with the only FFT bins that they read."""

    bands: slice
    parts: slice  # of a spectrum laid out real, imaginary, real, imaginary ...
    weights: Float32  # (parts, bands)


@dataclass(frozen=True)
class _Tables:
    window: Float32  # (n_fft,)
    groups: tuple[_BandGroup, ...]


@lru_cache(maxsize=8)
def _tables(front_end: FrontEnd) -> _Tables:
    """Constants of a front end, made once."""
    before = (front_end.n_fft - front_end.win_length) // 2
    # Periodic Hann, as scipy.signal.get_window("hann"), whose import costs a second on a Pi.
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(front_end.win_length) / front_end.win_length)
    window = np.zeros(front_end.n_fft, np.float32)
    window[before : before + front_end.win_length] = hann
    weights = filterbank(front_end)
    groups = []
    for start in range(0, front_end.n_bands, BANDS_AT_ONCE):
        bands = slice(start, min(start + BANDS_AT_ONCE, front_end.n_bands))
        rows = weights[bands]
        used = np.flatnonzero(rows.any(axis=0))
        first, last = (int(used[0]), int(used[-1])) if len(used) else (0, 0)
        # Each weight stands twice, for the squares of the real and of the imaginary part: the
        # product then adds them up too, which costs less than a pass over every other number.
        weights_of_parts = np.repeat(rows[:, first : last + 1].T, 2, axis=0)
        groups.append(
            _BandGroup(
                bands, slice(2 * first, 2 * last + 2), np.ascontiguousarray(weights_of_parts)
            )
        )
    return _Tables(window, tuple(groups))


def _padded(samples: Float32, begin: int, end: int) -> Float32:
    """Samples begin ... end - 1, zeros where there are none; contiguous."""
    span = samples[max(0, begin) : min(len(samples), end)]
    if len(span) == end - begin:
        return np.ascontiguousarray(span)
    padded = np.zeros(end - begin, np.float32)
    before = max(0, -begin)
    padded[before : before + len(span)] = span
    return padded


def _decibels(samples: Float32, front_end: FrontEnd, first: int, count: int) -> Float32:
    """Log power of `count` frames from `first` on, before top_db; shape (count, bands)."""
    offset = front_end.n_fft // 2 if front_end.center else 0
    begin = first * front_end.frame_hop - offset
    span = _padded(samples, begin, begin + (count - 1) * front_end.frame_hop + front_end.n_fft)
    frames = overlapping(span, (count, front_end.n_fft), (front_end.frame_hop,))
    bands = _band_power(frames, front_end)
    np.clip(bands, front_end.power_floor, np.inf, out=bands)  # a third of what `maximum` takes
    np.log(bands, out=bands)
    bands *= np.float32(10 / np.log(10))
    return bands


def _band_power(frames: Float32, front_end: FrontEnd) -> Float32:
    """Power per band of frames of shape (count, n_fft); shape (count, bands)."""
    tables = _tables(front_end)
    at_once = max(1, SAMPLES_AT_ONCE // front_end.n_fft)
    windowed = np.empty((min(at_once, len(frames)), front_end.n_fft), np.float32)
    bands = np.empty((len(frames), front_end.n_bands), np.float32)
    for start in range(0, len(frames), at_once):
        some = frames[start : start + at_once]
        np.multiply(some, tables.window, out=windowed[: len(some)])
        parts = rfft(windowed[: len(some)]).view(np.float32)
        np.square(parts, out=parts)
        for group in tables.groups:
            out = bands[start : start + at_once, group.bands]
            np.matmul(parts[:, group.parts], group.weights, out=out)
    return bands


def finish(
    decibels: Float32, front_end: FrontEnd, cues: Float32 = np.empty(0, np.float32)
) -> Float32:
    """What depends on the whole window: `top_db`, then normalisation, then the cues.

    Args:
        decibels: raw log-Mel of one window, shape (frames, bands), dB; not changed.
        front_end: settings.
        cues: their numbers, shape (n,).

    Returns:
        float32, shape (rows, bands): the frames, and after them the numbers of cues in as many rows
        as they need, filled up with zeros.
    """
    frames, bands = decibels.shape
    features = np.empty((frames - (-len(cues) // bands), bands), np.float32)
    made = features[:frames]
    floor = -np.inf if front_end.top_db is None else decibels.max() - np.float32(front_end.top_db)
    np.clip(decibels, np.float32(floor), np.float32(np.inf), out=made)  # as in `_decibels`
    if front_end.normalisation == "band-mean":
        made -= made.mean(axis=0, dtype=np.float32)
    if front_end.normalisation in ("mean", "mean-variance"):
        made -= np.einsum("fb->", made) / np.float32(made.size)  # a third of what `mean` takes
    if front_end.normalisation == "mean-variance":
        made /= np.maximum(made.std(dtype=np.float32), np.float32(MEAN_VARIANCE_FLOOR_DB))
    rest = features[frames:].reshape(-1)
    rest[: len(cues)], rest[len(cues) :] = cues, 0
    return features


def log_mel_db(samples: Float32, front_end: FrontEnd) -> Float32:
    """Raw log-Mel of one window, before `finish`: float32, shape (frames, bands), dB.

    Raises:
        ValueError: the samples are not one-dimensional float32, or hold less than one frame.
    """
    if samples.ndim != 1 or samples.dtype != np.float32:
        raise ValueError(
            f"log-Mel takes one-dimensional float32 samples, not {samples.dtype} {samples.shape}"
        )
    count = front_end.frame_count(len(samples))
    if count < 1:
        raise ValueError(f"{len(samples)} samples hold no frame of {front_end.n_fft}")
    return _decibels(samples, front_end, 0, count)


def log_mel(samples: Float32, front_end: FrontEnd) -> Float32:
    """Log-Mel features of one window.

    Args:
        samples: float32, shape (n,), at `front_end.sample_rate_hz`.
        front_end: settings.

    Returns:
        float32, shape (frames, bands), dB (or normalised as the settings say).

    Raises:
        ValueError: the samples are not one-dimensional float32, or hold less than one frame.
    """
    return finish(log_mel_db(samples, front_end), front_end)


def window_features(samples: Float32, front_end: FrontEnd) -> Float32:
    """All that a network hears of one window.

    Args:
        samples: float32, shape (n,), at `front_end.sample_rate_hz`.
        front_end: settings.

    Returns:
        float32, shape (rows, bands): `log_mel`, and after it the cues if there are any.

    Raises:
        ValueError: as `log_mel` and `CueStream.numbers`.
    """
    decibels = log_mel_db(samples, front_end)
    numbers = front_end.cue_stream().numbers(samples, decibels, 0)
    return finish(decibels, front_end, numbers)


class LogMelStream:
    """Raw log-Mel of a sliding window, computing only the frames that the last one did not have.

    Frames are shared when the window slides by a multiple of the frame hop; by any other amount
    they lie on another grid, and the whole window is computed. The frames that `center` pads with
    zeros at the window's two ends belong to that window alone and are never shared.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        self._last: Float32 | None = None
        reach = front_end.n_fft // 2 if front_end.center else 0
        self._edge_frames = -(-reach // front_end.frame_hop)

    def reset(self) -> None:
        """Forget the last window: the next one does not overlap it."""
        self._last = None

    def window_db(self, samples: Float32, slid_samples: int) -> Float32:
        """Raw log-Mel, equal to `log_mel_db(samples, front_end)`.

        Args:
            samples: the window, float32, shape (window_samples,), of the same length each time.
            slid_samples: how far it starts after the window of the last call; ignored when there
                was none since `reset`.

        Returns:
            float32, shape (frames, bands), dB. The array is the caller's to read until the next
            call, which builds on it; it must not be changed.
        """
        front_end = self._front_end
        count = front_end.frame_count(len(samples))
        slid_frames, off_grid = divmod(slid_samples, front_end.frame_hop)
        kept = count - slid_frames - 2 * self._edge_frames
        if self._last is None or off_grid or kept <= 0 or slid_frames < 0:
            self._last = log_mel_db(samples, front_end)
            return self._last
        edge = self._edge_frames
        decibels = np.empty_like(self._last)
        shared = slice(edge, edge + kept)
        decibels[shared] = self._last[edge + slid_frames : edge + slid_frames + kept]
        if edge:
            decibels[:edge] = _decibels(samples, front_end, 0, edge)
        first_new = edge + kept
        decibels[first_new:] = _decibels(samples, front_end, first_new, count - first_new)
        self._last = decibels
        return decibels
