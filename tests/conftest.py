"""What holds for all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair; speed is measured by benchmarks.
settings.register_profile("brief", deadline=None, max_examples=20)
settings.register_profile("thorough", deadline=None, max_examples=1000)  # for `make test-slow`
settings.load_profile("brief")

# These mostly wait for audio in real time: they begin first, beside those that compute.
WAITING = ("test_live.py", "test_end_to_end.py", "test_run.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that `--dist loadfile` does not end with one that is waited for."""
    items.sort(key=lambda item: item.path.name not in WAITING)
