"""Light CNN with Max-Feature-Map (Wu et al., IEEE TIFS 2018; Lavrentyeva et al., 2017, 2019).

Two things are done for the device. BatchNorm stands between convolution and Max-Feature-Map, where
it folds into the convolution. Max-Feature-Map is written as reshape and max pooling: the same
numbers as the maximum of the two channel halves, in a form that XNNPACK takes whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from training.models.fast import precision

if TYPE_CHECKING:
    from training.models import ModelSettings

STD_FLOOR = 1e-5
POOLED, STANDARD, LOGIT = "pooled", "standard", "logit"


def max_feature_map(x: Any) -> Any:
    """(H, W, 2n) -> (H, W, n): the larger of channel c and channel n + c."""
    _, height, width, channels = x.shape
    x = layers.Reshape((height, 2 * width, channels // 2))(x)  # halves become neighbours along W
    return layers.MaxPooling2D((1, 2))(x)


def mfm_convolution(
    x: Any,
    channels: int,
    kernel: int | tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    name: str | None = None,
) -> Any:
    """Convolution to twice the channels, BatchNorm, Max-Feature-Map."""
    x = layers.Conv2D(
        2 * channels,
        kernel,
        strides=stride,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name and f"{name}_convolution",
    )(x)
    return max_feature_map(
        layers.BatchNormalization(momentum=0.95, name=name and f"{name}_norm")(x)
    )


def average_over_time(x: Any) -> Any:
    """(T, 1, C) -> (1, 1, C)."""
    return layers.AveragePooling2D((x.shape[1], 1))(x)


def pool_over_time(x: Any, pooling: str) -> Any:
    """(T, 1, C) -> (1, 1, C), or (1, 1, 2C) for "mean-std"."""
    if pooling == "average":
        return average_over_time(x)
    if pooling == "mean-std":
        mean = average_over_time(x)
        deviation = layers.Subtract()([x, mean])
        variance = average_over_time(layers.Multiply()([deviation, deviation]))
        return layers.Concatenate()([mean, ops.sqrt(variance + STD_FLOOR)])
    # Attention (Bahdanau's additive form with one head) as products and a mean: no matrix product
    # of two activations, which int8 delegates poorly.
    time = x.shape[1]
    hidden = layers.Conv2D(max(8, x.shape[3] // 4), 1, activation="tanh")(x)
    score = layers.Reshape((time,))(layers.Conv2D(1, 1)(hidden))
    weight = layers.Reshape((time, 1, 1))(layers.Softmax()(score))
    weighted = average_over_time(layers.Multiply()([x, weight]))
    return layers.Rescaling(float(time))(weighted)


def build_lcnn(frames: int, bands: int, settings: ModelSettings) -> Any:
    """LCNN-9 at the default stages: a 5x5, then four pairs of 1x1 and 3x3 convolutions.

    The published one has `first_stride` (1, 1), at four times the cost.
    """
    inputs = keras.Input((frames, bands, 1), name="log_mel")
    first, *rest = map(settings.scaled, settings.stages)
    x = mfm_convolution(inputs, first, settings.first_kernel, settings.first_stride)
    if settings.pools[0]:
        x = layers.MaxPooling2D(2)(x)
    for channels, pool in zip(rest, settings.pools[1:]):
        x = mfm_convolution(x, int(x.shape[3]), 1)
        x = mfm_convolution(x, channels, 3)
        if pool:
            x = layers.MaxPooling2D(2)(x)
    # What is left costs nothing, and its sums and roots want more digits than bfloat16 has.
    with precision("float32"):
        outputs = score(x, settings)
    return keras.Model(inputs, outputs, name="lcnn")


def score(x: Any, settings: ModelSettings) -> Any:
    """Pooling, embedding and the one number: (T, F, C) -> (1,)."""
    _, time, height, channels = x.shape
    if settings.keep_frequency:
        x = layers.Reshape((time, 1, height * channels))(x)
    else:
        x = layers.AveragePooling2D((1, height))(x)
    x = pool_over_time(x, settings.pooling)
    x = layers.Flatten(name=POOLED)(x)
    x = layers.Dropout(settings.dropout)(x)
    if not settings.embedding:
        return _head(x, settings.head)
    x = layers.Dense(2 * settings.embedding, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.95)(x)
    x = layers.Reshape((1, 2, settings.embedding))(x)
    x = layers.Flatten(name="embedding")(layers.MaxPooling2D((1, 2))(x))
    return _head(x, settings.head)


def _head(x: Any, head: str) -> Any:
    """One number, higher = more likely spoof: a logit, or the cosine to the spoof direction."""
    if head == "votes":
        x = layers.BatchNormalization(center=False, scale=False, epsilon=0.0, name=STANDARD)(x)
        x = layers.Activation("hard_tanh")(x)
    if head != "cosine":
        return layers.Dense(1, name=LOGIT)(x)
    length = ops.sqrt(ops.sum(x * x, axis=-1, keepdims=True) + STD_FLOOR)
    return layers.Dense(
        1, use_bias=False, kernel_constraint=keras.constraints.UnitNorm(axis=0), name="cosine"
    )(x / length)
