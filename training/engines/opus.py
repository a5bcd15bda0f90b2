"""Programs that come with the source of Opus: its networks, without the codec around them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
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


def processed(samples: Float32, run: Callable[[Path, Path], None]) -> Float32:
    """What a program makes of samples at 16 kHz, float32, shape (n,).

    Args:
        samples: beyond one they are cut off.
        run: is given the file that holds them, 16-bit integers and nothing else, and the one that
            it is to write; their folder is its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        pcm, made = Path(folder) / "pcm", Path(folder) / "made"
        (np.clip(samples, -1.0, 1.0) * FULL_SCALE).astype(PCM).tofile(pcm)
        run(pcm, made)
        return np.fromfile(made, PCM).astype(np.float32) / np.float32(FULL_SCALE)
