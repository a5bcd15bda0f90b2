"""Arrays out of a model file of CTranslate2, without CTranslate2."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read_ctranslate2(data: bytes, path: Path) -> dict[str, NDArray[np.generic]]:
    """Arrays of a model file by name.

    The layout is that of `ModelSpec._serialize` in CTranslate2's python/ctranslate2/specs.

    Args:
        data: the file, binary version 6.
        path: where it lay, for the error.

    Raises:
        TrainingError: it is none.
    """
    try:
        return dict(_variables(data))
    except (struct.error, UnicodeDecodeError, ValueError, KeyError) as error:
        raise TrainingError(f"{path} is no model of CTranslate2: {error}") from error


def _variables(data: bytes) -> Iterator[tuple[str, NDArray[np.generic]]]:
    place = 0

    def number(kind: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from(f"<{kind}", data, place)
        place += struct.calcsize(f"<{kind}")
        return int(value)

    def text() -> str:
        nonlocal place
        length = number("H")  # with the zero at its end
        place += length
        return data[place - length : place - 1].decode()

    if (version := number("I")) != 6:
        raise ValueError(f"its version is {version}; 6 is known")
    text()  # name of the specification
    number("I")  # and its revision
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype = np.dtype(DTYPES[number("B")])
        size = number("I")
        array = np.frombuffer(data, dtype, size // dtype.itemsize, place)
        place += size
        yield name, array.reshape(shape)
