"""What holds of every cue."""

from __future__ import annotations

import numpy as np
import pytest

from edge import cepstral_modulation, modulation, tones
from edge.bundle import DEFAULT_BUNDLE, read_manifest
from edge.cues import CUES, Cue
from edge.features import FrontEnd, log_mel_db
from edge.sliding import STEP, SlidingNumbers

LIMITS = {
    "modulation": modulation.LIMITS,
    "tones": tones.LIMITS,
    "cepstral_modulation": cepstral_modulation.LIMITS,
}
FRONT_END = read_manifest(DEFAULT_BUNDLE).front_end
LEAST = 2 * STEP


def stream_of(cue: Cue, front_end: FrontEnd = FRONT_END) -> SlidingNumbers:
    return front_end.with_cues([cue]).cue_stream().streams[0]


def heard_by(cue: Cue, samples: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    return log_mel_db(samples, front_end) if cue.of_frames else samples


@pytest.mark.parametrize("cue", CUES)
@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(LEAST),
        np.ones(LEAST),
        np.eye(1, LEAST, 3000)[0],
        np.eye(1, LEAST, 7999)[0],
        np.eye(1, LEAST, 9000)[0],
        np.sign(np.sin(np.arange(LEAST))),
        1e-30 * np.sin(np.arange(LEAST)),
    ],
)
def test_nothing_that_is_heard_gives_numbers_that_are_none(cue: Cue, samples: np.ndarray) -> None:
    stream = stream_of(cue)
    samples = samples[: stream.least_samples].astype(np.float32)
    told = stream.numbers(heard_by(cue, samples), 0)
    assert told.shape == (cue.count,)
    assert told.min() >= LIMITS[cue.name][0] and told.max() <= LIMITS[cue.name][1]


@pytest.mark.parametrize("cue", CUES)
@pytest.mark.parametrize("wrong", ["short", "dimensions", "kind"])
def test_what_is_no_window_is_refused(cue: Cue, wrong: str) -> None:
    stream = stream_of(cue)
    least = cue.least_steps * stream.step
    heard = np.zeros((least, 160) if cue.of_frames else least, np.float32)
    stream.numbers(heard, 0)
    spoiled = {"short": heard[1:], "dimensions": heard[None], "kind": heard.astype(float)}[wrong]
    with pytest.raises(ValueError, match=f"{cue.name} takes .* at least {least}"):
        stream.numbers(spoiled, 0)


@pytest.mark.parametrize("cue", CUES)
@pytest.mark.parametrize("hop", [160, 200, 256, 320])
def test_the_shortest_window_is_long_enough(cue: Cue, hop: int) -> None:
    front_end = FrontEnd(n_fft=512, win_length=400, frame_hop=hop, center=False)
    stream = stream_of(cue, front_end)
    samples = np.ones(stream.least_samples, np.float32)
    stream.numbers(heard_by(cue, samples, front_end), 0)
    with pytest.raises(ValueError, match="at least"):
        stream.numbers(heard_by(cue, samples[1:], front_end), 0)
