"""End to end on tones and noise: train, interrupt, go on, evaluate."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from training.average import average_run
from training.cache import FeatureCache, WindowSettings
from training.calibrate import fit_calibration
from training.channel import Channel
from training.cli import main
from training.config import RunSettings
from training.errors import CorpusError, TrainingError
from training.evaluate import breakdown_table, keras_scorer, score_trials
from training.models import ModelSettings
from training.pool import FRAME_NUMBERS, PoolSettings
from training.processor import lacks_bfloat16
from training.protocols import Corpus, Trial
from training.train import (
    AVERAGE_EVERY_STEPS,
    Run,
    Validation,
    WeightAverage,
    learning_rate_at,
    load_calibration,
    load_corpora,
    load_data_description,
    load_model,
    load_settings,
    prepare_waves,
    train,
)


@pytest.fixture(scope="module")
def run(settings: RunSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(folder, settings, say=lambda line: None)
    return folder


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in load_model(folder).get_weights()]


def test_tones_and_noise_are_told_apart(run: Path) -> None:
    report = json.loads((run / "report-val.json").read_text())
    assert report["all"]["eer"] <= 0.2
    assert report["all"]["auc"] >= 0.9


def test_a_run_leaves_everything_that_was_promised(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "config.json", "data.json", "epochs.csv", "model.keras", "calibration.json",
        "lcnn_performance.png", "det-val.png", "roc-val.png", "scores-val.png",
        "by-generator-val.csv", "by-generator-val.md", "by-source-val.csv", "by-source-val.md",
        "scores-val.csv", "report-val.md", "checkpoint",
    }  # fmt: skip
    with (run / "epochs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all({"loss", "auc", "accuracy", "eer"} <= set(row) for row in rows)
    data = load_data_description(run)
    assert len(data["manifest_sha256"]) == 64
    assert data["train_generators"] and data["multiply_accumulates"] > 0
    assert (run / "lcnn_performance.png").read_bytes()[:4] == b"\x89PNG"
    assert not list(run.rglob("*.part*"))


def test_the_settings_of_a_run_come_back(run: Path, settings: RunSettings) -> None:
    assert load_settings(run) == settings


def test_the_operating_point_is_a_probability_with_its_error_rates(run: Path) -> None:
    calibration, point = load_calibration(run)
    assert calibration.scale > 0
    assert 0 < point["threshold"] < 1
    assert 0 <= point["false_alert_rate"] <= 0.05 and 0 <= point["miss_rate"] <= 1


def test_a_resumed_run_is_the_uninterrupted_run(
    run: Path, settings: RunSettings, tmp_path: Path
) -> None:
    lines: list[str] = []

    class Interrupted(Exception):
        pass

    def stop_after_the_first_epoch(line: str) -> None:
        if line.startswith("epoch   1"):
            raise Interrupted

    with pytest.raises(Interrupted):
        train(tmp_path / "run", settings, say=stop_after_the_first_epoch)
    train(tmp_path / "run", settings, resume=True, say=lines.append)
    assert lines[0] == "resumed after epoch 1"
    for left, right in zip(weights(tmp_path / "run"), weights(run)):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


def test_a_finished_folder_is_not_trained_over(run: Path, settings: RunSettings) -> None:
    before = (run / "model.keras").read_bytes()
    with pytest.raises(TrainingError, match="--resume"):
        train(run, settings, say=lambda line: None)
    assert (run / "model.keras").read_bytes() == before


def test_another_network_cannot_resume_a_run(run: Path, settings: RunSettings) -> None:
    wider = replace(settings, model=replace(settings.model, width=2.0))
    with pytest.raises(TrainingError, match="does not fit these settings"):
        other = Run(run, wider, lambda line: None)
        other.restore_checkpoint()


def test_training_starts_from_another_runs_weights(
    run: Path, settings: RunSettings, tmp_path: Path
) -> None:
    still = replace(
        settings,
        start_from=str(run),
        epochs=1,
        optimiser=replace(settings.optimiser, learning_rate=1e-9, weight_decay=0.0),
    )
    train(tmp_path / "tuned", still, say=lambda line: None)
    kernels = [w for w in weights(tmp_path / "tuned") if w.ndim == 4]
    for left, right in zip(kernels, [w for w in weights(run) if w.ndim == 4]):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_a_trained_network_grows_by_time_delay_blocks_that_change_nothing_yet(
    settings: RunSettings, tmp_path: Path
) -> None:
    network = ModelSettings(network="tdnn", stages=(4, 6, 8), blocks=1, first_stride=(2, 2))
    small = replace(settings, model=network, epochs=1)
    train(tmp_path / "small", small, say=lambda line: None)
    larger = replace(
        small,
        model=replace(network, blocks=2, dilations=(2, 3)),
        start_from=str(tmp_path / "small"),
        optimiser=replace(settings.optimiser, learning_rate=1e-9, weight_decay=0.0),
    )
    train(tmp_path / "large", larger, say=lambda line: None)
    before = {layer.name: layer for layer in load_model(tmp_path / "small").layers}
    new = 0
    for layer in load_model(tmp_path / "large").layers:
        kernels = [np.asarray(v) for v in layer.variables if v.name == "kernel"]
        if layer.name in before or not layer.name.startswith("delay"):
            continue
        new += len(kernels)
        if layer.name.endswith("_norm") and "time" not in layer.name:
            np.testing.assert_allclose(layer.gamma, 0, atol=1e-5)  # nothing comes of it yet
    assert new == 6
    kernels = [w for w in weights(tmp_path / "small") if w.ndim == 4]
    grown = [w for w in weights(tmp_path / "large") if w.ndim == 4]
    for kernel in kernels:
        assert any(g.shape == kernel.shape and np.allclose(g, kernel, atol=1e-5) for g in grown)
    with pytest.raises(TrainingError, match="do not fit this network"):
        train(
            tmp_path / "shrunk",
            replace(small, start_from=str(tmp_path / "large")),
            say=lambda line: None,
        )


def test_weights_of_a_network_of_other_size_are_refused(
    run: Path, settings: RunSettings, tmp_path: Path
) -> None:
    for stages in ((4, 16), (4, 8, 8)):
        model = replace(settings.model, stages=stages, pools=(1,) * len(stages))
        other = replace(settings, start_from=str(run), model=model)
        with pytest.raises(TrainingError, match="do not fit this network"):
            train(tmp_path / str(len(stages)), other, say=lambda line: None)


def test_a_run_that_is_told_what_whisper_hears_resumes_like_any_other(
    settings: RunSettings, tmp_path: Path
) -> None:
    """With the pool's audio, in bfloat16; what only training needs is not in the model."""
    pool = PoolSettings(windows=256, window_s=1.0)
    network = ModelSettings(network="tdnn", stages=(4, 6, 8), blocks=1, first_stride=(2, 2))
    front_end = replace(settings.front_end, frame_hop=320)
    make = replace(settings, pool=pool, epochs=2, model=network, front_end=front_end)
    rng = np.random.default_rng(0)
    train(tmp_path / "plain", replace(make, epochs=1), say=lambda line: None)
    folder = Path(settings.cache) / f"pool-{pool.seed}"
    for path in folder.glob("*.targets.npy"):
        frames = rng.normal(0, 1, (len(np.load(path)), 12, FRAME_NUMBERS)).astype(np.float16)
        np.save(path.with_name(path.name.replace("targets", "frames")), frames)
    told = replace(
        make,
        pool=replace(pool, heard_weight=0.5),
        optimiser=replace(make.optimiser, bfloat16=True, average_momentum=0.9),
    )
    said: list[str] = []
    train(tmp_path / "whole", told, say=said.append)
    assert ("no bfloat16" in said[0]) is lacks_bfloat16()
    train(tmp_path / "halved", replace(told, epochs=1), say=lambda line: None)
    train(tmp_path / "halved", told, resume=True, say=lambda line: None)
    assert len(weights(tmp_path / "whole")) == len(weights(tmp_path / "plain"))
    for left, right in zip(weights(tmp_path / "halved"), weights(tmp_path / "whole")):
        np.testing.assert_allclose(left, right, rtol=0.05, atol=0.01)


