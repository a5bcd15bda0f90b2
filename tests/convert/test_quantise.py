"""Every form of the network loads, scores as Keras does, and is delegated whole."""

from __future__ import annotations

import os
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.errors import ConversionError
from convert.runtimes import score_elsewhere
from edge.bundle import VARIANTS
from edge.inference import Scorer, load_runtime

pytest.importorskip("tensorflow")

from convert.quantise import convert_model
from training.models import ModelSettings, build_model
from training.models.cued import cued
from training.pool import Scale
from training.teller import Teller

FRAMES, BANDS = 61, 40
RNG = np.random.default_rng(5)
# Noise under a tilt of its own in each window, so that the network's scores differ.
TILTS = np.linspace(-15, 15, 24)[:, None, None] * np.linspace(-1, 1, BANDS)
WINDOWS = (TILTS + 5 * RNG.standard_normal((24, FRAMES, BANDS))).astype(np.float32)
OTHER_PYTHON = os.environ.get("EARWITNESS_TFLITE_RUNTIME_PYTHON", "")
# Shares of the spread of the Keras model's own logits.
LARGEST_ERROR = {"float32": 1e-4, "float16": 0.01, "dynamic": 0.1, "int8": 0.25}


@lru_cache
def network(pooling: str) -> Any:
    """A small LCNN with Max-Feature-Map as reshape and pooling, its BatchNorms at work."""
    import keras

    keras.utils.set_random_seed(3)
    settings = ModelSettings(
        stages=(8, 8), pools=(1, 1), first_stride=(2, 2), pooling=pooling, embedding=8
    )
    model = build_model(settings, FRAMES, BANDS)
    # Statistics as training leaves them: without, an untrained network's activations run away.
    for _ in range(60):
        model(WINDOWS[..., None], training=True)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5
    for _ in range(20):
        model(WINDOWS[..., None], training=True)
    return model


@lru_cache
def converted(pooling: str, variant: str) -> bytes:
    return convert_model(network(pooling), variant, WINDOWS)


def keras_logits(pooling: str) -> np.ndarray:
    return np.asarray(network(pooling)(WINDOWS[..., None], training=False)).reshape(-1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_scores_as_keras_does(variant):
    scorer = Scorer(converted("mean-std", variant))
    expected = keras_logits("mean-std")
    got = np.array([scorer.score(window) for window in WINDOWS])
    assert np.abs(got - expected).max() < LARGEST_ERROR[variant] * expected.std()


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_xnnpack_takes_every_operation_in_one_partition(variant):
    """A later change of layers that breaks the graph apart is caught here."""
    if load_runtime().name != "ai-edge-litert":
        pytest.skip("tflite-runtime delegates no int8 operation")
    scorer = Scorer(converted("mean-std", variant))
    assert undelegated(scorer) == [[]]


@pytest.mark.parametrize("variant", ["float16", "int8"])
def test_what_cues_add_is_delegated_too_and_survives_eight_bits(variant):
    if load_runtime().name != "ai-edge-litert":
        pytest.skip("tflite-runtime delegates no int8 operation")
    numbers = 50
    mean = RNG.normal(0, 10, numbers).astype(np.float32)
    weights = (RNG.normal(0, 0.1, shape) for shape in ((numbers, 8), 8, 8, numbers))
    teller = Teller(Scale(mean, np.full(numbers, 4, np.float32)), *weights)
    model = cued(network("mean-std"), teller, 2.0)
    rows = np.zeros((len(WINDOWS), 2, BANDS), np.float32)
    told = mean + RNG.normal(0, 6, (len(WINDOWS), numbers))
    rows.reshape(len(WINDOWS), -1)[:, :numbers] = told
    windows = np.concatenate([WINDOWS, rows], axis=1)
    expected = np.asarray(model(windows[..., None], training=False)).reshape(-1)
    scorer = Scorer(convert_model(model, variant, windows))
    got = np.array([scorer.score(window) for window in windows])
    assert np.abs(got - expected).max() < LARGEST_ERROR[variant] * expected.std()
    assert undelegated(scorer) == [[]]


def undelegated(scorer: Scorer) -> list[list[str]]:
    """For each partition handed to a delegate, nothing; then the names of what is left out."""
    details = scorer._interpreter._get_ops_details()
    delegates = [op for op in details if op["op_name"] == "DELEGATE"]
    plain = [op for op in details if op["op_name"] != "DELEGATE"]
    maker = {int(tensor): op for op in plain for tensor in op["outputs"]}
    covered: set[int] = set()
    for delegate in delegates:
        stop = {int(tensor) for tensor in delegate["inputs"]}
        ahead = [int(tensor) for tensor in delegate["outputs"]]
        while ahead:
            tensor = ahead.pop()
            if tensor in stop or tensor not in maker or maker[tensor]["index"] in covered:
                continue
            covered.add(maker[tensor]["index"])
            ahead += [int(source) for source in maker[tensor]["inputs"]]
    left = sorted(op["op_name"] for op in plain if op["index"] not in covered)
    return [left] + [[]] * (len(delegates) - 1)


def test_int8_computes_its_convolutions_in_int8():
    scorer = Scorer(converted("mean-std", "int8"))
    kinds = {tensor["index"]: tensor["dtype"] for tensor in
             scorer._interpreter.get_tensor_details()}
    outputs = Counter(
        (op["op_name"], kinds[int(op["outputs"][0])].__name__)
        for op in scorer._interpreter._get_ops_details()
        if op["op_name"] in ("CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D")
    )
    assert {kind for _, kind in outputs} == {"int8"}
    assert scorer.output_step > 0


def test_int8_keeps_what_eight_bits_cannot_hold_in_float():
    scorer = Scorer(converted("mean-std", "int8"))
    kinds = {tensor["index"]: tensor["dtype"] for tensor in
             scorer._interpreter.get_tensor_details()}
    roots = [op for op in scorer._interpreter._get_ops_details() if op["op_name"] == "SQRT"]
    assert roots and all(kinds[int(op["outputs"][0])] == np.float32 for op in roots)


def test_smaller_forms_are_smaller():
    sizes = {variant: len(converted("mean-std", variant)) for variant in VARIANTS}
    assert sizes["int8"] < sizes["float32"] and sizes["float16"] < sizes["float32"]


@pytest.mark.skipif(not OTHER_PYTHON, reason="EARWITNESS_TFLITE_RUNTIME_PYTHON is not set")
@pytest.mark.parametrize("pooling", ["mean-std", "average", "attention"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_loads_in_tflite_runtime(variant, pooling):
    other = score_elsewhere(Path(OTHER_PYTHON), converted(pooling, variant), WINDOWS)
    mine = Scorer(converted(pooling, variant))
    here = np.array([mine.score(window) for window in WINDOWS])
    assert other.name.startswith("tflite-runtime 2.14")
    assert np.abs(other.logits - here).max() < 0.3 * keras_logits(pooling).std()


def test_int8_without_representative_windows_is_refused():
    with pytest.raises(ConversionError, match="int8 needs representative windows"):
        convert_model(network("mean-std"), "int8", WINDOWS[:0])


def test_an_unknown_variant_is_refused_with_those_there_are():
    with pytest.raises(ConversionError, match="choose from float32, float16, dynamic, int8"):
        convert_model(network("mean-std"), "int4", WINDOWS)


def test_a_python_that_is_not_there_is_named():
    with pytest.raises(ConversionError, match="nowhere/python cannot be run"):
        score_elsewhere(Path("nowhere/python"), b"", WINDOWS)
