"""A bundle is written whole or not at all, and only if a device could use it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from convert.card import model_card
from convert.errors import ConversionError
from convert.package import (
    ConvertedVariant,
    Description,
    golden_bytes,
    golden_tolerance,
    write_bundle,
)
from edge.bundle import ModelBundle
from edge.decision import Calibration, OperatingPoint
from edge.features import log_mel
from edge.inference import Scorer, check_golden, open_scorer
from tests.bundles import FRONT_END, WINDOW_SAMPLES, network, tiny_bundle

SHIPPED_CARD = Path(__file__).parents[2] / "edge" / "models" / "default" / "CARD.md"
DESCRIPTION = Description(
    name="tiny",
    version="1.2.3",
    created="2024-01-01T00:00:00+00:00",
    front_end=FRONT_END,
    window_samples=WINDOW_SAMPLES,
    hop_s=1.0,
    padding="repeat",
    calibration=Calibration(2.0, -1.0),
    operating_point=OperatingPoint(0.7, 0.05, 0.2, "at most 5.0% false alerts on val"),
    default_variant="float32",
    machine_variants={},
    metrics={"conditions": {}},
    provenance={},
)


def variant(name: str = "tiny", form: str = "float32", off: float = 0.0) -> ConvertedVariant:
    from convert.golden import golden_clip

    scorer = Scorer(network(name, form))
    logit = scorer.score(log_mel(golden_clip(5.0, 16000), FRONT_END))
    return ConvertedVariant(network(name, form), logit + off, 0.01 + 3 * scorer.output_step)


def write(target: Path, *, force: bool = False, off: float = 0.0, **changes: Any) -> ModelBundle:
    description = dataclasses.replace(DESCRIPTION, **changes)
    return write_bundle(target, description, {"float32": variant(off=off)}, "# Card\n", force)


def test_what_is_written_is_what_a_device_reads(tmp_path):
    variants = {"float32": variant(), "int8": variant(form="int8")}
    bundle = write_bundle(tmp_path / "b", DESCRIPTION, variants, "# Card\n")
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        "manifest.json", "model.float32.tflite", "model.int8.tflite", "golden.wav", "CARD.md",
    }
    for name, value in vars(DESCRIPTION).items():
        assert getattr(bundle.manifest, name) == value
    for name in variants:
        loaded = ModelBundle.load(tmp_path / "b", name)
        assert check_golden(loaded, open_scorer(loaded)).passed
    assert bundle.golden == golden_bytes(WINDOW_SAMPLES, 16000)


def test_folders_on_the_way_are_made(tmp_path):
    assert write(tmp_path / "models" / "a" / "b").path.is_dir()


def test_a_bundle_that_is_there_stays_unless_forced(tmp_path):
    write(tmp_path / "b")
    with pytest.raises(ConversionError, match="exists already; add --force"):
        write(tmp_path / "b", version="2.0.0")
    assert ModelBundle.load(tmp_path / "b").manifest.version == "1.2.3"
    write(tmp_path / "b", version="2.0.0", force=True)
    assert ModelBundle.load(tmp_path / "b").manifest.version == "2.0.0"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConversionError, match="is no bundle; choose another folder"):
        write(tmp_path / "b", force=True)
    assert (tmp_path / "b" / "thesis.txt").exists()


@pytest.mark.parametrize(
    "changes",
    [{"version": "1"}, {"hop_s": 9.0}, {"default_variant": "int8"}, {"padding": "mirror"}],
)
def test_a_description_that_no_device_would_take_writes_nothing(tmp_path, changes):
    with pytest.raises(ConversionError, match="cannot be described"):
        write(tmp_path / "b", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_does_not_fit_the_front_end_writes_nothing(tmp_path):
    wrong = ConvertedVariant(network("wrong-shape"), 0.0, 1.0)
    with pytest.raises(ConversionError, match=r"does not load again: .* its network takes"):
        write_bundle(tmp_path / "b", DESCRIPTION, {"float32": wrong}, "# Card\n")
    assert list(tmp_path.iterdir()) == []


def test_a_golden_score_that_is_not_met_writes_nothing(tmp_path):
    with pytest.raises(ConversionError, match="on the golden clip, not"):
        write(tmp_path / "b", off=1.0)
    assert list(tmp_path.iterdir()) == []


def test_an_old_bundle_survives_a_new_one_that_fails(tmp_path):
    write(tmp_path / "b")
    with pytest.raises(ConversionError):
        write(tmp_path / "b", force=True, off=1.0, version="2.0.0")
    assert ModelBundle.load(tmp_path / "b").manifest.version == "1.2.3"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConversionError, match="file/b cannot be written"):
        write(tmp_path / "file" / "b")


def test_the_tolerance_is_the_largest_of_its_reasons():
    assert golden_tolerance("float32", 3.0) == pytest.approx(0.03)
    assert golden_tolerance("int8", 3.0) == pytest.approx(0.3)
    assert golden_tolerance("int8", 3.0, output_step=0.1) == pytest.approx(0.6)
    assert golden_tolerance("int8", 3.0, 0.1, measured_difference=0.5) == pytest.approx(1.0)


def test_the_card_says_what_the_bundle_is_and_where_it_fails():
    description = dataclasses.replace(
        DESCRIPTION,
        metrics={
            "conditions": {
                "test-clean": {
                    "all": {"trials": 10, "eer": 0.123, "auc": 0.9, "accuracy": 0.8,
                            "tpr_at_5_fpr": 0.5, "min_dcf": 0.6, "cllr": 0.7,
                            "intervals": {"eer": [0.1, 0.2]}},
                    "unseen_generators": {"trials": 6, "eer": 0.3},
                    "unseen_in_mixed_sources": {"trials": 4, "eer": 0.4},
                }
            }
        },
        provenance={
            "commands": ["earwitness-convert bundle runs/x --out b"],
            "converter": {"tensorflow": "2.21.0"},
            "data": {"manifest_sha256": "ab" * 32, "train_sources": 7, "train_generators": 5,
                     "trials": {"train/bonafide": 1200, "train/spoof": 3400},
                     "train_licences": {"CC0": 3000, "not stated": 1600},
                     "train_sources_by_licence": {"CC0": ["a/b", "deb:c"], "not stated": ["d/e"]}},
            "runtime": "ai-edge-litert 2.1.0",
            "runtime_differences": {"tflite-runtime 2.14.0": {"float32": 0.0001}},
            "parameters": 120000,
            "multiply_accumulates": 24_000_000,
        },
    )
    card = model_card(description, {"float32": variant()}, "| parity |", ["First of its kind."])
    for words in (
        "# tiny 1.2.3",
        "First of its kind.",
        "| test-clean | all | 10 | 12.3% (10.0% to 20.0%) | 0.900 |",
        "| test-clean | unseen | 6 | 30.0% |",
        "sigmoid(2 x logit -1)",
        "chosen for at most 5.0% false alerts on val",
        "120,000 parameters, 24.0 million multiply-accumulates",
        "1,200 bona fide and 3,400 spoof recordings of 7 sources and 5 generators",
        "CC0 (3000), not stated (1600)",
        "- CC0: a/b, deb:c\n- not stated: d/e\n",
        "tflite-runtime 2.14.0 from it, in logit: float32 0.0001",
        "## Limits",
        "On sets that are not in that manifest nothing has been measured",
        "Apache-2.0",
        "| parity |",
        "earwitness-convert bundle runs/x --out b",
    ):
        assert words in card


def test_the_card_tells_groups_of_test_apart():
    def report(split: str, condition: str, eer: float | None) -> dict[str, object]:
        row = {"label": "spoof", "trials": 12, "eer": eer, "called_spoof": 0.25}
        return {
            "split": split,
            "condition": condition,
            "by_family": [{"family": "vocoder", **row}],
            "by_language": [{"language": "ja", **row}],
            "by_source": [{"source": "some/where", **row, "label": "bonafide"}],
        }

    reports = [
        report("test", "clean", 0.125), report("val", "clean", 0.5), report("test", "codec", None)
    ]
    card = model_card(DESCRIPTION, {"float32": variant()}, "", reports=reports)
    for words in (
        "| generator family | class | recordings | clean | codec |",
        "| vocoder | spoof | 12 | 12.5%, 25% | -, 25% |",
        "| ja | spoof | 12 | 12.5%, 25% |",
        "| some/where | bonafide | 12 | 12.5%, 25% |",
    ):
        assert words in card
    assert "50.0%" not in card


def test_a_run_without_results_is_said_to_have_none():
    card = model_card(DESCRIPTION, {"float32": variant()}, "")
    assert "No results were recorded with the run." in card
    assert "## Shortcuts" not in card and "## On what it errs" not in card


def test_the_audit_of_a_run_is_in_its_card():
    row = "| after | 2048 | 51.0% | yes |"
    card = model_card(DESCRIPTION, {"float32": variant()}, "", audit=row)
    assert "## Shortcuts" in card and row in card


def calibrated(cost: float, **more: float) -> dict[str, dict[str, float]]:
    return {"unseen_generators": {"trials": 6, "cllr": cost, **more}}


def card_of(conditions: dict[str, Any]) -> str:
    description = dataclasses.replace(DESCRIPTION, metrics={"conditions": conditions})
    return model_card(description, {"float32": ConvertedVariant(b"", 0.0, 0.1)}, "")


def test_the_card_says_in_which_conditions_of_test_probabilities_are_off():
    card = card_of({
        "test-clean": calibrated(0.43, min_cllr=0.40),
        "test-codec": calibrated(0.57, min_cllr=0.50),
        "test-replay": calibrated(0.66, min_cllr=0.50),
        "val": calibrated(0.90, min_cllr=0.10),
    })
    assert "| minDCF | Cllr | min Cllr |" in card
    assert "| test-codec | unseen | 6 |  |  |  |  |  | 0.570 | 0.500 |" in card
    assert "In test-codec, Cllr on unseen generators lies 14 % above its minimum." in card
    assert "In test-replay, Cllr on unseen generators lies 32 % above its minimum." in card
    assert "In test-clean" not in card and "In val" not in card


@pytest.mark.parametrize(
    "conditions",
    [
        {"test-clean": calibrated(0.43, min_cllr=0.40)},
        {"test-clean": calibrated(0.43)},
        {"test-clean": calibrated(0.43, min_cllr=0.0)},
        {"test-clean": {"all": {"trials": 6, "cllr": 0.9, "min_cllr": 0.1}}},
    ],
)
def test_the_card_says_nothing_of_probabilities_that_are_not_known_to_be_off(conditions):
    card = card_of(conditions)
    assert "above its minimum" not in card and "too sure" not in card


def made_of(**provenance: Any) -> str:
    description = dataclasses.replace(DESCRIPTION, provenance=provenance)
    card = model_card(description, {"float32": ConvertedVariant(b"", 0.0, 0.1)}, "")
    return card.split("## How to make it")[1]


def test_the_card_says_of_what_code_the_bundle_is():
    told = made_of(code="abc123", commands=["make model"])
    assert "Of the code at `abc123`" in told and "```\nmake model\n```" in told
    assert "changed" not in told


def test_the_card_says_when_the_code_was_not_that_of_its_revision():
    told = made_of(code="abc123-dirty", commands=["make model"])
    assert "Of the code at `abc123`" in told
    assert "Files had been changed since that revision." in told and "-dirty" not in told


def test_the_card_names_no_code_that_is_not_known():
    assert "code at" not in made_of(code="", commands=["make model"])


def test_the_shipped_card_has_every_section_that_a_card_can_have():
    row = {"family": "vocoder", "label": "spoof", "trials": 1, "eer": 0.1, "called_spoof": 0.2}
    report = {"split": "test", "condition": "clean", "by_family": [row]}
    full = model_card(DESCRIPTION, {"float32": variant()}, "", audit="| |", reports=[report])
    assert sections(SHIPPED_CARD.read_text(encoding="utf-8")) == sections(full)


def sections(card: str) -> list[str]:
    return [line for line in card.splitlines() if line.startswith("## ")]


def test_a_tiny_bundle_is_replaced_like_any_other(tmp_path):
    write(tiny_bundle(tmp_path / "b"), force=True)
    assert ModelBundle.load(tmp_path / "b").manifest.version == "1.2.3"
