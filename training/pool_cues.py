"""What cues are measured in windows of pools (see edge/cues.py)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.cues import CUES, Cue
from edge.sliding import RATE_HZ
from training.cache import progress
from training.errors import TrainingError
from training.pool import chunk_stems, chunks_without, from_16_bits, pool_sources, write_array

Float32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
Names = NDArray[np.str_]

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

    def without(self, sources: set[str]) -> Windows:
        """Those of other sources."""
        kept = ~np.isin(self.sources, sorted(sources))
        return Windows(self.numbers[kept], self.spoof[kept], self.sources[kept])


def measured(pools: Sequence[Path]) -> Windows:
    """The windows of pools; what is measured is left beside them, as NNNNN.CUE-VERSION.npy.

    Raises:
        TrainingError: a pool holds no audio, or its windows are too short.
    """
    missing = [(cue, place) for cue in CUES for place in chunks_without(_kind(cue), pools)]
    if missing:
        pool, stem = missing[0][1]
        samples = np.load(pool / f"{stem}.audio.npy", mmap_mode="r").shape[1]
        refuse_short(samples / RATE_HZ, f"{pool} holds windows")
        # Not forked: Keras has threads by now.
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as workers:
            done = workers.map(_measure_chunk, missing)
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


def _kind(cue: Cue) -> str:
    """What is measured in a chunk; what an older version measured is measured anew."""
    return f"{cue.name}-{cue.version}"


def refuse_short(seconds: float, whose: str) -> None:
    """Refuse windows that are too short for a cue.

    Raises:
        TrainingError: says whose they are.
    """
    for cue in CUES:
        least = cue.least_samples / RATE_HZ
        if seconds < least:
            raise TrainingError(f"{whose} of {seconds:g} s; {cue.name} needs {least:.3f} s")


def _measure_chunk(what: tuple[Cue, tuple[Path, str]]) -> None:
    from threadpoolctl import threadpool_limits

    cue, (pool, stem) = what
    windows = np.load(pool / f"{stem}.audio.npy", mmap_mode="r")
    with threadpool_limits(1):
        numbers = [cue().numbers(from_16_bits(window), 0) for window in windows]
    write_array(pool / f"{stem}.{_kind(cue)}.npy", np.array(numbers).reshape(-1, cue.count))
