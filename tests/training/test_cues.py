"""A finished network that hears cues too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from edge.cues import CUES
from edge.features import window_features
from edge.sliding import RATE_HZ
from training.cli import main
from training.config import RunSettings
from training.errors import TrainingError
from training.evaluate import write_json
from training.fusion import Fusion
from training.models.cued import cued, without_cues
from training.models.pairwise import UNITS
from training.pool import PoolSettings, Scale, raw_front_end
from training.pool_cues import NUMBERS
from training.teller import LIMIT, SEEDS, Teller
from training.train import (
    load_calibration,
    load_data_description,
    load_model,
    load_model_at,
    load_settings,
    train,
)

pytestmark = pytest.mark.usefixtures("fewer_steps")
POOL = PoolSettings(windows=256, window_s=1.2, keep_audio=True)


def test_a_network_with_cues_adds_what_a_teller_says(rng: np.random.Generator) -> None:
    inputs = keras.Input((10, 8, 1))
    network = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(inputs)))
    mean, deviation = rng.normal(0, 1, (2, 11)).astype(np.float32)
    teller = Teller(
        Scale(mean, np.abs(deviation) + np.float32(0.1)),
        *(rng.normal(0, 1, shape) for shape in ((11, 6), 6, 6, 11)),
    )
    model = cued(network, teller, LIMIT)
    assert model.input_shape == (None, 12, 8, 1)
    frames, numbers = rng.normal(0, 1, (5, 10, 8, 1)), rng.normal(0, 5, (5, 11))
    rows = np.zeros((5, 2, 8))
    rows.reshape(5, -1)[:, :11] = numbers
    rows.reshape(5, -1)[:, 11:] = 99  # has no say
    given = np.concatenate([frames, rows[..., None]], axis=1)
    added = teller.of(numbers.astype(np.float32))
    expected = network.predict(frames, verbose=0)[:, 0] + added
    np.testing.assert_allclose(model.predict(given, verbose=0)[:, 0], expected, atol=1e-4)
    assert np.abs(added).max() > 0.1
    reach = LIMIT * teller.scale.deviation
    clipped = np.clip(numbers, mean - reach, mean + reach)
    np.testing.assert_allclose(teller.of(clipped.astype(np.float32)), added, atol=1e-4)
    assert without_cues(model).count_params() == network.count_params()
    assert without_cues(network) is network


@pytest.fixture(scope="module")
def brief(settings: RunSettings) -> RunSettings:
    cut = replace(settings.windows, window_s=1.2)
    return replace(settings, pool=POOL, epochs=1, windows=cut)


@pytest.fixture(scope="module")
def pool(brief: RunSettings, run: Path) -> Path:
    folder = Path(brief.cache) / f"pool-{POOL.seed}"
    for path in folder.glob("*.sources.npy"):  # of the tests' own none publishes both classes
        np.save(path, np.full(len(np.load(path)), "both"))
    return folder


@pytest.fixture
def add_cues(run: Path, pool: Path, tmp_path: Path) -> Callable[..., int]:
    def command(*arguments: str) -> int:
        return main(["add-cues", str(run), str(pool), "--out", str(tmp_path / "out"), *arguments])

    return command


def test_the_new_run_scores_with_cues_and_says_what_it_adds(
    run: Path,
    pool: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    add_cues: Callable[..., int],
    rng: np.random.Generator,
) -> None:
    assert add_cues() == 0
    assert "EER" in capsys.readouterr().out
    for cue in CUES:
        kept = sorted(pool.glob(f"*.{cue.name}-{cue.version}.npy"))
        numbers = [np.load(path) for path in kept]
        assert sum(map(len, numbers)) == 256 and numbers[0].shape[1] == cue.count
    out = tmp_path / "out"
    told = json.loads((out / "cues.json").read_text())
    assert {row["cues"] for row in told["val"]} == {"alone", "with"}
    front_end = load_settings(out).front_end
    assert front_end.cues == CUES and not load_settings(run).front_end.cues
    made, old = load_model(out), load_model(run)
    samples = (0.1 * rng.standard_normal(round(1.2 * RATE_HZ))).astype(np.float32)
    features = window_features(samples, front_end)[None, ..., None]
    rows = front_end.cue_rows
    alone = float(old.predict(features[:, :-rows], verbose=0)[0, 0])
    assert float(made.predict(features, verbose=0)[0, 0]) != pytest.approx(alone, abs=1e-6)
    # The network itself is the same, at any length.
    expected = load_model_at(run, 60).predict(np.ones((1, 60, 24, 1)), verbose=0)
    got = load_model_at(out, 60).predict(np.ones((1, 60, 24, 1)), verbose=0)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    # What it costs is its own: units and a weight of its own for each number.
    cost, old_cost = (load_data_description(one)["multiply_accumulates"] for one in (out, run))
    units = len(SEEDS) * UNITS
    assert cost == old_cost + NUMBERS * (units + 1) + units
    before, _ = load_calibration(run)
    after, point = load_calibration(out)
    fusion = Fusion(**told["judge_fusion"])
    assert after.scale == pytest.approx(fusion.alone * before.scale)
    assert 0 <= float(point["threshold"]) <= 1
    assert (out / "report-val.md").exists()


def test_the_run_with_cues_is_evaluated_like_any_other(
    tmp_path: Path, add_cues: Callable[..., int]
) -> None:
    assert add_cues() == 0
    assert main(["evaluate", str(tmp_path / "out"), "--split", "val"]) == 0
    assert (tmp_path / "out" / "report-val-clean.md").exists()


def test_no_run_is_written_over(
    add_cues: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert add_cues() == 0 and add_cues() == 1
    assert "holds a run already" in capsys.readouterr().err


def test_a_judge_that_was_trained_on_val_is_refused(
    run: Path, tmp_path: Path, add_cues: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    judge = tmp_path / "judge"
    judge.mkdir()
    settings = load_settings(run)
    corpora = (replace(settings.corpora[0], to_train=("some/source",)),)
    write_json(judge / "config.json", replace(settings, corpora=corpora).to_dict())
    assert add_cues("--judge", str(judge)) == 1
    assert main(["alert-rule", str(run), "--judge", str(judge), "bundle"]) == 1
    assert capsys.readouterr().err.count(f"{judge} was trained on sources of val") == 2


def test_a_network_is_not_trained_with_cues(brief: RunSettings, tmp_path: Path) -> None:
    heard = replace(brief, front_end=replace(brief.front_end, modulation=True))
    with pytest.raises(TrainingError, match="earwitness-train add-cues"):
        train(tmp_path / "run", heard, say=lambda line: None)


@pytest.mark.parametrize(("whose", "window_s"), [("run", 0.9), ("pool", 1.2)])
def test_windows_too_short_for_a_cue_are_refused_in_a_sentence(
    whose: str,
    window_s: float,
    settings: RunSettings,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, pool = tmp_path / "run", tmp_path / "pool"
    run.mkdir()
    pool.mkdir()
    cut = replace(settings.windows, window_s=window_s)
    write_json(run / "config.json", replace(settings, windows=cut).to_dict())
    point = {"threshold": 0.5}
    write_json(run / "calibration.json", {"scale": 1.0, "offset": 0.0, "operating_point": point})
    write_json(pool / "pool.json", {"front_end": raw_front_end(settings.front_end).to_dict()})
    np.save(pool / "00000.targets.npy", np.zeros(2))
    np.save(pool / "00000.audio.npy", np.zeros((2, RATE_HZ - 1), np.int16))
    assert main(["add-cues", str(run), str(pool), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert str({"run": run, "pool": pool}[whose]) in said and "tones needs 1.000 s" in said


def test_a_pool_of_another_front_end_is_refused(
    run: Path, pool: Path, capsys: pytest.CaptureFixture[str], add_cues: Callable[..., int]
) -> None:
    description = pool / "pool.json"
    told = json.loads(description.read_text())
    told["front_end"]["n_bands"] += 1
    description.write_text(json.dumps(told))
    assert add_cues() == 1
    assert f"the pool in {pool} was made with another front end" in capsys.readouterr().err


def test_a_judge_with_another_front_end_is_refused(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    add_cues: Callable[..., int],
) -> None:
    judge = tmp_path / "judge"
    shutil.copytree(run, judge)
    config = judge / "config.json"
    told = json.loads(config.read_text())
    told["front_end"]["frame_hop"] += 1
    config.write_text(json.dumps(told))
    assert add_cues("--judge", str(judge)) == 1
    assert f"{judge} has another front end than {run}" in capsys.readouterr().err


def test_a_run_whose_frames_are_too_far_apart_for_a_cue_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], add_cues: Callable[..., int]
) -> None:
    config = run / "config.json"
    told = json.loads(config.read_text())
    told["front_end"]["frame_hop"] = 512
    config.write_text(json.dumps(told))
    assert add_cues() == 1
    printed = capsys.readouterr().err
    assert "no cues can be measured with this front end: frame_hop is 512" in printed
