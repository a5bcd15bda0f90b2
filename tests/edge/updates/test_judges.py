"""Who judges: a model is left when it gives nothing any more, or does not fit the settings."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from edge.alerts.settings import MqttSettings
from edge.config import AlertsSettings, Config, DetectionSettings
from edge.errors import ConfigError
from edge.judges import Models
from edge.updates.health import WindowOutcome
from edge.updates.settings import UpdateSettings
from edge.updates.store import ReleaseStore
from edge.updates.watch import FAULTS_IN_A_ROW
from tests.edge.updates.bundles import write_bundle

SCORED = WindowOutcome(0.01, True, False)
SILENT = WindowOutcome(0.01, True, None)
FAULT = WindowOutcome(0.01, False, None)


@pytest.fixture
def models(tmp_path):
    """Two committed releases, the second in use, and nothing on trial."""
    store = ReleaseStore(tmp_path / "store")
    for version in ("1.0.0", "1.1.0"):
        bundle = write_bundle(tmp_path / version, version)
        with store.installing():
            staged = store.staging()
            shutil.copytree(bundle, staged, dirs_exist_ok=True)
            release = store.add(staged)
        store.activate(release, 0.0)
        store.commit(release)
    config = replace(Config(), updates=UpdateSettings(store=store.root))
    said: list[str] = []
    models = Models(config, said.append)
    assert models.take(config).judge.model == "tiny 1.1.0"
    return models, config, said


def test_a_proven_model_that_turns_mute_gives_way_to_the_last_good_one(models):
    models, config, said = models
    for _ in range(FAULTS_IN_A_ROW):
        assert not models.changed()
        models.note(FAULT)
        models.note(SILENT)  # a pause in the speech does not make it well
    assert models.changed() and models.take(config).judge.model == "tiny 1.0.0"
    assert any("without a finite score" in sentence for sentence in said)
    assert next(iter(models.status(config)["quarantine"])).startswith("1.1.0-")


def test_a_fault_now_and_then_is_forgiven(models):
    models, _, _ = models
    for _ in range(3 * FAULTS_IN_A_ROW):
        models.note(FAULT)
        models.note(SCORED)
    assert not models.changed()


def test_where_there_is_no_other_model_the_device_says_that_it_is_mute(tmp_path):
    config = replace(Config(), updates=UpdateSettings(store=tmp_path / "none"))
    said: list[str] = []
    models = Models(config, said.append)
    models.take(config)
    for _ in range(FAULTS_IN_A_ROW):
        assert not models.mute and models.status(config)["health"] == "built-in"
        models.note(FAULT)
    assert models.mute and models.status(config)["health"] == "mute"
    assert said == [models.status(config)["error"]]
    models.note(SCORED)
    assert not models.mute and models.status(config)["error"] is None
    assert said[1:] == ["The model gives scores again."]


def test_a_model_on_trial_that_does_not_fit_the_settings_is_sent_back(models, tmp_path):
    models, config, _ = models
    store = ReleaseStore(config.updates.store)
    bundle = write_bundle(tmp_path / "1.2.0", "1.2.0")
    with store.installing():
        staged = store.staging()
        shutil.copytree(bundle, staged, dirs_exist_ok=True)
        store.activate(store.add(staged), 0.0)
    fitting = config.detection
    config = replace(config, detection=DetectionSettings(window_s=60.0))
    # These settings fit no model, so that the proven one is not blamed.
    with pytest.raises(ConfigError):
        models.take(config)
    quarantine = models.status(config)["quarantine"]
    assert [name.split("-")[0] for name in quarantine] == ["1.2.0"]
    config = replace(config, detection=fitting)
    assert models.take(config).judge.model == "tiny 1.1.0"


def test_a_name_given_for_mqtt_is_the_devices_name_everywhere(models):
    models, config, _ = models
    named = AlertsSettings(mqtt=MqttSettings(device_id="hall"))
    assert models.status(replace(config, alerts=named))["device"] == "hall"
