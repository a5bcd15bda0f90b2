"""A model bundle: the network beside everything that is needed to use it.

A bundle is a folder: `manifest.json`, `model.VARIANT.tflite` (one or more), `golden.wav` (a clip
with the scores it must get) and `CARD.md`. It is checked before use, and refused, with a sentence
that says which parts disagree, rather than used wrongly.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edge.cues import CUES
from edge.decision import Calibration, OperatingPoint
from edge.errors import BundleError
from edge.features import FrontEnd
from edge.windows import PADDINGS

FORMAT = 1
MANIFEST = "manifest.json"
VARIANTS = ("float32", "float16", "dynamic", "int8")
DEFAULT_BUNDLE = Path(__file__).parent / "models" / "default"

# A bundle is under 5 MB; far larger files are a mistake or an attack, and are not even hashed.
MAX_FILE_BYTES = 64 * 2**20
MAX_MANIFEST_BYTES = 2**20

_VERSION = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle as the manifest records it."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class VariantEntry:
    """One form of the network.

    Attributes:
        file: name of its .tflite.
        golden_logit: what it gives on the golden clip.
        golden_tolerance: how far another runtime may be off, in logit.
    """

    file: str
    golden_logit: float
    golden_tolerance: float

    def __post_init__(self) -> None:
        # Python reads 1e999 as infinity, and an infinite tolerance would let any score pass.
        if not math.isfinite(self.golden_logit):
            raise ValueError(f"golden_logit {self.golden_logit} must be finite")
        if not (math.isfinite(self.golden_tolerance) and self.golden_tolerance > 0):
            raise ValueError(
                f"golden_tolerance {self.golden_tolerance} must be finite and above 0"
            )


def machine(name: str = platform.machine(), bits: int = sys.maxsize.bit_length() + 1) -> str:
    """What this process runs on, for example `x86_64`, `aarch64` or `arm32`.

    A 32-bit system on a 64-bit kernel, as Raspberry Pi OS has it, is `arm32` too.
    """
    return "arm32" if bits == 32 and name.startswith(("arm", "aarch64")) else name


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says.

    Attributes:
        format: version of this layout.
        name, version: of the model; the version is MAJOR.MINOR.PATCH.
        created: RFC 3339 time.
        front_end: settings of the features, and `front_end_fingerprint` to prove that this code
            computes the features that the network was trained on.
        window_samples: the network's input, samples; hop_s: the default time between windows.
        padding: how shorter recordings fill a window.
        calibration: logit to log-odds.
        operating_point: threshold with the error rates it was chosen for.
        variants: forms of the network by name; default_variant: the one to use.
        machine_variants: the one to use instead on some machines (see `machine`), where it costs
            less.
        golden_file: name of the golden clip.
        metrics: results by condition, as the model card shows them.
        provenance: data, code revision, commands, licences.
        files: every file but the manifest, with size and digest.
    """

    format: int
    name: str
    version: str
    created: str
    front_end: FrontEnd
    front_end_fingerprint: str
    window_samples: int
    hop_s: float
    padding: str
    calibration: Calibration
    operating_point: OperatingPoint
    variants: dict[str, VariantEntry]
    default_variant: str
    machine_variants: dict[str, str]
    golden_file: str
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    files: dict[str, FileEntry]

    def variant_for(self, machine: str) -> str:
        """The form that serves best on a machine."""
        return self.machine_variants.get(machine, self.default_variant)

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        document = {**asdict(self), "front_end": self.front_end.to_dict()}
        return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Parse and check `manifest.json`.

        Raises:
            ValueError: it is not JSON, or a field is missing, unknown or of a wrong kind.
        """
        document = _object(json.loads(text), "the manifest")
        if document.get("format") != FORMAT:
            raise ValueError(f"format is {document.get('format')!r}; this version reads {FORMAT}")
        values = _exactly(cls, document, "the manifest")
        values["front_end"] = FrontEnd.from_dict(_object(values["front_end"], "front_end"))
        values["calibration"] = _build(Calibration, values["calibration"], "calibration")
        values["operating_point"] = _build(
            OperatingPoint, values["operating_point"], "operating_point"
        )
        values["variants"] = {
            name: _build(VariantEntry, entry, f"variants.{name}")
            for name, entry in _object(values["variants"], "variants").items()
        }
        values["files"] = {
            name: _build(FileEntry, entry, f"files.{name}")
            for name, entry in _object(values["files"], "files").items()
        }
        manifest = cls(**values)
        manifest._check()
        return manifest

    def _check(self) -> None:
        for name, kind in _PLAIN_FIELDS.items():
            _typed(getattr(self, name), kind, name)
        _typed(self.front_end.center, bool, "front_end.center")
        for cue in CUES:
            _typed(getattr(self.front_end, cue.name), bool, f"front_end.{cue.name}")
        if not _VERSION.fullmatch(self.version):
            raise ValueError(f"version {self.version!r} is not of the form 1.2.3")
        if self.padding not in PADDINGS:
            raise ValueError(f"padding {self.padding!r} is not one of {', '.join(PADDINGS)}")
        if not 0 < self.hop_s <= self.window_samples / self.front_end.sample_rate_hz:
            raise ValueError(f"hop_s {self.hop_s} must be above 0 and at most one window")
        if self.front_end.frame_count(self.window_samples) < 1:
            raise ValueError(f"window_samples {self.window_samples} is shorter than one frame")
        for stream in self.front_end.cue_stream().streams:
            if self.window_samples < stream.least_samples:
                raise ValueError(
                    f"window_samples {self.window_samples} is too short for {stream.name}, which "
                    f"needs {stream.least_samples}"
                )
        odd = sorted(set(self.variants) - set(VARIANTS))
        if odd or not self.variants:
            raise ValueError(f"variants {odd} are not among {', '.join(VARIANTS)}")
        if self.default_variant not in self.variants:
            raise ValueError(f"default_variant {self.default_variant!r} is not in variants")
        for name, variant in self.machine_variants.items():
            _typed(variant, str, f"machine_variants.{name}")
            if variant not in self.variants:
                raise ValueError(f"machine_variants.{name} {variant!r} is not in variants")
        for name in self.files:
            if not _FILE_NAME.fullmatch(name) or name == MANIFEST:
                raise ValueError(f"{name!r} is not a name for a file of a bundle")
        for name in (self.golden_file, *(v.file for v in self.variants.values())):
            if name not in self.files:
                raise ValueError(f"{name!r} is not listed in files")


_PLAIN_FIELDS: dict[str, type] = {
    "format": int,
    "name": str,
    "version": str,
    "created": str,
    "front_end_fingerprint": str,
    "window_samples": int,
    "hop_s": float,
    "padding": str,
    "default_variant": str,
    "machine_variants": dict,
    "golden_file": str,
    "metrics": dict,
    "provenance": dict,
}
_KINDS: dict[str, type] = {"str": str, "int": int, "float": float}


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {type(value).__name__}, not an object")
    return value


def _typed(value: Any, kind: type, where: str) -> None:
    allowed: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (kind is not bool and isinstance(value, bool)):
        raise ValueError(f"{where} is {type(value).__name__}, not {kind.__name__}")


def _exactly(cls: Any, document: dict[str, Any], where: str) -> dict[str, Any]:
    names = {field.name for field in fields(cls)}
    if set(document) != names:
        odd = sorted(set(document) ^ names)
        raise ValueError(f"{where} has unknown or missing fields: {', '.join(map(str, odd))}")
    return dict(document)


def _build(cls: Any, value: Any, where: str) -> Any:
    values = _exactly(cls, _object(value, where), where)
    for field in fields(cls):
        _typed(values[field.name], _KINDS[str(field.type)], f"{where}.{field.name}")
    return cls(**values)


@dataclass(frozen=True)
class ModelBundle:
    """A bundle whose parts were found to agree.

    Attributes:
        path: its folder.
        manifest: what it says of itself.
        variant: the form of the network in use.
        model: bytes of that network's .tflite.
        golden: bytes of the golden clip, as they were when they were checked.
    """

    path: Path
    manifest: Manifest
    variant: str
    model: bytes
    golden: bytes

    @classmethod
    def load(cls, path: Path | str = DEFAULT_BUNDLE, variant: str | None = None) -> ModelBundle:
        """Read a bundle and check every part of it against the manifest.

        Args:
            path: folder of the bundle.
            variant: form of the network; None = the manifest's choice for this machine.

        Raises:
            BundleError: something is missing, damaged or contradictory; the sentence says what.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        expected = manifest.front_end.fingerprint()
        if manifest.front_end_fingerprint != expected:
            raise BundleError(
                f"The bundle {folder} was made for another front end (fingerprint "
                f"{manifest.front_end_fingerprint[:12]}, this version computes {expected[:12]}); "
                "install the matching version of earwitness or convert the model again."
            )
        chosen = manifest.variant_for(machine()) if variant is None else variant
        if chosen not in manifest.variants:
            raise BundleError(
                f"The bundle {folder} has no variant {chosen!r}; it has "
                f"{', '.join(sorted(manifest.variants))}."
            )
        contents = {name: _checked(folder, name, entry) for name, entry in manifest.files.items()}
        model = contents[manifest.variants[chosen].file]
        return cls(folder, manifest, chosen, model, contents[manifest.golden_file])

    @property
    def variant_entry(self) -> VariantEntry:
        """The manifest's record of the variant in use."""
        return self.manifest.variants[self.variant]

    @property
    def golden_path(self) -> Path:
        """The clip whose score is known."""
        return self.path / self.manifest.golden_file


