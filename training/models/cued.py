"""A finished network that hears cues beside the spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers

if TYPE_CHECKING:
    from training.teller import Teller

STANDARD, HIDDEN, LOGIT, STRAIGHT = (
    "cues_standard", "cues_hidden", "cues_logit", "cues_straight"
)


def cued(network: Any, teller: Teller, limit: float) -> Any:
    """A network whose logit has what a teller says of the cues' numbers added.

    Args:
        network: of input (frames, bands, 1) and one logit.
        teller: see there.
        limit: a number counts for no more than so many deviations.

    Returns:
        Of input (rows, bands, 1), as `edge.features.window_features` gives it.
    """
    _, frames, bands, _ = network.input_shape
    count, units = teller.hidden.shape
    rows = -(-count // bands)
    inputs = keras.Input((frames + rows, bands, 1), name="log_mel")
    logit = network(layers.Cropping2D(((0, rows), (0, 0)))(inputs))
    rest = layers.Cropping2D(((frames, 0), (0, 0)))(inputs)
    one_by_one = layers.Reshape((rows * bands, 1, 1))(rest)
    numbers = layers.Flatten()(
        layers.Cropping2D(((0, rows * bands - count), (0, 0)))(one_by_one)
    )
    standard = layers.BatchNormalization(center=False, scale=False, epsilon=0.0, name=STANDARD)
    limited = layers.Activation("hard_tanh")(standard(numbers))
    hidden = layers.Dense(units, activation="relu", name=HIDDEN)
    told = layers.Dense(1, use_bias=False, name=LOGIT)
    straight = layers.Dense(1, use_bias=False, name=STRAIGHT)
    added = layers.Add()([logit, told(hidden(limited)), straight(limited)])
    made = keras.Model(inputs, added, name="cued")
    standard.set_weights([teller.scale.mean, np.square(limit * teller.scale.deviation)])
    hidden.set_weights([limit * teller.hidden, teller.biases])
    told.set_weights([teller.out[:, None]])
    straight.set_weights([limit * teller.straight[:, None]])
    return made


def without_cues(model: Any) -> Any:
    """The network inside one that `cued` made; any other as it is."""
    inside = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return inside[0] if model.name == "cued" else model
