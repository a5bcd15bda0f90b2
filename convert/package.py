"""Writing a bundle: everything that a device needs, checked as the device will check it.

Nothing appears under the target's name until all of it is written, synced and loads.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from convert.errors import ConversionError
from convert.golden import golden_clip
from edge.bundle import FORMAT, MANIFEST, FileEntry, Manifest, ModelBundle, VariantEntry
from edge.decision import Calibration, OperatingPoint
from edge.errors import BundleError
from edge.features import FrontEnd
from edge.inference import check_golden, open_scorer

GOLDEN = "golden.wav"
CARD = "CARD.md"


@dataclass(frozen=True)
class Description:
    """What a manifest says beside its files.

    Attributes:
        name, version: of the model; the version is MAJOR.MINOR.PATCH.
        created: RFC 3339 time.
        front_end, window_samples, hop_s, padding: how audio becomes the network's input.
        calibration, operating_point: how its output becomes a verdict.
        default_variant: the form to use; machine_variants: instead of it on some machines.
        metrics: results by condition.
        provenance: data, code revision, commands, licences.
    """

    name: str
    version: str
    created: str
    front_end: FrontEnd
    window_samples: int
    hop_s: float
    padding: str
    calibration: Calibration
    operating_point: OperatingPoint
    default_variant: str
    machine_variants: dict[str, str]
    metrics: dict[str, Any]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class ConvertedVariant:
    """One form of the network with what it must score on the golden clip (logits)."""

    model: bytes
    golden_logit: float
    golden_tolerance: float


def golden_bytes(window_samples: int, sample_rate_hz: int) -> bytes:
    """The golden clip as a WAV file of 16-bit PCM."""
    file = io.BytesIO()
    samples = golden_clip(window_samples / sample_rate_hz, sample_rate_hz)
    # Written as integers, so that no library's rounding or dither decides the bytes.
    whole = np.round(samples * 32767).astype(np.int16)
    soundfile.write(file, whole, sample_rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()


def write_bundle(
    target: Path,
    description: Description,
    variants: Mapping[str, ConvertedVariant],
    card: str,
    replace_existing: bool = False,
) -> ModelBundle:
    """Write a bundle folder: whole, or not at all.

    Args:
        target: the folder to make.
        description: what the manifest says.
        variants: forms of the network by name.
        card: text of CARD.md.
        replace_existing: a bundle that is there already gives way.

    Returns:
        The bundle as loaded from where it lies.

    Raises:
        ConversionError: the target exists or cannot be written, or what was written does not load.
    """
    if target.exists() and not replace_existing:
        raise ConversionError(f"{target} exists already; add --force to replace it")
    if target.exists() and not (target / MANIFEST).is_file():
        raise ConversionError(f"{target} exists and is no bundle; choose another folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ConversionError(f"{target} cannot be written: {error}") from error
    try:
        temporary.chmod(0o755)
        _fill(temporary, _contents(description, variants, card), description, variants)
        _prove(temporary, variants)
        _move_into_place(temporary, target)
    except OSError as error:
        raise ConversionError(f"{target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return ModelBundle.load(target)


def _contents(
    description: Description, variants: Mapping[str, ConvertedVariant], card: str
) -> dict[str, bytes]:
    front_end = description.front_end
    return {
        GOLDEN: golden_bytes(description.window_samples, front_end.sample_rate_hz),
        CARD: card.encode(),
        **{model_file(name): variant.model for name, variant in variants.items()},
    }


def model_file(variant: str) -> str:
    """Name of a variant's file in a bundle."""
    return f"model.{variant}.tflite"


def _fill(
    folder: Path,
    contents: Mapping[str, bytes],
    description: Description,
    variants: Mapping[str, ConvertedVariant],
) -> None:
    manifest = make_manifest(description, variants, contents)
    for name, content in {**contents, MANIFEST: manifest.to_json().encode()}.items():
        with (folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    _sync_folder(folder)


def make_manifest(
    description: Description,
    variants: Mapping[str, ConvertedVariant],
    contents: Mapping[str, bytes],
) -> Manifest:
    """The manifest for these files.

    Raises:
        ConversionError: the description cannot be that of a bundle.
    """
    manifest = Manifest(
        format=FORMAT,
        front_end_fingerprint=description.front_end.fingerprint(),
        variants={
            name: VariantEntry(model_file(name), variant.golden_logit, variant.golden_tolerance)
            for name, variant in variants.items()
        },
        golden_file=GOLDEN,
        files={
            name: FileEntry(hashlib.sha256(content).hexdigest(), len(content))
            for name, content in contents.items()
        },
        **vars(description),
    )
    try:
        Manifest.from_json(manifest.to_json())
    except ValueError as error:
        raise ConversionError(f"the bundle cannot be described: {error}") from error
    return manifest


def _prove(folder: Path, variants: Mapping[str, ConvertedVariant]) -> None:
    """Load every variant from disk and score the golden clip, as a device will."""
    for name in variants:
        try:
            bundle = ModelBundle.load(folder, name)
            result = check_golden(bundle, open_scorer(bundle))
        except BundleError as error:
            raise ConversionError(f"the bundle does not load again: {error}") from error
        if not result.passed:
            raise ConversionError(
                f"{name} scores {result.measured:.4f} on the golden clip, not {result.expected:.4f}"
            )


def _move_into_place(temporary: Path, target: Path) -> None:
    """Rename into place; a bundle that was there is moved away first, since folders cannot be
    replaced in one step by any portable call."""
    if not target.exists():
        temporary.rename(target)
        _sync_folder(target.parent)
        return
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        old.rename(target)
        raise
    _sync_folder(target.parent)
    shutil.rmtree(old)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Runtimes round differently: tflite-runtime on x86, on ARM and LiteRT gave 110, 113 and 109 of 255
# for the same int8 file. As shares of the spread of the network's logits, the bounds mean the same
# for any network: a clip or a network that was exchanged is several spreads off.
TOLERANCE_SHARE = {"float32": 0.01, "float16": 0.02, "dynamic": 0.1, "int8": 0.1}
TOLERANCE_OUTPUT_STEPS = 6
MEASURED_MARGIN = 2.0


def golden_tolerance(
    variant: str,
    spread: float,
    output_step: float = 0.0,
    measured_difference: float = 0.0,
) -> float:
    """How far another runtime may be off on the golden clip, in logit.

    Args:
        variant: form of the network.
        spread: standard deviation of the network's logits on training audio.
        output_step: one step of a quantised output, in logit; 0 = the output is a float.
        measured_difference: largest seen between runtimes, in logit.
    """
    return max(
        TOLERANCE_SHARE[variant] * spread,
        TOLERANCE_OUTPUT_STEPS * output_step,
        MEASURED_MARGIN * measured_difference,
    )

