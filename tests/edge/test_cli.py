"""What people see who make a mistake: one sentence, a status of 2, and never a traceback."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge import __version__
from tests.bundles import RATE_HZ, tiny_bundle, voice
from tests.processes import COMMAND, clean_environment, earwitness

DEAF = {"PULSE_SERVER": "unix:/nonexistent"}
CARDS = Path("/proc/asound/cards")
has_card = CARDS.exists() and "no soundcards" not in CARDS.read_text()
without_card = pytest.mark.skipif(has_card, reason="this machine has a sound card")


def complaint(*arguments: str | Path, **environment: str) -> str:
    """The one sentence of a command that fails."""
    done = earwitness(*arguments, environment=environment)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("earwitness: ")]
    assert len(sentences) == 1, done.stderr
    return sentences[0]


def test_help_names_every_command_and_the_exit_states() -> None:
    done = earwitness("--help")
    assert done.returncode == 0
    for word in ("run", "score", "devices", "config", "benchmark", "model", "fleet", "Exit status"):
        assert word in done.stdout


def test_help_is_fast_because_it_imports_no_numpy() -> None:
    script = (
        "import sys; from edge import cli; cli.build_parser(None); print('numpy' in sys.modules)"
    )
    done = subprocess.run(
        [COMMAND[0], "-c", script], env=clean_environment(), capture_output=True, check=True
    )
    assert done.stdout.strip() == b"False"


def test_the_version_is_that_of_the_package() -> None:
    assert earwitness("--version").stdout == f"earwitness {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("sing",), ("score",), ("run", "--format", "xml")])
def test_a_command_line_that_makes_no_sense_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    done = earwitness(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: earwitness")


# Bundles ------------------------------------------------------------------------------------------


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _no_network(folder: Path) -> None:
    (folder / "model.float32.tflite").unlink()


def _flipped_bit(folder: Path) -> None:
    path = folder / "model.float32.tflite"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def _not_json(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def _older_front_end(folder: Path) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    document["front_end_fingerprint"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (shutil.rmtree, "is not a model bundle"),
        (_no_manifest, "is not a model bundle"),
        (_no_network, "lacks 'model.float32.tflite'"),
        (_flipped_bit, "differs from the SHA-256"),
        (_not_json, "is not a valid manifest"),
        (_older_front_end, "was made for another front end"),
    ],
)
@pytest.mark.parametrize("command", ["run", "score"])
def test_a_bundle_that_is_missing_or_damaged_is_refused(
    command: str, damage: Callable[[Path], None], expected: str, tmp_path: Path
) -> None:
    folder = tiny_bundle(tmp_path / "bundle")
    damage(folder)
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, voice(5.0), RATE_HZ)
    source = ["--source", clip] if command == "run" else [clip]
    assert expected in complaint(command, "--model", folder, *source)


# Audio --------------------------------------------------------------------------------------------


def _wav(path: Path) -> bytes:
    soundfile.write(path, voice(6.0), RATE_HZ)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("missing", "no such file"),
        ("empty", "is empty"),
        ("truncated", "is truncated"),
        ("text", "not audio"),
        ("nan", "not numbers"),
        ("folder", "is a directory"),
    ],
)
def test_a_recording_that_cannot_be_read_ends_the_run(
    name: str, expected: str, bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    if name == "empty":
        path.touch()
    elif name == "truncated":
        path.write_bytes(_wav(path)[:90_000])
    elif name == "text":
        path.write_text("I am not a recording")
    elif name == "nan":
        soundfile.write(path, np.full(99_000, np.nan, np.float32), RATE_HZ, subtype="FLOAT")
    elif name == "folder":
        path.mkdir()
    assert expected in complaint("run", "--model", bundle, "--source", path)


@without_card
def test_without_a_microphone_the_run_ends_with_a_sentence(bundle: Path) -> None:
    assert "no audio input" in complaint("run", "--model", bundle, **DEAF)
    assert "No microphone was found" in complaint("devices", **DEAF)


@without_card
def test_a_device_that_is_not_there_is_named(bundle: Path) -> None:
    told = complaint("run", "--model", bundle, "--source", "mic:Nonesuch", **DEAF)
    assert "Nonesuch" in told or "no audio input" in told


def test_raw_audio_without_a_pipe_is_told(bundle: Path) -> None:
    assert "without any audio" in complaint("run", "--model", bundle, "--source", "-")


# Configuration ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "config check", "explain-config"])
def test_a_bad_configuration_is_explained_by_line(command: str, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("detection:\n  hop_s: soon\n  hops: 2\n")
    arguments = command.split() + ([] if "check" in command else ["--config"])
    done = earwitness(*arguments, path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "line 2: detection.hop_s: must be a number" in done.stderr
    assert "line 3: detection.hops: unknown key; did you mean hop_s?" in done.stderr


def test_a_bad_variable_is_named(bundle: Path) -> None:
    told = complaint("run", "--model", bundle, EARWITNESS_DECISION__TRESHOLD="0.5")
    assert "EARWITNESS_DECISION__TRESHOLD" in told
    assert "did you mean threshold?" in told


def test_a_good_configuration_is_said_to_be_valid(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(earwitness("config", "example").stdout)
    done = earwitness("config", "check", path)
    assert (done.returncode, done.stdout) == (0, f"{path} is valid.\n")


def test_the_schema_is_json() -> None:
    schema = json.loads(earwitness("config", "schema").stdout)
    assert schema["properties"]["decision"]["properties"]["threshold"]["exclusiveMaximum"] == 1.0


def test_the_rule_is_explained_in_a_sentence(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("decision: {threshold: 0.82, cooldown_s: 30}\n")
    told = earwitness("explain-config", "--config", path, "--model", bundle).stdout
    for words in ("exceeds 0.82", "3 of the last 5 windows", "30 s", "5 s of audio every 1 s"):
        assert words in told


def test_a_reader_that_leaves_early_is_no_error(bundle: Path) -> None:
    done = subprocess.run(
        f"{COMMAND[0]} -m edge.cli config example | head -1",
        shell=True,
        env=clean_environment(),
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    assert done.stdout.startswith(b"# Earwitness")
