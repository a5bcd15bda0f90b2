"""The command as people run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import edge.benchmark
from edge.benchmark import compare, table
from edge.benchmark.__main__ import run
from edge.errors import BundleError, EdgeError
from tests.bundles import tiny_bundle

SCHEMA = json.loads((Path(edge.benchmark.__file__).parent / "schema.json").read_text())


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> tuple[Path, str]:
    """A real run over two variants: its JSON file and what it printed."""
    folder = tmp_path_factory.mktemp("benchmark")
    bundle = tiny_bundle(folder / "tiny", variants=("float32", "int8"))
    command = [sys.executable, "-m", "edge.benchmark", "--model", str(bundle)]
    command += ["--variant", "all", "--seconds", "0.2", "--json", str(folder / "out.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "out.json", done.stdout


def test_the_json_obeys_its_schema(measured):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(measured[0].read_text()), SCHEMA)


def test_every_variant_is_measured_on_windows_that_reached_the_network(measured):
    runs = json.loads(measured[0].read_text())["runs"]
    assert [run["model"]["variant"] for run in runs] == ["float32", "int8"]
    for entry in runs:
        assert entry["windows"] >= 20
        assert entry["graph"]["partitions"] == 1
        assert entry["hop_s"] == 1.0


def test_stages_add_up_to_the_end_to_end_figure(measured):
    for entry in json.loads(measured[0].read_text())["runs"]:
        cpu_ms = {name: stage["cpu_ms"]["mean"] for name, stage in entry["stages"].items()}
        whole = cpu_ms.pop("end_to_end")
        cpu_ms.pop("log_mel_whole")
        assert sum(cpu_ms.values()) == pytest.approx(whole, rel=0.3)


def test_new_frames_cost_less_than_the_whole_window(measured):
    for entry in json.loads(measured[0].read_text())["runs"]:
        stages = entry["stages"]
        assert stages["log_mel"]["cpu_ms"]["p50"] < stages["log_mel_whole"]["cpu_ms"]["p50"]


def test_the_table_shows_each_stage_each_run_and_the_board(measured):
    printed = measured[1]
    for label in table.STAGES.values():
        assert printed.count(label) >= 2
    assert "Side by side" in printed
    assert "real-time factor" in printed
    assert "kernel" in printed
    assert "\x1b" not in printed


def test_a_board_that_tells_nothing_is_shown_as_unknown(measured):
    document = json.loads(measured[0].read_text())
    for moment in ("before", "after"):
        board = document["board"][moment]
        document["board"][moment] = {**dict.fromkeys(board), "architecture": "x", "kernel": "y"}
    for entry in document["runs"]:
        entry["graph"] = entry["peak_rss_mb"] = None
    shown = table.text(document)
    assert "temperature unknown -> unknown, throttling unknown -> unknown" in shown
    assert "None" not in shown
    assert "delegation unknown" in shown


def test_spoiled_figures_are_not_presented_as_if_they_were_sound(measured):
    document = json.loads(measured[0].read_text())
    document["concerns"] = [{"spoils": True, "text": "the board was on fire"}]
    document["trustworthy"] = False
    assert "SPOILED: the board was on fire" in table.text(document)
    assert "not to be trusted" in table.text(document)
    assert "spoiled" in compare.text(document, document)


def test_comparing_a_run_with_itself_finds_no_change(measured, capsys):
    assert run(["compare", str(measured[0]), str(measured[0])]) == 0
    shown = capsys.readouterr().out
    assert "+0 %" in shown
    assert "more" not in shown
    assert "less" not in shown


def test_comparing_shows_what_changed(measured):
    old, new = (json.loads(measured[0].read_text()) for _ in range(2))
    old["trustworthy"] = new["trustworthy"] = True
    new["runs"][0]["stages"]["inference"]["wall_ms"]["p50"] *= 1.5
    new["runs"][0]["model"] |= {"sha256": "0" * 64, "version": "0.0.2"}
    new["board"]["before"]["governor"] = "powersave"
    del new["runs"][1]
    shown = compare.text(old, new)
    assert "+50 % more" in shown
    assert "model 0.0.1 -> 0.0.2" in shown
    assert "The governor differs" in shown
    assert "only in the old one: tiny int8 1" in shown


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("{", "not JSON"),
        ("[]", "not written by"),
        ('{"kind": "earwitness-benchmark", "format": 99}', "format 99"),
    ],
)
def test_comparing_something_else_is_refused(tmp_path, content, words):
    path = tmp_path / "other.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EdgeError, match=words):
        run(["compare", str(path), str(path)])


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="not a model bundle"):
        run(["--model", str(tmp_path)])


def test_a_variant_that_the_bundle_lacks_is_refused(tmp_path):
    bundle = tiny_bundle(tmp_path / "tiny")
    with pytest.raises(BundleError, match="no variant 'int8'; it has float32"):
        run(["--model", str(bundle), "--variant", "int8"])


def test_what_is_wrong_in_the_measuring_process_is_said_in_its_words(tmp_path):
    bundle = tiny_bundle(tmp_path / "tiny", model="wrong-shape")
    with pytest.raises(EdgeError, match="bands"):
        run(["--model", str(bundle), "--seconds", "0.1"])


def test_a_hop_longer_than_the_window_is_refused(tmp_path):
    bundle = tiny_bundle(tmp_path / "tiny")
    with pytest.raises(EdgeError, match="--hop 6"):
        run(["--model", str(bundle), "--hop", "6", "--seconds", "0.1"])


@pytest.mark.parametrize("arguments", [["--threads", "0"], ["--seconds", "-1"], ["--hop", "nan"]])
def test_senseless_numbers_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        run(arguments)
    assert "must be" in capsys.readouterr().err


def test_a_json_file_that_cannot_be_written_leaves_nothing_behind(measured, tmp_path):
    from edge.benchmark.command import write_document

    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "out.json").mkdir()
    with pytest.raises(EdgeError, match="cannot be written"):
        write_document(folder / "out.json", {})
    assert [path.name for path in folder.iterdir()] == ["out.json"]
