from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from training.errors import TrainingError
from training.models import (
    POOLINGS,
    ModelSettings,
    build_model,
    mac_count,
    parameter_count,
)
from training.models.fast import precision
from training.models.lcnn import max_feature_map
from training.models.tdnn import telling, time_delay_block

FRAMES, BANDS = 61, 40


@pytest.fixture
def features(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 15, (3, FRAMES, BANDS, 1)).astype(np.float32)


def outputs(model: Any, features: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(features, training=False)))


def test_max_feature_map_is_the_maximum_of_the_channel_halves(rng: np.random.Generator) -> None:
    inputs = keras.Input((7, 5, 12))
    model = keras.Model(inputs, max_feature_map(inputs))
    values = rng.normal(size=(2, 7, 5, 12)).astype(np.float32)
    np.testing.assert_array_equal(
        outputs(model, values), np.maximum(values[..., :6], values[..., 6:])
    )


@pytest.mark.parametrize(
    "settings",
    [
        ModelSettings(network="baseline"),
        *(ModelSettings(pooling=pooling, width=0.25) for pooling in POOLINGS),
        ModelSettings(width=0.25, keep_frequency=False),
        ModelSettings(width=0.25, first_stride=(1, 1)),
        ModelSettings(width=0.25, first_stride=(2, 1), first_kernel=7),
        ModelSettings(width=0.5, stages=(8, 16), pools=(1, 0)),
        ModelSettings(width=0.25, head="cosine"),
        ModelSettings(width=0.25, embedding=0),
        ModelSettings(network="tdnn", width=0.5, stages=(8, 16, 16), blocks=2),
    ],
    ids=str,
)
def test_every_network_gives_one_number_per_window(
    settings: ModelSettings, features: np.ndarray
) -> None:
    model = build_model(settings, FRAMES, BANDS)
    made = outputs(model, features)
    assert model.input_shape == (None, FRAMES, BANDS, 1)
    assert made.shape == (3, 1) and np.isfinite(made).all()


def test_the_output_is_no_probability(features: np.ndarray) -> None:
    model = build_model(ModelSettings(width=0.25), FRAMES, BANDS)
    assert model.layers[-1].activation is keras.activations.linear


def test_the_cosine_head_stays_within_its_range(features: np.ndarray) -> None:
    model = build_model(ModelSettings(width=0.25, head="cosine"), FRAMES, BANDS)
    weights = model.get_layer("cosine").kernel
    weights.assign(weights / keras.ops.norm(weights))
    assert (np.abs(outputs(model, 100 * features)) <= 1 + 1e-5).all()


def test_attention_pooling_weighs_frames_to_a_sum_of_one(rng: np.random.Generator) -> None:
    from training.models.lcnn import pool_over_time

    inputs = keras.Input((9, 1, 16))
    model = keras.Model(inputs, pool_over_time(inputs, "attention"))
    constant = np.broadcast_to(rng.normal(size=16).astype(np.float32), (1, 9, 1, 16))
    np.testing.assert_allclose(outputs(model, constant)[0, 0, 0], constant[0, 0, 0], rtol=1e-4)


def test_mean_and_deviation_pooling_is_numpys(rng: np.random.Generator) -> None:
    from training.models.lcnn import pool_over_time

    inputs = keras.Input((9, 1, 4))
    model = keras.Model(inputs, pool_over_time(inputs, "mean-std"))
    values = rng.normal(2, 3, (1, 9, 1, 4)).astype(np.float32)
    pooled = outputs(model, values)[0, 0, 0]
    np.testing.assert_allclose(pooled[:4], values.mean(axis=1)[0, 0], rtol=1e-4)
    np.testing.assert_allclose(pooled[4:], values.std(axis=1)[0, 0], rtol=1e-3)


def test_multiply_accumulates_worked_by_hand() -> None:
    # 3x3x1x16 and 3x3x16x32 at each of 10 x 8 places, then 32 to 1.
    model = build_model(ModelSettings(network="baseline"), 10, 8)
    assert mac_count(model) == 80 * (9 * 16 + 9 * 16 * 32) + 32
    # Two kernels with biases, two BatchNorms of four numbers per channel, a dense layer.
    assert parameter_count(model) == (144 + 16) + (4608 + 32) + 4 * (16 + 32) + 33


def test_the_default_network_fits_the_device() -> None:
    model = build_model(ModelSettings(), 247, 80)
    assert mac_count(model) < 120e6
    assert parameter_count(model) * 4 < 1e6


SMALL_TDNN = ModelSettings(network="tdnn", stages=(4, 6, 8), blocks=2, first_stride=(4, 2))


@pytest.mark.parametrize(("share", "dilation"), [(2, 1), (3, 4)])
def test_a_time_delay_block_begins_as_nothing(
    features: np.ndarray, share: int, dilation: int
) -> None:
    inputs = keras.Input((FRAMES, 1, 6))
    model = keras.Model(inputs, time_delay_block(inputs, share, dilation, "delay_0"))
    values = np.repeat(features[:, :, :1], 6, axis=3)
    np.testing.assert_array_equal(outputs(model, values), values)
    # A kernel of 3 from 6 channels to twice so many, and these back to 6.
    inside = 6 // share
    assert mac_count(model) == FRAMES * (3 * 6 * 2 * inside + inside * 6)


