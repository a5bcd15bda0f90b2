"""Does a converted network still say what the Keras model says? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.decision import Calibration
from training.metrics import equal_error_rate

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Gate:
    """The most that a variant may differ from the Keras model on `val`.

    Attributes:
        eer_shift: of the equal error rate over recordings, either way, 0 ... 1.
        mean_difference: of the spoof probability of windows, mean.
        max_difference: likewise, largest.
    """

    eer_shift: float
    mean_difference: float
    max_difference: float


# The differences are some three times those of a network that converts well.
GATES: Mapping[str, Gate] = {
    "float32": Gate(0.005, 0.0001, 0.001),
    "float16": Gate(0.005, 0.002, 0.02),
    "dynamic": Gate(0.005, 0.02, 0.15),
    "int8": Gate(0.005, 0.05, 0.4),
}


@dataclass(frozen=True)
class WindowScores:
    """One network's logits on every window of some recordings.

    Attributes:
        logits: shape (windows,).
        recordings: number of the recording that each window is of, shape (windows,), ascending.
        labels: 1 for spoof, shape (recordings,).
    """

    logits: Float64
    recordings: NDArray[np.int64]
    labels: NDArray[np.float32]

    def recording_logits(self) -> Float64:
        """Mean over each recording's windows, shape (recordings,)."""
        counts = np.bincount(self.recordings, minlength=len(self.labels))
        sums = np.bincount(self.recordings, self.logits, minlength=len(self.labels))
        means: Float64 = sums / counts
        return means


@dataclass(frozen=True)
class Parity:
    """How a variant compares with the Keras model; differences are of spoof probabilities.

    Attributes:
        variant: name of the form.
        recordings, windows: how many were compared.
        reference_eer, eer: over recordings, of the Keras model and of the variant.
        mean_difference, max_difference: over windows.
        mean_logit_difference, max_logit_difference: the same before calibration.
        failures: one sentence for each bound of the gate that was passed.
    """

    variant: str
    recordings: int
    windows: int
    reference_eer: float
    eer: float
    mean_difference: float
    max_difference: float
    mean_logit_difference: float
    max_logit_difference: float
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Is the variant within its gate?"""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**asdict(self), "failures": list(self.failures)}


def compare(
    variant: str,
    reference: WindowScores,
    scores: WindowScores,
    calibration: Calibration,
    gate: Gate,
) -> Parity:
    """Hold a variant's scores against the Keras model's on the same windows.

    Raises:
        ValueError: one class is missing, or the Keras model's scores are not finite.
    """
    logit_differences = np.abs(scores.logits - reference.logits)
    differences = np.abs(
        _probability(scores.logits, calibration) - _probability(reference.logits, calibration)
    )
    reference_eer, _ = equal_error_rate(reference.recording_logits(), reference.labels)
    finite = bool(np.isfinite(scores.logits).all())
    eer = equal_error_rate(scores.recording_logits(), scores.labels)[0] if finite else 1.0
    measured = {
        "reference_eer": reference_eer,
        "eer": eer,
        "mean_difference": float(differences.mean()) if finite else 1.0,
        "max_difference": float(differences.max()) if finite else 1.0,
    }
    return Parity(
        variant=variant,
        recordings=len(reference.labels),
        windows=len(reference.logits),
        mean_logit_difference=float(logit_differences.mean()) if finite else -1.0,
        max_logit_difference=float(logit_differences.max()) if finite else -1.0,
        failures=tuple(_failures(measured, gate, finite)),
        **measured,
    )


def _probability(logits: Float64, calibration: Calibration) -> Float64:
    log_odds = np.clip(calibration.scale * logits + calibration.offset, -500, 500)
    probability: Float64 = 1 / (1 + np.exp(-log_odds))
    return probability


def _failures(measured: Mapping[str, float], gate: Gate, finite: bool) -> list[str]:
    if not finite:
        return ["some scores are not finite numbers"]
    found = []
    shift = abs(measured["eer"] - measured["reference_eer"])
    if shift > gate.eer_shift:
        found.append(
            f"EER is {measured['eer']:.2%} where Keras has {measured['reference_eer']:.2%}, more "
            f"than {gate.eer_shift * 100:g} points apart"
        )
    for name in ("mean_difference", "max_difference"):
        if measured[name] > getattr(gate, name):
            word = name.partition("_")[0]
            found.append(
                f"the {word} difference of probability is {measured[name]:.4f}, "
                f"above {getattr(gate, name):g}"
            )
    return found


def parity_table(results: Sequence[Parity], gates: Mapping[str, Gate]) -> str:
    """The comparison for people, in Markdown."""
    if not results:
        return ""
    first = results[0]
    lines = [
        f"Keras against each file on {first.windows} windows of {first.recordings} recordings of "
        "`val`; differences are of the spoof probability of a window.",
        "",
        "| variant | EER | shift (gate) | mean difference (gate) | largest difference (gate) | |",
        "|---|---:|---:|---:|---:|---|",
        f"| Keras | {first.reference_eer:.2%} | | | | |",
    ]
    for result in results:
        gate = gates[result.variant]
        shift = (result.eer - result.reference_eer) * 100
        lines.append(
            f"| {result.variant} | {result.eer:.2%} | {shift:+.2f} ({gate.eer_shift * 100:g}) "
            f"| {result.mean_difference:.5f} ({gate.mean_difference:g}) "
            f"| {result.max_difference:.4f} ({gate.max_difference:g}) "
            f"| {'pass' if result.passed else 'FAIL'} |"
        )
    return "\n".join(lines) + "\n"
