"""The straight line from samples to results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.audio.block import AudioBlock
from edge.cues import CUES
from edge.decision import Calibration, DecisionRule, DecisionSettings, sigmoid
from edge.detector import Detector, DetectorSettings, judge_recording
from edge.features import FrontEnd, window_features
from edge.windows import fit_window, window_starts

RATE = 16000
FRONT_END = FrontEnd(
    n_fft=512, win_length=512, frame_hop=320, n_bands=20, center=False, normalisation="mean"
)


def speechlike(seconds: float, seed: int = 0) -> np.ndarray:
    """A buzz whose loudness and pitch move as a voice's do."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    buzz = sum(np.sin(k * pitch) / k for k in range(1, 20))
    loudness = np.clip(np.sin(2 * np.pi * 2.1 * t), 0, 1)
    noise = 1e-3 * rng.standard_normal(len(t))
    return (0.1 * buzz * loudness + noise).astype(np.float32)


def make_detector(score=None, **overrides) -> Detector:
    values = {
        "front_end": FRONT_END,
        "model_samples": 5 * RATE,
        "window_samples": 5 * RATE,
        "hop_samples": RATE,
        "padding": "repeat",
        "calibration": Calibration(),
        "rule": DecisionRule(0.5, DecisionSettings(alert_windows=2, of_windows=3, cooldown_s=0)),
    }
    values.update(overrides)
    return Detector(DetectorSettings(**values), score or (lambda f: float(f[:, 3].std() - 5)))


def split(samples: np.ndarray, sizes: list[int], start: int = 0) -> list[AudioBlock]:
    blocks, taken, i = [], 0, 0
    while taken < len(samples):
        size = sizes[i % len(sizes)]
        blocks.append(AudioBlock(samples[taken : taken + size], start + taken))
        taken += size
        i += 1
    return blocks


@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=12), st.integers(1_000, 200_000))
def test_any_split_into_blocks_gives_the_same_results(sizes, length):
    samples = np.resize(speechlike(9.3), length)
    whole = judge_recording(make_detector(), [AudioBlock(samples, 0)])
    parts = judge_recording(make_detector(), split(samples, sizes))
    assert parts == whole


@given(st.integers(1, 400_000))
def test_windows_cover_a_recording_with_the_last_flush_with_its_end(length):
    samples = np.resize(speechlike(5.0), length)
    result = judge_recording(make_detector(), [AudioBlock(samples, 0)])
    assert [w.start for w in result.windows] == window_starts(length, 5 * RATE, RATE)
    assert result.windows[-1].end == length


HEARD = FRONT_END.with_cues(CUES)


