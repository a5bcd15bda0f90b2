"""What numbers of a window tell, fitted within sources."""

from __future__ import annotations

import numpy as np
import pytest

from training.errors import TrainingError
from training.pool_cues import Windows
from training.teller import Teller, fit_within_sources

pytestmark = pytest.mark.usefixtures("fewer_steps")


def windows(rng: np.random.Generator) -> Windows:
    """The first number tells the class, the second a source, the third nothing."""
    spoof = np.tile([False, True, True, True], 1000)
    sources = np.repeat(["mixed", "other", "human", "synthetic"], 1000)
    spoof[2000:3000], spoof[3000:] = False, True
    numbers = rng.normal(0, 1, (4000, 3))
    numbers[:, 0] += 2 * spoof
    numbers[:, 1] += 6 * (sources == "synthetic")
    return Windows(numbers.astype(np.float32), spoof, sources)


def follows(teller: Teller, number: int, made: Windows) -> float:
    """How far what is told goes with a number, within the classes of one source."""
    chosen = (made.sources == "mixed") & made.spoof
    told = teller.of(made.numbers[chosen])
    return float(np.corrcoef(told, made.numbers[chosen, number])[0, 1])


def test_what_tells_a_source_tells_nothing(rng: np.random.Generator) -> None:
    made = windows(rng)
    found = fit_within_sources(made)
    assert follows(found, 0, made) > 0.9
    assert abs(follows(found, 1, made)) < 0.3 and abs(follows(found, 2, made)) < 0.3
    assert found.of(made.numbers).std() == pytest.approx(1, rel=0.1)


def test_what_tells_by_being_neither_high_nor_low_is_found(rng: np.random.Generator) -> None:
    """No weighted sum could."""
    made = windows(rng)
    numbers = made.numbers[:, 1:].copy()
    numbers[:, 1] *= np.where(made.spoof, 0.3, 1)
    found = fit_within_sources(Windows(numbers, made.spoof, made.sources))
    told, mixed = found.of(numbers), made.sources == "mixed"
    human, spoof = (told[mixed & (made.spoof == side)] for side in (False, True))
    assert np.mean(spoof[:, None] > human) > 0.7


def test_a_teller_is_found_again(rng: np.random.Generator) -> None:
    made = windows(rng)
    first, second = (fit_within_sources(made, seeds=[5]).of(made.numbers) for _ in range(2))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_what_only_spoofs_have_never_speaks_for_a_person(rng: np.random.Generator) -> None:
    made = windows(rng)
    made.numbers[:, 2] -= 2 * made.spoof
    free = fit_within_sources(made)
    bound = fit_within_sources(made, np.array([False, False, True]))
    assert follows(free, 2, made) < -0.3
    higher = made.numbers + np.float32([0, 0, 1])
    assert (bound.of(higher) >= bound.of(made.numbers)).all()
    assert follows(bound, 0, made) > 0.9


def test_a_source_can_be_left_out(rng: np.random.Generator) -> None:
    kept = windows(rng).without({"mixed", "synthetic"})
    assert set(kept.sources) == {"other", "human"}
    assert len(kept.numbers) == len(kept.spoof) == 2000


def test_without_a_source_of_both_classes_there_is_nothing_to_fit(
    rng: np.random.Generator,
) -> None:
    with pytest.raises(TrainingError, match="no source"):
        fit_within_sources(windows(rng).without({"mixed", "other"}))
