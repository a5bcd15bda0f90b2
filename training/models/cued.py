"""A finished network that hears cues beside the spectrum."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
STANDARD, LOGIT = "cues_standard", "cues_logit"


def cued(
    network: Any, mean: Float32, deviation: Float32, weights: NDArray[Any], limit: float
) -> Any:
    """A network whose logit has another one added, a weighted sum of the cues' numbers.

    Args:
        network: of input (frames, bands, 1) and one logit.
        mean, deviation: of each number, shape (numbers,).
        weights: of each number in deviations, shape (numbers,).
        limit: a number counts for no more than so many deviations.

    Returns:
        Of input (rows, bands, 1), as `edge.features.window_features` gives it.
    """
    _, frames, bands, _ = network.input_shape
    rows = -(-len(mean) // bands)
    inputs = keras.Input((frames + rows, bands, 1), name="log_mel")
    logit = network(layers.Cropping2D(((0, rows), (0, 0)))(inputs))
    numbers = layers.Flatten()(layers.Cropping2D(((frames, 0), (0, 0)))(inputs))
    standard = layers.BatchNormalization(center=False, scale=False, epsilon=0.0, name=STANDARD)
    told = layers.Dense(1, use_bias=False, name=LOGIT)
    added = told(layers.Activation("hard_tanh")(standard(numbers)))
    made = keras.Model(inputs, layers.Add()([logit, added]), name="cued")
    # What fills up the rows is nought, and has no weight.
    places = np.arange(rows * bands) < len(mean)
    means, variances = np.zeros(len(places)), np.ones(len(places))
    means[places], variances[places] = mean, np.square(limit * deviation)
    kernel = np.zeros((len(places), 1))
    kernel[places, 0] = limit * weights
    standard.set_weights([means, variances])
    told.set_weights([kernel])
    return made


def without_cues(model: Any) -> Any:
    """The network inside one that `cued` made; any other as it is."""
    inside = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return inside[0] if model.name == "cued" else model
