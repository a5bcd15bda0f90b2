from __future__ import annotations

from pathlib import Path

import pytest

from training.protocols import (
    Trial,
    manifest_hash,
    split_conflicts,
    targets,
    with_split,
    without_overlap,
)


def trial(id: str, split: str = "train", **known: object) -> Trial:
    return Trial(id=id, path=Path(f"{id}.wav"), split=split, **known)  # type: ignore[arg-type]


def test_spoof_is_the_positive_class() -> None:
    assert targets([trial("a", label="spoof"), trial("b")]).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("wrong", [{"label": "fake"}, {"split": "dev"}])
def test_a_trial_of_an_unknown_label_or_split_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        trial("a", **{"split": "train", **wrong})


def test_a_source_on_two_sides_is_a_conflict() -> None:
    rows = [trial("a", "train", source="S"), trial("b", "test", source="S")]
    assert split_conflicts(rows) == ["source S is on test and train"]


def test_a_speakers_sentence_on_two_sides_is_a_conflict_whatever_its_case() -> None:
    rows = [
        trial("a", "train", source="S", speaker="LJSpeech", utterance="LJ001"),
        trial("b", "val", source="T", speaker="ljspeech", utterance="lj001"),
    ]
    assert split_conflicts(rows) == ["utterance lj001 of speaker ljspeech is on train and val"]


def test_the_same_sentence_by_another_speaker_is_no_conflict() -> None:
    rows = [
        trial("a", "train", speaker="p1", utterance="001"),
        trial("b", "val", speaker="p2", utterance="001"),
    ]
    assert split_conflicts(rows) == []


def test_overlap_is_taken_from_the_side_that_trains() -> None:
    rows = [
        trial("a", "train", source="S"),
        trial("b", "test", source="S"),
        trial("c", "train", source="T", speaker="x", utterance="1"),
        trial("d", "val", source="U", speaker="x", utterance="1"),
        trial("e", "train", source="T"),
    ]
    kept, dropped = without_overlap(rows)
    assert [t.id for t in kept] == ["b", "d", "e"]
    assert dropped == 2
    assert split_conflicts(kept) == []


def test_the_manifest_hash_ignores_order_and_paths_but_not_labels() -> None:
    rows = [trial("a"), trial("b")]
    assert manifest_hash(rows) == manifest_hash(rows[::-1])
    moved = Trial(id="a", path=Path("/elsewhere.wav"), split="train")
    assert manifest_hash(rows) == manifest_hash([moved, rows[1]])
    assert manifest_hash(rows) != manifest_hash([trial("a", label="spoof"), rows[1]])
    assert manifest_hash(rows) != manifest_hash(with_split(rows, "val"))
