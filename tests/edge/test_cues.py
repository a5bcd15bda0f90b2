"""What holds of every cue."""

from __future__ import annotations

import numpy as np
import pytest

from edge import modulation, periodicity, tones
from edge.cues import CUES, Cue

LIMITS = {
    "modulation": modulation.LIMITS,
    "tones": tones.LIMITS,
    "periodicity": periodicity.LIMITS,
}
LEAST = max(cue.least_samples for cue in CUES)


@pytest.mark.parametrize("cue", CUES)
@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(LEAST),
        np.ones(LEAST),
        np.eye(1, LEAST, 3000)[0],
        np.eye(1, LEAST, 9000)[0],
        np.sign(np.sin(np.arange(LEAST))),
        1e-30 * np.sin(np.arange(LEAST)),
    ],
)
def test_nothing_that_is_heard_gives_numbers_that_are_none(cue: Cue, samples: np.ndarray) -> None:
    told = cue().numbers(samples[: cue.least_samples].astype(np.float32), 0)
    assert told.shape == (cue.count,)
    assert told.min() >= LIMITS[cue.name][0] and told.max() <= LIMITS[cue.name][1]


@pytest.mark.parametrize("cue", CUES)
@pytest.mark.parametrize(
    ("shape", "kind"), [((-1,), np.float32), ((1, 0), np.float32), ((0,), np.float64)]
)
def test_what_is_no_window_is_refused(cue: Cue, shape: tuple[int, ...], kind: type) -> None:
    samples = np.zeros((*shape[:-1], cue.least_samples + shape[-1]), kind)
    with pytest.raises(ValueError, match=f"{cue.name} takes .* at least {cue.least_samples}"):
        cue().numbers(samples, 0)
