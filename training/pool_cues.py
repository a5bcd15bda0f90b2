"""What cues are measured in windows of pools (see edge/cues.py)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.cues import CUES, Cue
from edge.features import FrontEnd, log_mel_db
from edge.sliding import RATE_HZ
from training.cache import progress
from training.errors import TrainingError
from training.pool import (
    chunk_stems,
    chunks_without,
    from_16_bits,
    pool_sources,
    refuse_other_front_end,
    write_array,
)

Float32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
Names = NDArray[np.str_]
Places = NDArray[np.int64]

NUMBERS = sum(cue.count for cue in CUES)
OF_SPOOFS = np.repeat([cue.of_spoofs for cue in CUES], [cue.count for cue in CUES])


@dataclass(frozen=True)
class Windows:
    """Windows of pools, measured.

    Attributes:
        numbers: float32, shape (windows, numbers).
        spoof: shape (windows,).
        sources: whose each is, shape (windows,).
    """

    numbers: Float32
    spoof: Bools
    sources: Names

    def where(self, kept: Bools) -> Windows:
        """Some of them; shape (windows,)."""
        return Windows(self.numbers[kept], self.spoof[kept], self.sources[kept])

    def without(self, sources: set[str]) -> Windows:
        """Those of other sources."""
        return self.where(~np.isin(self.sources, sorted(sources)))

    def mixed_sources(self, least: int) -> dict[str, list[Places]]:
        """Places of the human and of the synthetic windows of each source with so many of both."""
        sides = {
            name: [np.flatnonzero((self.sources == name) & (self.spoof == side)) for side in (0, 1)]
            for name in np.unique(self.sources).tolist()
        }
        return {name: pair for name, pair in sides.items() if min(map(len, pair)) >= least}


def measured(pools: Sequence[Path], front_end: FrontEnd) -> Windows:
    """The windows of pools; what is measured is left beside them, as NNNNN.CUE-VERSION.npy.

    Args:
        pools: their folders.
        front_end: that pools were made with, and that hears all cues.

    Raises:
        TrainingError: a pool holds no audio or is of another front end, or its windows are too
            short.
    """
    for pool in pools:
        refuse_other_front_end(pool, front_end)
    missing = [(cue, place) for cue in CUES for place in chunks_without(_kind(cue), pools)]
    if missing:
        pool, stem = missing[0][1]
        samples = np.load(pool / f"{stem}.audio.npy", mmap_mode="r").shape[1]
        refuse_short(samples / RATE_HZ, f"{pool} holds windows", front_end)
        # Not forked: Keras has threads by now.
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as workers:
            done = workers.map(partial(_measure_chunk, front_end), missing)
            for _ in progress(done, len(missing), "cues"):
                pass
    stems = [pool / stem for pool in pools for stem in chunk_stems(pool)]
    numbers = [
        np.concatenate([np.load(f"{stem}.{_kind(cue)}.npy") for cue in CUES], axis=1)
        for stem in stems
    ]
    return Windows(
        np.concatenate(numbers),
        np.concatenate([np.load(f"{stem}.targets.npy") for stem in stems]) > 0.5,
        pool_sources(pools),
    )


def with_all_cues(front_end: FrontEnd) -> FrontEnd:
    """The front end that hears all cues.

    Raises:
        TrainingError: one cannot be measured with its settings.
    """
    try:
        return front_end.with_cues(CUES)
    except ValueError as error:
        raise TrainingError(f"no cues can be measured with this front end: {error}") from None


def _kind(cue: Cue) -> str:
    """What is measured in a chunk; what an older version measured is measured anew."""
    return f"{cue.name}-{cue.version}"


def refuse_short(seconds: float, whose: str, front_end: FrontEnd) -> None:
    """Refuse windows that are too short for a cue.

    Raises:
        TrainingError: says whose they are.
    """
    for cue in front_end.cue_stream().streams:
        least = cue.least_samples / RATE_HZ
        if seconds < least:
            raise TrainingError(f"{whose} of {seconds:g} s; {cue.name} needs {least:.3f} s")


def heard_by(cue: Cue, samples: Float32, front_end: FrontEnd) -> Float32:
    """What a cue is measured of."""
    return log_mel_db(samples, front_end) if cue.of_frames else samples


def _measure_chunk(front_end: FrontEnd, what: tuple[Cue, tuple[Path, str]]) -> None:
    from threadpoolctl import threadpool_limits

    cue, (pool, stem) = what
    alone = front_end.with_cues([cue])
    windows = np.load(pool / f"{stem}.audio.npy", mmap_mode="r")
    (stream,) = alone.cue_stream().streams
    numbers = []
    with threadpool_limits(1):
        for samples in map(from_16_bits, windows):
            numbers.append(stream.numbers(heard_by(cue, samples, alone), 0))
            stream.reset()
    write_array(pool / f"{stem}.{_kind(cue)}.npy", np.array(numbers).reshape(-1, cue.count))
