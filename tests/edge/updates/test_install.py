"""From a source to the current model, and every way to be refused."""

from __future__ import annotations

from edge.updates.proof import prove


def test_a_published_model_becomes_current_and_is_on_trial(world):
    world.publish("1.0.0")
    outcome = world.install(prove_bundle=prove)
    assert outcome.changed and world.store.current() == outcome.release
    assert outcome.release.startswith("1.0.0-")
    assert world.store.pending().release == outcome.release
    assert world.store.verify(outcome.release).manifest.version == "1.0.0"


def test_the_exported_file_installs_like_the_folder(world):
    world.publish("1.0.0")
    assert world.install(world.export()).changed
