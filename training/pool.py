"""Augmented windows made once, kept on disk, and varied anew in the features at every draw.

Augmenting audio costs more than a step of a small network. A pool keeps the raw log-Mel of
thousands of augmented windows; each time one is drawn it is cropped at random, filtered, and laid
under noise in the log-Mel itself, which costs a hundredth, so that no two epochs see the same.

A pool may keep the windows' audio as well: teachers (training/teach.py) hear it, and leave their
own opinion of every window beside the label.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.features import FrontEnd, finish, log_mel_db
from training.augment import AugmentSettings, Rng, mask_features, mix_batch
from training.cache import progress, write_atomically
from training.data import Batch, BatchMaker, Float32, LoaderSettings, even_weights
from training.errors import TrainingError
from training.protocols import targets

CHUNK_BATCHES = 16
FLOOR_DB = -100.0
FULL_SCALE = 32767
Thinks = Callable[[NDArray[np.float16]], Float32]
"""What was heard in windows, (windows, numbers), to a teacher's opinions, (windows, OPINIONS)."""

# What Whisper hears: so many numbers of a window, and so many of each frame of so many seconds.
HEARD_NUMBERS = 1024
FRAME_NUMBERS = 512
FRAME_S = 0.08
# A teacher's logit, and the parts of it that so many groups of what it hears give.
OPINIONS = 17
# What a chunk holds beside its windows, whatever the front end.
ORIGINS = ("targets", "sources")
# Every so many windows tell how the numbers are spread.
HEARD_STEP = 64


@dataclass(frozen=True)
class PoolSettings:
    """How large a pool is, and how its windows are varied when drawn.

    Attributes:
        windows: windows per pool; 0 = no pool, every window is augmented from audio when drawn.
        window_s: length of the windows kept, s; at least the loader's.
        seed: of the draws and augmentations; pools of different seeds differ.
        folders: further pools to draw from, made by earlier runs of the same front end.
        equaliser: chance of a random smooth frequency response, `equaliser_db` strong.
        noise: chance of a stationary noise floor, `noise_below_db` under the window's loudest.
        low_pass: chance of losing all bands above a random one, the upper half at most.
        keep_audio: keep the windows as 16-bit audio too.
        taught_share: how much of a window's target is the teacher's probability; the rest is the
            label.
        heard_weight: how much it counts, beside the loss, to tell from every frame of the network
            what Whisper hears in it: the mean squared error over its numbers, each of unit
            deviation. Only the network "tdnn" can.
        opinion_weight: how much it counts to tell from the pooled vector what a teacher thinks of
            the window: its logit, and what each part of the numbers gives to it.
        teacher: folder of that teacher.
        even_sources: draw windows so that no source of both classes is heard mostly in spoofs (see
            `data.even_weights`).
    """

    windows: int = 0
    window_s: float = 3.0
    seed: int = 1
    folders: tuple[str, ...] = ()
    equaliser: float = 0.5
    equaliser_db: float = 6.0
    noise: float = 0.4
    noise_below_db: tuple[float, float] = (25.0, 80.0)
    low_pass: float = 0.1
    keep_audio: bool = False
    taught_share: float = 0.0
    heard_weight: float = 0.0
    opinion_weight: float = 0.0
    teacher: str = ""
    even_sources: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.taught_share <= 1:
            raise ValueError(f"taught_share is {self.taught_share!r}; it must lie between 0 and 1")

    @property
    def tells(self) -> bool:
        """Whether the network tells, beside its one number, what a teacher hears or thinks."""
        return bool(self.heard_weight or self.opinion_weight)

    @property
    def opinions(self) -> int:
        """How many opinions of a teacher it tells."""
        return OPINIONS if self.opinion_weight else 0


def raw_front_end(front_end: FrontEnd) -> FrontEnd:
    """The same filters, without what `finish` does: that is done when a window is drawn."""
    return replace(front_end.with_cues(()), top_db=None, normalisation="none")


