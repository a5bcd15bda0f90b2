"""What is said about scored trials."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge.bundle import ModelBundle
from edge.features import window_features
from edge.inference import open_scorer
from edge.windows import fit_window
from tests.bundles import FRONT_END, WINDOW_SAMPLES, tiny_bundle, voice, whisper
from training.calibrate import Calibration
from training.cli import main
from training.config import RunSettings
from training.errors import CorpusError
from training.evaluate import (
    PARTS,
    Scored,
    evaluate_bundle,
    of_generators,
    report,
    report_text,
    write_json,
)
from training.protocols import Trial


def trial(name: str, source: str, generator: str = "") -> Trial:
    label = "spoof" if generator else "bonafide"
    return Trial(id=name, path=Path(name), label=label, source=source, generator=generator)


@pytest.fixture
def scored() -> Scored:
    """A demo page whose recordings are not told apart, and two sources of one class that are."""
    trials = [trial(f"game{i}", "game") for i in range(6)]
    trials += [trial(f"tts{i}", "tts", "new") for i in range(6)]
    trials += [trial(f"real{i}", "demo") for i in range(4)]
    trials += [trial(f"copy{i}", "demo", "new") for i in range(4)]
    trials += [trial("known", "demo", "old")]
    logits = [-3.0] * 6 + [3.0] * 6 + [-1, 0, 1, 2] * 2 + [2.5]
    return Scored(trials, np.array(logits, np.float64))


def test_mixed_sources_show_what_the_kind_of_recording_gives_away(scored: Scored) -> None:
    made = report(scored, Calibration(), 0.5, is_seen=of_generators(["old"]), draws=5)
    counts = {name: (made[name]["trials"], made[name]["spoofs"]) for name in PARTS}
    assert counts == {
        "all": (21, 11),
        "unseen_generators": (20, 10),
        "unseen_in_mixed_sources": (8, 4),
        "seen_generators": (11, 1),
    }
    assert made["unseen_in_mixed_sources"]["auc"] == pytest.approx(0.5)
    assert made["unseen_generators"]["auc"] > 0.8
    assert "## Unseen in mixed sources" in report_text(made, "Results")


def test_without_mixed_sources_that_part_says_so(scored: Scored) -> None:
    apart = scored.where(lambda t: t.source != "demo")
    made = report(apart, Calibration(), 0.5, draws=5)
    assert made["unseen_in_mixed_sources"] is None and made["unseen_generators"]["auc"] == 1
    assert "No trials of both classes." in report_text(made, "Results")


@pytest.fixture
def speech(tmp_path: Path) -> list[Trial]:
    """Human speech of two sources, and spoofs of two generators."""
    trials = []
    for index in range(8):
        samples = (whisper if index % 2 else voice)(6.0, index)
        name = f"generator-{index // 4}" if index % 2 else f"person-{index // 4}"
        path = tmp_path / "audio" / ("spoof" if index % 2 else "bonafide") / name / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, 16000)
        generator = name if index % 2 else ""
        trials.append(
            Trial(
                str(index), path, label="spoof" if generator else "bonafide", source=name,
                generator=generator,
            )
        )  # fmt: skip
    return trials


@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_a_bundle_is_scored_in_the_form_that_is_named(
    variant: str, speech: list[Trial], tmp_path: Path
) -> None:
    folder = tiny_bundle(tmp_path / "bundle", variants=("float32", "int8"))
    bundle = ModelBundle.load(folder, variant)
    seen = of_generators(["generator-0"])
    made = evaluate_bundle(bundle, speech, tmp_path / "cache", seen, scope="middle")
    assert made["variant"] == variant and made["all"]["trials"] == 8
    assert made["unseen_generators"]["spoofs"] == made["seen_generators"]["spoofs"] == 2
    assert made["all"]["eer"] == 0 and made["all"]["intervals"]["eer"] == (0, 0)
    scorer, logits = open_scorer(bundle), []
    for one in speech:
        samples = soundfile.read(one.path, dtype="float32")[0]
        first = (len(samples) - WINDOW_SAMPLES) // 2
        window = fit_window(samples[first : first + WINDOW_SAMPLES], WINDOW_SAMPLES, "repeat")
        logits.append(scorer.score(window_features(window, FRONT_END)))
    stored = bundle.manifest.calibration
    calibration = Calibration(stored.scale, stored.offset)
    threshold = np.nextafter(bundle.manifest.operating_point.threshold, 1.0)
    expected = report(Scored(speech, np.array(logits)), calibration, float(threshold), seen)
    assert made["all"] == expected["all"] and made["by_source"] == expected["by_source"]


def test_a_bundle_is_not_scored_on_nothing(tmp_path: Path) -> None:
    bundle = ModelBundle.load(tiny_bundle(tmp_path / "bundle"))
    with pytest.raises(CorpusError, match="no trials"):
        evaluate_bundle(bundle, [], tmp_path, of_generators([]))


def test_the_command_reports_on_a_bundle_beside_it_and_not_in_it(
    tone_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = tiny_bundle(tmp_path / "bundle"), tmp_path / "run"
    run.mkdir()
    write_json(run / "config.json", RunSettings().to_dict())
    write_json(run / "data.json", {"train_generators": ["spoof-0"]})
    words = ["evaluate-bundle", str(folder), "--folder", str(tone_corpus), "--seen-by", str(run)]
    words += ["--cache", str(tmp_path / "cache"), "--condition", "telephone", "--out"]
    assert main([*words, str(tmp_path / "int8.md")]) == 0
    title = "float32 on test, telephone, file"
    assert title in capsys.readouterr().out
    assert title in (tmp_path / "int8.md").read_text()
    made = json.loads((tmp_path / "int8.json").read_text())
    assert (made["split"], made["condition"]) == ("test", "telephone")
    before = sorted(folder.iterdir())
    assert main([*words, str(folder / "int8.md")]) == 1
    assert "outside it" in capsys.readouterr().err and sorted(folder.iterdir()) == before
