"""Scoring windows with the TFLite runtime of another Python, such as tflite-runtime 2.14's."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.errors import ConversionError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
TIMEOUT_S = 1800

# Runs there, with nothing but `edge` and what a device has.
_PROGRAM = """
import sys
import numpy as np
from edge.errors import EdgeError
from edge.inference import Scorer
model, windows, logits = sys.argv[1:]
try:
    with open(model, "rb") as file:
        scorer = Scorer(file.read())
except EdgeError as error:
    sys.exit(str(error))
np.save(logits, [scorer.score(window) for window in np.load(windows)])
print(scorer.runtime.name, scorer.runtime.version)
"""


@dataclass(frozen=True)
class OtherRuntime:
    """What another Python's runtime made of the windows.

    Attributes:
        name: of the runtime, with its version.
        logits: shape (windows,).
    """

    name: str
    logits: Float64


def score_elsewhere(python: Path, model: bytes, windows: Float32) -> OtherRuntime:
    """Score windows (windows, frames, bands) in another interpreter.

    Raises:
        ConversionError: it cannot be run, or its runtime cannot load the network.
    """
    with tempfile.TemporaryDirectory(prefix="earwitness-") as folder:
        paths = [Path(folder) / name for name in ("model.tflite", "windows.npy", "logits.npy")]
        paths[0].write_bytes(model)
        np.save(paths[1], windows)
        done = _run([str(python), "-c", _PROGRAM, *map(str, paths)])
        if done.returncode:
            reason = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise ConversionError(f"{python} cannot score the network: {reason[-1]}")
        logits: Float64 = np.load(paths[2])
    return OtherRuntime(done.stdout.strip().splitlines()[-1], logits)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    here = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": here, "PYTHONNOUSERSITE": "1"}
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConversionError(f"{command[0]} cannot be run: {error}") from error
