"""BatchNorm by the fused kernel is the stock layer's."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("the fused kernel is TensorFlow's", allow_module_level=True)

from training.models.fast import FusedBatchNorm, StockBatchNorm, fast_batch_norm  # noqa: E402


def test_outputs_and_running_statistics_equal_the_stock_layers():
    x = np.random.default_rng(0).normal(3, 2, (8, 5, 4, 6)).astype(np.float32)
    stock, fused = StockBatchNorm(momentum=0.9), FusedBatchNorm(momentum=0.9)
    for layer in (stock, fused):
        layer.build(x.shape)
    for _ in range(3):
        wanted, got = stock(x, training=True), fused(x, training=True)
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    np.testing.assert_allclose(fused.moving_mean, stock.moving_mean, atol=1e-4)
    # The fused kernel's running variance is unbiased, n / (n - 1) of the stock layer's.
    np.testing.assert_allclose(fused.moving_variance, stock.moving_variance, rtol=1e-2)
    np.testing.assert_allclose(fused(x), stock(x), rtol=1e-2, atol=2e-2)


def test_the_fused_layer_is_used_inside_and_not_after():
    with fast_batch_norm():
        inside = keras.layers.BatchNormalization
    assert inside is FusedBatchNorm
    assert keras.layers.BatchNormalization is StockBatchNorm
