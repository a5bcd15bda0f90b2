"""Batches for training: balanced draws, random crops, augmentation, log-Mel.

A batch is a function of (seed, epoch, index) alone: with any number of worker processes, and after
any interruption, the same batches come.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process

import numpy as np
from numpy.typing import NDArray

from edge.features import FrontEnd, log_mel
from edge.windows import fit_window
from training.augment import (
    AugmentSettings,
    Rng,
    augment,
    mask_features,
    mix_batch,
    samples_needed,
)
from training.cache import WaveCache
from training.protocols import Clip, Trial, targets

Float32 = NDArray[np.float32]
Batch = tuple[Float32, Float32]
PREFETCH_PER_WORKER = 3
# glibc's <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 1 << 30


@dataclass(frozen=True)
class SamplingSettings:
    """How often each clip is drawn.

    Attributes:
        spoof_share: share of spoof windows in every batch.
        group_power: a group (generator of spoofs, source of bona fide speech) of n clips weighs
            n ** group_power; 0 = all groups alike, 1 = all clips alike.
        group_cap: clips beyond this many add no weight to their group.
        max_source_share: no source gives more than this share of its class.
        min_seconds: shorter clips are not drawn, s.
        favoured_sources: of bona fide speech, that give `favoured_share` of its windows together.
            Spoofs imitate the corpora that synthesisers are trained on; where most human speech
            is of other kinds, a network learns those recordings for a sign of synthesis.
        favoured_share: above 0 and below 1.
    """

    spoof_share: float = 0.5
    group_power: float = 0.5
    group_cap: int = 500
    max_source_share: float = 0.15
    min_seconds: float = 0.5
    favoured_sources: tuple[str, ...] = ()
    favoured_share: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "favoured_sources", tuple(self.favoured_sources))
        for name in ("spoof_share", "favoured_share"):
            share = getattr(self, name)
            if not 0 < share < 1:
                raise ValueError(f"{name} is {share!r}; it must lie between 0 and 1")
        if not 0 < self.max_source_share <= 1:
            raise ValueError(
                f"max_source_share is {self.max_source_share!r}; it must lie between 0 and 1"
            )


def cap_shares(shares: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Shares of sum 1 with none above the limit; those below it keep their proportions.

    Args:
        shares: positive, shape (n,), sum 1.
        limit: at least 1 / n.
    """
    capped = np.zeros(len(shares), bool)
    while not capped.all():
        free = 1 - limit * capped.sum()
        scaled = shares * (free / shares[~capped].sum())
        over = ~capped & (scaled > limit)
        if not over.any():
            return np.where(capped, limit, scaled)
        # Turning one source down raises the others' shares, hence another round.
        capped |= over
    return np.full(len(shares), 1 / len(shares))


def clip_weights(trials: Sequence[Trial], settings: SamplingSettings) -> NDArray[np.float64]:
    """Chance of each trial of one class to be the next one drawn; shape (trials,), sum 1."""
    groups = [trial.generator or trial.source for trial in trials]
    sizes = Counter(groups)
    weights = np.array(
        [min(sizes[g], settings.group_cap) ** settings.group_power / sizes[g] for g in groups]
    )
    weights /= weights.sum()
    names, where = np.unique([trial.source for trial in trials], return_inverse=True)
    limit = max(settings.max_source_share, 1 / len(names))
    shares = np.bincount(where, weights).astype(np.float64)
    factors: NDArray[np.float64] = cap_shares(shares, limit) / shares
    return weights * factors[where]


def favour(
    weights: NDArray[np.float64], trials: Sequence[Trial], settings: SamplingSettings
) -> NDArray[np.float64]:
    """Weights of bona fide trials with the favoured sources' at their share; shape (trials,).

    Within the favoured, and within the rest, the proportions stay. Where all or none are to be
    favoured, the weights are returned as they are.

    Raises:
        ValueError: sources are named, but no trial is of any of them.
    """
    favoured = np.isin([trial.source for trial in trials], settings.favoured_sources)
    if settings.favoured_sources and not favoured.any():
        raise ValueError(
            "no bona fide clip to train on is of a favoured source: "
            f"{', '.join(settings.favoured_sources)}"
        )
    if favoured.all() or not favoured.any():
        return weights
    shares = np.where(favoured, settings.favoured_share, 1 - settings.favoured_share)
    sums = np.where(favoured, weights[favoured].sum(), weights[~favoured].sum())
    return weights * shares / sums


