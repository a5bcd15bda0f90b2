"""Mandarin in the International Phonetic Alphabet as Kokoro spells it, by way of pinyin."""

# ruff: noqa: RUF001

from __future__ import annotations

INITIALS = {
    "b": "p", "p": "pʰ", "m": "m", "f": "f", "d": "t", "t": "tʰ", "n": "n", "l": "l", "g": "k",
    "k": "kʰ", "h": "x", "j": "ʨ", "q": "ʨʰ", "x": "ɕ", "zh": "ꭧ", "ch": "ꭧʰ", "sh": "ʂ", "r": "ɻ",
    "z": "ʦ", "c": "ʦʰ", "s": "s", "": "",
}
FINALS = {
    "a": "a", "o": "wo", "e": "ɤ", "ai": "ai", "ei": "ei", "ao": "au", "ou": "ou", "an": "an",
    "en": "ən", "ang": "aŋ", "eng": "əŋ", "ong": "ʊŋ", "er": "ɚ",
    "i": "i", "ia": "ja", "ie": "je", "iao": "jau", "iou": "jou", "ian": "jɛn", "in": "in",
    "iang": "jaŋ", "ing": "iŋ", "iong": "jʊŋ",
    "u": "u", "ua": "wa", "uo": "wo", "uai": "wai", "uei": "wei", "uan": "wan", "uen": "wən",
    "uang": "waŋ", "ueng": "wəŋ",
    "v": "y", "ve": "ɥe", "van": "ɥɛn", "vn": "yn",
}
TONES = {"1": "→", "2": "↗", "3": "↓", "4": "↘", "5": ""}
BUZZED = {"zh": "ɨ", "ch": "ɨ", "sh": "ɨ", "r": "ɨ", "z": "ɨ", "c": "ɨ", "s": "ɨ"}
PAUSES = str.maketrans("，。！？、；：", ",.!?,;:")


def syllable_phonemes(initial: str, final: str) -> str:
    """Phonemes of a syllable.

    Args:
        initial: its consonant in pinyin, or "".
        final: the rest, ü as v, with its tone at the end (5: none).

    Raises:
        KeyError: that is no Mandarin syllable.
    """
    rhyme, tone = final[:-1], final[-1]
    vowels = BUZZED[initial] if rhyme == "i" and initial in BUZZED else FINALS[rhyme]
    return INITIALS[initial] + vowels + TONES[tone]


def chinese_phonemes(text: str) -> str:
    """Phonemes of Chinese text without Latin letters or digits."""
    from pypinyin import Style, pinyin

    initials = pinyin(text, style=Style.INITIALS, strict=True)
    finals = pinyin(text, style=Style.FINALS_TONE3, strict=True, neutral_tone_with_five=True)
    spoken = [
        initial.translate(PAUSES) + " "
        if not final[-1:].isdigit()
        else syllable_phonemes(initial, final)
        for (initial,), (final,) in zip(initials, finals)
    ]
    return "".join(spoken).strip()
