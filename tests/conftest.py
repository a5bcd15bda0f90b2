"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes is the machine's affair; speed is measured by benchmarks.
settings.register_profile("brief", deadline=None, max_examples=20)
settings.register_profile("thorough", deadline=None, max_examples=1000)  # for `make test-slow`
settings.load_profile("brief")
