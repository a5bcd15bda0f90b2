"""Two thousand blocks of anything a broken driver may give: no exception, no trust in rubbish."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from edge.audio.block import AudioBlock
from edge.decision import Calibration, DecisionRule
from edge.detector import DetectorSettings
from edge.ear import Clocks, Ear, Judge
from edge.features import Float32
from edge.inference import Scorer
from tests.bundles import FRONT_END, RATE_HZ, network, voice, whisper
from tests.clocks import Time
from tests.patience import repeated

COUNTS = repeated(brief=300, full=2000)
WINDOW_SAMPLES = RATE_HZ
HOP_SAMPLES = RATE_HZ // 2
FULL_SCALE = 0.999
RULE = DecisionRule(0.5)
VOICE, WHISPER = voice(60.0), whisper(60.0)


def speech(rng: np.random.Generator, length: int) -> Float32:
    source = VOICE if rng.random() < 0.5 else WHISPER
    first = int(rng.integers(0, len(source) - length + 1))
    return source[first : first + length].copy()


def speckled(rng: np.random.Generator, length: int, *values: float) -> Float32:
    """Speech with some samples that are something else."""
    samples = speech(rng, length)
    count = int(rng.integers(1, 20))
    samples[rng.integers(0, max(1, length), count) if length else []] = rng.choice(values)
    return samples


def bits(rng: np.random.Generator, length: int) -> Float32:
    """Any 32 bits: every kind of NaN, infinities, denormals, numbers beyond all measure."""
    return np.frombuffer(rng.bytes(4 * length), np.float32)


KINDS = {
    "speech": speech,
    "empty": lambda rng, length: np.zeros(0, np.float32),
    "zeros": lambda rng, length: np.zeros(length, np.float32),
    "nan": lambda rng, length: speckled(rng, length, np.nan),
    "infinite": lambda rng, length: speckled(rng, length, np.inf, -np.inf),
    "huge": lambda rng, length: speckled(rng, length, 1e30, -3e38, 1e19),
    "denormal": lambda rng, length: rng.choice([0, 1e-45, -1e-39, 1e-38], length),
    "offset": lambda rng, length: np.full(length, rng.uniform(-1, 1)),
    "clipped": lambda rng, length: np.clip(speech(rng, length) * 1000, -1, 1),
    "bits": bits,
}


@dataclass
class Heard:
    """What was fed since the last hole, to hold the windows against."""

    start: int = 0
    pieces: list[Float32] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.start + sum(map(len, self.pieces))

    def window(self, end_s: float) -> Float32:
        """A window's samples; it must not reach across the hole. Its end is told in ms."""
        told = end_s * RATE_HZ - self.start
        last = round(told / HOP_SAMPLES) * HOP_SAMPLES
        assert abs(last - told) <= RATE_HZ / 1000
        assert WINDOW_SAMPLES <= last <= self.end - self.start
        return np.concatenate(self.pieces)[last - WINDOW_SAMPLES : last]


def fit(samples: Float32) -> bool:
    """Could a working microphone have heard this? Said anew, in double precision."""
    exact = samples.astype(np.float64)
    if not np.isfinite(exact).all() or np.abs(exact).max() > 1e15:
        return False
    deviation = exact.std()
    if deviation < 1e-5 or abs(exact.mean()) > max(0.06, 11 * deviation):
        return False
    return bool((np.abs(exact) >= FULL_SCALE).mean() <= 0.05)


def fuzzed_length(rng: np.random.Generator) -> int:
    return int(rng.choice([0, 1, 7, 160, 1024, 8000, 16000, 40001]))


def fuzzed_gap(rng: np.random.Generator) -> int:
    return int(rng.choice([1, 320, RATE_HZ, 2**24, 2**40])) if rng.random() < 0.03 else 0


def ear(clocks: Clocks) -> Ear:
    settings = DetectorSettings(
        front_end=FRONT_END,
        model_samples=5 * RATE_HZ,
        window_samples=WINDOW_SAMPLES,
        hop_samples=HOP_SAMPLES,
        padding="repeat",
        calibration=Calibration(),
        rule=RULE,
    )
    numbers = itertools.count()
    judge = Judge("tiny 1.0.0", settings, Scorer(network()).score)
    return Ear("hall", judge, clocks, lambda: f"id-{next(numbers)}")


@COUNTS
def test_fuzzed_blocks_are_survived_and_none_that_is_unfit_is_judged(count: int) -> None:
    rng = np.random.default_rng(2000)
    time = Time()
    listener = ear(time.clocks())
    heard = Heard()
    seen: Counter[str] = Counter()
    windows = kind = 0
    for number in range(count):
        # Kinds come in runs, so that windows hold one kind only or a border between two.
        kind = int(rng.integers(0, len(KINDS))) if rng.random() < 0.5 else kind
        make = list(KINDS.values())[kind] if rng.random() < 0.6 else speech
        samples = np.asarray(make(rng, fuzzed_length(rng)), np.float32)
        gap = fuzzed_gap(rng)
        if gap:
            heard = Heard(heard.end + gap)
        block = AudioBlock(samples, heard.end, time.steady_s if number % 2 else None)
        heard.pieces.append(samples)
        time.steady_s += len(samples) / RATE_HZ
        for record in listener.hear(block):
            if record["type"] != "window":
                continue
            assert record["window"] == windows
            windows += 1
            seen[record["health"]] += 1
            seen[record["verdict"]] += 1
            if record["verdict"] in ("bonafide", "spoof"):
                assert fit(heard.window(record["end_s"]))
                assert 0 <= record["spoof_probability"] <= 1
            else:
                assert record["spoof_probability"] is None
    print(f"\n{count} fuzzed blocks, {windows} windows: {dict(seen)}")
    kinds = ("bonafide", "spoof", "ok", "invalid-samples", "silent-input", "dc-offset", "clipped")
    assert {kind for kind in kinds if seen[kind] < count // 200} == set()
    assert "model-fault" not in seen


@COUNTS
def test_speech_after_fuzzed_blocks_scores_as_if_nothing_had_been(count: int) -> None:
    rng = np.random.default_rng(1)
    time = Time()
    fuzzed, fresh = ear(time.clocks()), ear(time.clocks())
    position = 0
    for _ in range(count):
        make = list(KINDS.values())[int(rng.integers(0, len(KINDS)))]
        samples = np.asarray(make(rng, fuzzed_length(rng)), np.float32)
        fuzzed.hear(AudioBlock(samples, position))
        position += len(samples)
    after = fuzzed.hear(AudioBlock(VOICE[: 10 * RATE_HZ], position + 1))
    alone = fresh.hear(AudioBlock(VOICE[: 10 * RATE_HZ], 0))
    scores = [r["spoof_probability"] for r in after if r["type"] == "window"]
    assert scores == [r["spoof_probability"] for r in alone if r["type"] == "window"]
    assert len(scores) == 19
