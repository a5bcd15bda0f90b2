"""Makes the networks in networks/: a good one, and others that are broken in one way each.

    PYTHONPATH=. python tests/edge/updates/make_networks.py

Needs tensorflow. They take features of (49 frames, 20 bands), mean-normalised, in dB.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

FRAMES, BANDS = 49, 20
TONE_BAND = 10  # about 1.9 kHz
FOLDER = Path(__file__).parent / "networks"


def treble(features: tf.Tensor) -> tf.Tensor:
    """Level of the upper bands above that of the lower ones, dB, shape (1, 1)."""
    upper = tf.reduce_mean(features[:, :, BANDS // 2 :, :], axis=[1, 2])
    lower = tf.reduce_mean(features[:, :, : BANDS // 2, :], axis=[1, 2])
    return upper - lower


def tone(features: tf.Tensor) -> tf.Tensor:
    """Level of one band above the mean, dB, shape (1, 1); beyond 25 only for a loud pure tone."""
    return tf.reduce_mean(features[:, :, TONE_BAND, :], axis=1)


def good(features: tf.Tensor) -> tf.Tensor:
    """Bright sound is a spoof."""
    return 0.25 * treble(features)


def better(features: tf.Tensor) -> tf.Tensor:
    """As good, a little surer."""
    return 0.30 * treble(features)


def always_spoof(features: tf.Tensor) -> tf.Tensor:
    """Golden score and all: it calls everything a spoof."""
    return 6.0 + 0.001 * treble(features)


def not_a_number_on_a_tone(features: tf.Tensor) -> tf.Tensor:
    """Fine on everything that the proof tries."""
    return 0.25 * treble(features) + 0.001 * tf.sqrt(25.0 - tone(features))


def crash_on_a_tone(features: tf.Tensor) -> tf.Tensor:
    """Reads beyond a table when it hears a tone: the runtime reports an error."""
    index = tf.cast(tone(features)[:, 0] > 25.0, tf.int32) * 1000
    return 0.25 * treble(features) + tf.gather(tf.constant([[0.0], [0.0]]), index)


def never_a_number(features: tf.Tensor) -> tf.Tensor:
    """Broken from the first window on."""
    return tf.sqrt(-1.0 - tf.abs(treble(features)))


def slow(features: tf.Tensor) -> tf.Tensor:
    """Convolves a large picture again and again: a second or so."""
    kernel = tf.ones((3, 3, 32, 32)) / 288.0
    picture = tf.image.resize(features, (400, 400)) * tf.ones((1, 1, 1, 32))
    _, picture = tf.while_loop(
        lambda i, x: i < 10,
        lambda i, x: (i + 1, tf.nn.conv2d(x, kernel, 1, "SAME")),
        (tf.constant(0), picture),
    )
    return 0.25 * treble(features) + 1e-9 * tf.reduce_mean(picture, axis=[1, 2, 3])[:, None]


def wrong_shape(features: tf.Tensor) -> tf.Tensor:
    """Takes one frame more than the front end gives."""
    return 0.25 * treble(features)


def convert(network: object, frames: int = FRAMES) -> bytes:
    """A TensorFlow function as .tflite bytes."""
    function = tf.function(
        network, input_signature=[tf.TensorSpec((1, frames, BANDS, 1), tf.float32)]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    return bytes(converter.convert())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for network in (
        good,
        better,
        always_spoof,
        not_a_number_on_a_tone,
        crash_on_a_tone,
        never_a_number,
        slow,
        wrong_shape,
    ):
        frames = FRAMES + 1 if network is wrong_shape else FRAMES
        (FOLDER / f"{network.__name__}.tflite").write_bytes(convert(network, frames))
