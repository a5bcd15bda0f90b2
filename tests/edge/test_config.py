from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edge.bundle import read_manifest
from edge.config import HEADER, TITLE, Config, load
from edge.decision import DecisionSettings
from edge.errors import ConfigError
from edge.settings import example, json_schema, read

EXAMPLE = example(Config, HEADER)


def write(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text)
    return path


def test_no_file_and_no_variable_give_the_defaults() -> None:
    assert load(None, {}) == Config()


def test_the_shipped_example_is_exactly_the_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, EXAMPLE), {}) == Config()


def test_every_key_of_the_example_is_explained() -> None:
    lines = EXAMPLE.splitlines()
    keys = [i for i, line in enumerate(lines) if re.match(r" *(- )?[a-z_]+:( |$)", line)]
    unexplained = [lines[i] for i in keys if not lines[i - 1].lstrip().startswith("#")]
    assert len(keys) > 80
    assert not unexplained


def test_every_number_of_the_example_has_a_unit_or_says_what_it_counts() -> None:
    for line in EXAMPLE.splitlines():
        if re.fullmatch(r" *[a-z_]+_(s|hz|ms|mb|dbfs|db|days): .*", line):
            name = line.split(":")[0].strip()
            assert f"{name}: null" in EXAMPLE or re.search(
                rf"\[[^\]]+;[^\]]*\]\n *{name}:", EXAMPLE
            )


def test_the_example_satisfies_the_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema(Config, TITLE)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(EXAMPLE))


def test_mistakes_in_several_sections_are_told_together(tmp_path: Path) -> None:
    text = (
        "detection:\n  hop: 1\n"
        "decision:\n  alert_windows: 7\n"
        "sources:\n  - {name: a, kind: mike}\n"
        "alerts:\n  mqtt:\n    port: 99999\n"
        "logging: {level: loud}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), {})
    message = str(caught.value)
    assert "site.yaml has 5 errors:" in message
    for part in (
        "line 2: detection.hop: unknown key; did you mean hop_s?",
        "line 4: decision: alert_windows (7) is more than of_windows (5)",
        "line 6: sources[0].kind: must be one of microphone",
        "line 9: alerts.mqtt.port: must be a whole number from 1 to 65535",
        "line 10: logging.level: must be one of debug, info",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sources: [{name: a}, {name: a}]", "two sources are named 'a'"),
        ("sources: []", "has 0 items"),
        (
            "sources: [{name: a, kind: stdin}, {name: b, kind: stdin}]",
            "only one source can read standard input",
        ),
        ("sources: [{name: a, kind: file}]", "path"),
        ("sources: [{name: a, kind: url}]", "url"),
        ("detection: {window_s: 1, hop_s: 2}", "hop_s (2) is longer than window_s (1)"),
        ("decision: {threshold: 1}", "above 0, below 1"),
    ],
)
def test_contradictions_are_told(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        load(write(tmp_path, text), {})


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: no such file"):
        load(tmp_path / "missing.yaml", {})
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        load(tmp_path, {})
    (tmp_path / "latin").write_bytes(b"sources: [{name: caf\xe9}]")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(tmp_path / "latin", {})
    (tmp_path / "huge").write_bytes(b"#" * 2_000_000)
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load(tmp_path / "huge", {})


def test_variables_override_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "detection: {hop_s: 2}\nsources: [{name: hall}]")
    config = load(
        path,
        {
            "EARWITNESS_DETECTION__HOP_S": "0.5",
            "EARWITNESS_SOURCES__0__DEVICE": "USB Audio: 1",
            "EARWITNESS_CONFIG": "elsewhere",
        },
    )
    assert config.detection.hop_s == 0.5
    assert (config.sources[0].name, config.sources[0].device) == ("hall", "USB Audio: 1")


def test_settings_reach_the_detector(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    config = read(
        Config,
        "detection: {window_s: 4, hop_s: 0.5}\ndecision: {threshold: 0.8}\n"
        "speech: {min_active_s: 1}\nhealth: {silent_dbfs: -70}",
        "test",
    )
    detector = config.detector_settings(manifest)
    assert (detector.window_samples, detector.hop_samples) == (64000, 8000)
    assert (detector.rule.threshold, detector.rule.settings) == (0.8, DecisionSettings(0.8))
    assert (detector.speech.min_active_s, detector.health.silent_dbfs) == (1.0, -70.0)
    assert Config().detector_settings(manifest).rule.threshold == 0.5


def test_a_window_that_the_network_cannot_take_is_told(bundle: Path) -> None:
    config = read(Config, "detection: {window_s: 9}", "test")
    with pytest.raises(ConfigError, match=r"does not fit the model tiny 0\.0\.1"):
        config.detector_settings(read_manifest(bundle))


LINES = EXAMPLE.splitlines()


@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, len(LINES) - 1),
            st.one_of(
                st.just(""),
                st.text(max_size=8),
                st.sampled_from(["  ", "- x", "null", "[]", "{}", "1e99", "-1", "&a *a", "\t"]),
            ),
            st.sampled_from(["replace", "value", "insert", "delete", "append"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_mutated_files_give_a_configuration_or_a_config_error(
    edits: list[tuple[int, str, str]],
) -> None:
    lines = list(LINES)
    for number, text, how in edits:
        number = min(number, len(lines) - 1)
        if how == "replace":
            lines[number] = text
        elif how == "value":
            lines[number] = lines[number].split(":")[0] + ": " + text
        elif how == "insert":
            lines.insert(number, text)
        elif how == "append":
            lines[number] += text
        elif len(lines) > 1:
            del lines[number]
    try:
        assert isinstance(read(Config, "\n".join(lines), "mutated"), Config)
    except ConfigError as error:
        assert str(error).startswith("mutated")


def test_the_shipped_file_is_the_example() -> None:
    shipped = Path(__file__).parents[2] / "systemd" / "earwitness.yaml"
    assert shipped.read_text() == EXAMPLE, "run: make example"
