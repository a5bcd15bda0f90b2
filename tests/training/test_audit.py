"""Can the class be told from what has nothing to do with the voice?"""

from __future__ import annotations

import numpy as np
import pytest

from training.audit import MEASURES, audit, audit_markdown, measures

RATE = 16000


def test_measures_see_duration_edge_silence_and_level():
    rng = np.random.default_rng(0)
    voice = rng.normal(0, 0.1, RATE).astype(np.float32)
    clip = np.concatenate([np.zeros(RATE // 2, np.float32), voice, np.zeros(RATE, np.float32)])
    found = dict(zip(MEASURES, measures(clip)))
    assert found["duration_s"] == pytest.approx(2.5)
    assert found["lead_s"] == pytest.approx(0.5, abs=0.03)
    assert found["tail_s"] == pytest.approx(1.0, abs=0.03)
    assert found["floor_db"] < -100
    quieter = dict(zip(MEASURES, measures(voice / 10)))
    assert quieter["rms_db"] == pytest.approx(-40, abs=0.5)


def test_measures_see_a_telephones_bandwidth():
    from training.augment import telephone

    voice = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    wide = dict(zip(MEASURES, measures(voice)))
    narrow = dict(zip(MEASURES, measures(telephone(voice, "none"))))
    assert wide["bandwidth_hz"] > 7500
    assert narrow["rolloff_hz"] < 4000


def sources(count, of):
    return [f"{of}{index % 10}" for index in range(count)]


def test_a_confounded_corpus_is_found_out():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 200)
    inputs = rng.normal(0, 1, (400, 3))
    inputs[:, 0] += 3 * labels
    result = audit(inputs, labels, sources(200, "a") + sources(200, "b"), "before")
    assert result.accuracy > 0.85 and not result.passes


def test_a_corpus_without_shortcuts_passes():
    rng = np.random.default_rng(2)
    labels = np.tile([0, 1], 1000)
    names = [f"s{index % 40}" for index in range(2000)]
    result = audit(rng.normal(0, 1, (2000, 3)), labels, names, "after")
    assert result.passes
    assert "| after | 2000 |" in audit_markdown([result])


def test_one_class_alone_cannot_be_audited():
    with pytest.raises(ValueError, match="both"):
        audit(np.zeros((4, 2)), np.zeros(4), list("abcd"), "before")
