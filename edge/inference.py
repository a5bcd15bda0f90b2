"""Running the network. The only module that imports a TFLite runtime."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from edge.bundle import ModelBundle
from edge.errors import BundleError, EdgeError
from edge.features import Float32, window_features
from edge.windows import fit_window

# LiteRT first: it hands int8 operations to XNNPACK, which tflite-runtime 2.14 does not.
RUNTIMES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
)

GREETING = b"INFO: "


@dataclass(frozen=True)
class Runtime:
    """The TFLite runtime in use: its module, distribution name and version."""

    module: ModuleType
    name: str
    version: str


def load_runtime() -> Runtime:
    """Import the first TFLite runtime that is installed.

    Raises:
        EdgeError: none is installed, or the one that is cannot be imported.
    """
    for module, name in RUNTIMES:
        try:
            return Runtime(importlib.import_module(module), name, _version(name) or "unknown")
        except (ImportError, SystemError) as error:
            # SystemError is what tflite-runtime raises beside numpy 2.
            version = _version(name)
            if version is None and _is_absent(module, error):
                continue
            raise EdgeError(
                f"{name} {version or ''} is installed but cannot be imported ({error}); "
                "reinstall earwitness in a fresh virtual environment."
            ) from error
    raise EdgeError(
        "No TFLite runtime is installed; run: pip install ai-edge-litert "
        "(on 32-bit ARM: pip install tflite-runtime 'numpy<2')."
    )


def _version(distribution: str) -> str | None:
    """Its version; None when it is not installed, or its record cannot be read."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_absent(module: str, error: Exception) -> bool:
    """Is this the absence of the module's package, and no failure (say, of memory) inside it?"""
    return isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]


class Scorer:
    """A network ready to score features.

    Args:
        model: bytes of a .tflite file with one input of shape (1, frames, bands, 1) and one
            output of one element, a logit; float32, or int8 with its quantisation parameters.
        threads: threads that one inference may use.

    Raises:
        BundleError: the bytes are not such a network.
    """

    def __init__(self, model: bytes, threads: int = 1, runtime: Runtime | None = None) -> None:
        self.runtime = load_runtime() if runtime is None else runtime
        try:
            self._interpreter = self.runtime.module.Interpreter(
                model_content=model, num_threads=threads
            )
            self._interpreter.allocate_tensors()
            inputs = self._interpreter.get_input_details()
            outputs = self._interpreter.get_output_details()
        except (ValueError, RuntimeError, TypeError) as error:
            raise BundleError(
                f"{self.runtime.name} {self.runtime.version} cannot load the network: "
                f"{' '.join(str(error).split())}"
            ) from error
        shape = list(inputs[0]["shape"]) if len(inputs) == 1 else []
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 1:
            raise BundleError(
                f"The network takes {_shapes(inputs)}, not one input of shape "
                "(1, frames, bands, 1)."
            )
        if len(outputs) != 1 or int(np.prod(outputs[0]["shape"])) != 1:
            raise BundleError(
                f"The network gives {_shapes(outputs)}, not a single score."
            )
        self.frames, self.bands = int(shape[1]), int(shape[2])
        self._input, self._output = inputs[0], outputs[0]

    @property
    def output_step(self) -> float:
        """The least by which two scores differ; 0 when the output is a float."""
        if self._output["dtype"] == np.float32:
            return 0.0
        return float(self._output["quantization"][0])

    def score(self, features: Float32) -> float:
        """Logit that the window is a spoof; higher = more likely.

        Args:
            features: float32, shape (frames, bands).

        Returns:
            The network's output, dequantised. It is not finite only if the network is broken.

        Raises:
            ValueError: the features have another shape.
        """
        if features.shape != (self.frames, self.bands):
            raise ValueError(
                f"the network takes features of {(self.frames, self.bands)}, not {features.shape}"
            )
        tensor = _quantise(features[None, :, :, None], self._input)
        self._interpreter.set_tensor(self._input["index"], tensor)
        self._interpreter.invoke()
        output = self._interpreter.get_tensor(self._output["index"])
        return _dequantise(output.reshape(-1)[0], self._output)

    def describe(self) -> tuple[list[dict[str, Any]], dict[int, list[int]]]:
        """What the network consists of, for the benchmark.

        Returns:
            The runtime's own list of operations (delegates last), and tensors' shapes by index;
            both empty where the runtime does not tell.
        """
        if not hasattr(self._interpreter, "_get_ops_details"):
            return [], {}
        tensors = self._interpreter.get_tensor_details()
        shapes = {int(t["index"]): [int(size) for size in t["shape"]] for t in tensors}
        return list(self._interpreter._get_ops_details()), shapes


