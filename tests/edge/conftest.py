from __future__ import annotations

from pathlib import Path

import pytest

from tests.bundles import tiny_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle that calls treble a spoof; tests read it only."""
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")