def read_manifest(folder: Path) -> Manifest:
    """Parse a bundle's manifest, and see that no file lies beside it unlisted.

    Raises:
        BundleError: there is no bundle, or its manifest cannot be used.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{path} is too large to be a manifest; fetch the bundle again.")
        text = path.read_bytes().decode()
        present = {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is not a model bundle: it has no {MANIFEST}; give the folder of a bundle."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read ({error}); fetch the bundle again.") from None
    try:
        manifest = Manifest.from_json(text)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BundleError(
            f"{path} is not a valid manifest: {error}; fetch the bundle again, or one that was "
            "made for this version."
        ) from None
    unlisted = sorted(present - set(manifest.files) - {MANIFEST})
    if unlisted:
        raise BundleError(
            f"The bundle {folder} holds {unlisted[0]!r}, which its manifest does not list; "
            "fetch the bundle again."
        )
    return manifest


def _checked(folder: Path, name: str, entry: FileEntry) -> bytes:
    path = folder / name
    try:
        size = path.stat().st_size
        if size != entry.bytes or size > MAX_FILE_BYTES:
            raise BundleError(
                f"{path} has {size} bytes where the manifest says {entry.bytes}; "
                "fetch the bundle again."
            )
        content = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(
            f"The bundle {folder} lacks {name!r}, which its manifest lists; fetch it again."
        ) from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error}); fetch the bundle again.") from None
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BundleError(
            f"{path} differs from the SHA-256 in the manifest; it is damaged or was changed, "
            "fetch the bundle again."
        )
    return content