def test_the_calibration_is_fitted_over_all_conditions(
    settings: RunSettings, tmp_path: Path
) -> None:
    more = replace(settings, epochs=1, val_conditions=("clean", "codec"))
    train(tmp_path / "run", more, say=lambda line: None)
    corpus = load_corpora(more.corpora, more.seed)
    validation = Validation(corpus, more)
    model = load_model(tmp_path / "run")
    scored = [validation.score(model, name) for name in more.val_conditions]
    expected = fit_calibration(
        np.concatenate([part.logits for part in scored]),
        np.concatenate([part.labels for part in scored]),
    )
    found, _ = load_calibration(tmp_path / "run")
    assert found.scale == pytest.approx(expected.scale, rel=1e-3)
    assert found.offset == pytest.approx(expected.offset, rel=1e-3, abs=1e-3)


def test_the_command_trains_resumes_and_evaluates(
    tone_corpus: Path, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.yaml").write_text(tiny)
    data = ["--folder", str(tone_corpus), "--cache", str(tmp_path / "cache")]
    folder = str(tmp_path / "run")
    config = ["--config", str(tmp_path / "tiny.yaml")]
    assert main(["train", folder, *data, *config, "--epochs", "1"]) == 0
    assert "epoch   1  loss" in capsys.readouterr().out
    assert main(["train", folder, "--resume", "--epochs", "2"]) == 0
    assert "resumed after epoch 1" in capsys.readouterr().out
    for condition in ("clean", "telephone"):
        assert main(["evaluate", folder, "--split", "test", "--condition", condition]) == 0
        out = capsys.readouterr().out
        assert "TPR at 5 % FPR" in out and "Unseen generators" in out
        made = json.loads((tmp_path / "run" / f"report-test-{condition}.json").read_text())
        assert made["condition"] == condition
        unseen = made["unseen_generators"]
        assert {"eer", "auc", "accuracy", "tpr_at_5_fpr", "min_dcf", "cllr"} <= set(unseen)
        low, high = unseen["intervals"]["eer"]
        assert low <= unseen["eer"] <= high


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "RUN"], "no corpus is named"),
        (["train", "RUN", "--folder", "absent"], "does not exist"),
        (["train", "RUN", "--set", "colour=red"], "colour"),
        (["evaluate", "RUN"], "is not a finished run"),
        (["corpus", "--manifest", "absent.csv"], "absent.csv"),
        (["train", "RUN", "--corpus", "asvspoof2019-la"], "LAYOUT=PATH"),
        (["train", "RUN", "--corpus", "voices=here"], "must be one of manifest"),
    ],
)
def test_a_users_mistake_is_a_sentence_and_no_traceback(
    arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert main([str(folder) if word == "RUN" else word for word in arguments]) == 1
    error = capsys.readouterr().err
    assert complaint in error and "Traceback" not in error
    assert not folder.exists()


def test_the_corpus_is_counted(tone_corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "--folder", str(tone_corpus)]) == 0
    assert "| train | spoof |" in capsys.readouterr().out


