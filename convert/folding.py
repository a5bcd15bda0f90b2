"""The first convolution in a form that takes a processor fewer instructions: the same numbers.

A convolution over one channel gives the kernels of XNNPACK one number to multiply at each place,
where they are built for several. The frames that a kernel spans become channels, which changes
neither the numbers nor how many are multiplied.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


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
    return (
        layer.input.shape[3] == 1
        and layer.kernel_size[0] > 1
        and layer.padding == "same"
        and layer.dilation_rate == (1, 1)
        and not layer.use_bias
    )


def _before(size: int, kernel: int, stride: int) -> int:
    """How many zeros padding "same" lays before so many numbers (TensorFlow's rule)."""
    return int(max(0, (-(-size // stride) - 1) * stride + kernel - size) // 2)


class FoldedConvolution(layers.Layer):  # type: ignore[misc]
    """A convolution without bias over one channel, as one over the frames that it spans.

    For scoring alone: its kernel is a constant.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__(name=layer.name, trainable=False)
        self._stride = layer.strides
        # (frames, bands, 1, channels) -> (1, bands, frames, channels)
        self._kernel = layer.kernel.numpy().transpose(2, 1, 0, 3)

    def call(self, x: Any) -> Any:
        """(frames, bands, 1) -> (frames / stride, bands / stride, channels)."""
        _, frames, bands, _ = x.shape
        span, (stride, over_bands) = self._kernel.shape[2], self._stride
        steps = -(-frames // stride)
        reach = -(-span // stride)  # groups of `stride` frames
        before = _before(frames, span, stride)
        after = max(0, (steps + reach - 1) * stride - before - frames)
        x = ops.pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))
        groups = ops.reshape(
            x[:, : (steps + reach - 1) * stride], (-1, steps + reach - 1, stride, bands)
        )
        parts = [
            groups[:, later : later + steps, : min(stride, span - later * stride)]
            for later in range(reach)
        ]
        channels = ops.transpose(ops.concatenate(parts, axis=2), (0, 1, 3, 2))
        return ops.conv(channels, self._kernel, strides=(1, over_bands), padding="same")
