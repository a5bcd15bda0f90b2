"""The last layer fitted anew to what a network pools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from training.cli import main
from training.config import RunSettings
from training.errors import TrainingError
from training.pool import PoolSettings
from training.refit import fit_votes, pooled_vectors, refit_run
from training.train import load_model, load_settings, train

POOL = PoolSettings(windows=256, window_s=1.0)


@pytest.fixture(scope="module")
def brief(settings: RunSettings) -> RunSettings:
    return replace(settings, epochs=1, pool=POOL)


@pytest.fixture(scope="module")
def pool(brief: RunSettings, run: Path) -> Path:
    return Path(brief.cache) / f"pool-{POOL.seed}"


def test_every_number_has_one_vote_for_the_class_that_it_is_nearer_to(rng):
    labels = np.repeat(np.array([0, 1], np.float32), 200)
    vectors = rng.normal(0, 1, (400, 3)).astype(np.float32)
    vectors[:, 0] += 3 * labels
    vectors[:, 1] -= labels
    vectors[:, 2] += labels
    vectors *= np.array([1, 10, 0.1], np.float32)
    votes = fit_votes(vectors, labels)
    np.testing.assert_allclose(votes.weights / votes.weights[0], [1, -1, 1])
    logits = votes.of(vectors)
    assert logits.std() == pytest.approx(1, abs=0.01)
    assert logits[labels > 0.5].mean() == pytest.approx(-logits[labels < 0.5].mean(), abs=0.01)


def test_a_number_that_never_changes_does_no_harm(rng):
    labels = np.repeat(np.array([0, 1], np.float32), 50)
    vectors = np.stack([labels + rng.normal(0, 0.1, 100), np.full(100, 7.0)], 1).astype(np.float32)
    votes = fit_votes(vectors, labels)
    assert np.isfinite(votes.weights).all() and votes.weights[1] == 0
    assert ((votes.of(vectors) > 0) == (labels > 0.5)).all()


def test_a_number_far_out_counts_for_no_more_than_one_at_a_deviation(rng):
    labels = np.repeat(np.array([0, 1], np.float32), 200)
    vectors = (rng.normal(0, 1, (400, 5)) + labels[:, None]).astype(np.float32)
    votes = fit_votes(vectors, labels)
    near, far = np.zeros((2, 5), np.float32)
    near[0], far[0] = votes.scale.mean[0] + votes.scale.deviation[0], 1e6
    np.testing.assert_allclose(votes.of(near[None]), votes.of(far[None]), rtol=1e-5)


def test_windows_of_one_class_are_refused(rng):
    with pytest.raises(TrainingError, match="both classes"):
        fit_votes(rng.normal(0, 1, (8, 3)).astype(np.float32), np.ones(8, np.float32))


def test_the_network_ends_in_the_new_layer_and_is_the_same_before_it(
    run: Path, pool: Path, tmp_path: Path
) -> None:
    eer = refit_run(run, [pool], tmp_path / "out", say=lambda line: None)
    assert 0 <= eer <= 0.5
    assert load_settings(tmp_path / "out").model.embedding == 0
    vectors, labels = pooled_vectors(load_model(run), load_settings(run), [pool])
    model = load_model(tmp_path / "out")
    same, _ = pooled_vectors(model, load_settings(tmp_path / "out"), [pool])
    np.testing.assert_array_equal(same, vectors)
    ends = keras.Model(model.get_layer("pooled").output, model.output)
    expected = fit_votes(vectors, labels).of(vectors)
    np.testing.assert_allclose(ends.predict(vectors, verbose=0)[:, 0], expected, atol=1e-3)


@pytest.fixture(scope="module")
def delayed(brief: RunSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a time-delay network, with blocks that say something."""
    model = replace(brief.model, network="tdnn", stages=(4, 8), blocks=1, dilations=(2, 3))
    folder = tmp_path_factory.mktemp("runs") / "delayed"
    train(folder, replace(brief, model=model), say=lambda line: None)
    made = load_model(folder)
    for index in range(2):
        norm = made.get_layer(f"delay_dilated_{index}_norm")
        weights = norm.get_weights()
        norm.set_weights([weights[0] + 1 + index, *weights[1:]])
    made.save(folder / "model.keras")
    return folder


def test_a_block_that_is_left_out_leaves_the_others_as_they_were(
    delayed: Path, pool: Path, tmp_path: Path
) -> None:
    command = ["refit", str(delayed), str(pool), "--out", str(tmp_path / "out")]
    assert main([*command, "--without-dilation", "2"]) == 0
    assert load_settings(tmp_path / "out").model.dilations == (3,)
    silenced, smaller = load_model(delayed), load_model(tmp_path / "out")
    norm = silenced.get_layer("delay_dilated_0_norm")
    norm.set_weights([np.zeros_like(weight) for weight in norm.get_weights()[:2]]
                     + norm.get_weights()[2:])  # fmt: skip
    x = np.random.default_rng(1).normal(0, 5, (3, *silenced.input_shape[1:]))
    pooled = [
        keras.Model(one.inputs, one.get_layer("pooled").output).predict(x, verbose=0)
        for one in (silenced, smaller)
    ]
    np.testing.assert_allclose(pooled[1], pooled[0], atol=1e-5)


def test_a_block_that_is_not_there_cannot_be_left_out(
    delayed: Path, pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["refit", str(delayed), str(pool), "--out", str(tmp_path / "out")]
    assert main([*command, "--without-dilation", "5"]) == 1
    assert "no block of dilation 5" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_names_the_new_run_and_does_not_write_over_one(
    run: Path, pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["refit", str(run), str(pool), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert f"; {tmp_path / 'out'}" in capsys.readouterr().out
    assert main(command) == 1
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("network", "head", "loss", "complaint"),
    [("lcnn", "cosine", "p2sgrad", "ends in a cosine"), ("baseline", "logit", "bce", "no pooling")],
)
def test_a_network_that_has_no_such_layer_is_refused(
    brief: RunSettings, tmp_path: Path, network: str, head: str, loss: str, complaint: str
) -> None:
    model = replace(brief.model, network=network, head=head)
    other = replace(brief, model=model, loss=replace(brief.loss, name=loss))
    train(tmp_path / "run", other, say=lambda line: None)
    with pytest.raises(TrainingError, match=complaint):
        refit_run(tmp_path / "run", [tmp_path], tmp_path / "out", say=lambda line: None)