def test_a_whole_file_scores_the_mean_of_its_windows(
    run: Path, settings: RunSettings, tmp_path: Path
) -> None:
    corpus = load_corpora(settings.corpora, settings.seed)
    trials = corpus.trials[:5]
    cache = FeatureCache(tmp_path, settings.front_end, settings.windows)
    scorer = keras_scorer(load_model(run))
    scores = score_trials(scorer, trials, cache, quiet=True)
    for trial, score in zip(trials, scores):
        assert score == pytest.approx(scorer(cache.features(trial)).mean(), abs=1e-4)


def test_a_corpus_may_give_trials_of_one_label_only(settings: RunSettings) -> None:
    (whole,) = settings.corpora
    half = load_corpora([replace(whole, labels=("bonafide",))], settings.seed)
    assert {trial.label for trial in half.trials} == {"bonafide"}
    assert len(half.trials) == sum(
        not trial.is_spoof for trial in load_corpora([whole], settings.seed).trials
    )


def test_a_condition_changes_the_scores_but_not_from_one_time_to_the_next(
    run: Path, settings: RunSettings, tmp_path: Path
) -> None:
    trials = load_corpora(settings.corpora, settings.seed).trials[::6]
    scorer = keras_scorer(load_model(run))

    def scores(folder: str, condition: str) -> np.ndarray:
        cache = FeatureCache(tmp_path / folder, settings.front_end, settings.windows)
        return score_trials(scorer, trials, cache, Channel(condition), quiet=True)

    replay = scores("a", "replay")
    np.testing.assert_allclose(scores("a", "replay"), replay)  # from the cache
    np.testing.assert_allclose(scores("b", "replay"), replay, atol=1e-5)
    assert not np.allclose(scores("a", "clean"), replay, atol=1e-3)


def test_a_source_on_two_sides_stops_the_run(tone_corpus: Path, settings: RunSettings) -> None:
    twice = (
        replace(settings.corpora[0], split="train"),
        replace(settings.corpora[0], split="test"),
    )
    with pytest.raises(CorpusError, match="would leak"):
        load_corpora(twice, 1)


def test_generators_are_set_against_all_bona_fide_speech() -> None:
    from training.calibrate import Calibration
    from training.evaluate import Scored

    def trial(id: str, label: str, generator: str = "") -> Trial:
        return Trial(id=id, path=Path(id), label=label, generator=generator, source="s")

    rows = [trial("a", "bonafide"), trial("b", "bonafide")]
    rows += [trial("c", "spoof", "G"), trial("d", "spoof", "H")]
    scored = Scored(rows, np.array([0.0, 1.0, 2.0, 0.5]))
    table = breakdown_table(scored, Calibration(), 0.5, "generator")
    by_name = {row["generator"]: row for row in table}
    assert set(by_name) == {"G", "H"}
    assert by_name["G"]["eer"] == 0 and by_name["H"]["eer"] == pytest.approx(0.5)
    assert by_name["G"]["trials"] == 1 and by_name["G"]["called_spoof"] == 1.0


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    chosen = replace(RunSettings().optimiser, learning_rate=1.0, warmup_steps=10, final_share=0.1)
    rates = [learning_rate_at(step, 110, chosen) for step in range(111)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.55, abs=0.01)
    assert rates[110] == pytest.approx(0.1)
    assert all(np.diff(rates[10:]) <= 0)


