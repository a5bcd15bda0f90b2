"""How a voice's envelopes move, in whole windows and in sliding ones."""

from __future__ import annotations

import numpy as np
import pytest

from edge.modulation import (
    BAND_EDGES_HZ,
    BANDS,
    COMODULATIONS,
    ENVELOPE_FRAME,
    ENVELOPE_HOP,
    MODULATIONS,
    MODULATIONS_HZ,
    NEIGHBOURS,
    WHOLE_BAND_HZ,
    band_envelopes,
    modulation,
)
from edge.sliding import RATE_HZ
from tests.sounds import SECONDS, noise

TIME_S = np.arange(SECONDS * RATE_HZ) / RATE_HZ


def told_modulations(samples: np.ndarray) -> np.ndarray:
    numbers = modulation(samples.astype(np.float32))[:MODULATIONS]
    return numbers.reshape(BANDS, len(MODULATIONS_HZ))


@pytest.mark.parametrize("hz", [12, 35, 80, 150, 270])
def test_a_modulation_is_found_at_its_rate(hz: float) -> None:
    moved = noise() * (1 + 0.5 * np.sin(2 * np.pi * hz * TIME_S))
    found = told_modulations(moved) - told_modulations(noise())
    [wanted] = [i for i, (low, high) in enumerate(MODULATIONS_HZ) if low <= hz < high]
    # The widest band, for noise in a narrow one moves by itself.
    assert found[-1].argmax() == wanted


def test_bands_that_move_together_are_told_from_bands_that_do_not() -> None:
    together = noise() * (1 + 0.9 * np.sin(2 * np.pi * 100 * TIME_S))
    numbers = slice(MODULATIONS, MODULATIONS + COMODULATIONS)
    alike, unlike = (modulation(x.astype(np.float32))[numbers] for x in (together, noise()))
    apart = sum(BANDS - one for one in NEIGHBOURS[:1])
    # Neighbours overlap, so those of noise are alike too; those farther off are not.
    assert (alike - unlike)[apart:].mean() > 2


def test_an_envelope_is_the_power_of_its_band() -> None:
    envelopes = band_envelopes(np.sin(2 * np.pi * 1000 * TIME_S).astype(np.float32))
    assert envelopes.shape == ((len(TIME_S) - ENVELOPE_FRAME) // ENVELOPE_HOP + 1, BANDS + 1)
    power, whole = np.exp(envelopes[:, :-1]), envelopes[:, -1]
    assert (power.argmax(1) == power[0].argmax()).all()
    # Nothing is louder, and no tone lies elsewhere.
    widths = np.diff(np.ceil(BAND_EDGES_HZ / 125))
    bins = np.diff(np.ceil(np.array(WHOLE_BAND_HZ) / 125))
    np.testing.assert_allclose(whole, power @ widths / bins, rtol=1e-3)
