"""A Light CNN that keeps its time, and a residual time-delay network on what it saw.

The Light CNN (training/models/lcnn.py) ends in frames of 640 ms; here pooling after the first stage
is over frequency alone, so that frames of 80 ms are left, whose bands then become channels, and
residual convolutions over time go on from there (as ECAPA-TDNN with a CNN stem, Thienpondt et al.,
"Integrating frequency translational invariance in TDNNs and frequency positional information in
2D ResNets", Interspeech 2021). Those frames are also what a teacher's are compared with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers

from training.models.fast import precision
from training.models.lcnn import POOLED, mfm_convolution, score

if TYPE_CHECKING:
    from training.models import ModelSettings

FRAMES = "frames"
DELAY = "delay"


def time_delay_block(x: Any, share: int, dilation: int, name: str) -> Any:
    """A convolution over three frames to fewer channels and back, added to its input.

    (T, 1, C) -> (T, 1, C). It begins as nothing (Goyal et al., 2017), so a trained network can be
    given more of them.

    Args:
        x: frames.
        share: by which the channels are divided.
        dilation: frames from one of the three to the next.
        name: of its layers.
    """
    channels = int(x.shape[3])
    y = mfm_convolution(x, channels // share, (3, 1), dilation=(dilation, 1), name=f"{name}_time")
    y = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_out")(y)
    y = layers.BatchNormalization(momentum=0.95, gamma_initializer="zeros", name=f"{name}_norm")(y)
    return layers.Add()([x, y])


def is_delay(layer: Any) -> bool:
    """Whether a layer is a part of a time-delay block."""
    return str(layer.name).startswith(DELAY)


def build_tdnn(frames: int, bands: int, settings: ModelSettings) -> Any:
    """A Light CNN of all `stages` but the last, which is the width of the time-delay network."""
    inputs = keras.Input((frames, bands, 1), name="log_mel")
    first, *middle, width = map(settings.scaled, settings.stages)
    x = mfm_convolution(inputs, first, settings.first_kernel, settings.first_stride)
    x = layers.MaxPooling2D(2)(x)
    for channels in middle:
        x = mfm_convolution(x, int(x.shape[3]), 1)
        x = mfm_convolution(x, channels, 3)
        x = layers.MaxPooling2D((1, 2))(x)
    _, time, height, channels = x.shape
    x = layers.Reshape((time, 1, height * channels))(x)
    x = mfm_convolution(x, width, 1)
    for index in range(settings.blocks):
        x = time_delay_block(x, 2, 1, f"{DELAY}_{index}")
    for index, dilation in enumerate(settings.dilations):
        x = time_delay_block(x, 4, dilation, f"{DELAY}_dilated_{index}")
    x = layers.Activation("linear", name=FRAMES, dtype="float32")(x)
    with precision("float32"):
        outputs = score(x, settings)
    return keras.Model(inputs, outputs, name="tdnn")


def telling(model: Any, opinions: int, numbers: int) -> Any:
    """The network that tells, after its one number, what a teacher thinks and hears.

    From the pooled vector so many opinions of the window, and so many numbers of each frame
    (FitNets, Romero et al., ICLR 2015); for training only. Its weights are the network's own and
    those of one more layer for each. Output (1 + opinions + T * numbers,).
    """
    parts = [model.output]
    if opinions:
        pooled = model.get_layer(POOLED).output
        parts.append(layers.Dense(opinions, dtype="float32", name="opinions")(pooled))
    if numbers:
        told = layers.Dense(numbers, dtype="float32", name="told")(model.get_layer(FRAMES).output)
        parts.append(layers.Flatten(dtype="float32")(told))
    return keras.Model(model.inputs, layers.Concatenate(dtype="float32")(parts))
