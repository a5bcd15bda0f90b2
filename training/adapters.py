"""Readers of published data sets, each as its authors lay it out on disk.

Every reader takes the folder into which the archives were unpacked, finds its protocol files and
audio below it, and leaves out, with a count, what the protocol names but the disk does not hold.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from training.audio import find_audio
from training.corpus import CorpusWarning
from training.errors import CorpusError
from training.protocols import Corpus, Trial

SPLIT_OF_PARTITION = {"train": "train", "dev": "val", "eval": "test"}
KEYS = ("bonafide", "spoof")

# ASVspoof 2019 LA, table 1 of Wang et al., Computer Speech and Language 2020.
ATTACK_FAMILY = {
    **dict.fromkeys(("A01", "A02", "A03", "A04", "A07", "A08", "A09"), "tts"),
    **dict.fromkeys(("A10", "A11", "A12", "A13", "A14", "A15", "A16"), "tts"),
    **dict.fromkeys(("A05", "A06", "A17", "A18", "A19"), "vc"),
}


def read_layout(name: str, folder: Path) -> Corpus:
    """Trials of a published data set.

    Args:
        name: one of `LAYOUTS`.
        folder: where it was unpacked.

    Raises:
        CorpusError: the name is unknown, or the folder does not hold that data set.
    """
    if name not in LAYOUTS:
        known = ", ".join(("manifest", "folder", *LAYOUTS))
        raise CorpusError(f"corpus kind {name!r} is unknown; it must be one of {known}")
    if not folder.is_dir():
        raise CorpusError(f"the corpus folder {folder} does not exist")
    trials = tuple(LAYOUTS[name](folder))
    if not trials:
        raise CorpusError(f"{folder} holds no audio of {name} as its authors lay it out")
    return Corpus(trials)


def _only(folder: Path, pattern: str) -> Path:
    """The one file of a name below a folder, wherever its archive was unpacked."""
    found = sorted(folder.rglob(pattern))
    if not found:
        raise CorpusError(f"{folder} holds no {pattern} below it; unpack the protocols there too")
    return found[0]


def _lines(path: Path) -> Iterator[list[str]]:
    """Words of each line of a protocol."""
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    yield line.split()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"the protocol {path} cannot be read: {error}") from error


def _rows(path: Path, delimiter: str = ",") -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from csv.DictReader(file, delimiter=delimiter)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"the table {path} cannot be read: {error}") from error


def _audio_by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in find_audio(folder)}


def _present(trials: Iterable[Trial | None], what: str) -> Iterator[Trial]:
    """Trials whose audio is there; the others are counted in a warning."""
    missing = 0
    for trial in trials:
        if trial is None:
            missing += 1
        else:
            yield trial
    if missing:
        warnings.warn(
            f"{missing} clips that the protocol of {what} names are not there and are left out",
            CorpusWarning,
            stacklevel=3,
        )


def _key(words: Sequence[str], path: Path) -> str:
    """The word that says bona fide or spoof, whose column differs between the protocols."""
    for word in words:
        if word in KEYS:
            return word
    raise CorpusError(f"a line of {path} says neither bonafide nor spoof: {' '.join(words)}")


def _attack(words: Sequence[str]) -> str:
    return next((word for word in words if re.fullmatch(r"A\d\d", word)), "")


def read_asvspoof2019_la(folder: Path) -> Iterator[Trial]:
    """LA/ASVspoof2019_LA_cm_protocols/*.txt and LA/ASVspoof2019_LA_{train,dev,eval}/flac.

    Lines: speaker, file, -, attack, key. train, dev and eval become train, val and test.
    """
    audio = _audio_by_stem(folder)
    for partition, ending in (("train", "trn"), ("dev", "trl"), ("eval", "trl")):
        protocol = _only(folder, f"ASVspoof2019.LA.cm.{partition}.{ending}.txt")
        yield from _present(
            (
                _asvspoof_trial(words, protocol, audio, "ASVspoof2019-LA", partition)
                for words in _lines(protocol)
            ),
            f"ASVspoof 2019 LA {partition}",
        )


def _asvspoof_trial(
    words: Sequence[str], protocol: Path, audio: dict[str, Path], name: str, partition: str
) -> Trial | None:
    path = audio.get(words[1])
    if path is None:
        return None
    attack = _attack(words)
    return Trial(
        id=words[1],
        path=path,
        label=_key(words, protocol),
        source=f"{name}/{partition}",
        speaker=words[0],
        generator=f"{name}/{attack}" if attack else "",
        family=ATTACK_FAMILY.get(attack, "") if name != "ASVspoof5" else "",
        language="en",
        split=SPLIT_OF_PARTITION[partition],
    )


def read_asvspoof2021(folder: Path, track: str) -> Iterator[Trial]:
    """ASVspoof2021_{LA,DF}_eval/flac and keys/{LA,DF}/CM/trial_metadata.txt.

    Lines: speaker, file, codec, transmission (LA) or source data set (DF), attack, key, trim,
    subset, and for DF the kind of vocoder. All is `test`; results are given on the subset "eval",
    as in the challenge.
    """
    audio = _audio_by_stem(folder)
    keys = [
        path
        for path in sorted(folder.rglob("trial_metadata.txt"))
        if path.parts[-3:-1] == (track, "CM")
    ]
    if not keys:
        raise CorpusError(
            f"{folder} holds no keys/{track}/CM/trial_metadata.txt below it; "
            f"unpack {track}-keys-full there too"
        )
    name = f"ASVspoof2021-{track}"

    def trial(words: Sequence[str]) -> Trial | None:
        path = audio.get(words[1])
        if path is None:
            return None
        label = _key(words, keys[0])
        return Trial(
            id=words[1],
            path=path,
            label=label,
            source=name,
            speaker=words[0],
            generator=f"{name}/{words[4]}" if label == "spoof" else "",
            family=ATTACK_FAMILY.get(words[4], ""),
            language="en",
            split="test",
            report=words[7] == "eval",
            extras={"codec": words[2], "origin": words[3], "trim": words[6], "subset": words[7]},
        )

    yield from _present((trial(words) for words in _lines(keys[0])), name)


def read_asvspoof5(folder: Path) -> Iterator[Trial]:
    """flac_T, flac_D, flac_E_eval and ASVspoof5_protocols/ASVspoof5.*.tsv (track 1).

    Lines (in spite of their name divided by spaces): speaker, file, gender, codec, codec quality,
    codec seed, attack tag, attack, key, -.
    """
    audio = _audio_by_stem(folder)
    for partition, middle in (("train", "train"), ("dev", "dev.track_1"), ("eval", "eval.track_1")):
        protocol = _only(folder, f"ASVspoof5.{middle}.tsv")
        yield from _present(
            (
                _asvspoof_trial(words, protocol, audio, "ASVspoof5", partition)
                for words in _lines(protocol)
            ),
            f"ASVspoof 5 {partition}",
        )


def read_wavefake(folder: Path) -> Iterator[Trial]:
    """WaveFake's generated_audio/VOCODER/*.wav beside LJSpeech-1.1/wavs (Frank et al. 2021).

    A chapter of LJSpeech with all its resyntheses is one source, so that a random split puts no
    sentence on two sides. What was made from JSUT or from prompts is a source each.
    """
    for path in find_audio(folder):
        made_by = path.parent.name
        if made_by == "wavs" and path.stem.startswith("LJ"):
            yield _ljspeech_trial(path, "bonafide", "")
        elif made_by.startswith("ljspeech_"):
            yield _ljspeech_trial(path, "spoof", made_by[len("ljspeech_") :])
        elif made_by.startswith(("jsut_", "common_voices_prompts")):
            yield Trial(
                id=f"{made_by}/{path.stem}",
                path=path,
                label="spoof",
                source="WaveFake/" + ("JSUT" if made_by.startswith("jsut_") else "prompts"),
                generator=made_by.replace("jsut_", "", 1),
                family="vocoder" if made_by.startswith("jsut_") else "tts",
                language="ja" if made_by.startswith("jsut_") else "en",
            )


def _ljspeech_trial(path: Path, label: str, vocoder: str) -> Trial:
    # LJ001-0001.wav, LJ001-0001_gen.wav, LJ001-0001_generated.wav
    sentence = path.stem.split("_")[0]
    return Trial(
        id=f"{vocoder}/{sentence}" if vocoder else sentence,
        path=path,
        label=label,
        source=f"LJSpeech/{sentence.split('-')[0]}",
        speaker="LJSpeech",
        generator=vocoder,
        family="vocoder" if vocoder else "",
        utterance=sentence,
        language="en",
    )


def read_in_the_wild(folder: Path) -> Iterator[Trial]:
    """release_in_the_wild/meta.csv (file, speaker, label) with its WAVs (Mueller et al. 2022).

    It is a set to report on: all is `test`.
    """
    table = _only(folder, "meta.csv")
    audio = {path.name: path for path in find_audio(table.parent)}

    def trial(row: dict[str, str]) -> Trial | None:
        path = audio.get(row["file"])
        if path is None:
            return None
        label = "spoof" if row["label"].strip() == "spoof" else "bonafide"
        return Trial(
            id=f"itw/{path.stem}",
            path=path,
            label=label,
            source="In-the-Wild",
            speaker=row["speaker"],
            generator="In-the-Wild/unknown" if label == "spoof" else "",
            language="en",
            split="test",
        )

    yield from _present((trial(row) for row in _rows(table)), "In-the-Wild")


def read_mlaad(folder: Path) -> Iterator[Trial]:
    """MLAAD's fake/LANGUAGE/MODEL/*.wav with meta.csv, and M-AILABS' LANGUAGE/by_book/... beside.

    `original_file` of meta.csv names the recording of M-AILABS whose text a spoof speaks: both
    get that book as their source. Without M-AILABS there are spoofs alone.
    """
    for table in sorted(folder.rglob("meta.csv")):
        if table.parents[2].name == "fake":
            yield from _present(_mlaad_trials(table), f"MLAAD {table.parent.name}")
    for path in find_audio(folder):
        if "by_book" in path.parts:
            book, speaker = _book_of(path.as_posix())
            yield Trial(
                id=f"{book}/{path.stem}",
                path=path,
                label="bonafide",
                source=f"M-AILABS/{book}",
                speaker=speaker,
                utterance=path.stem,
                language=book[:2],
            )


def _mlaad_trials(table: Path) -> Iterator[Trial | None]:
    model, language = table.parent.name, table.parents[1].name
    audio = {path.name: path for path in find_audio(table.parent)}
    for row in _rows(table, "|"):
        path = audio.get(Path(row["path"]).name)
        if path is None:
            yield None
            continue
        original = row.get("original_file") or ""
        known = "by_book" in original
        yield Trial(
            id=f"mlaad/{language}/{model}/{path.stem}",
            path=path,
            label="spoof",
            source=f"M-AILABS/{_book_of(original)[0]}" if known else f"MLAAD/{model}",
            generator=row.get("model_name") or model,
            family="tts",
            language=language,
            extras={"architecture": row.get("architecture") or ""},
        )


def _book_of(path: str) -> tuple[str, str]:
    """Book and speaker of a path of M-AILABS: xx_XX/by_book/female/SPEAKER/BOOK/wavs/x.wav."""
    parts = path.split("/")
    at = parts.index("by_book")
    language, inner = parts[at - 1], parts[at + 1 : -1]
    inner = [part for part in inner if part != "wavs"]
    speaker = inner[1] if len(inner) > 1 else inner[0]
    return "/".join((language, *inner)), speaker


FAKEAVCELEB_AUDIO = {
    "RealVideo-RealAudio": "bonafide",
    "RealVideo-FakeAudio": "spoof",
    "FakeVideo-FakeAudio": "spoof",
}


def read_fakeavceleb(folder: Path) -> Iterator[Trial]:
    """FakeAVCeleb_v1.2/{Real,Fake}Video-{Real,Fake}Audio/RACE/GENDER/ID/*.mp4 (Khalid et al. 2021).

    The sound alone: FakeVideo-RealAudio repeats the sound of RealVideo-RealAudio and is left out.
    A celebrity is a source. All fake voices are of SV2TTS (Jia et al. 2018).
    """
    for path in find_audio(folder):
        category = next((part for part in path.parts if part in FAKEAVCELEB_AUDIO), None)
        if category is None:
            continue
        label = FAKEAVCELEB_AUDIO[category]
        yield Trial(
            id="/".join(path.with_suffix("").parts[path.parts.index(category) :]),
            path=path,
            label=label,
            source=f"FakeAVCeleb/{path.parent.name}",
            speaker=path.parent.name,
            generator="SV2TTS" if label == "spoof" else "",
            family="tts" if label == "spoof" else "",
            language="en",
            extras={"category": category},
        )


LAYOUTS: dict[str, Callable[[Path], Iterable[Trial]]] = {
    "asvspoof2019-la": read_asvspoof2019_la,
    "asvspoof2021-la": lambda folder: read_asvspoof2021(folder, "LA"),
    "asvspoof2021-df": lambda folder: read_asvspoof2021(folder, "DF"),
    "asvspoof5": read_asvspoof5,
    "wavefake": read_wavefake,
    "in-the-wild": read_in_the_wild,
    "mlaad": read_mlaad,
    "fakeavceleb": read_fakeavceleb,
}
