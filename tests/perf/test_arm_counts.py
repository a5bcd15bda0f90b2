"""Instruction counts by stage, and the gate on them."""

from __future__ import annotations

import copy

from perf.arm import counts

MARKERS = ("empty", "begin", "start", "log_mel", "gate", "network", "decision", "end", "whole")


def lines(*marks: tuple[str, int]) -> str:
    return "".join(f"{MARKERS.index(name)} {count}\n" for name, count in marks)


def hop(begin: int, log_mel: int, network: int) -> list[tuple[str, int]]:
    """One hop's markers, each of which costs 10 itself; 5 to keep the audio on either side."""
    steps = [("start", 5), ("log_mel", log_mel), ("gate", 7), ("log_mel", 3)]
    steps += [("network", network), ("decision", 4), ("end", 5)]
    marks = [("begin", begin)]
    for name, cost in steps:
        marks.append((name, marks[-1][1] + cost + 10))
    return marks


EMPTY = [("empty", 0), ("empty", 10), ("empty", 20), ("empty", 30)]


def test_stages_worked_by_hand():
    text = lines(*EMPTY, *hop(100, 40, 900), ("begin", 5000), ("whole", 5310))
    found = counts.stages(counts.parse(text, MARKERS), hops=1)
    assert found["log_mel"] == 43
    assert found["gate"] == 7
    assert found["inference"] == 900
    assert found["decision"] == 4
    assert found["accept"] == 10
    assert found["hop"] == 964
    assert found["log_mel_whole"] == 300


def test_only_the_last_hops_count_and_by_their_median():
    marks = [*EMPTY, *hop(100, 9999, 1), *hop(20000, 40, 1), *hop(30000, 42, 1), *hop(40000, 90, 1)]
    text = lines(*marks, ("begin", 50000), ("whole", 50010))
    assert counts.stages(counts.parse(text, MARKERS), hops=3)["log_mel"] == 45


RECORD = {
    "sha256": "a",
    "versions": {"numpy": "2"},
    "stages": {
        "inference": 40_000_000,
        "log_mel": 2_000_000,
        "decision": 50_000,
        "hop": 42_050_000,
    },
}
BASELINE = {"arm64": {"float32": RECORD}}


def changed(**changes) -> dict:
    measured = copy.deepcopy(BASELINE)
    record = measured["arm64"]["float32"]
    record["stages"].update({k: v for k, v in changes.items() if k in record["stages"]})
    record.update({k: v for k, v in changes.items() if k not in record["stages"]})
    return measured


def test_the_same_figures_pass():
    assert counts.regressions(BASELINE, BASELINE) == []


def test_two_percent_pass_and_more_does_not():
    assert counts.regressions(BASELINE, changed(inference=40_800_000)) == []
    (found,) = counts.regressions(BASELINE, changed(inference=40_800_001))
    assert found.startswith("arm64, float32, inference: 40.800 million")


def test_fewer_instructions_always_pass():
    assert counts.regressions(BASELINE, changed(inference=1, log_mel=1)) == []


def test_a_trifle_passes_whatever_its_share():
    assert counts.regressions(BASELINE, changed(decision=59_000)) == []


def test_another_model_is_not_held_against_the_old_one():
    assert counts.regressions(BASELINE, changed(inference=90_000_000, sha256="b")) == []
    assert len(counts.regressions(BASELINE, changed(log_mel=3_000_000, sha256="b"))) == 1


def test_other_versions_are_said():
    (found,) = counts.regressions(BASELINE, changed(versions={"numpy": "3"}))
    assert "numpy" in found


def test_what_has_no_baseline_is_said():
    assert "no baseline" in counts.regressions({}, BASELINE)[0]