def _shapes(details: list[dict[str, Any]]) -> str:
    return " and ".join(str(tuple(int(n) for n in detail["shape"])) for detail in details)


def _quantise(values: Any, detail: dict[str, Any]) -> Any:
    """Float to the tensor's own type: rounded to nearest and saturated (TFLite's int8 spec)."""
    if detail["dtype"] == np.float32:
        return values
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    steps = values / scale
    np.rint(steps, out=steps)
    steps += zero_point
    np.clip(steps, limits.min, limits.max, out=steps)
    return steps.astype(detail["dtype"])


def _dequantise(value: Any, detail: dict[str, Any]) -> float:
    if detail["dtype"] == np.float32:
        return float(value)
    scale, zero_point = detail["quantization"]
    return float((int(value) - zero_point) * scale)


@contextlib.contextmanager
def _without_greeting() -> Iterator[None]:
    """Keep back what a runtime says for information: it writes to descriptor 2, past Python.

    Through a pipe, since a new model is proven where no file can be written. It never blocks: what
    a pipe cannot hold is lost.
    """
    stderr = os.dup(2)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        with open(reader, "rb") as said:
            for line in said:
                if not line.startswith(GREETING):
                    os.write(2, line)


def open_scorer(bundle: ModelBundle, threads: int = 1) -> Scorer:
    """The bundle's network, its input held against the bundle's front end.

    Raises:
        BundleError: the network cannot be loaded or does not fit the front end.
    """
    try:
        with _without_greeting():
            scorer = Scorer(bundle.model, threads)
    except BundleError as error:
        raise BundleError(f"The bundle {bundle.path}, variant {bundle.variant}: {error}") from error
    front_end = bundle.manifest.front_end
    expected = (front_end.row_count(bundle.manifest.window_samples), front_end.n_bands)
    if (scorer.frames, scorer.bands) != expected:
        raise BundleError(
            f"The bundle {bundle.path} disagrees with itself: its front end gives "
            f"{expected[0]} frames of {expected[1]} bands, its network takes "
            f"{scorer.frames} of {scorer.bands}."
        )
    return scorer


@dataclass(frozen=True)
class GoldenResult:
    """How this device scores the clip whose score is known (logits)."""

    expected: float
    measured: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Does this device compute what the bundle's maker computed?"""
        return math.isfinite(self.measured) and abs(self.measured - self.expected) <= self.tolerance


def check_golden(bundle: ModelBundle, scorer: Scorer) -> GoldenResult:
    """Score the bundle's golden clip with this device's code and runtime.

    Raises:
        BundleError: the clip cannot be used.
    """
    manifest = bundle.manifest
    fitted = fit_window(golden_samples(bundle), manifest.window_samples, manifest.padding)
    measured = scorer.score(window_features(fitted, manifest.front_end))
    entry = bundle.variant_entry
    return GoldenResult(entry.golden_logit, measured, entry.golden_tolerance)


def golden_samples(bundle: ModelBundle) -> Float32:
    """The golden clip: float32, shape (n,), at the front end's rate.

    Raises:
        BundleError: it is no audio, is empty, has more than one channel or another rate, or holds
            samples that are not finite.
    """
    import soundfile

    name = bundle.golden_path
    try:
        samples, rate_hz = soundfile.read(io.BytesIO(bundle.golden), dtype="float32")
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        raise BundleError(f"The golden clip {name} cannot be read: {error}") from error
    expected_hz = bundle.manifest.front_end.sample_rate_hz
    if samples.ndim != 1 or len(samples) == 0 or not np.isfinite(samples).all():
        raise BundleError(f"The golden clip {name} is not one channel of finite samples.")
    if rate_hz != expected_hz:
        raise BundleError(
            f"The golden clip {name} is sampled at {rate_hz} Hz, the model needs {expected_hz} Hz."
        )
    return np.asarray(samples, np.float32)
