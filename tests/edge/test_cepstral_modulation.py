"""How fast a voice articulates, in whole windows and in sliding ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bundle import DEFAULT_BUNDLE, read_manifest
from edge.cepstral_modulation import (
    CEPSTRA,
    COMPARED_MODULATIONS,
    FIRST,
    HOPS,
    LIMITS,
    MODULATIONS_HZ,
    NUMBERS,
    POWERS,
    RANGES_HZ,
    SECOND,
    cepstral_modulation,
    mel,
)
from edge.cues import CepstralModulationStream
from edge.features import LogMelStream, log_mel_db
from edge.sliding import RATE_HZ, STEP, UNITS, Frames

FRONT_END = read_manifest(DEFAULT_BUNDLE).front_end.with_cues([CepstralModulationStream])
FRAMES = FRONT_END.frames
FRAME_HZ = RATE_HZ / FRAMES.hop


def wave_over(bands_hz: np.ndarray, cepstrum: int, span: int) -> np.ndarray:
    """A cosine of so many halves over a range on the mel scale, nothing outside of it."""
    low, high = RANGES_HZ[span]
    places = (mel(bands_hz) - mel(low)) / (mel(high) - mel(low))
    return np.cos(np.pi * cepstrum * places) * ((bands_hz >= low) & (bands_hz < high))


def moving(
    modulation_hz: float, cepstrum: int, span: int, db: float = 3.0, turned: float = 0.0
) -> np.ndarray:
    """Frames of which one cepstrum of one range moves so fast: (400, bands)."""
    shape = wave_over(np.array(FRAMES.bands_hz), cepstrum, span)
    wave = np.sin(2 * np.pi * (modulation_hz * np.arange(400) / FRAME_HZ + turned))
    return (db * np.outer(wave, shape)).astype(np.float32)


def told(decibels: np.ndarray, frames: Frames = FRAMES) -> np.ndarray:
    """(modulations, ranges, CEPSTRA)."""
    numbers = cepstral_modulation(decibels, frames)
    assert numbers.shape == (NUMBERS,) and numbers.dtype == np.float32
    return numbers[:POWERS].reshape(len(MODULATIONS_HZ), len(RANGES_HZ), CEPSTRA)


def alike(decibels: np.ndarray, one: int, other: int) -> np.ndarray:
    """Of two cepstra, those of the upper range counted on, in each compared modulation."""
    numbers = cepstral_modulation(decibels, FRAMES)[POWERS:].reshape(-1, len(FIRST)) / UNITS
    return numbers[:, (one == FIRST) & (other == SECOND)][:, 0]


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE_HZ))
    return samples.astype(np.float32)


@pytest.mark.parametrize("modulation", range(len(MODULATIONS_HZ)))
@pytest.mark.parametrize("span", range(len(RANGES_HZ)))
@pytest.mark.parametrize("cepstrum", [0, 1, 5, CEPSTRA - 1])
def test_what_moves_shows_in_its_cepstrum_and_its_modulation(
    modulation: int, span: int, cepstrum: int
) -> None:
    middle = sum(MODULATIONS_HZ[modulation]) / 2
    numbers = told(moving(middle, cepstrum, span))
    assert np.unravel_index(numbers.argmax(), numbers.shape) == (modulation, span, cepstrum)
    # Nothing of it in the other range, however it moves.
    assert numbers[:, 1 - span].max() < -25


def test_twice_as_much_is_six_decibels_more() -> None:
    once, twice = (told(moving(8, 3, 0, db)) for db in (3, 6))
    assert (twice - once)[1, 0, 3] == pytest.approx(6.02, abs=0.01)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (2, 4), (0, CEPSTRA), (3, CEPSTRA)])
@pytest.mark.parametrize(("turned", "expected"), [(0, 1), (0.5, -1), (0.25, 0), (0.125, 0.71)])
def test_cepstra_that_move_together_are_alike(
    one: int, other: int, turned: float, expected: float
) -> None:
    for place, (low_hz, high_hz) in enumerate(MODULATIONS_HZ[COMPARED_MODULATIONS]):
        middle_hz = (low_hz + high_hz) / 2
        decibels = moving(middle_hz, one, 0)
        decibels += moving(middle_hz, other % CEPSTRA, other // CEPSTRA, 5, turned)
        assert alike(decibels, one, other)[place] == pytest.approx(expected, abs=0.06)


def test_what_does_not_move_is_like_nothing() -> None:
    told_of = cepstral_modulation(np.full((50, 160), -100, np.float32), FRAMES)[POWERS:]
    assert np.abs(told_of).max() < 0.1


def test_neither_level_nor_channel_counts() -> None:
    decibels = log_mel_db(noise(4), FRONT_END)
    channel = np.random.default_rng(5).uniform(-8, 8, decibels.shape[1]).astype(np.float32)
    np.testing.assert_allclose(told(decibels - 30), told(decibels), atol=1e-3)
    np.testing.assert_allclose(told(decibels + channel), told(decibels), atol=1e-2)


def test_what_is_far_below_the_loudest_band_says_nothing() -> None:
    decibels = moving(8, 3, 1, db=10)
    loud = decibels.copy()
    loud[:, 0] += 80
    assert told(decibels)[1, 1, 3] > 20 and told(loud).max() < -25


def test_silence_is_at_the_lower_end() -> None:
    assert told(np.full((50, 160), -100, np.float32)).max() == pytest.approx(-50, abs=0.1)


def test_the_wildest_frames_stay_within_the_limits() -> None:
    # All bands from the loudest to the quietest that count, in step with one of the modulations.
    wave = np.sign(np.sin(2 * np.pi * 4 * np.arange(400) / FRAME_HZ))
    wild = np.outer(500 * wave, np.ones(160)).astype(np.float32)
    for hop in HOPS:
        numbers = told(wild, replace(FRAMES, hop=hop))
        assert LIMITS[0] <= numbers.min() and 40 < numbers.max() <= LIMITS[1]


@pytest.mark.parametrize("bands", [20, 40, 80])
def test_fewer_bands_tell_the_same_of_what_is_coarse(bands: int) -> None:
    middles = np.linspace(0, 8000, bands + 2)[1:-1]
    wave = np.sin(2 * np.pi * 8 * np.arange(400) / FRAME_HZ)
    decibels = np.outer(3 * wave, wave_over(middles, 1, 0)).astype(np.float32)
    few = told(decibels, replace(FRAMES, bands_hz=tuple(middles)))
    assert few[1, 0, 1] == pytest.approx(told(moving(8, 1, 0))[1, 0, 1], abs=1)
    assert np.isfinite(few).all()


# Sliding windows


@settings(max_examples=20, deadline=None)
@given(
    slides=st.lists(st.sampled_from([0, 1, 2, 5, 9, 30]), max_size=5),
    off_grid=st.lists(st.booleans(), min_size=5, max_size=5),
    window=st.integers(9000, 4 * RATE_HZ),
    kind=st.sampled_from([{}, {"center": True}, {"frame_hop": 256}, {"frame_hop": 200}]),
)
def test_a_sliding_window_gives_the_numbers_of_the_whole_window(
    slides: list[int], off_grid: list[bool], window: int, kind: dict[str, bool | int]
) -> None:
    front_end = replace(FRONT_END, **kind)
    samples = noise(80)
    frames, stream = LogMelStream(front_end), front_end.cue_stream()
    start = 0
    for slid, off in zip([0, *slides], [False, *off_grid]):
        slid = slid * STEP + 77 * off
        start += slid
        piece = samples[start : start + window]
        sliding = stream.numbers(piece, frames.window_db(piece, slid), slid)
        whole = front_end.cue_stream().numbers(piece, log_mel_db(piece, front_end), 0)
        np.testing.assert_allclose(sliding, whole, atol=1e-2)


def test_what_the_last_window_had_is_not_measured_again() -> None:
    decibels = log_mel_db(noise(6), FRONT_END)
    stream = CepstralModulationStream(FRAMES)
    stream.numbers(decibels[:497], 0)
    spoiled = decibels[100:].copy()
    spoiled[: 7 * stream.step] = np.nan  # whoever reads it again shows it
    sliding = stream.numbers(spoiled, RATE_HZ)
    np.testing.assert_allclose(sliding, cepstral_modulation(decibels[100:], FRAMES), atol=1e-3)


def test_the_frames_are_left_as_they_were() -> None:
    decibels = log_mel_db(noise(5), FRONT_END)
    before = decibels.copy()
    cepstral_modulation(decibels, FRAMES)
    np.testing.assert_array_equal(decibels, before)