MOST_EVENED = 4.0


def even_weights(sources: NDArray[np.str_], spoof: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights of windows with which no source of both classes is heard mostly in spoofs.

    A source that gives more of the spoofs than of the human speech tells a spoof by its sound.
    Where it has both, their shares become the geometric mean of what they were; no window counts
    for more than `MOST_EVENED` times as much as before, or as little. Sources of one class, and
    those that give more of the human speech, keep their weight: evened as well, they made a network
    unsure of people whom it had been trained on. By them the shares still differ once each class
    has mean 1.

    Args:
        sources: of each window, shape (windows,).
        spoof: its class, shape (windows,).

    Returns:
        Shape (windows,), of mean 1 in either class.
    """
    names, where = np.unique(sources, return_inverse=True)
    counts = np.stack([np.bincount(where[spoof == side], minlength=len(names))
                       for side in (False, True)])
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    uneven = (counts > 0).all(0) & (shares[1] > shares[0])
    middle = np.sqrt(shares.prod(0))
    factors = np.where(uneven, middle / np.where(counts > 0, shares, 1), 1.0)
    factors = factors.clip(1 / MOST_EVENED, MOST_EVENED)
    weights: NDArray[np.float64] = factors[spoof.astype(int), where]
    for side in (False, True):
        if (spoof == side).any():
            weights[spoof == side] /= weights[spoof == side].mean()
    return weights


@dataclass(frozen=True)
class LoaderSettings:
    """What a batch is made of.

    Attributes:
        batch_size: windows per batch.
        windows_per_epoch: windows per epoch.
        window_s: length of a window, s.
        padding: how a short clip fills it, "repeat" or "zero".
        codec_share: of the windows, how many are taken from a coded copy (see `codec_variants`).
    """

    batch_size: int = 64
    windows_per_epoch: int = 20000
    window_s: float = 5.0
    padding: str = "repeat"
    codec_share: float = 0.2

    @property
    def batches_per_epoch(self) -> int:
        return max(1, self.windows_per_epoch // self.batch_size)


@dataclass(frozen=True)
class BatchMaker:
    """Everything that a worker process needs to make any batch; it can be pickled.

    Attributes:
        seed: of all draws.
        trials: training trials; those shorter than `sampling.min_seconds` are not drawn.
        waves: audio of trials, noises and room impulse responses, by id.
        noises, rirs: recorded noise and room impulse responses.
        front_end, loader, sampling, augmentation: settings.
        codec_variants: names of coded copies that `waves` holds, as `ID@VARIANT`.
        soft_targets: a teacher's spoof probability by trial id; takes the label's place.
    """

    seed: int
    trials: Sequence[Trial]
    waves: WaveCache
    front_end: FrontEnd
    loader: LoaderSettings
    sampling: SamplingSettings
    augmentation: AugmentSettings
    noises: Sequence[Clip] = ()
    rirs: Sequence[Clip] = ()
    codec_variants: Sequence[str] = ()
    soft_targets: Mapping[str, float] = field(default_factory=dict)
    _pools: list[tuple[list[Trial], NDArray[np.float64]]] = field(
        default_factory=list, init=False, compare=False
    )

    def __post_init__(self) -> None:
        shortest = self.sampling.min_seconds * self.front_end.sample_rate_hz
        for label in ("bonafide", "spoof"):
            side = [
                trial
                for trial in self.trials
                if trial.label == label
                and trial.id in self.waves
                and self.waves.length(trial.id) >= shortest
            ]
            if not side:
                raise ValueError(
                    f"no {label} clip of at least {self.sampling.min_seconds} s to train on"
                )
            weights = clip_weights(side, self.sampling)
            if label == "bonafide":
                weights = favour(weights, side, self.sampling)
            self._pools.append((side, weights))

    @property
    def window_samples(self) -> int:
        return round(self.loader.window_s * self.front_end.sample_rate_hz)

    def draw(self, epoch: int, index: int) -> list[Trial]:
        """Trials of a batch, the share of spoofs exact."""
        rng = self._rng(epoch, index, 0)
        spoofs = round(self.loader.batch_size * self.sampling.spoof_share)
        drawn: list[Trial] = []
        counts = (self.loader.batch_size - spoofs, spoofs)
        for (side, weights), count in zip(self._pools, counts):
            drawn += [side[i] for i in rng.choice(len(side), count, p=weights)]
        return [drawn[i] for i in rng.permutation(len(drawn))]

    def batch(self, epoch: int, index: int) -> Batch:
        """Features float32 (batch, frames, bands, 1), and targets float32 (batch, 1)."""
        trials = self.draw(epoch, index)
        features = np.stack(
            [
                self.window_features(trial, self._rng(epoch, index, place + 1))
                for place, trial in enumerate(trials)
            ]
        )
        wanted = targets(trials)
        for place, trial in enumerate(trials):
            wanted[place] = self.soft_targets.get(trial.id, wanted[place])
        rng = self._rng(epoch, index, len(trials) + 1)
        features, wanted = mix_batch(features, wanted, self.augmentation, rng)
        return features[..., None], wanted[:, None]

    def window_features(self, trial: Trial, rng: Rng) -> Float32:
        """One augmented window of a trial: float32, shape (frames, bands)."""
        features = log_mel(self.window(trial, rng), self.front_end)
        return mask_features(features, self.augmentation, rng)

    def window(self, trial: Trial, rng: Rng) -> Float32:
        """One augmented window of a trial: float32, shape (window_samples,)."""
        clip_id = self._version(trial, rng)
        wanted = samples_needed(self.window_samples, self.augmentation)
        samples = self._crop(clip_id, rng, wanted)
        samples = augment(
            samples,
            self.augmentation,
            rng,
            self._noise if self.noises else None,
            self._rir if self.rirs else None,
        )
        return fit_window(samples, self.window_samples, self.loader.padding)

    def _version(self, trial: Trial, rng: Rng) -> str:
        if self.codec_variants and rng.random() < self.loader.codec_share:
            coded = f"{trial.id}@{self.codec_variants[int(rng.integers(len(self.codec_variants)))]}"
            if coded in self.waves:
                return coded
        return trial.id

    def _crop(self, clip_id: str, rng: Rng, wanted: int) -> Float32:
        surplus = self.waves.length(clip_id) - wanted
        return self.waves.read(clip_id, int(rng.integers(0, max(0, surplus) + 1)), wanted)

    def _noise(self, rng: Rng, count: int) -> Float32:
        return self._crop(self.noises[int(rng.integers(len(self.noises)))].id, rng, count)

    def _rir(self, rng: Rng, count: int) -> Float32:
        return self.waves.read(self.rirs[int(rng.integers(len(self.rirs)))].id, 0, count)

    def _rng(self, epoch: int, index: int, place: int) -> Rng:
        return np.random.default_rng([self.seed, epoch, index, place])


_maker: BatchMaker | None = None


def _keep_freed_memory() -> None:
    """Let glibc keep what is freed: pages fetched anew for every array double a window's cost."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)


def _start_worker(maker: BatchMaker) -> None:
    from threadpoolctl import threadpool_limits

    global _maker
    _maker = maker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threadpool_limits(1)
    _keep_freed_memory()


def _end_with_parent() -> None:
    """A worker whose training process was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(epoch: int, index: int) -> Batch:
    assert _maker is not None
    return _maker.batch(epoch, index)


class Loader:
    """Batches of an epoch in order, made ahead by worker processes (0 = made on demand here)."""

    def __init__(self, maker: BatchMaker, workers: int = 1) -> None:
        self._maker = maker
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        if workers:
            # Spawned, not forked: a fork of a process that runs TensorFlow's threads may hang.
            self._pool = ProcessPoolExecutor(
                workers, get_context("spawn"), initializer=_start_worker, initargs=(maker,)
            )

    def epoch(self, number: int) -> Iterator[Batch]:
        """All batches of one epoch."""
        count = self._maker.loader.batches_per_epoch
        if self._pool is None:
            for index in range(count):
                yield self._maker.batch(number, index)
            return
        ahead: deque[Future[Batch]] = deque()
        for index in range(count + self._workers * PREFETCH_PER_WORKER):
            if index < count:
                ahead.append(self._pool.submit(_work, number, index))
            if ahead and index >= self._workers * PREFETCH_PER_WORKER:
                yield ahead.popleft().result()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
