"""Long recordings from short clips, and the alerts that they must not raise."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile

from edge.bundle import ModelBundle
from tests.bundles import tiny_bundle, voice, whisper
from training.channel import Channel
from training.cli import main
from training.corpus import MANIFEST_COLUMNS, read_manifest
from training.long_audio import (
    SourceTally,
    false_alerts,
    recordings,
    tallies_markdown,
    tally,
    tally_markdown,
)
from training.protocols import Trial


@pytest.fixture
def clips(tmp_path):
    trials = []
    for source, speaker, count in (("big", "a", 40), ("big", "b", 5), ("small", "c", 2)):
        for index in range(count):
            path = tmp_path / f"{source}-{speaker}-{index}.wav"
            soundfile.write(path, np.full(16000, 0.1, np.float32), 16000)
            trials.append(Trial(path.stem, path, source=source, speaker=speaker))
    return trials


def test_speakers_are_kept_apart_and_every_clip_is_heard_once(clips):
    made = list(recordings(clips, 1.0))
    assert sorted(source for source, _ in made) == ["big", "big", "small"]
    assert sum(len(samples) for _, samples in made) == 47 * (16000 + 4800)


def test_sources_take_turns_under_a_limit_of_hours(clips):
    made = list(recordings(clips, 30 / 3600))
    assert {source for source, _ in made} == {"big", "small"}


def test_the_table_tells_alerts_per_hour():
    text = tally_markdown([SourceTally("a", 3600, 1000, 50, 1), SourceTally("b", 3600, 0, 0, 0)])
    assert "0.50 false alerts per hour" in text
    assert "| a | 1.00 | 1000 | 5.0% | 1 |" in text


def test_of_several_conditions_the_totals_come_first():
    tallies = {"clean": [SourceTally("a", 3600, 1000, 0, 0)]}
    assert tallies_markdown(tallies) == tally_markdown(tallies["clean"])
    tallies["replay"] = [SourceTally("a", 1800, 500, 50, 1), SourceTally("b", 1800, 500, 0, 2)]
    text = tallies_markdown(tallies)
    assert "| clean | 1.00 | 1000 | 0.0% | 0 | 0.00 |\n" in text
    assert "| replay | 1.00 | 1000 | 5.0% | 3 | 3.00 |\n" in text
    parts = [f"\n## {name}\n\n{tally_markdown(rows)}" for name, rows in tallies.items()]
    assert text.endswith("".join(parts))


@pytest.fixture
def corpus_folder(tmp_path):
    """Human speech of two sources, of which the tiny network takes one for a spoof; a noise."""
    folder = tmp_path / "corpus"
    (folder / "audio").mkdir(parents=True)
    clips = [("calm", voice(8.0, seed)) for seed in (1, 2)]
    clips += [("odd", whisper(8.0, seed)) for seed in (3, 4)]
    clips += [("room", whisper(20.0, 5))]
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, sorted(MANIFEST_COLUMNS), restval="")
        writer.writeheader()
        for index, (source, samples) in enumerate(clips):
            known = {"kind": "speech", "label": "bonafide", "split": "test", "source": source}
            if source == "room":
                known = {"kind": "noise"}
            writer.writerow({"id": f"{source}-{index}", **known})
            soundfile.write(folder / "audio" / f"{source}-{index}.flac", samples, 16000)
    return folder


@pytest.fixture
def corpus(corpus_folder):
    return read_manifest(corpus_folder / "manifest.csv", corpus_folder / "audio")


@pytest.fixture
def bundle(tmp_path):
    return ModelBundle.load(tiny_bundle(tmp_path / "bundle"))


def test_speech_that_is_taken_for_a_spoof_raises_alerts_in_its_source(bundle, corpus):
    calm, odd = tally(bundle, corpus.trials, 1.0)
    assert (calm.source, calm.spoof_windows, calm.alerts) == ("calm", 0, 0)
    assert odd.spoof_windows == odd.windows > 0 and odd.alerts == 1


def test_the_same_speech_is_heard_through_each_condition(bundle, corpus):
    clean = tally(bundle, corpus.trials, 1.0)
    telephone = tally(bundle, corpus.trials, 1.0, Channel("telephone"))
    assert [row.seconds for row in telephone] == [row.seconds for row in clean]
    # The tiny network goes by the treble, of which a telephone leaves none.
    assert telephone[1].spoof_windows < clean[1].spoof_windows
    assert false_alerts(bundle.path, corpus.trials, 1.0) == tally_markdown(clean)
    text = false_alerts(bundle.path, corpus.trials, 1.0, [Channel("clean"), Channel("telephone")])
    assert text == tallies_markdown({"clean": clean, "telephone": telephone})


def test_the_command_lays_the_corpus_own_noise_over_what_is_replayed(
    bundle, corpus, corpus_folder, tmp_path, capsys, monkeypatch
):
    heard = []

    through = Channel.heard

    def noted(channel, samples, key):
        heard.append((channel.condition, [noise.id for noise in channel.noises]))
        return through(channel, samples, key)

    monkeypatch.setattr(Channel, "heard", noted)
    words = ["false-alerts", str(bundle.path), "--manifest", str(corpus_folder / "manifest.csv")]
    words += ["--out", str(tmp_path / "table.md")]
    assert main(words) == 0
    once = (tmp_path / "table.md").read_text()
    assert once == tally_markdown(tally(bundle, corpus.trials, 2.0)) and "##" not in once
    heard.clear()
    assert main([*words, "--condition", "clean", "--condition", "replay"]) == 0
    assert heard == [("clean", ["room-4"])] * 2 + [("replay", ["room-4"])] * 2
    text = (tmp_path / "table.md").read_text()
    assert once in text and "## replay" in text and text in capsys.readouterr().out