_maker: BatchMaker | None = None


def _start_worker(maker: BatchMaker) -> None:
    from threadpoolctl import threadpool_limits

    global _maker
    _maker = maker
    threadpool_limits(1)


@dataclass(frozen=True)
class Chunk:
    """Some windows of a pool.

    Attributes:
        features: raw log-Mel, float16, shape (windows, frames, bands), dB.
        targets: float32, shape (windows,).
        sources: whose they are, shape (windows,).
        audio: int16, shape (windows, samples), if it is kept.
    """

    features: NDArray[np.float16]
    targets: Float32
    sources: NDArray[np.str_]
    audio: NDArray[np.int16] | None = None


def _make_chunk(job: tuple[int, bool]) -> Chunk:
    assert _maker is not None
    return make_chunk(_maker, *job)


def make_chunk(maker: BatchMaker, index: int, keep_audio: bool = False) -> Chunk:
    """Windows of some batches; features are those of the audio that is kept, if it is."""
    front_end = raw_front_end(maker.front_end)
    features, wanted, sources, audio = [], [], [], []
    for batch in range(index * CHUNK_BATCHES, (index + 1) * CHUNK_BATCHES):
        trials = maker.draw(0, batch)
        for place, trial in enumerate(trials):
            rng = np.random.default_rng([maker.seed, 0, batch, place + 1])
            window = np.ascontiguousarray(maker.window(trial, rng), np.float32)
            if keep_audio:
                audio.append(to_16_bits(window))
                window = from_16_bits(audio[-1])
            features.append(log_mel_db(window, front_end).astype(np.float16))
        soft = [maker.soft_targets.get(t.id, hard) for t, hard in zip(trials, targets(trials))]
        wanted.append(np.array(soft, np.float32))
        sources += [trial.source for trial in trials]
    kept = np.stack(audio) if keep_audio else None
    return Chunk(np.stack(features), np.concatenate(wanted), np.array(sources), kept)


def to_16_bits(samples: Float32) -> NDArray[np.int16]:
    """Samples of -1 ... 1 as a sound card gives them; what is louder is clipped."""
    return np.rint(np.clip(samples, -1, 1) * FULL_SCALE).astype(np.int16)


