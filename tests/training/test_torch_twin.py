"""PyTorch trains the network that Keras defines: the same numbers, before and after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed; `make test-torch` installs it")

from training.config import OptimiserSettings
from training.errors import TrainingError
from training.losses import LossSettings
from training.models import ModelSettings, build_model
from training.torch_twin import TorchTwin, same_padding

MODEL = ModelSettings(
    stages=(8, 12, 16), pools=(1, 1, 0), first_stride=(2, 1), embedding=8, dropout=0.1
)
OPTIMISER = OptimiserSettings(weight_decay=0.0, clip_norm=0.0)


def batch(frames: int, seed: int = 1):
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (6, frames, 24, 1)).astype(np.float32)
    return features, (np.arange(6) % 2).astype(np.float32)[:, None]


def model_with_a_past(frames: int):
    """A network whose BatchNorms have seen something, so that mistaking them would show."""
    model = build_model(MODEL, frames, 24)
    rng = np.random.default_rng(2)
    for variable in model.variables:
        if "moving_variance" in variable.path:
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        elif any(name in variable.path for name in ("gamma", "beta", "moving_mean", "bias")):
            variable.assign(np.asarray(variable) + rng.normal(0, 0.2, variable.shape))
    return model


@pytest.mark.parametrize("frames", [40, 41])
def test_both_give_the_same_logits(frames):
    model = model_with_a_past(frames)
    twin = TorchTwin(model, MODEL, OPTIMISER, LossSettings())
    features, _ = batch(frames)
    expected = np.asarray(model.predict(features, verbose=0))
    np.testing.assert_allclose(twin.logits(features), expected, rtol=1e-4, atol=1e-4)


def test_training_lowers_the_loss_and_keras_gets_what_was_learnt():
    model = model_with_a_past(40)
    twin = TorchTwin(model, MODEL, OPTIMISER, LossSettings())
    features, wanted = batch(40)
    losses = [twin.step(features, wanted, 3e-3) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    twin.store()
    got = np.asarray(model.predict(features, verbose=0))
    np.testing.assert_allclose(got, twin.logits(features), rtol=1e-4, atol=1e-4)


def test_a_first_step_is_the_step_that_keras_takes():
    """Adam's first step moves each weight by the rate, in the direction of its gradient."""
    import keras

    settings = replace(MODEL, dropout=0.0)
    model = build_model(settings, 40, 24)
    twin = TorchTwin(model, settings, OPTIMISER, LossSettings())
    features, wanted = batch(40)
    before = [np.array(variable) for variable in model.trainable_variables]
    twin.step(features, wanted, 1e-3)
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    other.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.0), loss, jit_compile=False)
    other.train_on_batch(features, wanted)
    twin.store()
    for start, ours, theirs in zip(before, model.trainable_variables, other.trainable_variables):
        moved, expected = np.asarray(ours) - start, np.asarray(theirs) - start
        agreeing = np.sign(moved) == np.sign(expected)
        assert agreeing[np.abs(expected) > 5e-4].mean() > 0.98, ours.path


def test_a_restored_twin_goes_on_as_if_nothing_had_been():
    features, wanted = batch(40)
    settings = replace(MODEL, dropout=0.0)
    model = build_model(settings, 40, 24)
    twin = TorchTwin(model, settings, OPTIMISER, LossSettings())
    for _ in range(3):
        twin.step(features, wanted, 1e-3)
    twin.store()
    again = TorchTwin(model, settings, OPTIMISER, LossSettings())
    again.restore([np.array(part) for part in twin.state()])
    for _ in range(3):
        assert again.step(features, wanted, 1e-3) == pytest.approx(
            twin.step(features, wanted, 1e-3), rel=1e-5
        )


@pytest.mark.parametrize(
    ("model", "loss"),
    [
        (replace(MODEL, pooling="attention"), LossSettings()),
        (replace(MODEL, head="cosine"), LossSettings("p2sgrad")),
    ],
)
def test_what_it_cannot_train_is_said(model, loss):
    with pytest.raises(TrainingError, match="set it to keras"):
        TorchTwin(build_model(model, 40, 24), model, OPTIMISER, loss)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [(100, 5, 2, (1, 2)), (247, 5, 2, (2, 2)), (80, 3, 1, (1, 1)), (80, 1, 1, (0, 0))],
)
def test_padding_is_that_of_keras(size, kernel, stride, padding):
    assert same_padding(size, kernel, stride) == padding
