"""The network to beat: two convolutions, ReLU, BatchNorm, average pooling, one dense layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers

if TYPE_CHECKING:
    from training.models import ModelSettings

CHANNELS = (16, 32)


def build_baseline(frames: int, bands: int, settings: ModelSettings) -> Any:
    """The first trial's network; its one logit goes through a sigmoid outside the model."""
    inputs = keras.Input((frames, bands, 1), name="log_mel")
    x = inputs
    for channels in CHANNELS:
        x = layers.Conv2D(max(1, round(channels * settings.width)), 3, padding="same")(x)
        x = layers.ReLU()(x)
        x = layers.BatchNormalization()(x)
    x = layers.GlobalAveragePooling2D()(x)  # (channels,)
    outputs = layers.Dense(1, name="logit")(x)
    return keras.Model(inputs, outputs, name="baseline")