def test_a_dilated_block_sees_so_many_frames_to_either_side() -> None:
    inputs = keras.Input((FRAMES, 1, 6))
    model = keras.Model(inputs, time_delay_block(inputs, 2, 4, "delay_0"))
    model.get_layer("delay_0_norm").gamma.assign(np.ones(6))
    still = np.zeros((1, FRAMES, 1, 6), np.float32)
    moved = still.copy()
    moved[0, 20] = 1
    changed = np.any(outputs(model, moved) != outputs(model, still), axis=(0, 2, 3))
    assert np.flatnonzero(changed).tolist() == [16, 20, 24]


# 61 frames are 16 by the stride of 4, and 8 by pooling.
SMALL_TDNN_FRAMES = 8


def test_a_time_delay_network_keeps_its_frames(features: np.ndarray) -> None:
    model = build_model(SMALL_TDNN, FRAMES, BANDS)
    assert outputs(model, features).shape == (3, 1)
    assert model.get_layer("frames").output.shape[1:] == (SMALL_TDNN_FRAMES, 1, 8)


def test_a_network_that_tells_has_its_own_number_first(features: np.ndarray) -> None:
    model = build_model(SMALL_TDNN, FRAMES, BANDS)
    told = outputs(telling(model, 3, 5), features)
    assert told.shape == (3, 1 + 3 + SMALL_TDNN_FRAMES * 5)
    np.testing.assert_allclose(told[:, :1], outputs(model, features), atol=1e-6)


def test_in_bfloat16_the_numbers_are_nearly_those_of_float32(features: np.ndarray) -> None:
    keras.utils.set_random_seed(1)
    exact = build_model(ModelSettings(width=0.25), FRAMES, BANDS)
    with precision("mixed_bfloat16"):
        rough = build_model(ModelSettings(width=0.25), FRAMES, BANDS)
    assert keras.config.dtype_policy().name == "float32"
    rough.set_weights(exact.get_weights())
    assert all(weight.dtype == np.float32 for weight in rough.get_weights()[:4])
    wanted, made = outputs(exact, features), outputs(rough, features)
    assert made.dtype == np.float32
    assert not np.array_equal(made, wanted)
    np.testing.assert_allclose(made, wanted, atol=0.1 * np.abs(wanted).max())


def test_width_scales_the_cost() -> None:
    half, whole = (build_model(ModelSettings(width=w), 247, 80) for w in (0.5, 1.0))
    assert 2.5 < mac_count(whole) / mac_count(half) < 4.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": "resnet"},
        {"pooling": "max"},
        {"width": 0.0},
        {"stages": (8, 8), "pools": (1,)},
        {"network": "tdnn", "stages": (8,)},
    ],
)
def test_settings_that_describe_no_network_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ModelSettings(**wrong)


def test_an_input_too_small_for_the_pooling_is_refused() -> None:
    with pytest.raises(TrainingError, match="6 frames of 40 bands"):
        build_model(ModelSettings(width=0.25), 6, 40)


def test_settings_come_back_from_json() -> None:
    import json

    settings = ModelSettings(width=0.5, first_stride=(2, 1))
    assert ModelSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_a_saved_network_gives_the_same_numbers(tmp_path: Any, features: np.ndarray) -> None:
    model = build_model(ModelSettings(width=0.25, pooling="attention"), FRAMES, BANDS)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    np.testing.assert_allclose(outputs(again, features), outputs(model, features), atol=1e-5)


@pytest.mark.parametrize(
    "settings", [*(ModelSettings(width=0.25, pooling=pooling) for pooling in POOLINGS), SMALL_TDNN]
)
def test_the_device_delegates_the_whole_network(
    settings: ModelSettings, features: np.ndarray
) -> None:
    """Converted to TFLite it holds only operations that XNNPACK takes."""
    tf = pytest.importorskip("tensorflow")
    model = build_model(settings, FRAMES, BANDS)
    # One window at a time, as on the device: a free batch would bring shape arithmetic.
    fixed = keras.Input(batch_shape=(1, FRAMES, BANDS, 1))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, model(fixed)))
    content = converter.convert()
    interpreter = tf.lite.Interpreter(
        model_content=content,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    used = {op["op_name"] for op in interpreter._get_ops_details()}
    assert used <= {
        "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "FULLY_CONNECTED", "LOGISTIC",
        "MAX_POOL_2D", "MUL", "RESHAPE", "SOFTMAX", "SQRT", "SQUARED_DIFFERENCE", "SUB", "TANH",
    }  # fmt: skip
    assert used >= {"CONV_2D", "MAX_POOL_2D", "RESHAPE"}
    # BatchNorm is folded: what is left of multiplications belongs to the pooling.
    multiplications = [op for op in interpreter._get_ops_details() if op["op_name"] == "MUL"]
    assert len(multiplications) <= 2
