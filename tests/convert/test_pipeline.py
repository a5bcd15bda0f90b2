"""What a bundle says of where it comes from."""

from __future__ import annotations

from pathlib import Path

from convert.pipeline import data_summary
from training.protocols import Corpus, Trial


def trial(name: str, source: str, licence: str, split: str = "train") -> Trial:
    extras = {"licence": licence} if licence else {}
    return Trial(
        name, Path(name), label="bonafide", source=source, split=split, extras=extras
    )


def test_sources_are_named_by_licence_and_a_copy_has_that_of_its_original():
    corpus = Corpus(
        (
            trial("1", "some/voices", "CC0"),
            trial("2", "other/voices", "CC0"),
            trial("3", "other/voices", "as its original: CC0"),
            trial("4", "third/voices", ""),
            trial("5", "third/voices", "as its original: "),
            trial("6", "held/out", "CC0", split="val"),
        )
    )
    summary = data_summary({"train_sources": ["a", "b", "c"]}, corpus)
    assert summary["train_licences"] == {"CC0": 3, "not stated": 2}
    assert summary["train_sources_by_licence"] == {
        "CC0": ["other/voices", "some/voices"], "not stated": ["third/voices"],
    }
    assert summary["train_sources"] == 3
