"""Fixtures: a repository with a published model, and a device that trusts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.edge.updates.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A repository that offers the good model 1.0.0, and a device that trusts it."""
    return World(tmp_path)
