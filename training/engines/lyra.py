"""Lyra v2, SoundStream (Zeghidour et al., IEEE/ACM TASLP 2022): a neural codec, 3.2 to 9.2 kbit/s.

Its decoder makes speech from tokens, as the decoders of EnCodec, DAC and Mimi do under the voices
that are language models. The networks lie in the repository google/lyra (Apache-2.0).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from training.engines import EngineMissing, Float32, Resynthesise, Rng

HOP = 320  # 20 ms at 16 kHz
QUANTIZERS = (16, 30, 46)  # 3.2, 6 and 9.2 kbit/s
FOLDER_VARIABLE = "EARWITNESS_LYRA"
INSTALL = (
    "git clone --depth 1 https://github.com/google/lyra and set "
    f"{FOLDER_VARIABLE}=lyra/lyra/model_coeffs"
)


def load() -> Resynthesise:
    """Ready to code and decode.

    Raises:
        EngineMissing: LiteRT or the networks are not there.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise EngineMissing("Lyra needs LiteRT; pip install ai-edge-litert") from error
    folder = Path(os.environ.get(FOLDER_VARIABLE, ""))
    networks = {}
    for name in ("soundstream_encoder", "quantizer", "lyragan"):
        path = folder / f"{name}.tflite"
        if not path.is_file():
            raise EngineMissing(f"{path} is not there; {INSTALL}")
        networks[name] = path.read_bytes()
    quantizer = Interpreter(model_content=networks["quantizer"])
    encode = quantizer.get_signature_runner("encode")
    decode = quantizer.get_signature_runner("decode")

    def resynthesise(samples: Float32, rng: Rng) -> Float32:
        count = np.int32(rng.choice(QUANTIZERS))
        # Made anew: they remember the frames before, and reset_all_variables leaves that memory.
        encoder = Interpreter(model_content=networks["soundstream_encoder"])
        decoder = Interpreter(model_content=networks["lyragan"])
        for network in (encoder, decoder):
            network.allocate_tensors()
        into, features_at = encoder.get_input_details()[0], encoder.get_output_details()[0]
        coded, samples_at = decoder.get_input_details()[0], decoder.get_output_details()[0]
        frames = np.pad(samples, (0, -len(samples) % HOP)).reshape(-1, 1, HOP)
        made = []
        for frame in frames:
            encoder.set_tensor(into["index"], np.ascontiguousarray(frame, np.float32))
            encoder.invoke()
            features = encoder.get_tensor(features_at["index"])
            tokens = encode(input_frames=features, num_quantizers=count)["output_0"]
            decoder.set_tensor(coded["index"], decode(encoding_indices=tokens)["output_0"])
            decoder.invoke()
            made.append(decoder.get_tensor(samples_at["index"])[0])
        return np.concatenate(made)[: len(samples)].astype(np.float32)

    return resynthesise
