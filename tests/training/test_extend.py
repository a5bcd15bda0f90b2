"""Further bona fide speech of the sources that a manifest names."""

from __future__ import annotations

import csv
import subprocess

import numpy as np
import pytest
import soundfile

from training.errors import CorpusError
from training.extend import COLUMNS, candidates, eligible_sources, extend


def row(**given):
    base = dict.fromkeys(COLUMNS, "")
    base.update(id="x", kind="speech", label="bonafide", speaker="s", language="en")
    base.update(format="wav", source="a/b", path="voices/en/1.wav", split="train")
    return {**base, **given}


def test_only_sources_that_are_wholly_bona_fide_training_speech_are_extended():
    rows = [
        row(source="good/one"),
        row(source="mixed/labels"), row(source="mixed/labels", label="spoof"),
        row(source="held/out", split="test"),
        row(source="some/noise", kind="noise", label=""),
    ]
    assert eligible_sources(rows) == ["good/one"]


def test_a_folders_other_audio_takes_its_commonest_speaker():
    rows = [row(path="en/1.wav", speaker="ann"), row(path="en/2.wav", speaker="bob"),
            row(path="en/3.wav", speaker="bob")]
    files = {"en/1.wav": 9999, "en/9.wav": 9999, "en/readme.txt": 9999, "fr/1.wav": 9999,
             "en/tiny.wav": 10}
    found = candidates(rows, files, 10)
    assert [(c.path, c.like["speaker"]) for c in found] == [("en/9.wav", "bob")]


def test_no_folder_gives_more_than_its_share():
    files = {f"voices/en/{i}.wav": 9999 for i in range(50)}
    assert len(candidates([row()], files, 7)) == 7


@pytest.fixture
def mirror(tmp_path):
    repository = tmp_path / "mirrors" / "a+b" / "repo"
    folder = repository / "voices" / "en"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, seconds in (("1", 2.0), ("2", 2.0), ("short", 0.5)):
        noise = rng.normal(0, 0.1, int(44100 * seconds)).astype(np.float32)
        soundfile.write(folder / f"{name}.wav", noise, 44100)
    (folder / "broken.wav").write_bytes(b"RIFF" + bytes(5000))
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "voices"]):
        subprocess.run([*git, *command], check=True)
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row()))
        writer.writeheader()
        writer.writerow(row())
    return tmp_path


def test_clips_come_out_of_a_git_mirror_at_16_khz_with_a_manifest(mirror):
    said = []
    out = mirror / "out"
    count = extend(
        mirror / "manifest.csv", mirror / "mirrors", mirror / "debs", out, 1.5, 60, said.append
    )
    with (out / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert count == len(rows) == 1
    assert rows[0]["path"] == "voices/en/2.wav" and rows[0]["split"] == "train"
    info = soundfile.info(out / "audio" / f"{rows[0]['id']}.flac")
    assert info.samplerate == 16000 and abs(info.duration - 2.0) < 0.01
    assert any("broken.wav" in line for line in said)


def test_a_source_that_is_not_there_is_named(mirror):
    said = []
    extend(mirror / "manifest.csv", mirror / "none", mirror / "none", mirror / "o", 1, 9,
           said.append)
    assert said == ["not there: a/b"]


def test_a_missing_manifest_is_an_error_of_one_sentence(tmp_path):
    with pytest.raises(CorpusError, match="cannot be read"):
        extend(tmp_path / "no.csv", tmp_path, tmp_path, tmp_path, 1, 9, print)
