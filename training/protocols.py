"""What a corpus is made of: clips, and trials that say what a clip holds. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LABELS = ("bonafide", "spoof")
SPLITS = ("train", "val", "test")
# What results are given under; see `augment.condition`.
CONDITIONS = ("clean", "telephone", "codec", "replay")


@dataclass(frozen=True)
class Clip:
    """A stretch of an audio file.

    Attributes:
        id: unique name within its corpus.
        path: the file.
        offset_s: where the clip begins in the file, s.
        seconds: its length, s; None = to the end of the file.
    """

    id: str
    path: Path
    offset_s: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True)
class Trial(Clip):
    """A clip of speech with everything known about it.

    Attributes:
        label: "bonafide" or "spoof" (the positive class).
        source: who published it; a source is never on two sides of a split. "" = unknown.
        speaker: "" = unknown.
        generator: what made a spoof; "" for bona fide.
        family: "tts", "vc", "vocoder", "codec", or "".
        utterance: key shared by recordings and resyntheses of the same spoken sentence.
        language: ISO code, or "".
        split: "train", "val", "test", or "" when not assigned yet.
        report: results are given on it (the manifest's `report` column).
        extras: condition of the recording as the corpus names it (codec, bit rate, attack ...).
    """

    label: str = "bonafide"
    source: str = ""
    speaker: str = ""
    generator: str = ""
    family: str = ""
    utterance: str = ""
    language: str = ""
    split: str = ""
    report: bool = True
    extras: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise ValueError(f"label is {self.label!r}; it must be one of {', '.join(LABELS)}")
        if self.split not in ("", *SPLITS):
            raise ValueError(f"split is {self.split!r}; it must be one of {', '.join(SPLITS)}")

    @property
    def is_spoof(self) -> bool:
        return self.label == "spoof"


@dataclass(frozen=True)
class Corpus:
    """Trials, and the noise and room impulse responses that may be laid over them."""

    trials: tuple[Trial, ...]
    noises: tuple[Clip, ...] = ()
    rirs: tuple[Clip, ...] = ()

    def side(self, split: str, reported_only: bool = False) -> tuple[Trial, ...]:
        """Trials of one split, those with `report` set if so asked."""
        return tuple(
            trial
            for trial in self.trials
            if trial.split == split and (trial.report or not reported_only)
        )

    def joined(self, other: Corpus) -> Corpus:
        return Corpus(
            self.trials + other.trials, self.noises + other.noises, self.rirs + other.rirs
        )


def targets(trials: Sequence[Trial]) -> NDArray[np.float32]:
    """1 for spoof, 0 for bona fide; float32, shape (trials,)."""
    return np.array([trial.is_spoof for trial in trials], np.float32)


def manifest_hash(trials: Iterable[Trial]) -> str:
    """SHA-256 over ids, labels, sides and provenance, whatever the order; not over paths."""
    lines = sorted(
        "\t".join(
            (t.id, t.label, t.source, t.speaker, t.generator, t.utterance, t.split, str(t.report))
        )
        for t in trials
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def speaker_utterance(trial: Trial) -> tuple[str, str] | None:
    """Identity of a spoken sentence, or None when the corpus does not tell it."""
    if not (trial.speaker and trial.utterance):
        return None
    return trial.speaker.lower(), trial.utterance.lower()


def split_conflicts(trials: Iterable[Trial]) -> list[str]:
    """Sources and spoken sentences that stand on more than one side, one sentence each."""
    source_sides: dict[str, set[str]] = {}
    utterance_sides: dict[tuple[str, str], set[str]] = {}
    for trial in trials:
        if trial.source:
            source_sides.setdefault(trial.source, set()).add(trial.split)
        key = speaker_utterance(trial)
        if key:
            utterance_sides.setdefault(key, set()).add(trial.split)
    found = [
        f"source {source} is on {' and '.join(sorted(sides))}"
        for source, sides in sorted(source_sides.items())
        if len(sides) > 1
    ]
    found += [
        f"utterance {key[1]} of speaker {key[0]} is on {' and '.join(sorted(sides))}"
        for key, sides in sorted(utterance_sides.items())
        if len(sides) > 1
    ]
    return found


def without_overlap(trials: Sequence[Trial]) -> tuple[list[Trial], int]:
    """Drop from `train` what shares a source or a spoken sentence with `val` or `test`.

    And from `val` what shares one with `test`. The same sentence of the same speaker may reach two
    sides through two sources (LJSpeech is quoted everywhere). The evaluated side keeps its trials,
    so that results stay comparable.

    Returns:
        The trials kept, and how many were dropped.
    """
    latest: dict[object, int] = {}
    for trial in trials:
        for key in _ties(trial):
            latest[key] = max(SPLITS.index(trial.split), latest.get(key, 0))
    kept = [
        trial
        for trial in trials
        if all(latest[key] == SPLITS.index(trial.split) for key in _ties(trial))
    ]
    return kept, len(trials) - len(kept)


def _ties(trial: Trial) -> list[object]:
    """What binds a trial to its side; nothing while it has none."""
    if not trial.split:
        return []
    utterance = speaker_utterance(trial)
    return [key for key in (trial.source, utterance) if key]


def with_split(trials: Iterable[Trial], split: str) -> list[Trial]:
    """The same trials, all on one side."""
    return [replace(trial, split=split) for trial in trials]
