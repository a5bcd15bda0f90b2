"""Long recordings from short clips, and the alerts that they must not raise."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from training.long_audio import SourceTally, recordings, tally_markdown
from training.protocols import Trial


@pytest.fixture
def clips(tmp_path):
    trials = []
    for source, speaker, count in (("big", "a", 40), ("big", "b", 5), ("small", "c", 2)):
        for index in range(count):
            path = tmp_path / f"{source}-{speaker}-{index}.wav"
            soundfile.write(path, np.full(16000, 0.1, np.float32), 16000)
            trials.append(Trial(path.stem, path, source=source, speaker=speaker))
    return trials


def test_speakers_are_kept_apart_and_every_clip_is_heard_once(clips):
    made = list(recordings(clips, 1.0))
    assert sorted(source for source, _ in made) == ["big", "big", "small"]
    assert sum(len(samples) for _, samples in made) == 47 * (16000 + 4800)


def test_sources_take_turns_under_a_limit_of_hours(clips):
    made = list(recordings(clips, 30 / 3600))
    assert {source for source, _ in made} == {"big", "small"}


def test_the_table_tells_alerts_per_hour():
    text = tally_markdown([SourceTally("a", 3600, 1000, 50, 1), SourceTally("b", 3600, 0, 0, 0)])
    assert "0.50 false alerts per hour" in text
    assert "| a | 1.00 | 1000 | 5.0% | 1 |" in text