def told_in_rows(features: np.ndarray) -> float:
    return float(features[-HEARD.cue_rows :].sum())


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(1, 40_000), min_size=1, max_size=12),
    st.integers(1_000, 200_000),
    st.sampled_from([RATE, RATE // 2, 5000]),
)
def test_cues_are_those_of_each_window_whatever_came_before(sizes, length, hop):
    samples = np.resize(speechlike(9.3), length)
    samples[length // 3 : length // 2] = 0  # windows that are not scored lie between
    detector = make_detector(told_in_rows, front_end=HEARD, hop_samples=hop)
    result = judge_recording(detector, split(samples, sizes))
    for window in result.windows:
        if window.logit is not None:
            fitted = fit_window(samples[window.start : window.end], 5 * RATE)
            expected = told_in_rows(window_features(fitted, HEARD))
            assert window.logit == pytest.approx(expected, abs=0.5)
    assert length < 20_000 or any(window.logit is not None for window in result.windows)


def test_nothing_is_scored_across_a_gap():
    detector = make_detector()
    results = detector.accept(AudioBlock(speechlike(7.0), 0))
    hole_end = 7 * RATE + 1234
    results += detector.accept(AudioBlock(speechlike(5.5), hole_end))
    assert [(r.start, r.end) for r in results] == [
        (0, 5 * RATE),
        (RATE, 6 * RATE),
        (2 * RATE, 7 * RATE),
        (hole_end, hole_end + 5 * RATE),
    ]
    assert [r.index for r in results] == [0, 1, 2, 3]


def test_a_block_that_overlaps_the_past_is_refused():
    detector = make_detector()
    detector.accept(AudioBlock(speechlike(1.0), 0))
    with pytest.raises(ValueError, match="already taken"):
        detector.accept(AudioBlock(speechlike(1.0), 100))


@pytest.mark.parametrize(
    ("spoil", "health"),
    [
        (lambda x: x * 0, "silent-input"),
        (lambda x: x * 0 + 0.3, "dc-offset"),
        (lambda x: np.clip(x * 100, -1, 1), "clipped"),
        (lambda x: np.where(np.arange(len(x)) == 777, np.nan, x), "invalid-samples"),
        (lambda x: np.where(np.arange(len(x)) == 777, np.inf, x), "invalid-samples"),
    ],
)
def test_unfit_input_is_never_called_a_person(spoil, health):
    calls = []
    detector = make_detector(lambda f: calls.append(f) or -9.0)
    (result,) = detector.accept(AudioBlock(spoil(speechlike(5.0)).astype(np.float32), 0))
    assert (result.verdict, result.health, result.probability) == ("not-scored", health, None)
    assert not calls


def test_a_network_that_gives_nan_is_a_fault_and_no_verdict():
    detector = make_detector(lambda f: float("nan"))
    (result,) = detector.accept(AudioBlock(speechlike(5.0), 0))
    assert (result.verdict, result.health, result.logit) == ("not-scored", "model-fault", None)


def test_steady_noise_is_said_to_hold_no_speech_and_is_not_scored():
    noise = 0.05 * np.random.default_rng(1).standard_normal(5 * RATE).astype(np.float32)
    (result,) = make_detector(lambda f: pytest.fail("scored")).accept(AudioBlock(noise, 0))
    assert (result.verdict, result.speech, result.health) == ("no-speech", False, "ok")


def test_an_alert_is_raised_once_and_cleared():
    scores = iter([-3.0, 3.0, 3.0, 3.0, -3.0, -3.0, -3.0])
    detector = make_detector(lambda f: next(scores))
    results = detector.accept(AudioBlock(speechlike(11.0), 0))
    assert [r.alert for r in results] == [None, None, "raised", None, None, "cleared", None]
    assert results[1].probability == pytest.approx(sigmoid(3.0))


def test_a_model_is_changed_between_two_windows_without_losing_audio():
    old, new = make_detector(), make_detector(lambda f: 1.0)
    samples = speechlike(9.0)
    first = old.accept(AudioBlock(samples[: 6 * RATE + 99], 0))
    new.take_over(old)
    second = new.accept(AudioBlock(samples[6 * RATE + 99 :], 6 * RATE + 99))
    assert [r.index for r in first + second] == [0, 1, 2, 3, 4]
    assert [r.end for r in second] == [7 * RATE, 8 * RATE, 9 * RATE]
    assert {r.logit for r in second} == {1.0}


def test_stages_are_told_in_order():
    seen = []
    detector = make_detector()
    detector = Detector(detector.settings, lambda f: 0.0, seen.append)
    detector.accept(AudioBlock(speechlike(5.0), 0))
    assert seen == ["start", "health", "log_mel", "gate", "inference", "decision"]


def test_a_window_shorter_than_the_networks_input_is_repeated_to_fill_it():
    shapes = []
    detector = make_detector(lambda f: shapes.append(f.shape) or 0.0, window_samples=3 * RATE)
    results = detector.accept(AudioBlock(speechlike(4.0), 0))
    assert [r.end for r in results] == [3 * RATE, 4 * RATE]
    assert set(shapes) == {(FRONT_END.frame_count(5 * RATE), 20)}


@pytest.mark.parametrize("bad", [{"window_samples": 6 * RATE}, {"hop_samples": 6 * RATE}])
def test_a_window_that_does_not_fit_is_refused(bad):
    with pytest.raises(ValueError, match="samples"):
        make_detector(**bad)
