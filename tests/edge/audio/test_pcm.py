"""PCM of every format to floats."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from edge.audio.pcm import SAMPLE_BYTES, decode, frame_bytes, to_mono

SUBTYPES = {
    "u8": "PCM_U8",
    "s16le": "PCM_16",
    "s24le": "PCM_24",
    "s32le": "PCM_32",
    "f32le": "FLOAT",
}


@pytest.mark.parametrize("sample_format", SAMPLE_BYTES)
def test_every_format_reads_as_libsndfile_reads_it(sample_format):
    rng = np.random.default_rng(2)
    wanted = rng.uniform(-1, 1, (1000, 2))
    wanted[:2] = [[-1, 1], [0, -1]]
    file = io.BytesIO()
    soundfile.write(file, wanted, 16000, subtype=SUBTYPES[sample_format], format="WAV")
    data = file.getvalue()
    begin = data.index(b"data") + 8
    pcm = data[begin : begin + 1000 * frame_bytes(sample_format, 2)]
    file.seek(0)
    expected, _ = soundfile.read(file, dtype="float32")
    np.testing.assert_allclose(decode(pcm, sample_format, 2), expected, atol=1e-7)


def test_an_unknown_format_is_an_error():
    with pytest.raises(KeyError):
        frame_bytes("mp3", 1)
    with pytest.raises(ValueError, match="mp3"):
        decode(b"", "mp3", 1)


def test_mono_is_the_average_or_the_chosen_channel():
    frames = np.array([[1, 0, 0.5], [0, 0, -0.5]], np.float32)
    np.testing.assert_allclose(to_mono(frames), [0.5, -1 / 6], rtol=1e-6)
    np.testing.assert_array_equal(to_mono(frames, 2), [0.5, -0.5])
    np.testing.assert_array_equal(to_mono(frames, 7), [0.5, -0.5])
