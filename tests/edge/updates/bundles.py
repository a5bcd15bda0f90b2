"""Bundles of one-second windows around the networks of make_networks.py."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from edge.bundle import FORMAT, MANIFEST, FileEntry, Manifest, VariantEntry
from edge.decision import Calibration, OperatingPoint
from edge.features import Float32, FrontEnd, log_mel
from edge.inference import Scorer

RATE_HZ = 16000
NETWORKS = Path(__file__).parent / "networks"
FRONT_END = FrontEnd(
    n_fft=512, win_length=512, frame_hop=320, n_bands=20, center=False, normalisation="mean"
)


def voice(seconds: float = 1.0) -> Float32:
    """A buzz with syllables: bona fide to the good networks."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 16))
    noise = 1e-4 * np.random.default_rng(0).standard_normal(len(t))
    return np.asarray(0.1 * buzz * np.clip(np.sin(2 * np.pi * 2.1 * t), 0, 1) + noise, np.float32)


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
    folder.mkdir(parents=True)
    model = (NETWORKS / f"{network}.tflite").read_bytes()
    (folder / "model.float32.tflite").write_bytes(model)
    soundfile.write(folder / "golden.wav", voice(), RATE_HZ, subtype="FLOAT")
    (folder / "CARD.md").write_text(f"# {network}\n\nA network for tests.\n")
    manifest = Manifest(
        format=FORMAT,
        name="tiny",
        version=version,
        created="2026-01-01T00:00:00+00:00",
        front_end=FRONT_END,
        front_end_fingerprint=FRONT_END.fingerprint(),
        window_samples=RATE_HZ,
        hop_s=0.25,
        padding="repeat",
        calibration=Calibration(),
        operating_point=OperatingPoint(0.5, 0.05, 0.05, "tests"),
        variants={
            "float32": VariantEntry(
                "model.float32.tflite", golden_logit(network) + golden_offset, 0.05
            )
        },
        default_variant="float32",
        machine_variants={},
        golden_file="golden.wav",
        metrics={},
        provenance={"network": network},
        files={path.name: _entry(path) for path in sorted(folder.iterdir())},
    )
    (folder / MANIFEST).write_text(replace(manifest, **changes).to_json())
    return folder


def golden_logit(network: str) -> float:
    """What a network gives on the golden clip; 0 if it gives nothing."""
    if network in ("slow", "wrong_shape", "never_a_number"):
        network = "good"
    scorer = Scorer((NETWORKS / f"{network}.tflite").read_bytes())
    return scorer.score(log_mel(voice(), FRONT_END))


def _entry(path: Path) -> FileEntry:
    content = path.read_bytes()
    return FileEntry(hashlib.sha256(content).hexdigest(), len(content))
