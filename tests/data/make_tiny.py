"""Makes the networks of tests/bundles.py: `python tests/data/make_tiny.py` (needs tensorflow).

Their scores can be told in advance: the mean of the upper half of the bands minus that of the
lower half, in units of 10 dB (`tests.bundles.tiny_logit`). Hiss is a "spoof" to them and a low
voice is "bona fide". The broken ones are broken in one way each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent.parent))

FRAMES, BANDS = 247, 80


def tiny(bias: float = 0.0, gain: float = 1.0, bands: int = BANDS, scores: int = 1) -> keras.Model:
    """Average over time, then one dense layer: treble minus bass."""
    inputs = keras.Input((FRAMES, bands, 1), batch_size=1)
    x = layers.Flatten()(layers.AveragePooling2D((FRAMES, 1))(inputs))
    dense = layers.Dense(scores)
    model = keras.Model(inputs, dense(x))
    half = np.full(bands // 2, gain / (bands // 2) / 10, np.float32)
    column = np.concatenate([-half, half])[:, None]
    dense.set_weights([np.repeat(column, scores, 1), np.full(scores, bias, np.float32)])
    return model


def slow() -> keras.Model:
    """The tiny network, beside large poolings that cost time and change nothing to speak of."""
    fast = tiny()
    x = layers.Concatenate()([fast.inputs[0]] * 8)
    for _ in range(8):
        x = layers.MaxPooling2D((25, 25), strides=1, padding="same")(x)
    x = layers.Flatten()(layers.AveragePooling2D((FRAMES, BANDS))(x))
    idle = layers.Dense(1, kernel_initializer=keras.initializers.Constant(1e-9))(x)
    return keras.Model(fast.inputs, layers.Add()([fast.outputs[0], idle]))


def two_inputs() -> keras.Model:
    one, other = tiny(), tiny()
    both = layers.Add()([one.outputs[0], other.outputs[0]])
    return keras.Model([one.inputs[0], other.inputs[0]], both)


def flat_input() -> keras.Model:
    inputs = keras.Input((FRAMES * BANDS,), batch_size=1)
    x = layers.Reshape((FRAMES, BANDS, 1))(inputs)
    return keras.Model(inputs, tiny()(x))


def examples() -> Any:
    """Windows that span what the int8 network must represent."""
    from edge.features import log_mel
    from tests.bundles import FRONT_END, voice, whisper

    for seed in range(10):
        for clip in (voice(5.0, seed), whisper(5.0, seed)):
            yield [log_mel(clip, FRONT_END)[None, :, :, None]]


def float32(model: keras.Model) -> bytes:
    return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def int8(model: keras.Model) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


FILES: dict[str, Callable[[], bytes]] = {
    "tiny.float32": lambda: float32(tiny()),
    "tiny.int8": lambda: int8(tiny()),
    "nan.float32": lambda: float32(tiny(bias=float("nan"))),
    "always-spoof.float32": lambda: float32(tiny(bias=10.0, gain=0.0)),
    "slow.float32": lambda: float32(slow()),
    "wrong-shape.float32": lambda: float32(tiny(bands=40)),
    "two-scores.float32": lambda: float32(tiny(scores=2)),
    "two-inputs.float32": lambda: float32(two_inputs()),
    "flat-input.float32": lambda: float32(flat_input()),
}

if __name__ == "__main__":
    for name in sys.argv[1:] or FILES:
        target = FOLDER / f"{name}.tflite"
        target.write_bytes(FILES[name]())
        print(f"{target.name}: {target.stat().st_size} bytes")
