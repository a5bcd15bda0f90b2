"""The teacher, where PyTorch and DistillMOS are installed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from training.cli import main
from training.engines import EngineMissing
from training.engines.packages import package_file
from training.errors import TrainingError

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install torch")

from training import teacher as module  # noqa: E402
from training.pool import from_16_bits  # noqa: E402
from training.teach import teach  # noqa: E402
from training.teacher import (  # noqa: E402
    WEIGHTS,
    Teacher,
    TeacherSettings,
    compressed_spectrum,
    opinions,
    rate_share,
    train_teacher,
)


def installed() -> bool:
    try:
        package_file(*WEIGHTS)
    except EngineMissing:
        return False
    return True


needs_weights = pytest.mark.skipif(
    not installed(), reason="DistillMOS is not installed; pip install --no-deps distillmos"
)


@pytest.fixture
def pool(tmp_path):
    """Two chunks of windows: hum is human here, and hiss is synthetic."""
    folder = tmp_path / "pool"
    folder.mkdir()
    rng = np.random.default_rng(0)
    time_s = np.arange(16000) / 16000
    for index in range(2):
        labels = np.tile(np.array([0, 1], np.float32), 32)
        hum = np.sin(2 * np.pi * rng.uniform(100, 300, (64, 1)) * time_s)
        windows = np.where(labels[:, None] > 0.5, rng.normal(0, 0.3, (64, 16000)), hum) * 0.3
        np.save(folder / f"0000{index}.audio.npy", (windows * 32767).astype(np.int16))
        np.save(folder / f"0000{index}.targets.npy", labels)
    return folder


def test_the_rate_rises_stays_and_falls():
    settings = TeacherSettings(warmup_steps=10, constant_share=0.5)
    shares = [rate_share(step, 100, settings) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[10:50] == [1.0] * 40
    assert shares[75] == pytest.approx(0.5)
    assert shares[99] == pytest.approx(0.05)


def test_the_spectrum_is_that_of_the_samples_with_its_magnitude_compressed():
    samples = torch.sin(2 * torch.pi * 1000 * torch.arange(3200) / 16000)[None]
    spectrum = compressed_spectrum(samples)
    assert spectrum.shape == (1, 2, 161, 20)
    magnitude = spectrum.square().sum(1).sqrt()[0, :, 10]
    assert int(magnitude.argmax()) == 20  # 1000 Hz in steps of 50 Hz
    louder = compressed_spectrum(samples * 10).square().sum(1).sqrt()[0, 20, 10]
    assert float(louder / magnitude[20]) == pytest.approx(10**0.3, rel=1e-3)


@needs_weights
def test_a_teacher_learns_from_the_audio_of_a_pool_and_leaves_its_opinion_there(tmp_path, pool):
    settings = TeacherSettings(windows=128, window_s=0.5, batch_size=8, warmup_steps=2)
    train_teacher(tmp_path / "teacher", [pool], settings)
    assert json.loads((tmp_path / "teacher" / "teacher.json").read_text())["windows"] == 128
    assert teach([pool], [tmp_path / "teacher"]) == 128
    for stem in ("00000", "00001"):
        taught = np.load(pool / f"{stem}.taught.npy")
        labels = np.load(pool / f"{stem}.targets.npy")
        assert taught.dtype == np.float32 and ((taught >= 0) & (taught <= 1)).all()
        assert taught[labels > 0.5].mean() > taught[labels < 0.5].mean() + 0.2
    assert teach([pool], [tmp_path / "teacher"]) == 0


@needs_weights
def test_an_opinion_does_not_depend_on_the_level_nor_on_the_company(pool):
    torch.manual_seed(1)
    ears = Teacher()
    ears.load_ears()
    ears.eval()
    audio = from_16_bits(np.load(pool / "00000.audio.npy")[:4])
    together = opinions(ears, audio)
    np.testing.assert_allclose(opinions(ears, audio[1:2]), together[1:2], atol=0.02)
    np.testing.assert_allclose(opinions(ears, audio / 2), together, atol=0.05)


@needs_weights
def test_too_few_windows_are_told_in_a_sentence(tmp_path, pool):
    with pytest.raises(TrainingError, match="hold 128 windows, fewer than the 256"):
        train_teacher(tmp_path / "t", [pool], TeacherSettings(windows=256, window_s=0.2))


def test_a_pool_without_audio_says_what_to_do(tmp_path, capsys):
    (tmp_path / "pool").mkdir()
    assert main(["teacher", str(tmp_path / "t"), str(tmp_path / "pool")]) == 1
    assert "pool.keep_audio" in capsys.readouterr().err


def test_where_distillmos_is_missing_the_command_that_installs_it_is_named(
    tmp_path, pool, monkeypatch, capsys
):
    monkeypatch.setattr(module, "WEIGHTS", ("no-such-package", "x.pt"))
    assert main(["teacher", str(tmp_path / "t"), str(pool)]) == 1
    assert "pip install --no-deps no-such-package" in capsys.readouterr().err
