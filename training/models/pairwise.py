"""A small network of numbers, fitted to pairs (RankNet, Burges et al., ICML 2005)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
DrawPairs = Callable[[np.random.Generator, int], tuple[Float32, Float32]]
"""So many numbers of human and of synthetic windows, each float32, shape (pairs, numbers)."""

UNITS, STEPS, PAIRS = 32, 1500, 128
RATE, WEIGHT_DECAY = 2e-3, 1e-2
# There are few sources, and each has ways of its own.
DROPPED_NUMBERS, DROPPED_UNITS = 0.2, 0.4
FIRST_STRAIGHT = 0.02
SIDES = ("human", "synthetic")
HIDDEN, OUT, STRAIGHT = "hidden", "out", "straight"


def fit_pairs(
    draw: DrawPairs, of_spoofs: Bools, seed: int
) -> tuple[Float32, Float32, Float32, Float32]:
    """A network by which the synthetic window of a pair is above the human one.

    Args:
        draw: draws pairs.
        of_spoofs: numbers that may never speak for a person, shape (numbers,): they count by
            themselves alone, and none below nought. All others pass the hidden units.
        seed: of the first weights and of what is drawn.

    Returns:
        Weights of the rectified units, (numbers, `UNITS`); their biases, (`UNITS`,); what each unit
        counts, (`UNITS`,); what each number counts by itself, (numbers,).
    """
    keras.utils.set_random_seed(seed)
    ranker = _ranker(of_spoofs)
    human, synthetic = (keras.Input((len(of_spoofs),), name=name) for name in SIDES)
    apart = layers.Subtract()([ranker(synthetic), ranker(human)])
    model = keras.Model([human, synthetic], apart)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(RATE, STEPS), weight_decay=WEIGHT_DECAY
        ),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(_Pairs(draw, seed), shuffle=False, verbose=0)
    hidden, biases = ranker.get_layer(HIDDEN).get_weights()
    (out, _), (straight,) = (ranker.get_layer(name).get_weights() for name in (OUT, STRAIGHT))
    return hidden, biases, out[:, 0], straight[:, 0]


def _ranker(of_spoofs: Bools) -> Any:
    inputs = keras.Input((len(of_spoofs),))
    numbers = layers.Dropout(DROPPED_NUMBERS)(inputs)
    units = layers.Dense(
        UNITS, activation="relu", kernel_constraint=_Rows(~of_spoofs), name=HIDDEN
    )(numbers)
    of_units = layers.Dense(1, name=OUT)(layers.Dropout(DROPPED_UNITS)(units))
    straight = layers.Dense(
        1,
        use_bias=False,
        kernel_initializer=keras.initializers.Constant(FIRST_STRAIGHT),
        kernel_constraint=_Rows(of_spoofs, least=0),
        name=STRAIGHT,
    )(numbers)
    ranker = keras.Model(inputs, layers.Add()([of_units, straight]))
    # A constraint holds from the first step on, which must not begin outside of it.
    for name in (HIDDEN, STRAIGHT):
        layer = ranker.get_layer(name)
        layer.kernel.assign(layer.kernel_constraint(layer.kernel))
    return ranker


class _Rows(keras.constraints.Constraint):  # type: ignore[misc]
    """Weights of some inputs alone, none below the `least`."""

    def __init__(self, rows: Bools, least: float = -np.inf) -> None:
        self._rows = rows[:, None].astype(np.float32)
        self._least = least

    def __call__(self, kernel: Any) -> Any:
        return keras.ops.maximum(kernel, self._least) * self._rows


class _Pairs(keras.utils.PyDataset):  # type: ignore[misc]
    def __init__(self, draw: DrawPairs, seed: int) -> None:
        super().__init__()
        self._draw = draw
        self._seed = seed

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, step: int) -> tuple[tuple[Float32, Float32], Float32]:
        rng = np.random.default_rng([self._seed, step])
        return self._draw(rng, PAIRS), np.ones((PAIRS, 1), np.float32)
