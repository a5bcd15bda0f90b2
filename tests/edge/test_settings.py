from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.settings import example, json_schema, kinds, read

PREFIX = "EARWITNESS_"


@dataclass(frozen=True)
class Broker:
    host: str = field(metadata={"doc": "name of the broker", "example": "localhost"})
    port: int = field(default=1883, metadata={"minimum": 1, "maximum": 65535})
    password: str | None = field(default=None, metadata={"secret": True})


@dataclass(frozen=True)
class Microphone:
    name: str = "mic"
    device: str | None = None


@dataclass(frozen=True)
class Rule:
    hop_s: float = field(
        default=1.0,
        metadata={
            "unit": "s",
            "doc": "time between windows",
            "exclusive_minimum": 0.0,
            "maximum": 60.0,
        },
    )
    needed: int = field(default=3, metadata={"minimum": 1})
    of: int = 5
    smooth: bool = False
    kind: str = field(default="mean", metadata={"choices": ("mean", "median")})

    def problems(self) -> list[str]:
        return [] if self.needed <= self.of else [f"needed ({self.needed}) is more than of"]


@dataclass(frozen=True)
class Everything:
    strict: Rule = Rule(needed=5)
    rule: Rule = Rule()
    sources: tuple[Microphone, ...] = (Microphone(),)
    broker: Broker | None = None
    tags: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    store: Path = Path("/var/lib/x y")


def read_text(text: str, **environment: str) -> Everything:
    variables = {PREFIX + name: value for name, value in environment.items()}
    return read(Everything, text, "site.yaml", variables, PREFIX)


def message_of(text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_text(text, **environment)
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n", "{}", "null", "rule:\n", "rule: {}"])
def test_what_says_nothing_means_all_defaults(text: str) -> None:
    assert read_text(text) == Everything()


def test_values_take_the_type_of_their_field() -> None:
    settings = read_text(
        "rule: {hop_s: 2, needed: 4, smooth: on}\n"
        "sources: [{name: on, device: 12}, {name: 'null'}]\n"
        "broker: {host: a.example, port: 8883, password: 0123}\n"
        "tags: [a, b]\nheaders: {X-Token: 'yes'}\nstore: 7\n"
    )
    assert settings.rule == Rule(hop_s=2.0, needed=4, smooth=True)
    assert isinstance(settings.rule.hop_s, float)
    assert settings.sources == (Microphone("on", "12"), Microphone("null"))
    assert settings.broker == Broker("a.example", 8883, "0123")
    assert settings.store == Path("7")
    assert settings.tags == ("a", "b")
    assert settings.headers == {"X-Token": "yes"}


def test_a_section_begun_keeps_the_defaults_that_its_owner_gave_it() -> None:
    assert read_text("strict: {hop_s: 2}").strict == Rule(hop_s=2.0, needed=5)
    assert read_text("strict: {}").strict == Rule(needed=5)


def test_exponents_without_a_point_are_numbers_although_pyyaml_thinks_not() -> None:
    assert read_text("rule: {hop_s: 5e-1}").rule.hop_s == 0.5


def test_every_error_is_told_at_once_with_line_and_key() -> None:
    message = message_of(
        "rule:\n"
        "  hopp_s: 1\n"
        "  hop_s: fast\n"
        "  needed: 0\n"
        "  smooth: 1\n"
        "  kind: medain\n"
        "sources: mic\n"
        "broker: {port: 70000}\n"
        "brokr: 1\n"
    )
    lines = message.splitlines()
    assert lines[0] == "site.yaml has 9 errors:"
    assert lines[1:] == [
        "  line 2: rule.hopp_s: unknown key; did you mean hop_s?",
        "  line 3: rule.hop_s: must be a number above 0, at most 60, not 'fast'",
        "  line 4: rule.needed: must be a whole number at least 1, not '0'",
        "  line 5: rule.smooth: must be true or false, not '1'",
        "  line 6: rule.kind: must be one of mean, median, not 'medain'; did you mean median?",
        "  line 7: sources: must be a list, not 'mic'",
        "  line 8: broker.port: must be a whole number from 1 to 65535, not '70000'",
        "  line 8: broker.host: this key is required",
        "  line 9: brokr: unknown key; did you mean broker?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rule: {hop_s: 1, hop_s: 2}", "given twice"),
        ("rule: {hop_s: 0}", "above 0"),
        ("rule: {hop_s: .inf}", "must be a number"),
        ("rule: {hop_s: .nan}", "must be a number"),
        ("rule: {hop_s: 1e999}", "must be a number"),
        ("rule: {hop_s: '1'}", "quoted text"),
        ("rule: {needed: 010}", "must be a whole number"),
        ("rule: {needed: 1:30}", "must be a whole number"),
        ("rule: {needed: 1.0}", "must be a whole number"),
        ("rule: {needed: " + "9" * 5000 + "}", "must be a whole number"),
        ("rule: {hop_s:}", "is empty"),
        ("rule: [1]", "expected settings"),
        ("rule: {needed: 6}", "is more than of"),
        ("broker:", "write its keys below it, or null for off"),
        ("{[1, 2]: 3}", "a key must be a plain word"),
        ("[1, 2]", "expected settings"),
        ("just a word", "expected settings"),
        ("rule: !!python/object/apply:os.system ['id']", "is not supported"),
        ('tags: ["a\\0b"]', "must be text"),
        ('tags: ["\\ud800"]', "must be text"),
        ("tags: &t [*t]", "must be text, not a list"),
        ("a: 1\nb: [", "not YAML"),
        ("\tx: 1", "not YAML"),
        ("a: 1\n---\nb: 1", "not YAML"),
        ("\x00", "not YAML"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_bad_input_is_explained(text: str, expected: str) -> None:
    assert expected in message_of(text)


def test_a_secret_is_never_shown() -> None:
    message = message_of("broker: {host: h, password: [hunter2]}")
    assert "hunter2" not in message
    assert "broker.password" in message


def test_a_variable_overrides_the_file() -> None:
    settings = read_text(
        "rule: {hop_s: 1}\nsources: [{name: a}, {name: b}]",
        RULE__HOP_S="2.5",
        RULE__SMOOTH="true",
        BROKER__HOST="on",
        SOURCES__1__DEVICE="# 3: not a comment",
        SOURCES__2__NAME="c",
        TAGS="ignored, has no section",
        HEADERS__TOKEN="t",
    )
    assert settings.rule == Rule(hop_s=2.5, smooth=True)
    assert settings.broker == Broker("on")
    assert settings.headers == {"token": "t"}
    assert [source.name for source in settings.sources] == ["a", "b", "c"]
    assert settings.sources[1].device == "# 3: not a comment"


def test_a_variable_can_unset_a_value() -> None:
    assert read_text("sources: [{device: x}]", SOURCES__0__DEVICE="").sources[0].device is None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("RULE__HOPS", "1", "EARWITNESS_RULE__HOPS: there is no key 'hops'; did you mean hop_s?"),
        ("RULE__HOP_S", "x", "EARWITNESS_RULE__HOP_S: rule.hop_s: must be a number"),
        ("RULE__HOP_S", "[", "EARWITNESS_RULE__HOP_S: this is not YAML"),
        ("RULE__HOP_S__X", "1", "EARWITNESS_RULE__HOP_S__X: there is nothing below"),
        ("RULE_HOP_S", "1", "by two underscores: EARWITNESS_RULE__HOP_S"),
        ("SOURCES__7__NAME", "x", "'7' is no position in a list of 0"),
        ("SOURCES__X__NAME", "x", "'x' is no position"),
    ],
)
def test_a_bad_variable_is_named(name: str, value: str, expected: str) -> None:
    assert expected in message_of("", **{name: value})


