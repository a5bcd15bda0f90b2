from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from training.corpus import (
    CorpusWarning,
    assign_splits,
    check_splits,
    group_key,
    moved_to_train,
    read_folder,
    read_manifest,
    summary,
)
from training.errors import CorpusError
from training.protocols import Trial, split_conflicts

COLUMNS = (
    *("id", "kind", "label", "generator", "family", "speaker", "utterance", "language"),
    *("format", "rate", "seconds", "offset", "source", "ref", "path", "split", "licence"),
    *("core", "report"),
)


def write_manifest(folder: Path, rows: list[dict[str, str]], audio: bool = True) -> Path:
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    (folder / "audio").mkdir(exist_ok=True)
    if audio:
        for row in rows:
            soundfile.write(folder / "audio" / f"{row['id']}.flac", np.zeros(1600), 16000)
    return path


def row(id: str, split: str, source: str, **known: str) -> dict[str, str]:
    label = known.pop("label", "bonafide")
    return {
        "id": id, "kind": "speech", "label": label, "split": split, "source": source,
        "seconds": "0.1", "report": "0", **known,
    }  # fmt: skip


def test_a_manifest_becomes_trials_noises_and_rooms(tmp_path: Path) -> None:
    rows = [
        row("a", "train", "S", speaker="x", report="1", format="mp3"),
        row("b", "val", "T", label="spoof", generator="G", family="tts"),
        {**row("n", "train", "N", label=""), "kind": "noise"},
        {**row("r", "train", "R", label=""), "kind": "rir"},
    ]
    corpus = read_manifest(write_manifest(tmp_path, rows), tmp_path / "audio")
    first, second = corpus.trials
    assert (first.id, first.label, first.split, first.report) == ("a", "bonafide", "train", True)
    assert first.path == tmp_path / "audio" / "a.flac"
    assert first.extras["format"] == "mp3"
    assert (second.generator, second.family, second.report) == ("G", "tts", False)
    assert [clip.id for clip in corpus.noises] == ["n"]
    assert [clip.id for clip in corpus.rirs] == ["r"]


def test_rows_without_audio_are_left_out_with_a_warning(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, [row("a", "train", "S"), row("b", "val", "T")])
    (tmp_path / "audio" / "b.flac").unlink()
    with pytest.warns(CorpusWarning, match="1 of 2 clips"):
        corpus = read_manifest(manifest, tmp_path / "audio")
    assert [trial.id for trial in corpus.trials] == ["a"]


def test_training_clips_of_an_evaluated_source_are_left_out_with_a_warning(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, [row("a", "train", "S"), row("b", "test", "S")])
    with pytest.warns(CorpusWarning, match="1 clips share"):
        corpus = read_manifest(manifest, tmp_path / "audio")
    assert [trial.id for trial in corpus.trials] == ["b"]


@pytest.mark.parametrize("case", ["no manifest", "no column", "no audio", "wrong label"])
def test_a_manifest_that_cannot_be_used_is_said_to_be_so(tmp_path: Path, case: str) -> None:
    label = "human" if case == "wrong label" else "bonafide"
    manifest = write_manifest(
        tmp_path, [row("a", "train", "S", label=label)], audio=case != "no audio"
    )
    if case == "no manifest":
        manifest = tmp_path / "absent.csv"
    if case == "no column":
        manifest.write_text("id,label\na,spoof\n")
    with pytest.raises(CorpusError) as raised:
        read_manifest(manifest, tmp_path / "audio")
    assert str(manifest) in str(raised.value)


def test_a_folder_is_read_whatever_the_case_of_its_names(tone_corpus: Path) -> None:
    corpus = read_folder(tone_corpus)
    assert len(corpus.trials) == 24
    assert sum(trial.is_spoof for trial in corpus.trials) == 12
    assert {trial.path.suffix for trial in corpus.trials} == {".WAV", ".flac"}
    spoof = next(trial for trial in corpus.trials if trial.is_spoof)
    assert spoof.generator == "spoof-0"
    assert spoof.source == "spoof/spoof-0"


def test_real_and_fake_are_names_too_and_flat_clips_have_no_source(tmp_path: Path) -> None:
    for name in ("Real", "FAKE"):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.Wav", np.zeros(160), 16000, format="WAV")
    corpus = read_folder(tmp_path)
    assert {(t.label, t.source, t.generator) for t in corpus.trials} == {
        ("bonafide", "", ""),
        ("spoof", "", ""),
    }


def test_a_folder_without_one_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spoof").mkdir()
    soundfile.write(tmp_path / "spoof" / "x.wav", np.zeros(160), 16000)
    with pytest.raises(CorpusError, match="bonafide or bona-fide or real"):
        read_folder(tmp_path)


