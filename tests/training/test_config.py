from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge.errors import ConfigError
from training.augment import AugmentSettings
from training.config import CorpusSettings, RunSettings, read_settings, settings_from


def test_an_empty_configuration_is_all_defaults(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("")
    assert read_settings(tmp_path / "c.yaml") == RunSettings()


def test_nested_settings_and_corpora_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "epochs: 3\n"
        "model: {width: 0.5, stages: [8, 16], pools: [1, 0]}\n"
        "optimiser: {learning_rate: 1e-4}\n"
        "augmentation: {pitch: 0.3, pitch_semitones: [-1, 3.5], stretch_range: 0.2}\n"
        "corpora:\n  - {kind: folder, path: data}\n"
    )
    settings = read_settings(tmp_path / "c.yaml")
    assert settings.epochs == 3
    assert settings.model.stages == (8, 16)
    assert settings.optimiser.learning_rate == 1e-4
    assert settings.augmentation == AugmentSettings(
        pitch=0.3, pitch_semitones=(-1.0, 3.5), stretch_range=0.2
    )
    assert settings.corpora == (CorpusSettings("folder", "data"),)


def test_settings_can_be_overridden_by_name() -> None:
    settings = read_settings(
        None, ["model.width=0.25", "seed=7", "front_end.n_bands=64", "optimiser.learning_rate=1e-4"]
    )
    assert (settings.model.width, settings.seed, settings.front_end.n_bands) == (0.25, 7, 64)
    assert settings.optimiser.learning_rate == 1e-4
    assert settings.front_end.frame_hop == RunSettings().front_end.frame_hop


def test_a_setting_of_one_corpus_can_be_overridden(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("corpora: [{path: a.csv}, {path: b.csv}]\n")
    chosen = read_settings(tmp_path / "c.yaml", ["corpora.1.to_train=[x/y, z]"])
    assert [entry.to_train for entry in chosen.corpora] == [(), ("x/y", "z")]
    for wrong in ("corpora.2.audio=a", "corpora.first.audio=a", "corpora.1=a", "seed.b.c=1"):
        with pytest.raises(ConfigError, match=f"--set {wrong}"):
            read_settings(tmp_path / "c.yaml", [wrong])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("epoch: 3\n", "epoch"),
        ("seed: 1\nmodel:\n  widht: 1\n", "widht"),
        ("seed: 1\nmodel:\n  width: wide\n", "width"),
        ("augmentation: {noise: 2}\n", "noise"),
        ("loss: {name: p2sgrad}\n", "head"),
        ("val_conditions: [underwater]\n", "underwater"),
        ("[1, 2]", "c.yaml"),
        ("a: [", "YAML"),
    ],
)
def test_a_wrong_configuration_is_named_with_its_file(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_settings(path)
    assert complaint in str(raised.value) and "c.yaml" in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        read_settings(tmp_path / "absent.yaml")


@pytest.mark.parametrize("override", ["seed", "seed.x=1", "colour=red"])
def test_a_wrong_override_is_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        read_settings(None, [override])


def test_a_runs_settings_come_back_from_its_json() -> None:
    settings = read_settings(None, ["model.width=0.5", "false_alert_rate=null"])
    stored = json.loads(json.dumps(settings.to_dict()))
    assert settings_from(stored, "config.json") == settings


TELLING = """
front_end: {frame_hop: 160, n_fft: 512, win_length: 400}
model: {network: tdnn, stages: [8, 8], blocks: 1, first_stride: [4, 2]}
pool: {heard_weight: 1.0}
"""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("model.network=lcnn", "need the network 'tdnn'"),
        ("front_end.frame_hop=320", "frames of 80 ms; they are of 160 ms"),
        ("augmentation.spec_mix=0.5", "spec_mix"),
        ("pool.opinion_weight=1.0", "pool.teacher"),
        ("loss.name=p2sgrad", "head 'cosine'"),
    ],
)
def test_what_cannot_be_told_of_a_teacher_is_refused(
    tmp_path: Path, change: str, complaint: str
) -> None:
    path = tmp_path / "telling.yaml"
    path.write_text(TELLING)
    assert read_settings(path).pool.heard_weight == 1
    changes = [change, "model.pools=[1, 1]"]
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        read_settings(path, changes)
