"""Shortcut audit: can the class be told from what has nothing to do with the voice?

A classifier sees six things only: duration, edge silence, bandwidth, level, noise floor and
container. Before the pipeline it shows how far a corpus is confounded; after it, on the windows
that the network trains on, it must stay near chance (Müller et al., "Speech is silver, silence is
golden", ASVspoof workshop 2021). Whole sources are held out, so that it cannot know a source again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from training.data import BatchMaker
from training.protocols import Trial, targets

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

SAMPLE_RATE_HZ = 16000
BLOCK_SAMPLES = 320
EDGE_BELOW_DB = 40.0
FOLDS = 5
LIMIT_POINTS = 5.0
MEASURES = ("duration_s", "lead_s", "tail_s", "bandwidth_hz", "rolloff_hz", "rms_db", "peak_db",
            "floor_db")


def measures(samples: Float32) -> Float64:
    """What can be measured without listening to the voice: float64, shape (8,), see `MEASURES`."""
    if len(samples) < 2 * BLOCK_SAMPLES:
        samples = np.resize(samples, 2 * BLOCK_SAMPLES)
    blocks = samples[: len(samples) // BLOCK_SAMPLES * BLOCK_SAMPLES].reshape(-1, BLOCK_SAMPLES)
    levels_db = 10 * np.log10(np.mean(np.square(blocks, dtype=np.float64), axis=1) + 1e-12)
    loud = np.flatnonzero(levels_db > levels_db.max() - EDGE_BELOW_DB)
    block_s = BLOCK_SAMPLES / SAMPLE_RATE_HZ
    bandwidth_hz, rolloff_hz = _spectral_reach(blocks)
    return np.array([
        len(samples) / SAMPLE_RATE_HZ,
        loud[0] * block_s,
        (len(levels_db) - 1 - loud[-1]) * block_s,
        bandwidth_hz,
        rolloff_hz,
        10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12),
        20 * np.log10(float(np.abs(samples).max()) + 1e-6),
        float(np.percentile(levels_db, 5)),
    ])


def _spectral_reach(blocks: Float32) -> tuple[float, float]:
    """Highest frequency within 70 dB of the strongest, and the one below which 99 % lies, Hz."""
    power = np.mean(np.abs(scipy.fft.rfft(blocks * np.hanning(BLOCK_SAMPLES), axis=1)) ** 2, axis=0)
    power = power + 1e-20
    hz = scipy.fft.rfftfreq(BLOCK_SAMPLES, 1 / SAMPLE_RATE_HZ)
    present = np.flatnonzero(power > power.max() * 1e-7)
    share = np.cumsum(power) / power.sum()
    return float(hz[present[-1]]), float(hz[int(np.searchsorted(share, 0.99))])


@dataclass(frozen=True)
class AuditResult:
    """How well the class is told from shortcuts, sources held out.

    Attributes:
        stage: "before" or "after" the pipeline.
        clips: how many.
        accuracy: mean over the two classes of the share told right; 0.5 = chance.
    """

    stage: str
    clips: int
    accuracy: float

    @property
    def points_from_chance(self) -> float:
        return 100 * abs(self.accuracy - 0.5)

    @property
    def passes(self) -> bool:
        return self.points_from_chance <= LIMIT_POINTS


def audit(inputs: Float64, labels: NDArray[Any], sources: Sequence[str], stage: str) -> AuditResult:
    """Cross-validate a boosted-tree classifier with whole sources held out.

    Args:
        inputs: shape (n, measures).
        labels: 1 = spoof, shape (n,).
        sources: of each row; those of one fold are never in training.
        stage: named in the result.

    Raises:
        ValueError: a class is missing.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits

    truth = np.asarray(labels).astype(int)
    if len(set(truth.tolist())) < 2:
        raise ValueError("the audit needs both bona fide and spoof clips")
    groups = np.unique(np.array(sources), return_inverse=True)[1]
    folds = StratifiedGroupKFold(min(FOLDS, len(set(groups))), shuffle=True, random_state=1)
    told = np.zeros(len(truth), int)
    # Its threads wait for each other by spinning, which is hours on a busy machine.
    with threadpool_limits(1):
        for train, held_out in folds.split(inputs, truth, groups):
            model = HistGradientBoostingClassifier(
                max_iter=100, class_weight="balanced", random_state=1
            )
            told[held_out] = model.fit(inputs[train], truth[train]).predict(inputs[held_out])
    return AuditResult(stage, len(truth), float(balanced_accuracy_score(truth, told)))


def containers(trials: Sequence[Trial]) -> Float64:
    """One column per original file format, shape (trials, formats)."""
    names = [trial.extras.get("format", "") for trial in trials]
    formats = sorted(set(names))
    return np.array([[float(name == entry) for entry in formats] for name in names])


def audit_before(
    trials: Sequence[Trial], read: Callable[[Trial], Float32]
) -> AuditResult:
    """Audit clips as they are, their original container included."""
    inputs = np.stack([measures(read(trial)) for trial in trials])
    table = np.hstack([inputs, containers(trials)])
    return audit(table, targets(trials), [t.source for t in trials], "before")


def audit_after(maker: BatchMaker, windows: int) -> AuditResult:
    """Audit windows as the network gets them; all come in the same container, which is none."""
    trials, rows = [], []
    for index in range(-(-windows // maker.loader.batch_size)):
        for place, trial in enumerate(maker.draw(0, index)):
            rng = np.random.default_rng([maker.seed, 0, index, place + 1])
            rows.append(measures(maker.window(trial, rng)))
            trials.append(trial)
    return audit(np.stack(rows), targets(trials), [t.source for t in trials], "after")


def audit_markdown(results: Sequence[AuditResult]) -> str:
    """A table for the model card."""
    head = "| pipeline | clips | accuracy (chance 50 %) | within 5 points |"
    lines = [head, "|---|---:|---:|---|"]
    lines += [
        f"| {r.stage} | {r.clips} | {r.accuracy:.1%} | {'yes' if r.passes else 'no'} |"
        for r in results
    ]
    return "\n".join(lines) + "\n"
