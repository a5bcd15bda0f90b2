"""A run that was trained on val too, calibrated by networks that were not."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from convert.run import compared_trials, load_corpus, read_run
from training.cli import main
from training.config import CorpusSettings, RunSettings
from training.crossfit import crossfit_run
from training.errors import TrainingError
from training.train import load_corpora, train

SIDES = {0: "train", 1: "val", 2: "val", 3: "val"}


@pytest.fixture(scope="module")
def manifest(tone_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sources of tones and of noise: s0 to train on, s1 to s3 to judge by."""
    folder = tmp_path_factory.mktemp("manifest")
    (folder / "audio").mkdir()
    fields = "id kind label generator family speaker utterance language seconds source split report"
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fields.split(), restval="")
        writer.writeheader()
        for path in sorted(p for p in tone_corpus.rglob("*") if p.is_file()):
            label, group = path.parent.name.split("-")
            clip_id = f"{label}-{group}-{path.stem}"
            samples, rate = soundfile.read(path)
            soundfile.write(folder / "audio" / f"{clip_id}.flac", samples, rate)
            known = {"generator": f"g{group}"} if label == "spoof" else {}
            writer.writerow({
                "id": clip_id, "kind": "speech", "label": label, "source": f"s{group}",
                "split": SIDES[int(group)], "report": "1", "seconds": "1", **known,
            })  # fmt: skip
    return folder / "manifest.csv"


def trained(settings: RunSettings, manifest: Path, folder: Path, to_train: tuple[str, ...]) -> Path:
    corpus = CorpusSettings(
        "manifest", str(manifest), str(manifest.parent / "audio"), to_train=to_train
    )
    chosen = replace(settings, corpora=(corpus,), epochs=1, val_conditions=("clean", "telephone"))
    train(folder, chosen, say=lambda line: None)
    return folder


@pytest.fixture(scope="module")
def runs(
    settings: RunSettings, manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Two folds, and the whole, which is still judged on s3."""
    folder = tmp_path_factory.mktemp("runs")
    moved = {"a": ("s1",), "b": ("s2", "s3"), "whole": ("s1", "s2")}
    return {name: trained(settings, manifest, folder / name, to) for name, to in moved.items()}


def rows(run: Path) -> dict[str, str]:
    with (run / "scores-val.csv").open(newline="") as file:
        return {row["id"]: row["logit"] for row in csv.DictReader(file)}


def test_every_source_of_val_is_judged_by_the_fold_that_did_not_train_on_it(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = shutil.copytree(runs["whole"], tmp_path / "whole")
    before = json.loads((whole / "calibration.json").read_text())
    folds = ["--fold", str(runs["a"]), "--fold", str(runs["b"])]
    assert main(["crossfit", str(whole), *folds]) == 0
    assert rows(whole) == {**rows(runs["a"]), **rows(runs["b"])}
    assert len(rows(whole)) == 18
    after = json.loads((whole / "calibration.json").read_text())
    assert after["scale"] != before["scale"]
    found = json.loads((whole / "crossfit.json").read_text())
    assert found["folds"] == [["s2", "s3"], ["s1"]]
    assert set(found["unseen"]) == {"clean", "telephone"}
    # Every generator is unknown to the fold that judges it, though the whole has heard two.
    report = json.loads((whole / "report-val.json").read_text())
    assert report["unseen_generators"]["spoofs"] == 9 and report["seen_generators"] is None
    assert found["unseen"]["clean"]["eer"] == pytest.approx(report["unseen_generators"]["eer"])
    assert "telephone" in capsys.readouterr().out


def test_folds_that_judge_the_same_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    whole = shutil.copytree(runs["whole"], tmp_path / "whole")
    before = (whole / "calibration.json").read_bytes()
    with pytest.raises(TrainingError, match="s3 is judged by"):
        crossfit_run(whole, [runs["a"], runs["whole"]])
    with pytest.raises(TrainingError, match="no fold"):
        crossfit_run(whole, [])
    assert (whole / "calibration.json").read_bytes() == before


def test_only_some_sources_can_be_taken(manifest: Path) -> None:
    entry = CorpusSettings(
        "manifest", str(manifest), str(manifest.parent / "audio"), sources=("s2",), to_train=("s2",)
    )
    trials = load_corpora([entry], 1).trials
    assert {(trial.source, trial.split) for trial in trials} == {("s2", "train")}


def test_the_forms_of_the_whole_are_held_against_keras_on_all_of_val(runs: dict[str, Path]) -> None:
    run = read_run(runs["whole"])
    corpus = load_corpus(run)
    assert {trial.source for trial in corpus.side("val")} == {"s3"}
    compared = compared_trials(corpus, run.settings.corpora)
    assert {trial.source for trial in compared} == {"s1", "s2", "s3"}