def from_16_bits(samples: NDArray[np.int16]) -> Float32:
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def build_pool(folder: Path, maker: BatchMaker, settings: PoolSettings, workers: int) -> None:
    """Make the chunks that are missing; an interrupted build goes on where it stopped.

    Raises:
        TrainingError: the folder holds a pool of other settings.
    """
    loader = replace(maker.loader, window_s=settings.window_s)
    maker = replace(maker, loader=loader, seed=settings.seed)
    _claim(
        folder,
        {
            "front_end": raw_front_end(maker.front_end).to_dict(),
            "loader": asdict(maker.loader),
            "augmentation": asdict(maker.augmentation),
            "sampling": asdict(maker.sampling),
            "seed": maker.seed,
            "trials": len(maker.trials),
        },
    )
    per_chunk = CHUNK_BATCHES * loader.batch_size
    missing = [
        index
        for index in range(-(-settings.windows // per_chunk))
        if not (folder / f"{index:05d}.targets.npy").exists()
        or (settings.keep_audio and not (folder / f"{index:05d}.audio.npy").exists())
    ]
    if not missing:
        return
    if not workers:
        for index in missing:
            _write_chunk(folder, index, make_chunk(maker, index, settings.keep_audio))
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (maker,)) as pool:
        jobs = [(index, settings.keep_audio) for index in missing]
        for index, chunk in zip(missing, pool.map(_make_chunk, jobs)):
            _write_chunk(folder, index, chunk)


def refilter(folder: Path, audio_of: Path, front_end: FrontEnd) -> None:
    """The windows of another pool through another front end; what is there already stays.

    They were augmented once, so that nothing but the front end differs between the two.

    Args:
        folder: of the pool to make.
        audio_of: pool that keeps its audio.
        front_end: what the features are made with.

    Raises:
        TrainingError: `audio_of` holds no pool or no audio, or `folder` a pool of other settings.
    """
    raw = raw_front_end(front_end)
    description = {**_description(audio_of), "front_end": raw.to_dict()}
    stems = heard_stems(audio_of)
    _claim(folder, description)
    missing = [stem for stem in stems if not (folder / f"{stem}.targets.npy").exists()]
    for stem in progress(missing, len(missing), "features", "chunk"):
        audio = np.load(audio_of / f"{stem}.audio.npy")
        features = [log_mel_db(from_16_bits(window), raw).astype(np.float16) for window in audio]
        targets, sources = (np.load(audio_of / f"{stem}.{kind}.npy") for kind in ORIGINS)
        _write_chunk(folder, int(stem), Chunk(np.stack(features), targets, sources))


def _claim(folder: Path, description: Mapping[str, Any]) -> None:
    """Say in a pool's folder what it is made with.

    Raises:
        TrainingError: it says something else.
    """
    path = folder / "pool.json"
    text = json.dumps(description, indent=2)
    if path.exists():
        # A step that came after a pool was made is off by default, as it was then.
        defaults = json.loads(json.dumps(asdict(AugmentSettings())))
        there, wanted = _description(folder), json.loads(text)
        for one in (there, wanted):
            one["augmentation"] = defaults | one["augmentation"]
        if there != wanted:
            raise TrainingError(f"{folder} holds a pool of other settings; choose another cache")
    write_atomically(path, lambda file: file.write(text.encode()))


def _write_chunk(folder: Path, index: int, chunk: Chunk) -> None:
    # The targets last: with them a chunk counts as made.
    write_array(folder / f"{index:05d}.features.npy", chunk.features)
    write_array(folder / f"{index:05d}.sources.npy", chunk.sources)
    if chunk.audio is not None:
        write_array(folder / f"{index:05d}.audio.npy", chunk.audio)
    write_array(folder / f"{index:05d}.targets.npy", chunk.targets)


def write_array(path: Path, array: NDArray[Any]) -> None:
    write_atomically(path, lambda file: np.save(file, array))


class PoolLoader:
    """Batches drawn from pools: half of each class, cropped and varied; same place as `Loader`.

    With a `teacher` its opinions of a window follow its target, and with
    `heard_weight` what Whisper hears in it, frame by frame: (batch, 1 + opinions + frames *
    numbers). Crops begin where one of those frames does.
    Of the augmentations those of features are made here, those of audio when a pool is built.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        front_end: FrontEnd,
        loader: LoaderSettings,
        settings: PoolSettings,
        augmentation: AugmentSettings,
        spoof_share: float,
        seed: int,
        teacher: Thinks | None = None,
    ) -> None:
        self._front_end = front_end
        self._loader = loader
        self._settings = settings
        self._augmentation = augmentation
        self._spoof_share = spoof_share
        self._seed = seed
        self._frames = front_end.frame_count(round(loader.window_s * front_end.sample_rate_hz))
        self._chunks, labels, self._targets = _open_pools(folders, front_end, settings.taught_share)
        self._heard = (
            _Heard(folders, front_end, self._frames) if settings.heard_weight else None
        )
        self._opinions = _opinions(folders, teacher) if teacher else None
        flat = np.concatenate(labels)
        places = [(c, w) for c, part in enumerate(self._targets) for w in range(len(part))]
        self._places = np.array(places)
        self._sides = (np.flatnonzero(flat < 0.5), np.flatnonzero(flat >= 0.5))
        self._weights = (
            even_weights(pool_sources(folders), flat >= 0.5) if settings.even_sources else None
        )

    def epoch(self, number: int) -> Iterator[Batch]:
        """All batches of one epoch."""
        rng = np.random.default_rng([self._seed, number])
        spoofs = round(self._loader.batch_size * self._spoof_share)
        counts = (self._loader.batch_size - spoofs, spoofs)
        total = self._loader.batches_per_epoch
        streams = [self._stream(side, count * total, rng)
                   for side, count in zip(self._sides, counts)]
        for index in range(total):
            chosen = np.concatenate(
                [s[index * n : (index + 1) * n] for s, n in zip(streams, counts)]
            )
            yield self._batch(chosen, rng)

    def _stream(self, side: NDArray[np.int64], count: int, rng: Rng) -> NDArray[np.int64]:
        if self._weights is None:
            return _endless(side, count, rng)
        return weighted_places(side, self._weights[side], count, rng)

    def _batch(self, chosen: NDArray[np.int64], rng: Rng) -> Batch:
        features, wanted, begins = [], [], []
        step = self._heard.step if self._heard else 1
        for chunk, window in self._places[chosen]:
            stored = self._chunks[chunk][window]
            first = step * int(rng.integers(0, (len(stored) - self._frames) // step + 1))
            begins.append(first // step)
            decibels = stored[first : first + self._frames].astype(np.float32)
            features.append(self._varied(decibels, rng))
            wanted.append(self._targets[chunk][window])
        batch, soft = mix_batch(
            np.stack(features), np.array(wanted, np.float32), self._augmentation, rng
        )
        soft = soft[:, None]
        if self._opinions is not None:
            told = [self._opinions[chunk][window] for chunk, window in self._places[chosen]]
            soft = np.concatenate([soft, np.stack(told)], axis=1)
        if self._heard is not None:
            soft = np.concatenate([soft, self._heard(self._places[chosen], begins)], axis=1)
        return batch[..., None], soft

    def _varied(self, decibels: Float32, rng: Rng) -> Float32:
        features = finish(vary(decibels, self._settings, rng), self._front_end)
        return mask_features(features, self._augmentation, rng)

    def close(self) -> None:
        self._chunks = []

    def __enter__(self) -> PoolLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of numbers, each of shape (numbers,)."""

    mean: Float32
    deviation: Float32

    @classmethod
    def of(cls, numbers: Float32) -> Scale:
        """The scale of what was heard, float32, shape (windows, numbers)."""
        return cls(numbers.mean(0), numbers.std(0) + np.float32(1e-3))

    def standard(self, numbers: NDArray[np.floating]) -> Float32:
        """Numbers of mean 0 and deviation 1, float32, of the same shape."""
        standard: Float32 = (numbers.astype(np.float32) - self.mean) / self.deviation
        return standard


class _Heard:
    """What Whisper hears in windows of pools, each number of mean 0 and deviation 1."""

    def __init__(self, folders: Sequence[Path], front_end: FrontEnd, frames: int) -> None:
        self._chunks = [
            heard(folder, stem, "frames") for folder in folders for stem in chunk_stems(folder)
        ]
        self.step = round(FRAME_S * front_end.sample_rate_hz / front_end.frame_hop)
        # As the network rounds: up at its stride, down at its pooling by two.
        self._count = -(-frames // (self.step // 2)) // 2
        some = np.concatenate([chunk[::HEARD_STEP] for chunk in self._chunks]).astype(np.float32)
        # Whisper adds to each frame where in the window it lies: every place has a mean of its own.
        self._mean = some.mean(0)
        self._deviation = (some - self._mean).std((0, 1)) + np.float32(1e-3)

    def __call__(self, places: NDArray[np.int64], begins: Sequence[int]) -> Float32:
        """Shape (windows, frames * numbers), of windows cropped at these of Whisper's frames."""
        numbers = np.empty((len(places), self._count, FRAME_NUMBERS), np.float32)
        for row, (chunk, window), begin in zip(numbers, places, begins):
            crop = slice(begin, begin + self._count)
            row[:] = (self._chunks[chunk][window, crop] - self._mean[crop]) / self._deviation
        return numbers.reshape(len(places), -1)


def _opinions(folders: Sequence[Path], teacher: Thinks) -> list[Float32]:
    """Of each chunk what a teacher thinks of its windows, each number of mean 0 and deviation 1."""
    chunks = [
        teacher(heard(folder, stem)) for folder in folders for stem in chunk_stems(folder)
    ]
    scale = Scale.of(np.concatenate(chunks))
    return [scale.standard(chunk) for chunk in chunks]


def _endless(side: NDArray[np.int64], count: int, rng: Rng) -> NDArray[np.int64]:
    """So many places of one class in random order, each as often as any other, give or take 1."""
    rounds = -(-count // len(side))
    return np.concatenate([rng.permutation(side) for _ in range(rounds)])[:count]


def weighted_places(
    side: NDArray[np.int64], weights: NDArray[np.float64], count: int, rng: Rng
) -> NDArray[np.int64]:
    """So many places in random order, each as often as its weight says, give or take 1."""
    upto = np.cumsum(weights)
    marks = (np.arange(count) + rng.random()) / count * upto[-1]
    return rng.permutation(side[np.searchsorted(upto, marks, side="right").clip(0, len(side) - 1)])


def pool_sources(folders: Sequence[Path]) -> NDArray[np.str_]:
    """Whose every window of some pools is.

    Raises:
        TrainingError: a pool was made before that was kept.
    """
    parts = []
    for folder in folders:
        for stem in chunk_stems(folder):
            path = folder / f"{stem}.sources.npy"
            if not path.exists():
                raise TrainingError(
                    f"the pool in {folder} does not tell whose its windows are; make it anew, or "
                    "train with pool.even_sources=false"
                )
            parts.append(np.load(path))
    return np.concatenate(parts)


def _open_pools(
    folders: Sequence[Path], front_end: FrontEnd, taught_share: float
) -> tuple[list[NDArray[np.float16]], list[Float32], list[Float32]]:
    """Features, labels and targets of all chunks."""
    chunks, labels = open_chunks(folders, front_end)
    stems = [(folder, stem) for folder in folders for stem in chunk_stems(folder)]
    wanted = [
        _targets(folder, stem, own, taught_share) for (folder, stem), own in zip(stems, labels)
    ]
    return chunks, labels, wanted


def open_chunks(
    folders: Sequence[Path], front_end: FrontEnd
) -> tuple[list[NDArray[np.float16]], list[Float32]]:
    """Raw features, float16, (windows, frames, bands), and labels, (windows,), of all chunks.

    Raises:
        TrainingError: a folder holds no pool, or one of another front end, or none holds windows.
    """
    chunks, labels = [], []
    for folder in folders:
        refuse_other_front_end(folder, front_end)
        for stem in chunk_stems(folder):
            labels.append(np.load(folder / f"{stem}.targets.npy"))
            chunks.append(np.load(folder / f"{stem}.features.npy", mmap_mode="r"))
    if not chunks:
        raise TrainingError("the pools are empty")
    return chunks, labels


def refuse_other_front_end(folder: Path, front_end: FrontEnd) -> None:
    """Refuse a pool that was made with another one; cues do not count.

    Raises:
        TrainingError: it was, or the folder holds no pool.
    """
    if pool_front_end(folder) != raw_front_end(front_end):
        raise TrainingError(f"the pool in {folder} was made with another front end")


def pool_front_end(folder: Path) -> FrontEnd:
    """What a pool was made with.

    Raises:
        TrainingError: the folder holds no pool, or this version has no such front end.
    """
    try:
        return FrontEnd.from_dict(_description(folder)["front_end"])
    except ValueError as error:
        raise TrainingError(
            f"the pool in {folder} was made with another front end: {error}"
        ) from None


def _description(folder: Path) -> dict[str, Any]:
    """What a pool says that it was made with.

    Raises:
        TrainingError: the folder holds no pool.
    """
    path = folder / "pool.json"
    if not path.exists():
        raise TrainingError(f"{folder} holds no pool")
    description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return description


def finished(chunk: NDArray[np.float16], front_end: FrontEnd) -> Float32:
    """Features of a chunk as a network takes them: float32, shape (windows, frames, bands)."""
    return np.stack([finish(raw.astype(np.float32), front_end) for raw in chunk])


def chunk_stems(folder: Path) -> list[str]:
    """Names of a pool's chunks, in order: each file is called NAME.something.npy."""
    return sorted(path.name.split(".")[0] for path in folder.glob("*.targets.npy"))


def heard_stems(folder: Path) -> list[str]:
    """Names of a pool's chunks, all of which hold audio.

    Raises:
        TrainingError: one does not, or there is none.
    """
    stems = chunk_stems(folder)
    if not stems or any(not (folder / f"{stem}.audio.npy").exists() for stem in stems):
        raise TrainingError(
            f"the pool in {folder} holds no audio; make it with pool.keep_audio"
        )
    return stems


def chunks_without(kind: str, pools: Sequence[Path]) -> list[tuple[Path, str]]:
    """Folder and name of the chunks that have audio and no NNNNN.KIND.npy yet.

    Raises:
        TrainingError: a pool holds no audio.
    """
    return [
        (pool, stem)
        for pool in pools
        for stem in heard_stems(pool)
        if not (pool / f"{stem}.{kind}.npy").exists()
    ]


def heard(pool: Path, stem: str, kind: str = "heard") -> NDArray[np.float16]:
    """What Whisper heard in a chunk of a pool, float16.

    Shape (windows, numbers), or with kind "frames" (windows, frames, numbers).

    Raises:
        TrainingError: it has not heard it yet.
    """
    path = pool / f"{stem}.{kind}.npy"
    if not path.exists():
        raise TrainingError(f"Whisper has not heard {pool}: run `earwitness-train hear {pool}`")
    numbers: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return numbers


def _targets(folder: Path, stem: str, labels: Float32, taught_share: float) -> Float32:
    if not taught_share:
        return labels
    path = folder / f"{stem}.taught.npy"
    if not path.exists():
        raise TrainingError(
            f"no teacher has heard the pool in {folder}: make it with pool.keep_audio, then run "
            f"`earwitness-train teach {folder} --by RUN`"
        )
    mixed: Float32 = (1 - taught_share) * labels + np.float32(taught_share) * np.load(path)
    return mixed


def vary(decibels: Float32, settings: PoolSettings, rng: Rng) -> Float32:
    """A cheap channel in the log-Mel: response, low-pass and noise floor, drawn at random.

    Args:
        decibels: raw log-Mel, float32, shape (frames, bands), dB; not changed.
        settings: chances and ranges.
        rng: every draw comes from it.

    Returns:
        float32, same shape.
    """
    frames, bands = decibels.shape
    out = decibels.copy()
    if rng.random() < settings.equaliser:
        out += random_response(bands, settings.equaliser_db, rng)
    if rng.random() < settings.low_pass:
        out[:, int(rng.integers(bands // 2, bands)) :] = FLOOR_DB
    if rng.random() < settings.noise:
        loudest = float(out.max())
        floor_db = loudest - rng.uniform(*settings.noise_below_db)
        tilt = np.linspace(0, rng.uniform(-20, 5), bands, dtype=np.float32)
        # Power of a noise band with few degrees of freedom, hence the spread of some dB.
        noise = floor_db + tilt + rng.normal(0, 2.5, (frames, bands)).astype(np.float32)
        out = np.float32(10 / np.log(10)) * np.logaddexp(
            out * np.float32(np.log(10) / 10), noise * np.float32(np.log(10) / 10)
        )
    return out


def random_response(bands: int, strength_db: float, rng: Rng, knots: int = 6) -> Float32:
    """A smooth random frequency response: shape (bands,), dB."""
    heights = rng.normal(0, strength_db / 2, knots).clip(-strength_db, strength_db)
    smooth = np.interp(np.linspace(0, knots - 1, bands), np.arange(knots), heights)
    return smooth.astype(np.float32)
