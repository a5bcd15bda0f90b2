"""Programs that come with the source of Opus: its networks, without the codec around them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from training.engines import EngineMissing, Float32

FOLDER_VARIABLE = "EARWITNESS_OPUS"
INSTALL = (
    "build the source of Opus 1.5 or later (./configure --enable-dred --disable-shared && make) "
    f"and set {FOLDER_VARIABLE} to its folder; several, of versions whose networks differ, are "
    f"separated by {os.pathsep!r}"
)
PCM, FULL_SCALE = "<i2", 32767


def programs(name: str) -> list[str]:
    """Path of one of them, in every folder that was named.

    Raises:
        EngineMissing: it was not built, or nobody says where.
    """
    folders = os.environ.get(FOLDER_VARIABLE)
    if not folders:
        raise EngineMissing(f"Opus's networks are not there; {INSTALL}")
    paths = [Path(folder).resolve() / name for folder in folders.split(os.pathsep)]
    for path in paths:
        if not os.access(path, os.X_OK):
            raise EngineMissing(f"{path} is not there, or no program; {INSTALL}")
    return [str(path) for path in paths]


def write_pcm(samples: Float32, path: Path) -> None:
    """As the programs read them: 16-bit integers and nothing else."""
    (np.clip(samples, -1.0, 1.0) * FULL_SCALE).astype(PCM).tofile(path)


def read_pcm(path: Path) -> Float32:
    """float32 samples, shape (n,), of what a program wrote."""
    return np.fromfile(path, PCM).astype(np.float32) / np.float32(FULL_SCALE)
