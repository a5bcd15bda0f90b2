"""Reading a model file of CTranslate2."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from training.ctranslate2 import DTYPES, read_ctranslate2
from training.errors import TrainingError


def model_file(arrays, version=6):
    def text(words):
        return struct.pack("<H", len(words) + 1) + words.encode() + b"\0"

    data = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        number = next(k for k, v in DTYPES.items() if v == array.dtype)
        data += text(name) + struct.pack("<B", array.ndim)
        data += struct.pack(f"<{array.ndim}I", *array.shape)
        data += struct.pack("<BI", number, array.nbytes) + array.tobytes()
    return data


def test_a_model_file_gives_its_arrays_back(rng):
    arrays = {
        "encoder/conv1/weight": rng.normal(size=(3, 4, 2)).astype(np.float16),
        "num_heads": np.array(8, np.int16),
    }
    read = read_ctranslate2(model_file(arrays), Path("model.bin"))
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:40], lambda data: b"", lambda data: b"x" * 200], ids=str
)
def test_what_is_no_model_file_is_named(spoil):
    data = model_file({"a": np.zeros((4, 4), np.float32)})
    with pytest.raises(TrainingError, match=r"model\.bin is no model of CTranslate2"):
        read_ctranslate2(spoil(data), Path("model.bin"))


def test_another_version_is_refused():
    with pytest.raises(TrainingError, match="its version is 5"):
        read_ctranslate2(model_file({}, version=5), Path("model.bin"))
