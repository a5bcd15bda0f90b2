"""Whole, valid bundles for tests, around networks whose scores can be told in advance.

Nothing here needs tensorflow: tests/data/make_tiny.py made the networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from edge.bundle import FORMAT, MANIFEST, FileEntry, Manifest, ModelBundle, VariantEntry
from edge.decision import Calibration, OperatingPoint
from edge.features import Float32, FrontEnd, log_mel

DATA = Path(__file__).parent / "data"
RATE_HZ = 16000
WINDOW_SAMPLES = 5 * RATE_HZ
FRONT_END = FrontEnd(
    n_fft=1024, win_length=1024, frame_hop=320, n_bands=80, center=False, normalisation="mean"
)
TOLERANCE = {"float32": 0.01, "int8": 0.2}

# What the broken networks would score on the golden clip, were they not broken.
ALWAYS_SPOOF_LOGIT = 10.0


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


def tiny_logit(features: Float32) -> float:
    """What the tiny network gives: treble minus bass, in units of 10 dB."""
    bands = features.mean(axis=0)
    half = len(bands) // 2
    return float(bands[half:].mean() - bands[:half].mean()) / 10


def network(name: str = "tiny", variant: str = "float32") -> bytes:
    """A .tflite of tests/data: "tiny", or one broken in one way.

    "nan" scores NaN; "slow" scores as "tiny" but takes its time; "always-spoof" scores 10;
    "wrong-shape" takes 40 bands; "two-scores", "two-inputs" and "flat-input" are no detectors.
    """
    return (DATA / f"{name}.{variant}.tflite").read_bytes()


def tiny_bundle(
    folder: Path,
    version: str = "0.0.1",
    *,
    model: str = "tiny",
    variants: Sequence[str] = ("float32",),
    **changes: Any,
) -> Path:
    """Write a bundle of five-second windows, valid but for what is asked otherwise.

    Args:
        folder: where; it must not exist yet.
        version: of the model.
        model: which network (see `network`); all but "tiny" exist as float32 only.
        variants: "float32", "int8", or both; the first is the default.
        changes: fields of the manifest to replace, whether or not they make sense.
    """
    logit = ALWAYS_SPOOF_LOGIT
    if model != "always-spoof":
        logit = tiny_logit(log_mel(voice(5.0), FRONT_END))
    return write_bundle(
        folder,
        {variant: network(model, variant) for variant in variants},
        logit,
        voice(5.0),
        FRONT_END,
        1.0,
        version,
        **changes,
    )


def write_bundle(
    folder: Path,
    models: Mapping[str, bytes],
    golden_logit: float,
    golden: Float32,
    front_end: FrontEnd,
    hop_s: float,
    /,
    version: str,
    **changes: Any,
) -> Path:
    """Write a bundle around any networks.

    Args:
        folder: where; it must not exist yet.
        models: the networks by variant; the first is the default.
        golden_logit: what they are said to give on the golden clip.
        golden: the golden clip, 16 kHz; the windows are as long.
        front_end: what the networks take.
        hop_s: between windows, s.
        version: of the model.
        changes: fields of the manifest to replace, whether or not they make sense.
    """
    folder.mkdir(parents=True)
    soundfile.write(folder / "golden.wav", golden, RATE_HZ, subtype="PCM_16")
    (folder / "CARD.md").write_text("# Tiny\n\nA network for tests. It judges by treble alone.\n")
    for variant, model in models.items():
        (folder / f"model.{variant}.tflite").write_bytes(model)
    manifest = Manifest(
        format=FORMAT,
        name="tiny",
        version=version,
        created="2024-01-01T00:00:00+00:00",
        front_end=front_end,
        front_end_fingerprint=front_end.fingerprint(),
        window_samples=len(golden),
        hop_s=hop_s,
        padding="repeat",
        calibration=Calibration(),
        operating_point=OperatingPoint(0.5, 0.05, 0.05, "tests"),
        variants={
            name: VariantEntry(f"model.{name}.tflite", golden_logit, TOLERANCE[name])
            for name in models
        },
        default_variant=next(iter(models)),
        machine_variants={},
        golden_file="golden.wav",
        metrics={},
        provenance={},
        files=list_files(folder),
    )
    (folder / MANIFEST).write_text(replace(manifest, **changes).to_json())
    return folder


def list_files(folder: Path) -> dict[str, FileEntry]:
    """Entries for every file that lies in a folder, but the manifest."""
    return {
        path.name: FileEntry(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }


def load_tiny(folder: Path, **options: Any) -> ModelBundle:
    """Write a tiny bundle and load it."""
    return ModelBundle.load(tiny_bundle(folder, **options))
