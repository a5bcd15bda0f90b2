"""Spoofs of one's own."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile

from training.cli import main
from training.engines import ENGINES, EngineMissing, load_engine, programs
from training.engines.programs import require, spoken
from training.errors import CorpusError, TrainingError
from training.protocols import Trial
from training.sentences import SENTENCES
from training.synthesize import at_level_of, choose_clips, excerpt, synthesize


@pytest.fixture
def human(tmp_path):
    """Three voiced clips: a buzz with formant-like bumps, of three sources."""
    trials = []
    for index in range(3):
        time_s = np.arange(32000) / 16000
        buzz = sum(np.sin(2 * np.pi * (110 + 20 * index) * k * time_s) / k for k in range(1, 20))
        path = tmp_path / "human" / f"{index}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, (0.1 * buzz).astype(np.float32), 16000)
        trials.append(
            Trial(f"c{index}", path, source=f"s{index}", speaker=f"p{index}", utterance="u",
                  language="de", split="train")
        )
    return trials


def test_copies_keep_speaker_source_and_sentence_and_say_what_made_them(tmp_path, human):
    out = tmp_path / "out"
    assert synthesize(human, {"griffin-lim": 3}, out, 1, 1.0, print) == 3
    with (out / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["source"] for row in rows} == {"s0", "s1", "s2"}
    for row in rows:
        assert (row["label"], row["split"], row["family"]) == ("spoof", "train", "vocoder")
        assert row["generator"] == "Griffin-Lim" and row["utterance"] == "u"
        assert row["speaker"] == "p" + row["source"][1]
        made, rate_hz = soundfile.read(out / "audio" / f"{row['id']}.flac")
        assert rate_hz == 16000 and len(made) == 16000 and np.abs(made).max() > 0.01


def test_a_second_run_makes_nothing_anew(tmp_path, human):
    out = tmp_path / "out"
    synthesize(human, {"griffin-lim": 2}, out, 1, 1.0, print)
    times = {path: path.stat().st_mtime_ns for path in (out / "audio").iterdir()}
    synthesize(human, {"griffin-lim": 2}, out, 1, 1.0, print)
    assert times == {path: path.stat().st_mtime_ns for path in (out / "audio").iterdir()}


def test_an_engine_that_is_not_installed_is_named_and_skipped(tmp_path, human, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    said = []
    made = synthesize(human, {"flite": 2, "griffin-lim": 1}, tmp_path / "o", 1, 1.0, said.append)
    assert made == 1
    assert any("skipped flite" in line and "apt-get install" in line for line in said)


def test_where_no_engine_is_installed_it_is_said_that_nothing_was_made(
    tmp_path, human, monkeypatch
):
    monkeypatch.setenv("PATH", "/nonexistent")
    said = []
    with pytest.raises(CorpusError, match="none of flite, festival made a clip"):
        synthesize(human, {"flite": 2, "festival": 1}, tmp_path / "o", 1, 1.0, said.append)
    assert sum("skipped" in line for line in said) == 2
    assert not (tmp_path / "o").exists()


def test_an_unknown_engine_and_an_empty_corpus_are_errors(tmp_path):
    with pytest.raises(TrainingError, match="not one of"):
        load_engine("wavenet-on-a-toaster")
    with pytest.raises(CorpusError, match="no bona fide clip"):
        synthesize([], {"griffin-lim": 1}, tmp_path, 1, 1.0, print)


def test_sources_take_turns_however_large_one_of_them_is():
    big = [Trial(f"b{i}", None, source="big", speaker=str(i % 5)) for i in range(100)]
    small = [Trial(f"s{i}", None, source="small", speaker="one") for i in range(3)]
    chosen = choose_clips([*big, *small], 6, np.random.default_rng(1))
    assert sum(trial.source == "small" for trial in chosen) == 3
    assert len({trial.speaker for trial in chosen if trial.source == "big"}) == 3


def test_level_does_not_give_a_copy_away():
    rng = np.random.default_rng(2)
    original = rng.normal(0, 0.05, 16000).astype(np.float32)
    copy = at_level_of(rng.normal(0, 0.4, 16000).astype(np.float32), original)
    assert abs(np.std(copy) - np.std(original)) < 1e-3
    assert len(excerpt(original, 0.5, rng)) == 8000


def test_every_language_that_an_engine_reads_has_sentences():
    for spec in ENGINES.values():
        assert set(spec.languages) <= set(SENTENCES)


def test_a_missing_program_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineMissing, match="apt-get install flite"):
        require("flite", "flite")


def test_the_command_makes_spoofs_of_any_folder(tmp_path, human, capsys):
    status = main(
        ["synthesize", str(tmp_path / "human"), "--out", str(tmp_path / "o"), "--engine",
         "griffin-lim=2", "--seconds", "1"]
    )
    assert status == 0
    assert "2 clips" in capsys.readouterr().out


def test_the_command_says_that_a_count_is_wrong(tmp_path, capsys):
    status = main(["synthesize", str(tmp_path), "--out", str(tmp_path), "--engine", "world=many"])
    assert status == 1
    assert "NAME=COUNT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("sleep 5", "sh took longer than 0.2 s"),
        ("echo no such voice >&2; exit 3", "sh failed: no such voice"),
        ("exit 0", "sh wrote no sound"),
    ],
)
def test_a_program_that_hangs_or_fails_is_told_in_a_sentence(monkeypatch, script, why):
    monkeypatch.setattr(programs, "TIMEOUT_S", 0.2)
    with pytest.raises(TrainingError, match=why):
        spoken(["sh", "-c", script], "hello")
