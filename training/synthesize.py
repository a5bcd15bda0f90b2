"""Spoofs of one's own, from bona fide clips (copy-synthesis) and from text.

A vocoder run over a human recording keeps the speaker, the sentence, the room and the microphone:
what is left to tell the two apart is the vocoder (Wang and Yamagishi, ICASSP 2023).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from training.audio import read_clip
from training.engines import ENGINES, EngineMissing, Float32, Rng, load_engine
from training.errors import CorpusError, TrainingError
from training.extend import SAMPLE_RATE_HZ, write_flac, write_manifest
from training.protocols import Trial
from training.sentences import SENTENCES

TEXT_SOURCE = "earwitness/synthesize"
AS_ORIGINAL = "as its original: "
"""A copy's licence begins so."""
LOUDEST = 0.99


def choose_clips(trials: Sequence[Trial], count: int, rng: Rng) -> list[Trial]:
    """So many bona fide clips, sources taken in turn, and a source's speakers in turn.

    Diversity before quantity: a source is asked again only when every other one has been asked.
    """
    queues: dict[str, dict[str, list[Trial]]] = defaultdict(lambda: defaultdict(list))
    for index in rng.permutation(len(trials)):
        trial = trials[int(index)]
        queues[trial.source][trial.speaker].append(trial)
    chosen: list[Trial] = []
    while queues and len(chosen) < count:
        for source in sorted(queues):
            speakers = queues[source]
            speaker = next(iter(speakers))
            waiting = speakers.pop(speaker)
            chosen.append(waiting.pop())
            if waiting:
                speakers[speaker] = waiting  # to the end of the queue
            if not speakers:
                del queues[source]
    return chosen[:count]


def excerpt(samples: Float32, longest_s: float, rng: Rng) -> Float32:
    """A random stretch of at most so many seconds."""
    wanted = round(longest_s * SAMPLE_RATE_HZ)
    first = int(rng.integers(0, max(0, len(samples) - wanted) + 1))
    return samples[first : first + wanted]


def at_level_of(made: Float32, original: Float32) -> Float32:
    """Scaled to the loudness of the recording that it copies: level must not give it away."""
    power = float(np.mean(np.square(made, dtype=np.float64)))
    if not power > 0:
        return made
    gain = np.sqrt(np.mean(np.square(original, dtype=np.float64)) / power)
    peak = float(np.abs(made).max()) * gain
    return (made * (gain / max(1.0, peak / LOUDEST))).astype(np.float32)


def synthesize(
    trials: Sequence[Trial],
    counts: Mapping[str, int],
    out: Path,
    seed: int,
    longest_s: float,
    say: Callable[[str], None],
) -> int:
    """Run engines and write their spoofs as ID.flac into `out`/audio, with `out`/manifest.csv.

    Clips that are there already are kept, so an interrupted run goes on. An engine that is not
    installed is named and skipped.

    Args:
        trials: bona fide clips to copy.
        counts: clips wanted of each engine, by its name.
        out: folder.
        seed: of all draws.
        longest_s: copies are of stretches of at most so many seconds.
        say: prints a line.

    Returns:
        Clips in the manifest.

    Raises:
        CorpusError: there is no clip to copy, or no engine made any.
        TrainingError: an engine's name is unknown.
    """
    human = [trial for trial in trials if not trial.is_spoof]
    rows: list[dict[str, str]] = []
    for name, count in counts.items():
        try:
            engine = load_engine(name)
        except EngineMissing as error:
            say(f"skipped {name}: {error}")
            continue
        if ENGINES[name].family == "vocoder":
            if not human:
                raise CorpusError("there is no bona fide clip to copy")
            order = choose_clips(human, count, np.random.default_rng([seed, _number(name)]))
            jobs = [_copy_job(name, engine, trial, longest_s) for trial in order]
        else:
            jobs = [_text_job(name, engine, index) for index in range(count)]
        made = [row for row in (_run(job, out, seed, say) for job in jobs) if row]
        say(f"{name}: {len(made)} clips")
        rows += made
        write_manifest(out / "manifest.csv", rows)
    if not rows:
        raise CorpusError(
            f"{out} is left as it was: none of {', '.join(counts)} made a clip; see above for what "
            "to install"
        )
    return len(rows)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


Job = tuple[str, "dict[str, str]", "Callable[[Rng], Float32]"]


def _copy_job(name: str, engine: Callable[..., Float32], trial: Trial, longest_s: float) -> Job:
    def make(rng: Rng) -> Float32:
        original = excerpt(read_clip(trial), longest_s, rng)
        return at_level_of(engine(original, rng), original)

    row = {
        "speaker": trial.speaker, "utterance": trial.utterance, "language": trial.language,
        "source": trial.source, "path": trial.id,
        "licence": AS_ORIGINAL + trial.extras.get("licence", ""),
    }
    return f"{name}:{trial.id}", {**row, **_generator(name)}, make


def _text_job(name: str, engine: Callable[..., Float32], index: int) -> Job:
    languages = ENGINES[name].languages
    language = languages[index % len(languages)]
    sentences = SENTENCES[language]
    text = sentences[index // len(languages) % len(sentences)]

    def make(rng: Rng) -> Float32:
        return at_level_of(samples := engine(text, language, rng), samples)

    row = {
        "speaker": name, "utterance": "", "language": language, "source": TEXT_SOURCE,
        "path": f"{name}/{index}", "licence": "made by earwitness-train synthesize",
    }
    return f"{name}:{index}", {**row, **_generator(name)}, make


def _generator(name: str) -> dict[str, str]:
    return {"generator": ENGINES[name].generator, "family": ENGINES[name].family}


def _run(job: Job, out: Path, seed: int, say: Callable[[str], None]) -> dict[str, str] | None:
    key, row, make = job
    clip_id = hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()[:12]
    target = out / "audio" / f"{clip_id}.flac"
    if not target.exists():
        try:
            samples = make(np.random.default_rng([seed, _number(key)]))
        except (TrainingError, CorpusError, ValueError, RuntimeError) as error:
            say(f"left out {key}: {error}")
            return None
        if not len(samples) or not np.isfinite(samples).all() or not np.abs(samples).max() > 1e-3:
            say(f"left out {key}: the engine gave silence or no numbers")
            return None
        write_flac(target, np.ascontiguousarray(samples, np.float32))
    import soundfile

    seconds = soundfile.info(str(target)).duration
    fixed = {
        "kind": "speech", "label": "spoof", "format": "flac", "rate": str(SAMPLE_RATE_HZ),
        "offset": "0", "ref": "", "split": "train", "core": "0", "report": "0",
    }
    return {**row, **fixed, "id": clip_id, "seconds": f"{seconds:.3f}"}