def test_a_plateau_halves_the_rate(settings: RunSettings, tmp_path: Path) -> None:
    from training.history import EpochRecord

    chosen = replace(settings.optimiser, schedule="plateau", plateau_epochs=2)
    run = Run(tmp_path, replace(settings, optimiser=chosen, patience=4), lambda line: None)
    for epoch, eer in enumerate([0.3, 0.4, 0.4, 0.4, 0.4], 1):
        run.note(EpochRecord(epoch, 1.0, 0.5, 0.5, eer, 1e-3, 1.0))
    assert run.plateau_share == 0.25
    assert run.best is not None and run.best.epoch == 1


def test_the_average_of_weights_follows_early_and_steadies_later() -> None:
    average = WeightAverage(0.9 ** (1 / AVERAGE_EVERY_STEPS))
    average.update([np.array([10.0])])
    for _ in range(200):
        average.update([np.array([1.0])])
    assert average.weights[0][0] == pytest.approx(1.0, abs=1e-3)
    average.update([np.array([2.0])])
    assert average.weights[0][0] == pytest.approx(1.1, abs=1e-2)


def test_the_kept_model_holds_the_averaged_weights(settings: RunSettings, tmp_path: Path) -> None:
    chosen = replace(settings.optimiser, average_momentum=0.99)
    run = Run(tmp_path, replace(settings, optimiser=chosen), lambda line: None)
    run.average.update([np.asarray(v) * 0 + 0.5 for v in run.model.variables])
    live = run.model.get_weights()[0].copy()
    run.save_best()
    np.testing.assert_array_equal(run.model.get_weights()[0], live)
    assert (weights(tmp_path)[0] == 0.5).all()


def test_a_sharpness_aware_step_lowers_the_loss(settings: RunSettings, tmp_path: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("sharpness-aware minimisation runs on TensorFlow")
    chosen = replace(settings.optimiser, sam_radius=0.05)
    run = Run(tmp_path, replace(settings, optimiser=chosen), lambda line: None)
    rng = np.random.default_rng(0)
    shape = run.model.input_shape[1:]
    targets = np.tile([[0.0], [1.0]], (8, 1)).astype(np.float32)
    features = (rng.normal(size=(16, *shape)) + 2 * targets[..., None, None]).astype(np.float32)
    losses = [float(np.asarray(run._step(features, targets))) for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]


def test_the_middle_of_a_file_can_be_scored_alone(settings: RunSettings, tmp_path: Path) -> None:
    corpus = load_corpora(settings.corpora, settings.seed)
    middle = FeatureCache(
        tmp_path, settings.front_end, WindowSettings(window_s=1.0, scope="middle")
    )
    assert all(len(middle.features(trial)) == 1 for trial in corpus.trials[:4])


@pytest.mark.parametrize("running", [True, False])
def test_the_mean_of_two_checkpoints_is_a_run_of_its_own(
    running: bool, settings: RunSettings, tmp_path: Path
) -> None:
    kept = replace(
        settings, keep_epochs=2, optimiser=replace(settings.optimiser, average_momentum=0.5)
    )
    train(tmp_path / "run", kept, say=lambda line: None)
    checkpoints = sorted((tmp_path / "run" / "checkpoint").glob("epoch-*.npz"))
    assert len(checkpoints) == 2
    eer = average_run(
        tmp_path / "run", checkpoints, tmp_path / "mean", running, say=lambda line: None
    )
    assert 0 <= eer <= 0.5
    report = json.loads((tmp_path / "mean" / "report-val.json").read_text())
    assert report["all"]["eer"] == pytest.approx(eer)
    which = "average" if running else "model"
    with np.load(checkpoints[0]) as first, np.load(checkpoints[1]) as second:
        expected = (first[f"{which}0"] + second[f"{which}0"]) / 2
    np.testing.assert_allclose(weights(tmp_path / "mean")[0], expected, atol=1e-6)
    with pytest.raises(TrainingError, match="holds a run already"):
        average_run(tmp_path / "run", checkpoints, tmp_path / "mean", running)


def test_a_codec_that_there_is_none_of_is_told_before_a_clip_is_read(
    settings: RunSettings,
) -> None:
    coded = replace(settings, codec_variants=("telegraph",))
    with pytest.raises(TrainingError, match="codec_variants cannot be made: codec is 'telegraph'"):
        prepare_waves(Corpus(()), coded, print)
