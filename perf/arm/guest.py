"""Runs inside the emulated system: some hops of the daemon's work, with markers between stages.

    guest.py BUNDLE VARIANT

It prints JSON: versions, and what each marker's number stands for. perf.arm.counts reads the
instructions between the markers from the plugin's file.
"""

from __future__ import annotations

import ctypes
import json
import platform
import sys
from importlib import metadata

import numpy as np
import soundfile

from edge.audio.block import AudioBlock
from edge.benchmark.measure import RECORDINGS
from edge.bundle import ModelBundle
from edge.detector import STAGES, Detector, DetectorSettings
from edge.features import log_mel
from edge.inference import open_scorer

MARKER = 0xEA57
EMPTY, BEGIN, END, NETWORK, WHOLE = "empty", "begin", "end", "network", "whole"
MARKERS = (EMPTY, BEGIN, "start", *STAGES, NETWORK, END, WHOLE)
# The interpreter of Python 3.11 and later rewrites code as it finds out what it does.
WARM_UP_HOPS = 4
HOPS = 5


def main(bundle_path: str, variant: str) -> None:
    """Run the hops."""
    bundle = ModelBundle.load(bundle_path, variant)
    scorer = open_scorer(bundle)
    settings = DetectorSettings.of(bundle.manifest)
    system_call = ctypes.CDLL(None).syscall
    numbers = {name: number for number, name in enumerate(MARKERS)}

    def mark(name: str) -> None:
        system_call(MARKER, numbers[name])

    def score(features: np.ndarray) -> float:
        mark("log_mel")
        logit = scorer.score(features)
        mark(NETWORK)
        return logit

    detector = Detector(settings, score, mark)
    audio = soundfile.read(RECORDINGS / "human.flac", dtype="float32")[0]
    for _ in range(10):
        mark(EMPTY)
    logits = []
    start = 0
    for length in [settings.window_samples] + [settings.hop_samples] * (WARM_UP_HOPS + HOPS):
        block = AudioBlock(audio[start : start + length], start)
        start = block.end
        mark(BEGIN)
        (result,) = detector.accept(block)
        mark(END)
        logits.append(result.logit)
    for _ in range(3):
        mark(BEGIN)
        log_mel(audio[: settings.model_samples], settings.front_end)
        mark(WHOLE)
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": metadata.version("scipy"),
        scorer.runtime.name: scorer.runtime.version,
    }
    print(json.dumps({"versions": versions, "markers": MARKERS, "hops": HOPS, "logits": logits}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
