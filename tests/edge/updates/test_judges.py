"""Who judges: a model that was proven long ago is left when it gives nothing any more."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from edge.config import Config
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
