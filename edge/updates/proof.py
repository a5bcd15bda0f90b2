"""Proof of a bundle on this very device, in a child process that may crash, loop or swell.

The child loads the network with the runtime that the daemon will use, under limits on CPU time,
memory and files, and must find: the front end's fingerprint, the golden clip's score within its
tolerance, finite scores on silence, noise, clipping and single clicks, and a latency within the
hop. What it finds it prints as one JSON object; whatever else happens to it is a failed proof.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from edge.bundle import ModelBundle
from edge.errors import EdgeError, UpdateError
from edge.features import Float32, window_features
from edge.inference import GoldenResult, open_scorer
from edge.windows import fit_window

NOISE_SEED = 5
TIMED_WINDOWS = 9
PACKAGES = Path(__file__).resolve().parents[2]
CHILD = """\
import sys
sys.path.insert(0, sys.argv[1])
from edge.updates.proof import main
sys.exit(main(sys.argv[2]))
"""
# Loading a network may need a scratch file for what the runtime prints.
SCRATCH_BYTES = 2**20
OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "failed to map segment", "Cannot allocate memory")


@dataclass(frozen=True)
class ProofSettings:
    """Limits of the proof."""

    timeout_s: float = field(
        default=120.0,
        metadata={
            "unit": "s",
            "doc": "longest time that the proof of a new model may take",
            "minimum": 1.0,
            "maximum": 3600.0,
        },
    )
    cpu_s: int = field(
        default=60,
        metadata={
            "unit": "s",
            "doc": "CPU time that the proof may use",
            "minimum": 1,
            "maximum": 3600,
        },
    )
    memory_mb: int = field(
        default=512,
        metadata={
            "unit": "MB",
            "doc": "memory that the proof may allocate",
            "minimum": 64,
            "maximum": 65536,
        },
    )
    hop_share: float = field(
        default=0.5,
        metadata={
            "doc": "share of the hop that one window of a new model may take",
            "exclusive_minimum": 0.0,
            "maximum": 1.0,
        },
    )


@dataclass(frozen=True)
class Proof:
    """What the child found.

    Attributes:
        runtime: name and version of the TFLite runtime.
        golden_logit, golden_measured: expected and found score of the golden clip, logit.
        latency_s: mean CPU time of the log-Mel and the inference of a whole window, seconds;
            CPU time, because a busy board is not the model's fault.
        hop_s: time between windows, seconds.
    """

    runtime: str
    golden_logit: float
    golden_measured: float
    latency_s: float
    hop_s: float


def prove(
    folder: Path, settings: ProofSettings, *, variant: str | None = None, hop_s: float | None = None
) -> Proof:
    """Prove a bundle in a child process.

    Args:
        folder: the bundle.
        settings: limits.
        variant: form of the network that the daemon will run; None = the manifest's default.
        hop_s: the daemon's time between windows; None = the bundle's.

    Raises:
        UpdateError: the proof failed; the sentence says at what.
    """
    request = {
        "folder": str(folder.resolve()),
        "variant": variant,
        "hop_s": hop_s,
        **asdict(settings),
    }
    # One thread per library: their buffers per core would count against the child's memory.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(PACKAGES), json.dumps(request)],
            # Python looks for modules in the working folder first; nobody else's may be there.
            cwd="/",
            capture_output=True,
            timeout=settings.timeout_s,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UpdateError(
            f"The new model is not proven within {settings.timeout_s:g} s; it is not activated."
        ) from None
    try:
        answer = json.loads(child.stdout)
        return Proof(**answer["proof"])
    except (ValueError, KeyError, TypeError):
        raise UpdateError(_why(child, settings)) from None


def _why(child: subprocess.CompletedProcess[bytes], settings: ProofSettings) -> str:
    """What a failed child says, or what its death tells."""
    try:
        refused = str(json.loads(child.stdout)["refused"])
    except (ValueError, KeyError, TypeError):
        refused = ""  # it died before it could say anything
    lines = child.stderr.decode(errors="replace").strip().splitlines()
    last = lines[-1][:300] if lines else "no message"
    if child.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"The new model uses more than {settings.cpu_s} s of CPU time in its proof."
    if any(sign in refused + last for sign in OUT_OF_MEMORY):
        return f"The new model needs more than {settings.memory_mb} MB in its proof."
    if refused:
        return f"The new model fails its proof: {refused}"
    return (
        f"The new model crashes in its proof (exit {child.returncode}: {last}); it is not "
        "activated."
    )


def examine(
    bundle: ModelBundle, hop_s: float, hop_share: float, clock_s: Callable[[], float]
) -> Proof:
    """Everything that a bundle must show before it may become current.

    Args:
        bundle: it, its files already verified.
        hop_s: time between windows, seconds.
        hop_share: share of the hop that one window may take.
        clock_s: CPU time used so far, seconds.

    Raises:
        EdgeError: it fails; the sentence says at what.
    """
    scorer = open_scorer(bundle)
    golden = golden_result(bundle, scorer.score)
    if not golden.passed:
        raise UpdateError(
            f"the golden clip scores {golden.measured:.4f} where {golden.expected:.4f} "
            f"+- {golden.tolerance:g} is expected."
        )
    front_end, window_samples = bundle.manifest.front_end, bundle.manifest.window_samples
    noise = dict(hard_inputs(window_samples))["noise"]
    budget_s = hop_share * hop_s
    latency_s = _latency_s(
        lambda: scorer.score(window_features(noise, front_end)), clock_s, budget_s
    )
    if latency_s > budget_s:
        raise UpdateError(
            f"one window takes {latency_s * 1000:.0f} ms of CPU time, more than {hop_share:.0%} "
            f"of the hop of {hop_s:g} s."
        )
    for name, samples in hard_inputs(window_samples):
        score = scorer.score(window_features(samples, front_end))
        if not math.isfinite(score):
            raise UpdateError(f"the score of {name} is {score}.")
    runtime = f"{scorer.runtime.name} {scorer.runtime.version}"
    return Proof(runtime, golden.expected, golden.measured, latency_s, hop_s)


def _latency_s(score: Callable[[], object], clock_s: Callable[[], float], budget_s: float) -> float:
    """Mean time of a window, seconds; given up once it is certain to be over the budget.

    All windows go under one reading of the clock: some kernels count CPU time in steps of 10 ms.
    """
    begin = clock_s()
    for _ in range(TIMED_WINDOWS):
        score()
        if clock_s() - begin > TIMED_WINDOWS * budget_s:
            break
    return (clock_s() - begin) / TIMED_WINDOWS


def golden_result(bundle: ModelBundle, score: Callable[[Float32], float]) -> GoldenResult:
    """Score the bundle's golden clip on this device.

    Raises:
        UpdateError: the clip is not what a golden clip must be.
    """
    import soundfile

    manifest = bundle.manifest
    try:
        samples, rate_hz = soundfile.read(bundle.golden_path, dtype="float32")
    except soundfile.SoundFileError as error:
        raise UpdateError(f"the golden clip cannot be read ({error}).") from None
    if samples.ndim != 1 or rate_hz != manifest.front_end.sample_rate_hz:
        raise UpdateError(f"the golden clip is not mono at {manifest.front_end.sample_rate_hz} Hz.")
    window = fit_window(samples, manifest.window_samples, manifest.padding)
    entry = bundle.variant_entry
    measured = score(window_features(window, manifest.front_end))
    return GoldenResult(entry.golden_logit, measured, entry.golden_tolerance)


def hard_inputs(window_samples: int) -> Iterator[tuple[str, Float32]]:
    """Sounds on which a network must stay finite, each one window, float32."""
    rng = np.random.default_rng(NOISE_SEED)
    noise = rng.standard_normal(window_samples).astype(np.float32)
    click = np.zeros(window_samples, np.float32)
    click[window_samples // 2] = 1
    yield "digital silence", np.zeros(window_samples, np.float32)
    yield "a constant", np.full(window_samples, 0.5, np.float32)
    yield "a single click", click
    yield "very faint noise", noise * np.float32(1e-6)
    yield "clipped noise", np.clip(noise * 10, -1, 1)
    yield "noise", noise * np.float32(0.1)


def _limit(settings: ProofSettings) -> None:
    """Limits of this process, kept by the kernel."""
    memory = settings.memory_mb * 2**20
    for kind, value in (
        (resource.RLIMIT_CPU, settings.cpu_s),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, SCRATCH_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, hard))


def main(text: str) -> int:
    """The child: prove what the request, as JSON, asks for; print the answer."""
    request = json.loads(text)
    folder, variant, hop_s = (request.pop(name) for name in ("folder", "variant", "hop_s"))
    settings = ProofSettings(**request)
    _limit(settings)
    try:
        bundle = ModelBundle.load(folder, variant)
        hop_s = bundle.manifest.hop_s if hop_s is None else hop_s
        proof = examine(bundle, hop_s, settings.hop_share, time.process_time)
        answer: dict[str, object] = {"proof": asdict(proof)}
    except EdgeError as error:
        answer = {"refused": str(error)}
    print(json.dumps(answer))
    return 0
