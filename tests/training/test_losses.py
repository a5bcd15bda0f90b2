from __future__ import annotations

import keras
import numpy as np
import pytest

from training.losses import LOSSES, LossSettings, make_loss


def value(settings: LossSettings, targets: list[float], outputs: list[float]) -> np.ndarray:
    made = make_loss(settings)(
        keras.ops.convert_to_tensor(np.array(targets, np.float32)[:, None]),
        keras.ops.convert_to_tensor(np.array(outputs, np.float32)[:, None]),
    )
    return np.asarray(keras.ops.convert_to_numpy(made))


def test_cross_entropy_worked_by_hand() -> None:
    losses = value(LossSettings(), [1, 0, 1], [0.0, 0.0, np.log(3)])
    np.testing.assert_allclose(losses, [np.log(2), np.log(2), np.log(4 / 3)], rtol=1e-5)


def test_cross_entropy_is_that_of_keras_with_label_smoothing(rng: np.random.Generator) -> None:
    logits, targets = rng.normal(0, 3, 20), rng.integers(0, 2, 20).astype(float)
    settings = LossSettings(label_smoothing=0.1)
    expected = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1)(
        targets[:, None], logits[:, None]
    )
    assert value(settings, list(targets), list(logits)).mean() == pytest.approx(
        float(expected), rel=1e-5
    )


def test_large_logits_stay_finite() -> None:
    assert np.isfinite(value(LossSettings(), [1, 0], [-1e4, 1e4])).all()


def test_spoof_may_weigh_more() -> None:
    plain = value(LossSettings(), [1, 0], [0.3, 0.3])
    weighted = value(LossSettings(spoof_weight=3.0), [1, 0], [0.3, 0.3])
    np.testing.assert_allclose(weighted, plain * [3, 1], rtol=1e-6)


def test_what_is_told_of_a_teacher_counts_by_its_squared_error() -> None:
    # One opinion, then two numbers that it hears.
    targets = np.array([[1, 0.5, -1.0, 0.0], [0, 2.0, 0.0, 3.0]], np.float32)
    outputs = np.array([[0, 0.5, 1.0, 2.0], [0, 1.0, 0.0, 3.0]], np.float32)
    made = make_loss(LossSettings(), 0.25, 0.5, opinions=1)(targets, outputs)
    expected = np.log(2) + 0.25 * np.array([4.0, 0.0]) + 0.5 * np.array([0.0, 1.0])
    np.testing.assert_allclose(np.asarray(made), expected, rtol=1e-5)


def test_either_is_told_without_the_other() -> None:
    targets = np.array([[1, 0.5, -1.0]], np.float32)
    outputs = np.array([[0, 0.5, 1.0]], np.float32)
    heard = make_loss(LossSettings(), heard_weight=0.25)(targets, outputs)
    np.testing.assert_allclose(np.asarray(heard), np.log(2) + 0.25 * 2, rtol=1e-5)
    thought = make_loss(LossSettings(), opinion_weight=0.25, opinions=2)(targets, outputs)
    np.testing.assert_allclose(np.asarray(thought), np.log(2) + 0.25 * 2, rtol=1e-5)


def test_p2sgrad_is_the_squared_error_of_the_cosine() -> None:
    losses = value(LossSettings("p2sgrad"), [1, 0, 0], [0.5, 0.5, -1.0])
    np.testing.assert_allclose(losses, [0.25, 2.25, 0.0], atol=1e-6)


def test_one_class_softmax_worked_by_hand() -> None:
    # Output = minus the cosine to bona fide: 0.9 and 0.2 are the margins where a loss is ln 2.
    settings = LossSettings("one-class", scale=10.0)
    losses = value(settings, [0, 1], [-0.9, -0.2])
    np.testing.assert_allclose(losses, np.log(2) / 10, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_higher_output_is_better_for_spoof_and_worse_for_bona_fide(name: str) -> None:
    settings = LossSettings(name)
    outputs = [-0.8, -0.3, 0.2, 0.7]
    assert (np.diff(value(settings, [1] * 4, outputs)) < 0).all()
    assert (np.diff(value(settings, [0] * 4, outputs)) > 0).all()


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of"):
        LossSettings("hinge")
