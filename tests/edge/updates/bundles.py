"""Bundles of one-second windows around the networks of make_networks.py."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

import tests.bundles
from edge.features import Float32, FrontEnd, log_mel
from edge.inference import Scorer
from tests.bundles import RATE_HZ, voice

NETWORKS = Path(__file__).parent / "networks"
FRONT_END = FrontEnd(
    n_fft=512, win_length=512, frame_hop=320, n_bands=20, center=False, normalisation="mean"
)


def tone(seconds: float = 1.0) -> Float32:
    """The sound that some of the broken networks stumble over."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.asarray(0.8 * np.sin(2 * np.pi * 2000 * t), np.float32)


def write_bundle(
    folder: Path,
    version: str = "1.0.0",
    network: str = "good",
    golden_offset: float = 0.0,
    **changes: Any,
) -> Path:
    """Write a valid bundle; `golden_offset` falsifies its golden score."""
    return tests.bundles.write_bundle(
        folder,
        {"float32": (NETWORKS / f"{network}.tflite").read_bytes()},
        golden_logit(network) + golden_offset,
        voice(1.0),
        FRONT_END,
        0.25,
        version,
        **{"provenance": {"network": network}, **changes},
    )


@functools.cache
def golden_logit(network: str) -> float:
    """What a network gives on the golden clip, or would give if it were not broken."""
    if network in ("slow", "wrong_shape", "never_a_number"):
        network = "good"
    scorer = Scorer((NETWORKS / f"{network}.tflite").read_bytes())
    return scorer.score(log_mel(voice(1.0), FRONT_END))
