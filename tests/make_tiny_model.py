"""Makes tests/fixtures/tiny.tflite: `python tests/make_tiny_model.py` (needs tensorflow).

A network whose output can be told in advance: the mean of the upper half of the bands minus that
of the lower half, in units of 10 dB. Hiss is a "spoof" to it and a low voice is "bona fide".
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

FRAMES, BANDS = 247, 80
TARGET = Path(__file__).parent / "fixtures" / "tiny.tflite"


def tiny_network() -> keras.Model:
    network = keras.Sequential(
        [
            keras.Input((FRAMES, BANDS, 1), batch_size=1),
            keras.layers.AveragePooling2D((FRAMES, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    half = np.full(BANDS // 2, 1 / (BANDS // 2) / 10, np.float32)
    network.layers[-1].set_weights([np.concatenate([-half, half])[:, None], np.zeros(1)])
    return network


if __name__ == "__main__":
    TARGET.write_bytes(tf.lite.TFLiteConverter.from_keras_model(tiny_network()).convert())
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
