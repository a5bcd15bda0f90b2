"""Every event is one that the documentation explains."""

from __future__ import annotations

import re
from pathlib import Path

from edge.audio.block import EVENT_KINDS

ROOT = Path(__file__).parents[3]


def test_the_documentation_explains_every_event():
    table = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/audio.md").read_text(), re.MULTILINE)
    assert table == list(EVENT_KINDS)


def test_no_event_is_told_that_is_not_listed():
    code = "".join(path.read_text() for path in (ROOT / "edge/audio").glob("*.py"))
    told = re.findall(r'(?:CaptureError|_lose|_give_up|_incident|return)\(?\s*"([a-z-]+)",', code)
    assert {"absent", "stalled", "gap", "crashed"} <= set(told) <= set(EVENT_KINDS)
