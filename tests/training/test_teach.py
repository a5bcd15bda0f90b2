"""Other networks' opinions of the windows of a pool."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from edge.features import FrontEnd, log_mel
from training.cli import main
from training.config import RunSettings
from training.models import ModelSettings, build_model
from training.pool import from_16_bits
from training.teach import load_ears, teach
from training.train import load_settings

FRONT_ENDS = {
    "mel": FrontEnd(
        n_fft=512, win_length=512, frame_hop=320, n_bands=20, center=False,
        normalisation="mean-variance",
    ),
    "linear": FrontEnd(
        n_fft=256, win_length=256, frame_hop=160, n_bands=30, center=False,
        normalisation="mean-variance", filterbank="linear",
    ),
}


def make_run(folder, front_end, seed):
    """A run as training leaves it, but for what it has learnt."""
    keras.utils.set_random_seed(seed)
    model = ModelSettings(stages=(4, 4), pools=(1, 1), embedding=4)
    settings = RunSettings(front_end=front_end, model=model)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings.to_dict()))
    frames = front_end.frame_count(round(settings.windows.window_s * 16000))
    build_model(model, frames, front_end.n_bands).save(folder / "model.keras")
    return folder


@pytest.fixture
def pool(tmp_path):
    folder = tmp_path / "pool"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        np.save(folder / f"0000{index}.audio.npy", rng.integers(-9000, 9000, (6, 24000), np.int16))
        np.save(folder / f"0000{index}.targets.npy", np.array([0, 1] * 3, np.float32))
    return folder


def test_runs_of_different_front_ends_give_the_mean_of_their_logits(tmp_path, pool):
    runs = [
        make_run(tmp_path / name, front_end, seed)
        for seed, (name, front_end) in enumerate(FRONT_ENDS.items())
    ]
    assert teach([pool], runs) == 12
    windows = from_16_bits(np.load(pool / "00001.audio.npy"))
    logits = []
    for run, front_end in zip(runs, FRONT_ENDS.values()):
        settings = load_settings(run)
        network = build_model(
            settings.model, front_end.frame_count(24000), front_end.n_bands
        )
        network.set_weights(keras.saving.load_model(run / "model.keras").get_weights())
        features = np.stack([log_mel(window, front_end) for window in windows])[..., None]
        logits.append(np.asarray(network(features, training=False))[:, 0])
    expected = 1 / (1 + np.exp(-np.mean(logits, axis=0)))
    taught = np.load(pool / "00001.taught.npy")
    assert taught.dtype == np.float32 and np.ptp(taught) > 0
    np.testing.assert_allclose(taught, expected, atol=1e-5)


def test_a_run_hears_each_window_by_itself(tmp_path, pool):
    ears = load_ears(make_run(tmp_path / "run", FRONT_ENDS["mel"], 3))
    np.save(pool / "alone.audio.npy", np.load(pool / "00000.audio.npy")[2:3])
    np.testing.assert_allclose(ears(pool, "alone"), ears(pool, "00000")[2:3], atol=1e-5)


def test_teaching_goes_on_where_it_stopped(tmp_path, pool):
    run = make_run(tmp_path / "run", FRONT_ENDS["mel"], 3)
    assert teach([pool], [run]) == 12
    (pool / "00001.taught.npy").unlink()
    assert teach([pool], [run]) == 6
    assert teach([pool], [run]) == 0


def test_labels_can_stand_in_for_teachers(pool, capsys):
    assert main(["teach", str(pool), "--labels"]) == 0
    assert "12 windows" in capsys.readouterr().out
    assert (np.load(pool / "00000.taught.npy") == np.array([0, 1] * 3, np.float32)).all()


def test_nobody_to_teach_is_an_error(pool):
    with pytest.raises(SystemExit) as exit_:
        main(["teach", str(pool)])
    assert exit_.value.code != 0
    assert not list(pool.glob("*.taught.npy"))


def test_what_is_no_teacher_is_named(tmp_path, pool, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["teach", str(pool), "--by", str(tmp_path / "empty")]) == 1
    assert str(tmp_path / "empty") in capsys.readouterr().err
    assert not list(pool.glob("*.taught.npy"))


def test_a_pool_without_audio_says_what_to_do(tmp_path, capsys):
    run = make_run(tmp_path / "run", FRONT_ENDS["mel"], 3)
    (tmp_path / "silent").mkdir()
    assert main(["teach", str(tmp_path / "silent"), "--by", str(run)]) == 1
    assert "pool.keep_audio" in capsys.readouterr().err
