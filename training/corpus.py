"""Readers from what is on disk to a Corpus: the manifest, and plain bonafide/ + spoof/ folders."""

from __future__ import annotations

import csv
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.audio import find_audio
from training.errors import CorpusError
from training.protocols import (
    SPLITS,
    Clip,
    Corpus,
    Trial,
    split_conflicts,
    without_overlap,
)

MANIFEST_COLUMNS = frozenset(
    [
        "id",
        "kind",
        "label",
        "generator",
        "family",
        "speaker",
        "utterance",
        "language",
        "seconds",
        "source",
        "split",
        "report",
    ]
)
FOLDER_LABELS = {"bonafide": "bonafide", "bona-fide": "bonafide", "real": "bonafide"}
FOLDER_LABELS.update({"spoof": "spoof", "fake": "spoof"})
CONFLICTS_SHOWN = 3


class CorpusWarning(UserWarning):
    """A corpus can be used, but not for every claim."""


def read_manifest(manifest: Path, audio: Path, parts: Sequence[str] = ()) -> Corpus:
    """The corpus of a manifest CSV whose clips lie in one folder as ID.flac.

    `parts` names folders that are sources of their own, as SOURCE:FOLDER: a repository may quote
    other people's corpora beside its own recordings, and the manifest split them accordingly.

    Rows without a file are left out and counted in a warning. So are trials of `train` (and
    `val`) that share a source, or a sentence of a speaker, with `test` (or `val`): a manifest may
    split one repository's folders, and many repositories quote LJSpeech.

    Raises:
        CorpusError: a file or column is missing, a row is wrong, no clip of the manifest lies in
            the folder.
    """
    rows = [_with_part(row, parts) for row in manifest_rows(manifest)]
    if not audio.is_dir():
        raise CorpusError(f"the audio folder {audio} does not exist; extract the corpus into it")
    there = {path.stem: path for path in audio.iterdir() if path.suffix.lower() == ".flac"}
    present = [row for row in rows if row["id"] in there]
    if not present:
        raise CorpusError(f"none of the {len(rows)} clips of {manifest} lies in {audio} as ID.flac")
    if len(present) < len(rows):
        warnings.warn(
            f"{len(rows) - len(present)} of {len(rows)} clips of {manifest.name} "
            f"are not in {audio} and are left out",
            CorpusWarning,
            stacklevel=2,
        )
    trials = [_trial(row, there[row["id"]], manifest) for row in present if row["kind"] == "speech"]
    kept = _without_overlap(trials)
    check_splits(kept)
    noises = tuple(_clip(row, there[row["id"]]) for row in present if row["kind"] == "noise")
    rirs = tuple(_clip(row, there[row["id"]]) for row in present if row["kind"] == "rir")
    return Corpus(tuple(kept), noises, rirs)


def _with_part(row: dict[str, str], parts: Sequence[str]) -> dict[str, str]:
    for part in parts:
        source, _, folder = part.rpartition(":")
        if row["source"] == source and row.get("path", "").startswith(folder):
            return {**row, "source": f"{source}/{folder}"}
    return row


def manifest_rows(manifest: Path) -> list[dict[str, str]]:
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = MANIFEST_COLUMNS - set(reader.fieldnames or ())
            if missing:
                raise CorpusError(f"{manifest} lacks the columns {', '.join(sorted(missing))}")
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"the manifest {manifest} cannot be read: {error}") from error


def _clip(row: dict[str, str], path: Path) -> Clip:
    return Clip(id=row["id"], path=path)


def _trial(row: dict[str, str], path: Path, manifest: Path) -> Trial:
    try:
        return Trial(
            id=row["id"],
            path=path,
            label=row["label"],
            source=row["source"],
            speaker=row["speaker"],
            generator=row["generator"],
            family=row["family"],
            utterance=row["utterance"],
            language=row["language"],
            split=row["split"],
            report=row["report"] == "1",
            extras={name: row[name] for name in ("format", "rate", "licence") if row.get(name)},
        )
    except ValueError as error:
        raise CorpusError(f"{manifest}, clip {row['id']}: {error}") from error


def read_folder(folder: Path, split: str = "") -> Corpus:
    """A folder that holds `bonafide` and `spoof` (or `real` and `fake`), in any case.

    Below a label, the first folder is taken as the source (and, for a spoof, the generator):
    `spoof/MelGAN/x.wav`. Files that lie directly in the label's folder have no known source.

    Raises:
        CorpusError: the folder is missing, or one of the labels has no audio.
    """
    if not folder.is_dir():
        raise CorpusError(f"the corpus folder {folder} does not exist")
    trials = [
        _folder_trial(folder, side, path, split)
        for side in sorted(folder.iterdir())
        if side.is_dir() and side.name.lower() in FOLDER_LABELS
        for path in find_audio(side)
    ]
    for label in ("bonafide", "spoof"):
        if not any(trial.label == label for trial in trials):
            names = " or ".join(name for name, means in FOLDER_LABELS.items() if means == label)
            raise CorpusError(f"{folder} holds no audio in a folder named {names}")
    return Corpus(tuple(trials))


