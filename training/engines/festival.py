"""Festival's diphone voice; Debian's festival and festvox-kallpc16k."""

from __future__ import annotations

from training.engines import Float32, Rng, Speak
from training.engines.programs import require, spoken


def load() -> Speak:
    """Ready to read English.

    Raises:
        EngineMissing: festival is not installed.
    """
    program = require("text2wave", "festival festvox-kallpc16k")

    def speak(text: str, language: str, rng: Rng) -> Float32:
        stretch = f"(Parameter.set 'Duration_Stretch {rng.uniform(0.85, 1.2):.2f})"
        return spoken([program, "-o", "{out}", "-eval", stretch], text)

    return speak
