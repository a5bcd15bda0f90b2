"""`earwitness model ...` as people type it."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.edge.updates.services import Sshd

SCRIPT = Path(__file__).with_name("earwitness.py")


@pytest.fixture(scope="module")
def command():
    spec = importlib.util.spec_from_file_location("updates_command", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run


@pytest.fixture
def run(world, command, capsys):
    def run(*words: object, status: int = 0) -> str:
        capsys.readouterr()
        assert command(world.settings.store, [str(word) for word in words]) == status
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return said.out if status == 0 else said.out + said.err

    return run


def test_a_model_from_install_to_rollback(world, run):
    world.publish("1.0.0")
    assert "proven and now current" in run("model", "install", world.repo_folder)
    assert "current already" in run("model", "install", world.export())
    world.store.commit(world.store.current())
    world.publish("1.1.0", "better")
    run("model", "install", world.export())
    text = run("model", "list")
    assert "previous" in text and "current, on trial" in text
    assert "whole" in run("model", "verify")
    assert "quarantined" in run("model", "rollback")
    assert "quarantined  1.1.0-" in run("model", "status")
    assert world.store.current().startswith("1.0.0-")
    assert "failed on this device" in run("model", "install", world.repo_folder, status=2)
    assert "proven" in run("model", "install", world.repo_folder, "--forgive")


def test_a_chosen_model_is_held_until_updates_may_go_on(world, run):
    world.publish("1.0.0")
    run("model", "pull", "--url", world.repo_folder)
    world.publish("1.1.0")
    assert "is current and held" in run("model", "use", "1.0.0")
    assert "is held" in run("model", "pull", "--url", world.repo_folder)
    run("model", "use", "latest")
    assert "proven" in run("model", "pull", "--url", world.repo_folder)
    assert "not installed" in run("model", "use", "9.9.9", status=2)


def test_an_installed_model_can_be_gone_back_to_by_hand(world, run):
    for version in ("1.0.0", "1.1.0"):
        world.publish(version)
        run("model", "install", world.repo_folder)
    run("model", "use", "1.0.0")
    assert world.store.current().startswith("1.0.0-") and world.store.pending() is None


def test_pulling_twice_says_that_nothing_is_new(world, run):
    world.publish("1.0.0")
    run("model", "pull", "--url", world.repo_folder)
    assert "current already" in run("model", "pull", "--url", world.repo_folder)


def test_status_as_json_is_what_devices_publish(world, run):
    world.publish("1.0.0")
    run("model", "install", world.repo_folder)
    document = json.loads(run("model", "status", "--json"))
    assert document["device"] == "device-1" and document["health"] == "on trial"
    assert document["version"] == "1.0.0" and document["error"] is None


def test_an_archive_can_come_from_standard_input(world, run, monkeypatch):
    world.publish("1.0.0")
    stdin = SimpleNamespace(buffer=io.BytesIO(world.export().read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    answer = json.loads(run("model", "install", "--json", "-"))
    assert answer["ok"] and answer["release"] == world.store.current()


def test_a_damaged_model_is_found(world, run):
    world.publish("1.0.0")
    run("model", "install", world.repo_folder)
    path = world.store.path(world.store.current()) / "CARD.md"
    path.write_text(path.read_text().replace("A", "B"))
    assert "differs from the SHA-256" in run("model", "verify", status=1)


def test_the_trusted_root_is_shown_and_changed_only_on_purpose(world, run, tmp_path):
    assert "1 of 1 keys" in run("model", "trust")
    other = type(world)(tmp_path / "other")
    root = other.repo_folder / "root.json"
    assert "already pins another root" in run("model", "trust", root, status=2)
    run("model", "trust", root, "--replace")
    other.publish("1.0.0")
    run("model", "install", other.repo_folder)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]", b'{"signed": {}}', b"null"])
def test_what_is_no_root_is_not_trusted(world, run, tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    before = (world.store.root / "root.json").read_bytes()
    assert "not valid root metadata" in run("model", "trust", tmp_path / "x.json", status=2)
    assert (world.store.root / "root.json").read_bytes() == before


def test_a_device_without_a_trusted_root_says_what_to_do(command, tmp_path, capsys):
    assert command(tmp_path / "fresh", ["model", "install", str(tmp_path)]) == 2
    assert "earwitness model trust" in capsys.readouterr().err


def test_an_empty_device(command, tmp_path, capsys):
    for words, says in (
        (["list"], "built-in one is in use"),
        (["status"], "built-in"),
        (["verify"], "No model is installed"),
    ):
        assert command(tmp_path / "fresh", ["model", *words]) == 0
        assert says in capsys.readouterr().out
    assert command(tmp_path / "fresh", ["model", "rollback"]) == 2
    assert command(tmp_path / "fresh", ["model", "pull"]) == 2
    assert "updates.url" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["/no/such/file", "/etc/hostname", "/dev/null", "/", "/root"])
def test_what_is_no_source_is_a_sentence(run, source):
    assert "earwitness: " in run("model", "install", source, status=2)


def test_a_push_prints_a_table(world, run, tmp_path):
    world.publish("1.0.0")
    folder = tmp_path / "sshd"
    folder.mkdir()
    with Sshd(folder).serving() as sshd:
        words = ("--ssh", " ".join(sshd.ssh), "--remote", f"{sys.executable} {SCRIPT}")
        store = f" {world.settings.store}"
        push = ("model", "push", world.repo_folder, sshd.host, "x@no-such-host.invalid")
        text = run(*push, *words[:3], words[3] + store, status=1)
    lines = text.splitlines()
    assert lines[0].split() == ["host", "ok", "release", "message"]
    assert " yes " in lines[1] and " no " in lines[2]


@pytest.mark.parametrize(
    "mistake", [("--ssh", ""), ("--ssh", "'"), ("--remote", ""), ("--timeout-s", "0")]
)
def test_a_push_that_cannot_be_run_is_a_sentence(world, run, mistake):
    world.publish("1.0.0")
    said = run("model", "push", world.repo_folder, "pi", *mistake, status=2)
    assert said.startswith("earwitness: --") and said.count("\n") == 1


def test_status_needs_neither_python_tuf_nor_a_runtime(world, tmp_path):
    program = (
        "import sys\n"
        "for name in ('tuf', 'urllib3', 'ai_edge_litert', 'tflite_runtime', 'soundfile'):\n"
        "    sys.modules[name] = None\n"
        f"sys.argv = ['earwitness', {str(world.settings.store)!r}, 'model', 'status']\n"
        f"import runpy; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


def test_without_python_tuf_an_installation_says_what_to_install(world, tmp_path):
    program = (
        "import sys\nsys.modules['tuf'] = None\n"
        f"sys.argv = ['earwitness', {str(world.settings.store)!r}, 'model', 'install', '/tmp']\n"
        f"import runpy; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert child.returncode == 2 and "pip install 'earwitness[update]'" in child.stderr
    assert "Traceback" not in child.stderr
