"""What Whisper hears, and what a classifier makes of it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from training.cli import main
from training.errors import TrainingError
from training.pool import FRAME_NUMBERS, HEARD_NUMBERS, OPINIONS
from training.teach import teach
from training.teacher import TeacherSettings, load_teacher, train_teacher


@pytest.fixture
def pool(tmp_path):
    """Two chunks of windows as if heard: one number is higher in spoofs, the others are noise."""
    folder = tmp_path / "pool"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        labels = np.tile(np.array([0, 1], np.float32), 64)
        heard = rng.normal(5, 3, (128, HEARD_NUMBERS))
        heard[:, 7] += 9 * labels
        np.save(folder / f"0000{index}.audio.npy", np.zeros((128, 160), np.int16))
        np.save(folder / f"0000{index}.heard.npy", heard.astype(np.float16))
        np.save(folder / f"0000{index}.frames.npy", np.zeros((128, 0, FRAME_NUMBERS), np.float16))
        np.save(folder / f"0000{index}.targets.npy", labels)
    return folder


def test_a_teacher_finds_what_tells_the_classes_apart_and_leaves_its_opinion(tmp_path, pool):
    train_teacher(tmp_path / "teacher", [pool], TeacherSettings(looseness=0.01))
    facts = json.loads((tmp_path / "teacher" / "teacher.json").read_text())
    assert facts["windows"] == 256 and facts["accuracy"] > 0.9
    weights = load_teacher(tmp_path / "teacher").weights
    assert int(np.abs(weights).argmax()) == 7 and weights[7] > 0
    assert teach([pool], [tmp_path / "teacher"]) == 256
    for stem in ("00000", "00001"):
        taught = np.load(pool / f"{stem}.taught.npy")
        labels = np.load(pool / f"{stem}.targets.npy")
        assert taught.dtype == np.float32 and ((taught >= 0) & (taught <= 1)).all()
        assert taught[labels > 0.5].mean() > taught[labels < 0.5].mean() + 0.2
    assert teach([pool], [tmp_path / "teacher"]) == 0


def test_the_logit_is_that_of_the_logistic_regression_worked_by_hand(tmp_path, pool):
    train_teacher(tmp_path / "teacher", [pool], TeacherSettings(looseness=1.0))
    teacher = load_teacher(tmp_path / "teacher")
    heard = np.load(pool / "00001.heard.npy").astype(np.float64)
    standard = (heard - teacher.scale.mean) / teacher.scale.deviation
    by_hand = standard @ teacher.weights + teacher.offset
    np.testing.assert_allclose(teacher.logits(heard.astype(np.float16)), by_hand, atol=1e-3)


def test_its_opinions_are_the_logit_and_what_makes_it_up(tmp_path, pool):
    train_teacher(tmp_path / "teacher", [pool], TeacherSettings(looseness=1.0))
    teacher = load_teacher(tmp_path / "teacher")
    heard = np.load(pool / "00001.heard.npy")
    opinions = teacher.opinions(heard)
    assert opinions.shape == (128, OPINIONS) and opinions.dtype == np.float32
    np.testing.assert_allclose(opinions[:, 0], teacher.logits(heard), atol=1e-3)
    np.testing.assert_allclose(opinions[:, 1:].sum(1) + teacher.offset, opinions[:, 0], atol=1e-3)
    # The number that tells the classes apart is the eighth, so its part is the first.
    assert int(opinions[:, 1:].std(0).argmax()) == 0


def test_the_looser_a_teacher_the_surer_it_is(tmp_path, pool):
    for name, looseness in (("tight", "1e-5"), ("loose", "0.1")):
        teacher = str(tmp_path / name)
        assert main(["teacher", teacher, str(pool), "--looseness", looseness]) == 0
    heard = np.load(pool / "00000.heard.npy")
    tight, loose = (load_teacher(tmp_path / name).logits(heard) for name in ("tight", "loose"))
    assert loose.std() > 2 * tight.std()


def test_a_pool_that_was_not_heard_says_what_to_do(tmp_path, pool, capsys):
    (pool / "00001.heard.npy").unlink()
    assert main(["teacher", str(tmp_path / "t"), str(pool)]) == 1
    assert "earwitness-train hear" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


def test_a_pool_of_one_class_teaches_nothing(tmp_path, pool):
    for path in pool.glob("*.targets.npy"):
        np.save(path, np.ones(128, np.float32))
    with pytest.raises(TrainingError, match="both classes"):
        train_teacher(tmp_path / "t", [pool], TeacherSettings())


def test_an_empty_pool_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="empty"):
        train_teacher(tmp_path / "t", [tmp_path / "empty"], TeacherSettings())


def test_what_is_heard_already_is_not_heard_again(pool, capsys):
    assert main(["hear", str(pool)]) == 0
    assert "0 windows heard" in capsys.readouterr().out


def test_a_pool_without_audio_says_what_to_do(tmp_path, capsys):
    (tmp_path / "pool").mkdir()
    assert main(["hear", str(tmp_path / "pool")]) == 1
    assert "pool.keep_audio" in capsys.readouterr().err


def test_where_pytorch_is_missing_the_command_that_installs_it_is_named(pool, monkeypatch, capsys):
    (pool / "00001.frames.npy").unlink()
    monkeypatch.delitem(sys.modules, "training.whisper", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["hear", str(pool)]) == 1
    assert "pip install torch" in capsys.readouterr().err
