"""What makes training quicker on a CPU: BatchNorm by TensorFlow's fused kernel, and bfloat16.

Keras 3 computes BatchNorm from single operations; in a small network their backward pass takes
two thirds of a training step. Weights and results are those of the stock layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import layers

StockBatchNorm = layers.BatchNormalization


class FusedBatchNorm(StockBatchNorm):  # type: ignore[misc, valid-type]
    """The stock layer, with the fused kernel where the input is an image (4 axes)."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        import tensorflow as tf

        if not training or len(inputs.shape) != 4:
            return super().call(inputs, training=training, mask=mask)
        out, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
        )
        kept = self.momentum
        self.moving_mean.assign(self.moving_mean * kept + mean * (1 - kept))
        self.moving_variance.assign(self.moving_variance * kept + variance * (1 - kept))
        return out


@contextmanager
def fast_batch_norm() -> Iterator[None]:
    """Networks built inside get the fused layer, on the TensorFlow backend."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    layers.BatchNormalization = FusedBatchNorm
    try:
        yield
    finally:
        layers.BatchNormalization = StockBatchNorm


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Networks built inside compute in "float32" or "mixed_bfloat16"; weights stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
