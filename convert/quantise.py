"""Keras to TFLite in four forms. The only module of this package that imports tensorflow."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.errors import ConversionError
from edge.bundle import VARIANTS

Float32 = NDArray[np.float32]
Convert = Callable[[Any, Any, Float32], bytes]

# The statistics that pool over time stay in float: a variance has no room in eight bits, XNNPACK
# takes none of these in int8 (LiteRT 2.1), and tflite-runtime 2.14 knows no int8 square root. They
# are a thousandth of the network's work.
FLOAT_OPERATIONS = ("ADD", "AVERAGE_POOL_2D", "MUL", "RSQRT", "SOFTMAX", "SQRT", "SUB")


def convert_model(model: Any, variant: str, windows: Float32) -> bytes:
    """A Keras model as a .tflite file.

    Args:
        model: Keras 3 model of input (frames, bands, 1) and one logit.
        variant: "float32"; "float16" (weights stored in half precision); "dynamic" (int8 weights,
            activations quantised on the fly); "int8" (weights, activations, input and output:
            Jacob et al., CVPR 2018).
        windows: features that span what the network will meet, float32, shape
            (windows, frames, bands); only "int8" reads them.

    Returns:
        The file's bytes; its batch size is 1.

    Raises:
        ConversionError: TensorFlow cannot express the network in this form.
    """
    if variant not in VARIANTS:
        raise ConversionError(f"there is no variant {variant!r}; choose from {', '.join(VARIANTS)}")
    tf = start_tensorflow()
    converter = tf.lite.TFLiteConverter.from_keras_model(_one_window_at_a_time(model))
    try:
        with _quiet():
            return bytes(_CONVERT[variant](tf, converter, windows))
    except ConversionError:
        raise
    except Exception as error:
        # The converter raises what its stages happen to raise, ConverterError being but one.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConversionError(
            f"TensorFlow cannot convert this network to {variant}: {reason[0]}; "
            "leave that variant out or change the layer"
        ) from error


def start_tensorflow() -> Any:
    """Import tensorflow without its greetings, which are not for the person who converts."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet():
        import tensorflow as tf
    return tf


def _one_window_at_a_time(model: Any) -> Any:
    """The same network with a fixed batch of one: shapes are known, so nothing is left dynamic."""
    import keras

    from convert.folding import folded

    inputs = keras.Input(model.input_shape[1:], batch_size=1, name="log_mel")
    return keras.Model(inputs, folded(model)(inputs, training=False))


def _float32(tf: Any, converter: Any, windows: Float32) -> bytes:
    content: bytes = converter.convert()
    return content


def _float16(tf: Any, converter: Any, windows: Float32) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _float32(tf, converter, windows)


def _dynamic(tf: Any, converter: Any, windows: Float32) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # From TensorFlow 2.17 on, dense layers would else get a version that tflite-runtime 2.14
    # does not know (FULLY_CONNECTED 12).
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return _float32(tf, converter, windows)


def _int8(tf: Any, converter: Any, windows: Float32) -> bytes:
    """Calibrate on the windows, then quantise all but `FLOAT_OPERATIONS`.

    The converter's own options have no list of exceptions; these two steps are what it does, and
    what its quantisation debugger does.
    """
    from tensorflow.lite.python.convert import mlir_quantize

    if not len(windows):
        raise ConversionError("int8 needs representative windows of training audio; there are none")
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([window[None, :, :, None]] for window in windows)
    converter._experimental_calibrate_only = True
    content: bytes = mlir_quantize(
        converter.convert(),
        input_data_type=tf.int8,
        output_data_type=tf.int8,
        denylisted_ops=set(FLOAT_OPERATIONS),
        disable_per_channel_for_dense_layers=True,
    )
    return content


_CONVERT: dict[str, Convert] = {
    "float32": _float32,
    "float16": _float16,
    "dynamic": _dynamic,
    "int8": _int8,
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converter's notes to its developers off the terminal; errors are raised anyway.

    Some are Python's and some are written by native code straight to the descriptors.
    """
    level = logging.getLogger("tensorflow").level
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("tensorflow").setLevel(level)
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)
