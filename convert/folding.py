"""The first convolution in a form that takes a processor fewer instructions: the same numbers.

A convolution over one channel gives the kernels of XNNPACK one number to multiply at each place,
where they are built for several. The frames that a kernel spans, and the bands that its stride
skips, become channels (the opposite of sub-pixel convolution, Shi et al., CVPR 2016).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


def folded(model: Any) -> Any:
    """The same network, for scoring alone, its convolutions over one channel folded.

    Args:
        model: Keras 3 model of input (frames, bands, 1).
    """
    twin = keras.models.clone_model(model, clone_function=_clone)
    for layer, theirs in zip(twin.layers, model.layers):
        # A network inside has its weights already.
        if not isinstance(layer, (FoldedConvolution, keras.Model)):
            layer.set_weights(theirs.get_weights())
    return twin


def _clone(layer: Any) -> Any:
    if isinstance(layer, layers.Conv2D) and _folds(layer):
        return FoldedConvolution(layer)
    if isinstance(layer, keras.Model):
        return folded(layer)
    return layer.__class__.from_config(layer.get_config())


def _folds(layer: Any) -> bool:
    bands, width, stride = int(layer.input.shape[2]), layer.kernel_size[1], layer.strides[1]
    return (
        layer.input.shape[3] == 1
        and bands % stride == 0
        and layer.padding == "same"
        and layer.dilation_rate == (1, 1)
        and not layer.use_bias
        # Else there are no fewer places to multiply at.
        and 2 * _groups_aside(width, stride) + 1 < width
    )


def _before(size: int, kernel: int, stride: int) -> int:
    """How many zeros padding "same" lays before so many numbers (TensorFlow's rule)."""
    return int(max(0, (-(-size // stride) - 1) * stride + kernel - size) // 2)


def _groups_aside(width: int, stride: int) -> int:
    """How many groups of bands a kernel reaches beyond its own, on the side where they are more."""
    before = max(0, width - stride) // 2
    return max(-(-before // stride), (width - 1 - before) // stride)


def folded_kernel(kernel: Float32, stride: int) -> Float32:
    """The kernel for frames, and bands of which `stride` are neighbours, that are channels.

    Args:
        kernel: shape (frames, bands, 1, channels), for padding "same".
        stride: over the bands, whose number it divides.

    Returns:
        float32, shape (1, an odd number, frames * stride, channels), with zeros where the first had
        nothing.
    """
    frames, width, _, channels = kernel.shape
    aside = _groups_aside(width, stride)
    made = np.zeros((2 * aside + 1, frames, stride, channels), np.float32)
    for tap in range(width):
        group, channel = divmod(tap - max(0, width - stride) // 2, stride)
        made[aside + group, :, channel] = kernel[:, tap, 0]
    return made.reshape(1, len(made), frames * stride, channels)


class FoldedConvolution(layers.Layer):  # type: ignore[misc]
    """A convolution without bias over one channel, as one over those that it spans.

    For scoring alone: its kernel is a constant.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__(name=layer.name, trainable=False)
        self._stride = layer.strides
        self._span = layer.kernel_size[0]
        self._kernel = folded_kernel(layer.kernel.numpy(), self._stride[1])

    def call(self, x: Any) -> Any:
        """(frames, bands, 1) -> (frames / stride, bands / stride, channels)."""
        _, frames, bands, _ = x.shape
        over_time, over_bands = self._stride
        steps = -(-frames // over_time)
        reach = -(-self._span // over_time)
        before = _before(frames, self._span, over_time)
        after = max(0, (steps + reach - 1) * over_time - before - frames)
        x = ops.pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))
        groups = ops.reshape(
            x[:, : (steps + reach - 1) * over_time],
            (-1, steps + reach - 1, over_time, bands // over_bands, over_bands),
        )
        parts = []
        for later in range(reach):
            some = min(over_time, self._span - later * over_time)
            part = ops.transpose(groups[:, later : later + steps, :some], (0, 1, 3, 2, 4))
            parts.append(ops.reshape(part, (-1, steps, bands // over_bands, some * over_bands)))
        channels = ops.concatenate(parts, axis=3) if reach > 1 else parts[0]
        return ops.conv(channels, self._kernel, strides=1, padding="same")
