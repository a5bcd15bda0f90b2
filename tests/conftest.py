"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes is the machine's affair; speed is measured by benchmarks.
settings.register_profile("earwitness", deadline=None)
settings.load_profile("earwitness")