def test_a_leaking_split_is_refused_by_name() -> None:
    rows = [
        Trial(id="a", path=Path("a"), source="S", split="train"),
        Trial(id="b", path=Path("b"), source="S", split="val"),
    ]
    with pytest.raises(CorpusError, match="source S is on train and val"):
        check_splits(rows)


def groups_of(sizes: list[int], label: str) -> list[Trial]:
    return [
        Trial(id=f"{label}{g}-{i}", path=Path("x"), label=label, source=f"{label}{g}")
        for g, size in enumerate(sizes)
        for i in range(size)
    ]


@given(
    st.lists(st.integers(1, 30), min_size=6, max_size=20),
    st.lists(st.integers(1, 30), min_size=6, max_size=20),
    st.integers(0, 1000),
)
def test_a_random_split_keeps_sources_whole_and_classes_on_every_side(
    bonafide: list[int], spoof: list[int], seed: int
) -> None:
    rows = groups_of(bonafide, "bonafide") + groups_of(spoof, "spoof")
    split = assign_splits(rows, np.random.default_rng(seed))
    assert split_conflicts(split) == []
    assert {t.id for t in split} == {t.id for t in rows}
    for side in ("train", "val", "test"):
        assert {t.label for t in split if t.split == side} == {"bonafide", "spoof"}


def test_a_random_split_of_many_small_sources_has_the_shares_asked_for() -> None:
    rows = groups_of([2] * 100, "bonafide") + groups_of([5] * 100, "spoof")
    split = assign_splits(rows, np.random.default_rng(0))
    for label, total in (("bonafide", 200), ("spoof", 500)):
        train = sum(t.label == label and t.split == "train" for t in split)
        assert train == pytest.approx(0.7 * total, rel=0.05)


def test_unknown_sources_are_warned_about() -> None:
    rows = [
        Trial(id=str(i), path=Path("x"), label=label)
        for label in ("bonafide", "spoof")
        for i in range(10)
    ]
    rows = [Trial(id=f"{t.label}{t.id}", path=t.path, label=t.label) for t in rows]
    with pytest.warns(CorpusWarning, match="sources are unknown"):
        assign_splits(rows, np.random.default_rng(0))


def test_known_sources_raise_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assign_splits(
            groups_of([3] * 6, "bonafide") + groups_of([3] * 6, "spoof"),
            np.random.default_rng(0),
        )


def test_too_few_sources_for_three_sides_are_refused() -> None:
    rows = groups_of([5], "bonafide") + groups_of([5], "spoof")
    with pytest.raises(CorpusError, match="too few"):
        assign_splits(rows, np.random.default_rng(0))


def test_the_speaker_holds_together_what_has_no_source() -> None:
    assert group_key(Trial(id="a", path=Path("a"), speaker="x")) == "speaker:x"


def test_the_summary_counts_by_side_and_label() -> None:
    rows = groups_of([2, 3], "spoof")
    assert "| - | spoof | 5 | 5 | 2 | 0 | 0 |" in summary(rows)


def on_side(source: str, split: str, **known: str) -> Trial:
    return Trial(f"{source}-{split}", Path("x"), source=source, split=split, **known)


def test_a_source_of_val_can_be_trained_on() -> None:
    trials = [on_side("a", "train"), on_side("b", "val"), on_side("c", "val"), on_side("d", "test")]
    moved = moved_to_train(trials, ["b"])
    assert [t.split for t in moved] == ["train", "train", "val", "test"]
    assert moved_to_train(trials, []) == trials


def test_what_is_moved_to_train_shares_no_sentence_with_what_is_evaluated() -> None:
    spoken = {"speaker": "LJ", "utterance": "7"}
    trials = [on_side("a", "val", **spoken), on_side("b", "val"), on_side("c", "val")]
    assert len(moved_to_train(trials, ["a"])) == 3
    quoted = [*trials, on_side("d", "val", **spoken)]
    with pytest.warns(CorpusWarning, match="^1 clips"):
        kept = moved_to_train(quoted, ["a", "b"])
    assert {t.source: t.split for t in kept} == {"b": "train", "c": "val", "d": "val"}


@pytest.mark.parametrize("source, reason", [("d", "test is not trained on"), ("z", "no trial")])
def test_neither_test_nor_an_unknown_source_is_moved_to_train(source: str, reason: str) -> None:
    with pytest.raises(CorpusError, match=reason):
        moved_to_train([on_side("a", "train"), on_side("d", "test")], [source])
