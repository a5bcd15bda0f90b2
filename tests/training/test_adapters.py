"""Small trees laid out as the data sets are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.adapters import LAYOUTS, read_layout
from training.audio import read_clip
from training.corpus import CorpusWarning, assign_splits, check_splits
from training.errors import CorpusError
from training.protocols import Trial


def sound(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = 0.1 * np.ones(160)
        if path.suffix == ".mp4":
            write_mp4(path)
        else:
            soundfile.write(path, wave, 16000)


def write_mp4(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(
            (0.2 * np.sin(np.arange(1024) / 5)).astype(np.float32)[None], "fltp", "mono"
        )
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def by_id(kind: str, folder: Path) -> dict[str, Trial]:
    return {trial.id: trial for trial in read_layout(kind, folder).trials}


def asvspoof2019(folder: Path) -> None:
    protocols = folder / "LA" / "ASVspoof2019_LA_cm_protocols"
    text(
        protocols / "ASVspoof2019.LA.cm.train.trn.txt",
        "LA_0079 LA_T_1138215 - - bonafide",
        "LA_0079 LA_T_1004644 - A05 spoof",
    )
    text(protocols / "ASVspoof2019.LA.cm.dev.trl.txt", "LA_0069 LA_D_1047731 - - bonafide")
    text(protocols / "ASVspoof2019.LA.cm.eval.trl.txt", "LA_0039 LA_E_2834763 - A11 spoof")
    for part, name in (
        ("train", "LA_T_1138215"),
        ("train", "LA_T_1004644"),
        ("dev", "LA_D_1047731"),
        ("eval", "LA_E_2834763"),
    ):
        sound(folder / "LA" / f"ASVspoof2019_LA_{part}" / "flac" / f"{name}.flac")


def test_asvspoof_2019_la(tmp_path: Path) -> None:
    asvspoof2019(tmp_path)
    trials = by_id("asvspoof2019-la", tmp_path)
    assert {(t.id, t.label, t.split) for t in trials.values()} == {
        ("LA_T_1138215", "bonafide", "train"),
        ("LA_T_1004644", "spoof", "train"),
        ("LA_D_1047731", "bonafide", "val"),
        ("LA_E_2834763", "spoof", "test"),
    }
    spoof = trials["LA_T_1004644"]
    assert (spoof.generator, spoof.family, spoof.speaker) == (
        "ASVspoof2019-LA/A05", "vc", "LA_0079",
    )  # fmt: skip
    assert trials["LA_E_2834763"].family == "tts"
    check_splits(list(trials.values()))


def test_what_the_protocol_names_and_the_disk_lacks_is_counted(tmp_path: Path) -> None:
    asvspoof2019(tmp_path)
    next(tmp_path.rglob("LA_T_1004644.flac")).unlink()
    with pytest.warns(CorpusWarning, match="1 clips that the protocol of ASVspoof 2019 LA train"):
        assert len(by_id("asvspoof2019-la", tmp_path)) == 3


@pytest.mark.parametrize(
    ("track", "line", "codec"),
    [
        ("LA", "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval", "alaw"),
        (
            "DF",
            "LA_0023 DF_E_2000011 high_mp3 vcc2020 Task1-team20 spoof notrim eval "
            "traditional_vocoder Task1 team20 FF E",
            "high_mp3",
        ),
    ],
)
def test_asvspoof_2021(tmp_path: Path, track: str, line: str, codec: str) -> None:
    spoof = line.split()[1]
    human = f"{track}_E_1000000"
    text(
        tmp_path / "keys" / track / "CM" / "trial_metadata.txt",
        line,
        f"LA_0001 {human} nocodec asvspoof bonafide bonafide notrim progress - - - - -",
    )
    text(tmp_path / "keys" / track / "ASV" / "trial_metadata.txt", "another protocol")
    flac = tmp_path / f"ASVspoof2021_{track}_eval" / "flac"
    sound(flac / f"{spoof}.flac", flac / f"{human}.flac")
    trials = by_id(f"asvspoof2021-{track.lower()}", tmp_path)
    assert trials[spoof].label == "spoof" and trials[human].label == "bonafide"
    assert trials[spoof].extras["codec"] == codec
    assert trials[spoof].generator == f"ASVspoof2021-{track}/{line.split()[4]}"
    assert trials[human].generator == ""
    assert (trials[spoof].report, trials[human].report) == (True, False)
    assert {t.split for t in trials.values()} == {"test"}


def test_asvspoof_5(tmp_path: Path) -> None:
    protocols = tmp_path / "ASVspoof5_protocols"
    text(
        protocols / "ASVspoof5.train.tsv",
        "T_4850 T_0000000000 F - - - AC3 A05 spoof -",
        "T_4851 T_0000000001 M - - - - bonafide bonafide -",
    )
    text(protocols / "ASVspoof5.dev.track_1.tsv", "D_0001 D_0000000001 M - - - AC1 A09 spoof -")
    text(protocols / "ASVspoof5.eval.track_1.tsv", "E_1 E_0000000001 F C05 3 E_9 AC2 A17 spoof -")
    sound(
        tmp_path / "flac_T" / "T_0000000000.flac",
        tmp_path / "flac_T" / "T_0000000001.flac",
        tmp_path / "flac_D" / "D_0000000001.flac",
        tmp_path / "flac_E_eval" / "E_0000000001.flac",
    )
    trials = by_id("asvspoof5", tmp_path)
    assert [t.split for t in trials.values()] == ["train", "train", "val", "test"]
    assert trials["T_0000000000"].generator == "ASVspoof5/A05"
    assert trials["T_0000000001"].label == "bonafide"


def test_wavefake_keeps_a_sentence_with_all_its_resyntheses(tmp_path: Path) -> None:
    for chapter in range(1, 9):
        name = f"LJ{chapter:03d}-0001"
        sound(
            tmp_path / "LJSpeech-1.1" / "wavs" / f"{name}.wav",
            tmp_path / "generated_audio" / "ljspeech_melgan" / f"{name}_gen.wav",
            tmp_path / "generated_audio" / "ljspeech_hifiGAN" / f"{name}_generated.wav",
            tmp_path / "generated_audio" / "ljspeech_waveglow" / f"{name}.wav",
        )
    sound(
        tmp_path / "generated_audio" / "jsut_parallel_wavegan" / "BASIC5000_0001_gen.wav",
        tmp_path
        / "generated_audio"
        / "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech"
        / "gen_0.wav",
    )
    trials = by_id("wavefake", tmp_path)
    assert len(trials) == 8 * 4 + 2
    assert trials["LJ001-0001"].label == "bonafide"
    assert trials["hifiGAN/LJ001-0001"].utterance == "LJ001-0001"
    assert trials["melgan/LJ002-0001"].source == trials["LJ002-0001"].source == "LJSpeech/LJ002"
    assert trials["jsut_parallel_wavegan/BASIC5000_0001_gen"].language == "ja"
    split = assign_splits(list(trials.values()), np.random.default_rng(0))
    check_splits(split)
    assert {t.split for t in split if not t.is_spoof} == {"train", "val", "test"}


def test_in_the_wild_is_for_reports(tmp_path: Path) -> None:
    inner = tmp_path / "release_in_the_wild"
    text(
        inner / "meta.csv",
        "file,speaker,label",
        "0.wav,Alec Guinness,spoof",
        "1.wav,Barack Obama,bona-fide",
    )
    sound(inner / "0.wav", inner / "1.wav")
    trials = by_id("in-the-wild", tmp_path)
    assert trials["itw/0"].label == "spoof" and trials["itw/1"].label == "bonafide"
    assert trials["itw/1"].speaker == "Barack Obama"
    assert {t.split for t in trials.values()} == {"test"}


def test_mlaad_shares_its_sources_with_m_ailabs(tmp_path: Path) -> None:
    model = tmp_path / "fake" / "en" / "tts_models_multilingual_multi-dataset_bark"
    book = "en_US/by_book/female/mary_ann/northandsouth"
    text(
        model / "meta.csv",
        "path|original_file|language|is_original_language|duration|training_data|model_name"
        "|architecture|transcript",
        f"./fake/en/bark/a.wav|./{book}/wavs/a.wav|en|True|3.1|multi|suno/bark|bark|Hello, world",
        "./fake/en/bark/b.wav||en|True|3.1|multi|suno/bark|bark|Hello",
    )
    sound(model / "a.wav", model / "b.wav", tmp_path / book / "wavs" / "a.wav")
    trials = by_id("mlaad", tmp_path)
    human = trials[f"{book.replace('by_book/', '')}/a"]
    spoof = trials[f"mlaad/en/{model.name}/a"]
    assert human.label == "bonafide" and human.speaker == "mary_ann" and human.language == "en"
    assert spoof.source == human.source
    assert (spoof.generator, spoof.extras["architecture"]) == ("suno/bark", "bark")
    assert trials[f"mlaad/en/{model.name}/b"].source == f"MLAAD/{model.name}"


def test_fakeavceleb_reads_the_sound_of_its_videos(tmp_path: Path) -> None:
    root = tmp_path / "FakeAVCeleb_v1.2"
    inner = Path("African") / "men" / "id00076"
    sound(
        root / "RealVideo-RealAudio" / inner / "00109.mp4",
        root / "RealVideo-FakeAudio" / inner / "00109_fake.mp4",
        root / "FakeVideo-RealAudio" / inner / "00109_swap.mp4",
        root / "FakeVideo-FakeAudio" / inner / "00109_both.mp4",
    )
    trials = read_layout("fakeavceleb", tmp_path).trials
    assert sorted((t.label, t.extras["category"]) for t in trials) == [
        ("bonafide", "RealVideo-RealAudio"),
        ("spoof", "FakeVideo-FakeAudio"),
        ("spoof", "RealVideo-FakeAudio"),
    ]
    assert {t.source for t in trials} == {"FakeAVCeleb/id00076"}
    assert np.abs(read_clip(trials[0])).max() > 0.05


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_folder_of_something_else_is_refused(kind: str, tmp_path: Path) -> None:
    sound(tmp_path / "x.wav")
    with pytest.raises(CorpusError, match=str(tmp_path)):
        read_layout(kind, tmp_path)


def test_an_unknown_layout_and_an_absent_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="asvspoof2019-la"):
        read_layout("asvspoof", tmp_path)
    with pytest.raises(CorpusError, match="does not exist"):
        read_layout("mlaad", tmp_path / "absent")


def test_a_protocol_line_without_a_key_is_named(tmp_path: Path) -> None:
    asvspoof2019(tmp_path)
    text(
        next(tmp_path.rglob("*train.trn.txt")),
        "LA_0079 LA_T_1138215 - - genuine",
    )
    with pytest.raises(CorpusError, match="neither bonafide nor spoof"):
        read_layout("asvspoof2019-la", tmp_path)
