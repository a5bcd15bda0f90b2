"""Proof in a child process: signed but bad bundles do not get past it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from edge.errors import UpdateError
from edge.features import FrontEnd
from edge.updates.proof import CHILD, PACKAGES, ProofSettings, prove
from tests.edge.updates.bundles import FRONT_END, write_bundle


def test_a_good_bundle_passes_and_says_what_was_measured(tmp_path):
    proof = prove(write_bundle(tmp_path / "b"), ProofSettings())
    assert abs(proof.golden_measured - proof.golden_logit) < 0.05
    assert 0 <= proof.latency_s < 0.5 * proof.hop_s and proof.hop_s == 0.25


@pytest.mark.parametrize(
    ("network", "golden_offset", "says"),
    [
        ("good", 0.2, "golden clip scores"),
        ("never_a_number", 0.0, "golden clip scores nan"),
        ("wrong_shape", 0.0, "its network takes 50 of 20"),
        ("slow", 0.0, "CPU time, more than 50% of the hop"),
    ],
)
def test_a_broken_bundle_fails(tmp_path, network, golden_offset, says):
    bundle = write_bundle(tmp_path / "b", network=network, golden_offset=golden_offset)
    with pytest.raises(UpdateError, match=says):
        prove(bundle, ProofSettings())


def test_another_front_end_fails(tmp_path):
    other = FrontEnd(**{**FRONT_END.to_dict(), "fmin_hz": 50.0})
    bundle = write_bundle(tmp_path / "b", front_end=other)
    with pytest.raises(UpdateError, match="another front end"):
        prove(bundle, ProofSettings())


def test_a_golden_clip_that_is_no_sound_fails(tmp_path):
    bundle = write_bundle(tmp_path / "b", golden_file="CARD.md")
    with pytest.raises(UpdateError, match="golden clip cannot be read"):
        prove(bundle, ProofSettings())


def test_a_proof_that_takes_too_long_is_ended(tmp_path):
    bundle = write_bundle(tmp_path / "b")
    with pytest.raises(UpdateError, match="not proven within"):
        prove(bundle, ProofSettings(timeout_s=0.05))


def test_a_proof_that_computes_too_long_is_ended_by_the_kernel(tmp_path):
    bundle = write_bundle(tmp_path / "b", network="slow")
    with pytest.raises(UpdateError, match="more than 1 s of CPU time"):
        prove(bundle, ProofSettings(cpu_s=1), hop_s=1000.0)


def test_a_proof_that_swells_is_ended(tmp_path):
    bundle = write_bundle(tmp_path / "b")
    with pytest.raises(UpdateError, match="more than 2 MB"):
        prove(bundle, replace(ProofSettings(), memory_mb=2))


def test_the_child_writes_nothing(tmp_path):
    bundle = write_bundle(tmp_path / "b")
    before = sorted(tmp_path.rglob("*"))
    prove(bundle, ProofSettings())
    assert sorted(tmp_path.rglob("*")) == before


def test_the_working_folder_of_whoever_asks_plays_no_part(tmp_path, monkeypatch):
    bundle = write_bundle(tmp_path / "b")
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge/__init__.py").write_text("raise SystemExit('not ours')")
    (tmp_path / "numpy.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    assert prove(bundle.relative_to(tmp_path), ProofSettings())


def test_the_child_says_what_is_wrong_in_json(tmp_path):
    request = {"folder": str(tmp_path), "variant": None, "hop_s": None}
    settings = {"timeout_s": 99, "cpu_s": 99, "memory_mb": 512, "hop_share": 0.5}
    command = [sys.executable, "-c", CHILD, str(PACKAGES), json.dumps({**request, **settings})]
    child = subprocess.run(command, capture_output=True, check=True)
    assert "is not a model bundle" in json.loads(child.stdout)["refused"]
