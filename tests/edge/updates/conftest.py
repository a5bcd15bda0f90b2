"""Fixtures: a repository with a published model, and a device that trusts it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

# The tests are no packages, so what they share is loaded by its path, once.
for _name in ("bundles", "world", "services"):
    _spec = importlib.util.spec_from_file_location(
        f"updates_{_name}", Path(__file__).parent / f"{_name}.py"
    )
    _module = importlib.util.module_from_spec(_spec)
    sys.modules[_spec.name] = _module
    _spec.loader.exec_module(_module)

from updates_world import World  # noqa: E402


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A repository that offers the good model 1.0.0, and a device that trusts it."""
    return World(tmp_path)
