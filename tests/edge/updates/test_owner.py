"""The service's models stay the service's, whoever types the command."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PACKAGES = Path(__file__).resolve().parents[3]
SERVICE, SOMEBODY = 61001, 61002
PATHS = os.pathsep.join([str(PACKAGES), *site.getsitepackages()])
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATHS, "EARWITNESS_CONFIG": ""}


def start(python: str, words, uid: int, **options):
    who = {"user": uid, "group": uid, "extra_groups": []}
    command = [python, *map(str, words)]
    return subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, **who, **options
    )


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter of this version that every user may start."""
    if os.geteuid() != 0:
        pytest.skip("acting as several users needs root")
    program = f"import sys, edge.cli, tuf; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            if start(candidate, ["-c", program], SOMEBODY, cwd="/").returncode == 0:
                return candidate
        except OSError:
            continue
    pytest.skip("no interpreter that other users may start")


@pytest.fixture
def board(world):
    """A folder as the service's unit makes it: its own, and closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "lib").mkdir(mode=0o750)
    os.chown(folder / "lib", SERVICE, SERVICE)
    yield folder / "lib"
    shutil.rmtree(folder)


@pytest.fixture
def earwitness(python, board, world):
    """The command line as a user, standing in root's own folder, which is closed to others."""

    def run(uid: int, *words: object, status: int = 0) -> str:
        words = ("-m", "edge.cli", "model", "--store", board / "models", *words)
        done = start(python, words, uid, cwd=world.folder)
        said = done.stdout + done.stderr
        assert done.returncode == status and "Traceback" not in said, said
        return said

    return run


def test_what_root_installs_belongs_to_the_service_that_has_to_run_it(world, board, earwitness):
    world.publish("1.0.0")
    archive = world.export()
    archive.chmod(0o600)
    world.repo_folder.chmod(0o755)
    earwitness(0, "trust", world.repo_folder / "root.json")
    # From a folder that the service may not enter, such as somebody's home.
    assert "proven and now current" in earwitness(0, "install", "repo")
    assert "current already" in earwitness(0, "install", archive)
    found = [board / "models", *(board / "models").rglob("*")]
    assert len(found) > 10
    assert {path.lstat().st_uid for path in found} == {SERVICE}
    assert "whole" in earwitness(SERVICE, "verify")
    assert "quarantined" in earwitness(SERVICE, "rollback")


@pytest.mark.parametrize("word", ["status", "list", "verify", "trust", "rollback"])
def test_somebody_else_is_told_to_use_sudo(board, earwitness, word):
    said = earwitness(SOMEBODY, word, status=2)
    assert "belong to another user; put sudo before the command" in said


def test_a_folder_that_cannot_be_made_is_no_traceback(board, earwitness, world):
    board.chmod(0o755)
    root = (world.repo_folder / "root.json").read_bytes()
    (board.parent / "root.json").write_bytes(root)
    said = earwitness(SOMEBODY, "trust", board.parent / "root.json", status=2)
    assert "put sudo before the command" in said
