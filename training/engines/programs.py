"""Voices that are programs: a sentence in, a WAV file out."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from training.audio import read_clip
from training.engines import EngineMissing, Float32
from training.errors import TrainingError
from training.protocols import Clip

TIMEOUT_S = 60


def require(program: str, package: str) -> str:
    """Path of a program.

    Raises:
        EngineMissing: it is not installed.
    """
    found = shutil.which(program)
    if found is None:
        raise EngineMissing(f"{program} is not installed; apt-get install {package}")
    return found


def answer(command: Sequence[str], text: str) -> bytes:
    """What a program writes to its standard output for a text on its standard input.

    Raises:
        TrainingError: the program fails, or takes longer than `TIMEOUT_S`.
    """
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TrainingError(f"{command[0]} took longer than {TIMEOUT_S} s") from error
    if done.returncode:
        raise TrainingError(f"{command[0]} failed: {done.stderr.decode().strip()[:200]}")
    return done.stdout


def spoken(command: Sequence[str], text: str) -> Float32:
    """16 kHz samples of what a program writes to the file that "{out}" in its command names.

    Args:
        command: "{out}" stands for the file; the text goes to its standard input.
        text: what to read.

    Raises:
        TrainingError: the program fails, takes longer than `TIMEOUT_S`, or writes nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "spoken.wav"
        filled = [part.replace("{out}", str(target)) for part in command]
        answer(filled, text)
        if not target.exists():
            raise TrainingError(f"{command[0]} wrote no sound")
        return read_clip(Clip("", target))
