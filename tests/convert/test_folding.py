"""A folded first convolution gives the numbers of the one that it takes the place of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

from convert.folding import FoldedConvolution, folded

RNG = np.random.default_rng(5)


def network(bands: int, kernel: int, stride: tuple[int, int], channels: int = 1) -> Any:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((23, bands, channels))
    x = layers.Conv2D(6, kernel, strides=stride, padding="same", use_bias=False)(inputs)
    return keras.Model(inputs, layers.Dense(1)(layers.Flatten()(x)))


@pytest.mark.parametrize("kernel", [2, 5, 6, 7])
@pytest.mark.parametrize("stride", [(1, 2), (4, 2), (2, 3), (8, 1)])
def test_the_numbers_stay_the_same(kernel: int, stride: Any) -> None:
    model = network(24, kernel, stride)
    twin = folded(model)
    assert any(isinstance(layer, FoldedConvolution) for layer in twin.layers)
    x = RNG.standard_normal((3, 23, 24, 1)).astype(np.float32)
    np.testing.assert_allclose(twin.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


def test_a_network_inside_another_is_folded_too() -> None:
    inner = network(24, 5, (4, 2))
    inputs = keras.Input((25, 24, 1))
    cropped = layers.Cropping2D(((0, 2), (0, 0)))(inputs)
    outer = keras.Model(inputs, layers.Dense(1)(inner(cropped)))
    twin = folded(outer)
    [inside] = [layer for layer in twin.layers if isinstance(layer, keras.Model)]
    assert any(isinstance(layer, FoldedConvolution) for layer in inside.layers)
    x = RNG.standard_normal((2, 25, 24, 1)).astype(np.float32)
    np.testing.assert_allclose(twin.predict(x, verbose=0), outer.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    ("bands", "kernel", "stride", "channels"),
    [(24, 1, (2, 1), 1), (24, 5, (2, 2), 2)],
)
def test_what_cannot_be_folded_stays_as_it_is(
    bands: int, kernel: int, stride: Any, channels: int
) -> None:
    model = network(bands, kernel, stride, channels)
    twin = folded(model)
    assert not any(isinstance(layer, FoldedConvolution) for layer in twin.layers)
    x = RNG.standard_normal((2, 23, bands, channels)).astype(np.float32)
    np.testing.assert_allclose(twin.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)
