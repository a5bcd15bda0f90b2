"""Bundles for tests: a network of 2 kB whose scores can be told in advance (make_tiny_model.py)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from edge.bundle import FORMAT, MANIFEST, FileEntry, Manifest, ModelBundle, VariantEntry
from edge.decision import Calibration, OperatingPoint
from edge.features import Float32, FrontEnd, log_mel
from edge.inference import Scorer

TINY_NETWORK = Path(__file__).parent / "fixtures" / "tiny.tflite"
RATE_HZ = 16000
FRONT_END = FrontEnd(
    n_fft=1024, win_length=1024, frame_hop=320, n_bands=80, center=False, normalisation="mean"
)


def voice(seconds: float, seed: int = 0) -> Float32:
    """A low buzz that rises and falls as syllables do: speech, and bona fide to the network."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / RATE_HZ
    buzz = sum(np.sin(k * pitch) / k for k in range(1, 16))
    noise = 1e-4 * rng.standard_normal(len(t))
    return np.asarray(0.1 * buzz * _syllables(t) + noise, np.float32)


def whisper(seconds: float, seed: int = 0) -> Float32:
    """The same syllables in bright noise: speech too, but a spoof to the network."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    hiss = np.diff(rng.standard_normal(len(t) + 2), n=2)
    return np.asarray(0.05 * hiss * (_syllables(t) + 0.003), np.float32)


def _syllables(t: Any) -> Any:
    return np.clip(np.sin(2 * np.pi * 2.1 * t), 0, 1)


def write_bundle(folder: Path, version: str = "0.0.1", **changes: Any) -> Path:
    """Write a whole, valid bundle; `changes` replace fields of its manifest."""
    folder.mkdir(parents=True)
    network = TINY_NETWORK.read_bytes()
    golden = voice(5.0)
    (folder / "model.float32.tflite").write_bytes(network)
    soundfile.write(folder / "golden.wav", golden, RATE_HZ, subtype="FLOAT")
    (folder / "CARD.md").write_text("# Tiny\n\nA network for tests. It judges by treble alone.\n")
    logit = Scorer(network).score(log_mel(golden, FRONT_END))
    manifest = Manifest(
        format=FORMAT,
        name="tiny",
        version=version,
        created="2024-01-01T00:00:00+00:00",
        front_end=FRONT_END,
        front_end_fingerprint=FRONT_END.fingerprint(),
        window_samples=5 * RATE_HZ,
        hop_s=1.0,
        padding="repeat",
        calibration=Calibration(),
        operating_point=OperatingPoint(0.5, 0.05, 0.05, "tests"),
        variants={"float32": VariantEntry("model.float32.tflite", logit, 0.05)},
        default_variant="float32",
        golden_file="golden.wav",
        metrics={},
        provenance={},
        files={path.name: _entry(path) for path in sorted(folder.iterdir())},
    )
    (folder / MANIFEST).write_text(replace(manifest, **changes).to_json())
    return folder


def load_tiny(folder: Path) -> ModelBundle:
    """Write and load it."""
    return ModelBundle.load(write_bundle(folder))


def _entry(path: Path) -> FileEntry:
    content = path.read_bytes()
    return FileEntry(hashlib.sha256(content).hexdigest(), len(content))
