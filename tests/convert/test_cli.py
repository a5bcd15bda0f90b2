"""`earwitness-convert` from a real run to a bundle that a device uses, and its refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from convert.cli import main
from convert.pipeline import Request, commands
from edge.bundle import VARIANTS, ModelBundle
from edge.decision import sigmoid
from edge.features import log_mel
from edge.inference import check_golden, open_scorer
from tests.bundles import tiny_bundle, voice, whisper


@pytest.fixture(scope="module")
def bundle_folder(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("bundles") / "b"
    command = ["bundle", str(run_folder), "--out", str(target), "--version", "0.3.0",
               "--name", "buzz", "--representative", "24", "--default", "dynamic",
               "--note", "It tells buzzes from whispers."]
    assert main(command) == 0
    return target


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_the_bundle_tells_the_sounds_apart(bundle_folder, variant):
    bundle = ModelBundle.load(bundle_folder, variant)
    scorer = open_scorer(bundle)
    manifest = bundle.manifest

    def probability(samples: np.ndarray) -> float:
        logit = scorer.score(log_mel(samples, manifest.front_end))
        return sigmoid(manifest.calibration.log_odds(logit))

    assert probability(voice(5.0, 999)) < manifest.operating_point.threshold
    assert probability(whisper(5.0, 999)) > manifest.operating_point.threshold
    assert check_golden(bundle, scorer).passed


def test_the_manifest_carries_what_the_run_knows(bundle_folder, run_folder):
    manifest = ModelBundle.load(bundle_folder).manifest
    assert (manifest.name, manifest.version, manifest.default_variant) == (
        "buzz", "0.3.0", "dynamic")
    stored = json.loads((run_folder / "calibration.json").read_text())
    assert manifest.calibration.scale == stored["scale"]
    point = manifest.operating_point
    assert point.false_positive_rate == stored["operating_point"]["false_alert_rate"]
    # The run calls spoof from its threshold on, the device above its own: the same trials.
    assert np.nextafter(point.threshold, 1.0) == stored["operating_point"]["threshold"]
    assert manifest.metrics["conditions"]["val"]["all"]["trials"] > 0
    assert set(manifest.metrics["parity"]) == set(VARIANTS)
    data = json.loads((run_folder / "data.json").read_text())
    assert manifest.provenance["data"]["manifest_sha256"] == data["manifest_sha256"]
    assert str(run_folder.parent) not in json.dumps(manifest.provenance)


def test_the_card_has_the_results_and_the_commands(bundle_folder):
    card = (bundle_folder / "CARD.md").read_text()
    assert "# buzz 0.3.0" in card and "It tells buzzes from whispers." in card
    assert "| val | all |" in card and "| Keras |" in card
    assert "earwitness-convert bundle runs/run --out b --name buzz --version 0.3.0" in card
    assert " --representative " in card


def request(made_by: tuple[str, ...] = ()) -> Request:
    return Request(Path("somewhere/run"), Path("b"), "buzz", "0.3.0", ("int8",), "int8",
                   made_by=made_by)


def test_commands_that_are_given_take_the_place_of_the_generic_ones():
    given = request(("make corpus", "make model"))
    assert commands(given, "abc123-dirty") == ["git checkout abc123", "make corpus", "make model"]
    assert commands(given) == ["make corpus", "make model"]
    assert "git" not in " ".join(commands(request(), "abc123"))


def test_a_run_without_an_audit_is_warned_of_and_converted(run_folder, tmp_path, capsys):
    command = ["bundle", str(run_folder), "--out", str(tmp_path / "b"), "--variants", "float32",
               "--representative", "8"]
    assert main(command) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line[:8] == "warning:"]
    assert warnings == [
        f"warning: {run_folder} holds no audit.md, so the card says nothing of shortcuts; "
        f"make it first: earwitness-train audit --config {run_folder}/config.json "
        f"--out {run_folder}/audit.md"
    ]
    assert "## Shortcuts" not in (tmp_path / "b" / "CARD.md").read_text()


def test_an_audit_and_the_commands_that_made_a_run_are_in_its_card(
    run_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("training.train.git_revision", lambda folder: "feed-dirty")
    copy = shutil.copytree(run_folder, tmp_path / "run")
    (copy / "audit.md").write_text("| after | 2048 | 51.0% | yes |\n")
    command = ["bundle", str(copy), "--out", str(tmp_path / "b"), "--variants", "float32",
               "--representative", "8", "--made-by", "make buzz"]
    assert main(command) == 0
    assert "audit.md" not in capsys.readouterr().err
    card = (tmp_path / "b" / "CARD.md").read_text()
    assert "| after | 2048 | 51.0% | yes |" in card
    assert "\nmake buzz\n```" in card and "earwitness-train train" not in card
    # The recipe is that of the code which made the bundle, whichever trained the run.
    assert "Of the code at `feed`" in card and "\ngit checkout feed\n" in card


def test_parity_of_a_finished_bundle_can_be_checked_again(bundle_folder, run_folder, capsys):
    assert main(["parity", str(run_folder), str(bundle_folder)]) == 0
    assert capsys.readouterr().out.count("| pass |") == len(VARIANTS)


def test_another_network_in_the_bundle_does_not_pass_for_the_run(
    bundle_folder, run_folder, tmp_path, capsys
):
    front_end = ModelBundle.load(bundle_folder).manifest.front_end
    other = tiny_bundle(tmp_path / "b", model="always-spoof", front_end=front_end,
                        front_end_fingerprint=front_end.fingerprint())
    assert main(["parity", str(run_folder), str(other)]) == 1
    captured = capsys.readouterr()
    assert "| FAIL |" in captured.out
    assert "differs too much from Keras (float32: EER is" in captured.err


def test_a_network_that_fails_its_gate_writes_no_bundle(run_folder, tmp_path, capsys):
    command = ["bundle", str(run_folder), "--out", str(tmp_path / "b"), "--variants", "int8",
               "--representative", "2", "--max-eer-shift", "-1"]
    assert main(command) == 1
    assert "differs too much from Keras" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("earwitness-convert: ") and error.count("\n") == 1
    return error


def test_a_run_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["bundle", str(tmp_path / "run"), "--out", str(tmp_path / "b")]) == 1
    assert "run does not exist; train it first" in one_sentence(capsys)


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
    assert main(["bundle", str(tmp_path), "--out", str(tmp_path / "b")]) == 1
    assert "is not a finished run" in one_sentence(capsys)


def test_a_bundle_that_is_there_is_not_replaced(run_folder, tmp_path, capsys):
    folder = tiny_bundle(tmp_path / "b")
    assert main(["bundle", str(run_folder), "--out", str(folder)]) == 1
    assert "exists already; add --force to replace it" in one_sentence(capsys)
    assert ModelBundle.load(folder).manifest.name == "tiny"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--version", "1.2"], "'1.2' is not of the form 1.2.3"),
        (["--variants", "int8", "--default", "float32"], "default variant float32 is not among"),
        (["--representative", "1"], "--representative must be at least 2"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_the_work(
    tmp_path, capsys, options, words
):
    (tmp_path / "run").mkdir()
    assert main(["bundle", str(tmp_path / "run"), "--out", str(tmp_path / "b"), *options]) == 1
    assert words in one_sentence(capsys)


def test_a_run_whose_threshold_no_device_can_use_is_refused(run_folder, tmp_path, capsys):
    copy = shutil.copytree(run_folder, tmp_path / "run")
    stored = json.loads((copy / "calibration.json").read_text())
    stored["operating_point"]["threshold"] = 1.5
    (copy / "calibration.json").write_text(json.dumps(stored))
    assert main(["bundle", str(copy), "--out", str(tmp_path / "b")]) == 1
    assert "must lie between 0 and 1" in one_sentence(capsys)


def test_a_corpus_that_has_moved_is_named(run_folder, tmp_path, capsys):
    command = ["bundle", str(run_folder), "--out", str(tmp_path / "b"), "--folder",
               str(tmp_path / "nowhere")]
    assert main(command) == 1
    assert "nowhere does not exist" in one_sentence(capsys)


def test_another_runtime_that_cannot_be_run_is_named(run_folder, tmp_path, capsys):
    command = ["bundle", str(run_folder), "--out", str(tmp_path / "b"), "--variants", "float32",
               "--also-python", str(tmp_path / "python")]
    assert main(command) == 1
    assert "python cannot be run" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_repository_s_commands_are_mounted(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["repo", "--help"])
    assert caught.value.code == 0
    assert "publish" in capsys.readouterr().out