def read_human_folder(folder: Path) -> Corpus:
    """Any folder of bona fide speech; its first level of folders names the speakers.

    Raises:
        CorpusError: the folder is missing or holds no audio.
    """
    paths = find_audio(folder) if folder.is_dir() else []
    if not paths:
        raise CorpusError(f"{folder} holds no audio")
    return Corpus(
        tuple(
            Trial(
                id=path.relative_to(folder).as_posix(),
                path=path,
                source=folder.name,
                speaker=path.relative_to(folder).parts[0] if path.parent != folder else "",
                split="train",
            )
            for path in paths
        )
    )


def _folder_trial(folder: Path, side: Path, path: Path, split: str) -> Trial:
    inner = path.relative_to(side).parts
    group = inner[0] if len(inner) > 1 else ""
    label = FOLDER_LABELS[side.name.lower()]
    return Trial(
        id=path.relative_to(folder).as_posix(),
        path=path,
        label=label,
        source=f"{label}/{group}" if group else "",
        generator=group if label == "spoof" else "",
        split=split,
    )


def check_splits(trials: Sequence[Trial]) -> None:
    """Refuse trials whose source, or speaker's utterance, is on two sides.

    Raises:
        CorpusError: names the first few offenders.
    """
    conflicts = split_conflicts(trials)
    if conflicts:
        shown = "; ".join(conflicts[:CONFLICTS_SHOWN])
        more = len(conflicts) - CONFLICTS_SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        raise CorpusError(
            f"the split would leak: {shown}{rest}; put each of them wholly on one side"
        )


def moved_to_train(trials: Sequence[Trial], sources: Collection[str]) -> list[Trial]:
    """The trials, with those of some sources of `val` on `train`.

    What then shares a spoken sentence with a side that is evaluated is left out, as ever.

    Raises:
        CorpusError: there is no trial of a source, or it is on `test`, which is never trained on.
    """
    sides = {trial.source: trial.split for trial in trials}
    for source in sources:
        if source not in sides:
            raise CorpusError(f"to_train names {source}, of which there is no trial")
        if sides[source] == "test":
            raise CorpusError(f"to_train names {source}, which is on test; test is not trained on")
    moved = [replace(t, split="train") if t.source in sources else t for t in trials]
    return _without_overlap(moved)


def _without_overlap(trials: Sequence[Trial]) -> list[Trial]:
    """The trials, without those that share a sentence with a later side; a warning counts these."""
    kept, dropped = without_overlap(trials)
    if dropped:
        warnings.warn(
            f"{dropped} clips share their source, or a sentence of their speaker, with a side that "
            "is evaluated (test before val before train) and are left out",
            CorpusWarning,
            stacklevel=3,
        )
    return kept


def group_key(trial: Trial) -> str:
    """What must stay together: the source, else the speaker, else the clip itself."""
    if trial.source:
        return f"source:{trial.source}"
    return f"speaker:{trial.speaker}" if trial.speaker else f"clip:{trial.id}"


def assign_splits(
    trials: Sequence[Trial],
    rng: np.random.Generator,
    shares: Sequence[float] = (0.7, 0.15, 0.15),
    key: Callable[[Trial], str] = group_key,
) -> list[Trial]:
    """A random split that keeps groups whole and both labels on every side in like shares.

    Groups are drawn in random order, largest first within a label, and each goes to the side that
    lacks most of its share of that label.

    Args:
        trials: their `split` is replaced.
        rng: draws the order.
        shares: of train, val and test; their sum is 1.

    Raises:
        CorpusError: one side would get no clip of a label.
    """
    if any(not trial.source for trial in trials):
        warnings.warn(
            "sources are unknown for some clips, so clips of one source may stand on two sides "
            "and the results will look better than they are",
            CorpusWarning,
            stacklevel=2,
        )
    labels_of = defaultdict(Counter)  # type: ignore[var-annotated]
    for trial in trials:
        labels_of[key(trial)][trial.label] += 1
    totals = Counter(trial.label for trial in trials)
    names = sorted(labels_of)
    order = [names[index] for index in rng.permutation(len(names))]
    order.sort(key=lambda name: -sum(labels_of[name].values()))
    filled = {side: Counter() for side in SPLITS}  # type: ignore[var-annotated]
    side_of = {}
    for name in order:
        counts = labels_of[name]

        def room(side: str, counts: Counter[str] = counts) -> float:
            share = shares[SPLITS.index(side)]
            return sum(
                counts[label] * (share - filled[side][label] / totals[label]) / max(share, 1e-9)
                for label in counts
            )

        best = max(SPLITS, key=room)
        filled[best].update(counts)
        side_of[name] = best
    for side, share in zip(SPLITS, shares):
        for label in totals:
            if share > 0 and not filled[side][label]:
                raise CorpusError(
                    f"{len(names)} groups are too few to give {side} any {label} clip; "
                    "add sources, or name the split yourself"
                )
    return [replace(trial, split=side_of[key(trial)]) for trial in trials]


def summary(trials: Sequence[Trial]) -> str:
    """Clips, sources, speakers and generators by side and label, as a Markdown table."""
    lines = [
        "| split | label | clips | reported | sources | speakers | generators |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for side in (*SPLITS, ""):
        for label in ("bonafide", "spoof"):
            rows = [t for t in trials if t.split == side and t.label == label]
            if rows:
                lines.append(
                    f"| {side or '-'} | {label} | {len(rows)} | {sum(t.report for t in rows)} "
                    f"| {len({t.source for t in rows} - {''})} "
                    f"| {len({t.speaker for t in rows} - {''})} "
                    f"| {len({t.generator for t in rows} - {''})} |"
                )
    return "\n".join(lines)
