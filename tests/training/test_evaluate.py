"""What is said about scored trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.calibrate import Calibration
from training.evaluate import PARTS, Scored, of_generators, report, report_text
from training.protocols import Trial


def trial(name: str, source: str, generator: str = "") -> Trial:
    label = "spoof" if generator else "bonafide"
    return Trial(id=name, path=Path(name), label=label, source=source, generator=generator)


@pytest.fixture
def scored() -> Scored:
    """A demo page whose recordings are not told apart, and two sources of one class that are."""
    trials = [trial(f"game{i}", "game") for i in range(6)]
    trials += [trial(f"tts{i}", "tts", "new") for i in range(6)]
    trials += [trial(f"real{i}", "demo") for i in range(4)]
    trials += [trial(f"copy{i}", "demo", "new") for i in range(4)]
    trials += [trial("known", "demo", "old")]
    logits = [-3.0] * 6 + [3.0] * 6 + [-1, 0, 1, 2] * 2 + [2.5]
    return Scored(trials, np.array(logits, np.float64))


def test_mixed_sources_show_what_the_kind_of_recording_gives_away(scored: Scored) -> None:
    made = report(scored, Calibration(), 0.5, is_seen=of_generators(["old"]), draws=5)
    counts = {name: (made[name]["trials"], made[name]["spoofs"]) for name in PARTS}
    assert counts == {
        "all": (21, 11),
        "unseen_generators": (20, 10),
        "unseen_in_mixed_sources": (8, 4),
        "seen_generators": (11, 1),
    }
    assert made["unseen_in_mixed_sources"]["auc"] == pytest.approx(0.5)
    assert made["unseen_generators"]["auc"] > 0.8
    assert "## Unseen in mixed sources" in report_text(made, "Results")


def test_without_mixed_sources_that_part_says_so(scored: Scored) -> None:
    apart = scored.where(lambda t: t.source != "demo")
    made = report(apart, Calibration(), 0.5, draws=5)
    assert made["unseen_in_mixed_sources"] is None and made["unseen_generators"]["auc"] == 1
    assert "No trials of both classes." in report_text(made, "Results")