def test_other_variables_are_left_alone() -> None:
    assert read(Everything, "", "f", {"PATH": "/bin", "X__Y": "1"}, PREFIX) == Everything()


def test_the_example_is_the_defaults_and_names_every_key() -> None:
    text = example(Everything, "Settings of everything.\n\nSecond paragraph.")
    assert read_text(text) == Everything()
    for settings_class in (Everything, Rule, Microphone, Broker):
        for key in kinds(settings_class):
            assert f"{key}:" in text
    assert "  # Time between windows. [s; above 0, at most 60; default 1]\n  hop_s: 1\n" in text


def test_the_example_with_every_comment_removed_is_still_valid() -> None:
    text = example(Everything, "Header.")
    enabled = text.replace("broker: null\n", "").replace("# broker:", "broker:")
    lines = [
        line.replace("#   ", "  ", 1) if line.startswith("#   ") else line
        for line in enabled.splitlines()
    ]
    assert read_text("\n".join(lines)).broker == Broker("localhost")


def test_the_schema_accepts_the_example_and_refuses_what_the_reader_refuses() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema(Everything, "Everything")
    validator = jsonschema.Draft202012Validator(json.loads(json.dumps(schema)))
    validator.check_schema(schema)
    assert validator.is_valid(yaml.safe_load(example(Everything, "x")))
    for bad in ({"rule": {"hop_s": 0}}, {"rul": 1}, {"broker": {"port": 1}}, {"tags": [1]}):
        assert not validator.is_valid(bad), bad


YAML_BITS = st.sampled_from(
    ["rule:", "  hop_s: ", "- ", "{", "}", "[", "]", "&a ", "*a", "!!int ", "? ", "|\n", ">\n",
     "'", '"', "\n", "\t", "#", ": ", "---\n", "<<: ", "null", "1e5", "\\", "%YAML 9\n", "\x85"]
)  # fmt: skip


@given(st.lists(st.one_of(YAML_BITS, st.text(max_size=5)), max_size=25).map("".join))
def test_any_text_gives_settings_or_a_config_error(text: str) -> None:
    try:
        assert isinstance(read_text(text), Everything)
    except ConfigError as error:
        assert str(error)


NAMES = st.text("ABRULE_HOPS0129X", max_size=20)


@given(st.dictionaries(NAMES, st.text(max_size=8), max_size=4))
def test_any_environment_gives_settings_or_a_config_error(variables: dict[str, str]) -> None:
    named = {PREFIX + name: value for name, value in variables.items()}
    named.update({f"{PREFIX}RULE__{name}": value for name, value in variables.items()})
    try:
        assert isinstance(read(Everything, "", "f", named, PREFIX), Everything)
    except ConfigError as error:
        assert str(error)
