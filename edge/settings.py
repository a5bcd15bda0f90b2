"""Settings: frozen dataclasses read from YAML, with every error at once and each by its line. Pure.

A settings class is a frozen dataclass, one per concern. A field's annotation says its type (bool,
int, float, str, Path, another settings class, `tuple[X, ...]`, `dict[str, str]`, or any of them
`| None`), and its metadata says the rest:

    doc               one line for the shipped example
    unit              "s", "Hz", ...
    minimum, maximum  inclusive range of a number, or of a list's length
    exclusive_minimum, exclusive_maximum   likewise, the limit itself not allowed
    choices           the permitted values
    example           what the example shows where there is no default that says anything
    secret            True: the value never appears in a message

A check across fields belongs into a method `problems() -> list[str]` of the class, or into
`__post_init__`, which raises ValueError or EdgeError.

The field's type decides how a plain YAML word is read, not YAML's own guess: `on` is true for a
bool and the text "on" for a str, and `1e-3` is a number.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import math
import operator
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

from edge.errors import ConfigError, EdgeError

T = TypeVar("T")

EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    tuple: "a list",
    dict: "a mapping (key: value)",
}
# Limits of a number: the name in the metadata (and in JSON Schema), the comparison, the words.
LIMITS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "minimum": (operator.ge, "at least"),
    "exclusive_minimum": (operator.gt, "above"),
    "maximum": (operator.le, "at most"),
    "exclusive_maximum": (operator.lt, "below"),
}
TRUE_WORDS = ("true", "yes", "on")
FALSE_WORDS = ("false", "no", "off")
NULL_WORDS = ("null", "~", "")
NUMBER_MAX_CHARACTERS = 40
SHOWN_MAX_CHARACTERS = 60
COMMENT_MAX_CHARACTERS = 88

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_PLAIN_TEXT = re.compile(r"[A-Za-z/][A-Za-z0-9_./@-]*( [A-Za-z0-9_./@-]+)*")
_STANDARD_TAGS = tuple(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp")
)

_BAD = object()


@dataclass(frozen=True)
class Problem:
    """One thing wrong: where it stands ("line 4" or a variable's name), the key, and what."""

    place: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


@dataclass(frozen=True)
class Kind:
    """The type of a field, as its annotation says it."""

    base: type
    optional: bool = False
    item: Kind | None = None


@dataclass(frozen=True)
class Slot:
    """What a value must be: its type, the field's metadata, and for a section its defaults."""

    kind: Kind
    metadata: Mapping[str, Any]
    base: Any = None

    def wanted(self) -> str:
        """In words."""
        if self.metadata.get("choices"):
            return "one of " + ", ".join(str(choice) for choice in self.metadata["choices"])
        limits = _range(self.metadata) if self.kind.base in (int, float) else ""
        name = EXPECTED.get(self.kind.base, "settings")
        return f"{name} {limits}" if limits else name


# --- types ----------------------------------------------------------------------------------------


def _kind(node: ast.expr, names: Mapping[str, Any]) -> Kind:
    """Read an annotation. `typing.get_type_hints` cannot read `X | None` before Python 3.10."""
    if isinstance(node, ast.BinOp) and isinstance(node.right, ast.Constant):
        return dataclasses.replace(_kind(node.left, names), optional=True)
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "tuple":
            return Kind(tuple, item=_kind(arguments[0], names))
        if node.value.id == "dict":
            return Kind(dict, item=_kind(arguments[1], names))
    if isinstance(node, ast.Name):
        base = names.get(node.id)
        if base in EXPECTED or dataclasses.is_dataclass(base):
            return Kind(base)  # type: ignore[arg-type]
    raise TypeError(f"a settings field cannot be of type {ast.unparse(node)}")


@cache
def kinds(settings: type) -> dict[str, Kind]:
    """Types of the fields of a settings class.

    Raises:
        TypeError: a field has a type that settings cannot have.
    """
    return {field.name: _field_kind(settings, field) for field in dataclasses.fields(settings)}


def _field_kind(settings: type, field: Field[Any]) -> Kind:
    builtin = {"bool": bool, "int": int, "float": float, "str": str}
    names = {**vars(sys.modules[settings.__module__]), **builtin}
    if not isinstance(field.type, str):
        raise TypeError(f"{settings.__module__} lacks `from __future__ import annotations`")
    return _kind(ast.parse(field.type, mode="eval").body, names)


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def default_of(field: Field[Any]) -> Any:
    """A field's default, or None where it has none."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def _slot(settings: type, field: Field[Any], owner: Any) -> Slot:
    """The slot of a field, its defaults those of the instance that owns it, if there is one."""
    default = default_of(field) if owner is None else getattr(owner, field.name)
    return Slot(kinds(settings)[field.name], field.metadata, default)


# --- reading --------------------------------------------------------------------------------------


def read(
    settings: type[T],
    text: str,
    origin: str,
    environment: Mapping[str, str] | None = None,
    prefix: str = "",
) -> T:
    """Build settings from YAML.

    Args:
        settings: the class at the top.
        text: a YAML document; empty means all defaults.
        origin: name of the file, for messages.
        environment: variables; `PREFIX_SECTION__KEY` overrides a key, `PREFIX_LIST__0__KEY` one of
            a list's items. Others are not looked at.
        prefix: what such variables start with, with its underscore.

    Raises:
        ConfigError: naming everything that is wrong, each with its line and key.
    """
    reader = _Reader()
    root = reader.parse(text)
    if root is not None:
        reader.override(root, settings, environment or {}, prefix)
    result = _BAD if root is None else reader.section(root, settings, "")
    if reader.problems:
        raise ConfigError(_report(origin, reader.problems))
    return result  # type: ignore[return-value]


def _report(origin: str, problems: list[Problem]) -> str:
    if len(problems) == 1:
        return f"{origin}: {problems[0]}"
    lines = "".join(f"\n  {problem}" for problem in problems)
    return f"{origin} has {len(problems)} errors:{lines}"


class _Reader:
    """Walks YAML nodes beside the settings classes and gathers what is wrong."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def bad(self, node: yaml.Node | yaml.Mark | None, path: str, message: str) -> Any:
        """Note a problem; the value stands for "unusable, already reported"."""
        mark = node.start_mark if isinstance(node, yaml.Node) else node
        self.problems.append(Problem(_place(mark), path, message))
        return _BAD

    def parse(self, text: str) -> yaml.Node | None:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.bad(mark, "", f"this is not YAML: {error.problem or error.context}")
        except yaml.YAMLError as error:
            self.bad(None, "", f"this is not YAML: {' '.join(str(error).split())}")
        except RecursionError:
            self.bad(None, "", "this is not a configuration: it is nested too deeply")
        else:
            return _empty_mapping(None) if root is None or _is_null(root) else root
        return None

    # Values -------------------------------------------------------------------------------------

    def section(self, node: yaml.Node, settings: type, path: str, base: Any = None) -> Any:
        """Settings from a mapping; a key that is not there is as in `base`, or else its default."""
        if not isinstance(node, yaml.MappingNode):
            return self.bad(node, path, f"expected settings (key: value), not {_shown(node)}")
        entries = self.entries(node, path)
        fields = {field.name: field for field in dataclasses.fields(settings)}
        problems_before = len(self.problems)
        values: dict[str, Any] = {}
        for key, (key_node, value_node) in entries.items():
            if key in fields:
                slot = _slot(settings, fields[key], base)
                values[key] = self.value(value_node, slot, _joined(path, key))
            else:
                self.bad(key_node, _joined(path, key), f"unknown key{_hint(key, fields)}")
        for name, field in fields.items():
            if name not in entries and base is None and not _has_default(field):
                self.bad(node, _joined(path, name), "this key is required")
        if len(self.problems) > problems_before:
            return _BAD
        return self.built(node, settings, path, base, values)

    def built(
        self, node: yaml.Node, settings: type, path: str, base: Any, values: dict[str, Any]
    ) -> Any:
        """The section of these values, if they do not contradict each other."""
        try:
            section = settings(**values) if base is None else dataclasses.replace(base, **values)
        except (ValueError, EdgeError) as error:
            return self.bad(node, path, str(error))
        contradictions = section.problems() if hasattr(section, "problems") else []
        for contradiction in contradictions:
            self.bad(node, path, contradiction)
        return _BAD if contradictions else section

    def entries(self, node: yaml.MappingNode, path: str) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """A mapping's keys with their nodes, reporting those that are no words or come twice."""
        found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.bad(key_node, path, "a key must be a plain word")
            elif key_node.value in found:
                first = _place(found[key_node.value][0].start_mark)
                self.bad(key_node, _joined(path, key_node.value), f"given twice, first at {first}")
            else:
                found[key_node.value] = (key_node, value_node)
        return found

    def value(self, node: yaml.Node, slot: Slot, path: str) -> Any:
        kind = slot.kind
        if node.tag not in _STANDARD_TAGS:
            return self.bad(node, path, f"the tag {_clipped(node.tag)} is not supported")
        if _is_null(node):
            return self.null(node, slot, path)
        if dataclasses.is_dataclass(kind.base):
            return self.section(node, kind.base, path, slot.base)
        if kind.base is tuple:
            return self.items(node, slot, path)
        if kind.base is dict:
            return self.mapping(node, kind, path)
        return self.scalar(node, slot, path)

    def null(self, node: yaml.Node, slot: Slot, path: str) -> Any:
        kind = slot.kind
        is_section = dataclasses.is_dataclass(kind.base)
        if is_section and not kind.optional:
            return self.section(_empty_mapping(node.start_mark), kind.base, path, slot.base)
        if is_section and node.value == "":
            return self.bad(node, path, "is empty; write its keys below it, or null for off")
        if kind.optional:
            return None
        return self.bad(node, path, f"is empty; it must be {slot.wanted()}")

    def items(self, node: yaml.Node, slot: Slot, path: str) -> Any:
        if not isinstance(node, yaml.SequenceNode) or slot.kind.item is None:
            return self.bad(node, path, f"must be a list, not {_shown(node)}")
        limits = {name: slot.metadata[name] for name in LIMITS if name in slot.metadata}
        if _out_of_range(len(node.value), limits):
            return self.bad(
                node, path, f"has {len(node.value)} items; it must have {_range(limits)}"
            )
        inner = {name: value for name, value in slot.metadata.items() if name not in limits}
        item_slot = Slot(slot.kind.item, inner)
        values = tuple(
            self.value(item, item_slot, f"{path}[{index}]") for index, item in enumerate(node.value)
        )
        return _BAD if _BAD in values else values

    def mapping(self, node: yaml.Node, kind: Kind, path: str) -> Any:
        if not isinstance(node, yaml.MappingNode) or kind.item is None:
            return self.bad(node, path, f"must be a mapping (key: value), not {_shown(node)}")
        slot = Slot(kind.item, {})
        values = {
            key: self.value(value_node, slot, _joined(path, key))
            for key, (_, value_node) in self.entries(node, path).items()
        }
        return _BAD if _BAD in values.values() else values

    def scalar(self, node: yaml.Node, slot: Slot, path: str) -> Any:
        shown = "a value" if slot.metadata.get("secret") else _shown(node)
        wrong = f"must be {slot.wanted()}, not {shown}"
        if not isinstance(node, yaml.ScalarNode):
            return self.bad(node, path, wrong)
        try:
            value = _parsed(node, slot.kind.base)
        except ValueError:
            return self.bad(node, path, wrong)
        choices = slot.metadata.get("choices")
        if choices and value not in choices:
            close = difflib.get_close_matches(str(value), [str(choice) for choice in choices], 1)
            return self.bad(node, path, wrong + (f"; did you mean {close[0]}?" if close else ""))
        if slot.kind.base in (int, float) and _out_of_range(value, slot.metadata):
            return self.bad(node, path, wrong)
        return value

    # Environment --------------------------------------------------------------------------------

    def override(
        self, root: yaml.Node, settings: type, environment: Mapping[str, str], prefix: str
    ) -> None:
        """Write the environment's values into the tree of nodes."""
        named = [(_variable_path(name, prefix), name) for name in environment if prefix]
        for path, name in sorted((p, n) for p, n in named if p):
            mark = yaml.Mark(name, 0, 0, 0, None, 0)
            if len(path) == 1:
                self.refuse_single_underscore(mark, name, settings, prefix)
            else:
                steps = [step for _, _, step in path]
                self.replace(root, Kind(settings), steps, environment[name], mark)

    def refuse_single_underscore(
        self, mark: yaml.Mark, name: str, settings: type, prefix: str
    ) -> None:
        rest = name[len(prefix) :].lower()
        for section in (field.name for field in dataclasses.fields(settings)):
            if rest.startswith(f"{section}_"):
                key = rest[len(section) + 1 :].upper()
                meant = f"{prefix}{section.upper()}__{key}"
                self.bad(mark, "", f"separate section and key by two underscores: {meant}")

    def replace(
        self, node: yaml.Node, kind: Kind, steps: list[str], text: str, mark: yaml.Mark
    ) -> None:
        """Set the value at the end of the steps, making the nodes on the way."""
        step, rest = steps[0], steps[1:]
        found = self.child(node, kind, step, mark)
        if found is None:
            return
        child_kind, child = found
        if rest:
            if child is None or _is_null(child):
                child = _empty_node(child_kind, mark)
                _put(node, step, child, mark)
            self.replace(child, child_kind, rest, text, mark)
        else:
            value = self.node_of(text, child_kind, mark)
            if value is not None:
                _put(node, step, value, mark)

    def child(
        self, node: yaml.Node, kind: Kind, step: str, mark: yaml.Mark
    ) -> tuple[Kind, yaml.Node | None] | None:
        """The kind and the present node of a step, or None after reporting that it cannot be."""
        if dataclasses.is_dataclass(kind.base) and isinstance(node, yaml.MappingNode):
            known = kinds(kind.base)
            if step in known:
                values = [v for k, v in node.value if getattr(k, "value", None) == step]
                return known[step], (values[0] if values else None)
            self.bad(mark, "", f"there is no key {step!r}{_hint(step, known)}")
        elif kind.item is not None and kind.base is dict and isinstance(node, yaml.MappingNode):
            return kind.item, None
        elif kind.item is not None and isinstance(node, yaml.SequenceNode):
            if step.isdecimal() and len(step) < 6 and int(step) <= len(node.value):
                present = int(step) < len(node.value)
                return kind.item, (node.value[int(step)] if present else None)
            self.bad(mark, "", f"{step!r} is no position in a list of {len(node.value)}")
        elif isinstance(node, yaml.ScalarNode) and kind.base in (bool, int, float, str, Path):
            self.bad(mark, "", f"there is nothing below a plain value for {step!r}")
        return None

    def node_of(self, text: str, kind: Kind, mark: yaml.Mark) -> yaml.Node | None:
        """A variable's text as a node; text keys take it as it is, others read it as YAML."""
        if kind.base in (str, Path) and not (kind.optional and text in NULL_WORDS):
            return yaml.ScalarNode("tag:yaml.org,2002:str", text, mark, mark, style='"')
        problems_before = len(self.problems)
        node = self.parse(text) if text.strip() else None
        if len(self.problems) > problems_before:
            self.problems[-1] = dataclasses.replace(self.problems[-1], place=mark.name)
            return None
        if node is None:
            return yaml.ScalarNode("tag:yaml.org,2002:null", "", mark, mark)
        return _marked(node, mark)


def _variable_path(name: str, prefix: str) -> tuple[tuple[bool, int, str], ...]:
    """Steps that a variable's name leads through; positions sort as numbers."""
    if not name.startswith(prefix):
        return ()
    steps = name[len(prefix) :].lower().split("__")
    return tuple((s.isdecimal(), int(s) if s.isdecimal() and len(s) < 6 else 0, s) for s in steps)


def _put(parent: yaml.Node, step: str, child: yaml.Node, mark: yaml.Mark) -> None:
    if isinstance(parent, yaml.SequenceNode):
        parent.value[int(step) : int(step) + 1] = [child]
        return
    for index, (key_node, _) in enumerate(parent.value):
        if getattr(key_node, "value", None) == step:
            parent.value[index] = (key_node, child)
            return
    parent.value.append((yaml.ScalarNode("tag:yaml.org,2002:str", step, mark, mark), child))


def _marked(node: yaml.Node, mark: yaml.Mark) -> yaml.Node:
    """A copy of a tree of nodes that says it comes from `mark`."""
    value: Any = node.value
    if isinstance(node, yaml.MappingNode):
        value = [(_marked(k, mark), _marked(v, mark)) for k, v in node.value]
    elif isinstance(node, yaml.SequenceNode):
        value = [_marked(item, mark) for item in node.value]
    if isinstance(node, yaml.ScalarNode):
        return yaml.ScalarNode(node.tag, value, mark, mark, style=node.style)
    return type(node)(node.tag, value, mark, mark)


def _empty_mapping(mark: yaml.Mark | None) -> yaml.MappingNode:
    return yaml.MappingNode("tag:yaml.org,2002:map", [], mark, mark)


def _empty_node(kind: Kind, mark: yaml.Mark) -> yaml.Node:
    if kind.base is tuple:
        return yaml.SequenceNode("tag:yaml.org,2002:seq", [], mark, mark)
    if kind.base is dict or dataclasses.is_dataclass(kind.base):
        return _empty_mapping(mark)
    return yaml.ScalarNode("tag:yaml.org,2002:null", "", mark, mark)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value.lower() in NULL_WORDS


def _parsed(node: yaml.ScalarNode, base: type) -> Any:
    """A scalar as its field's type has it. Raises ValueError where it is not of that type."""
    text: str = node.value
    if base in (str, Path):
        return base(_sound_text(text))
    if node.style or len(text) > NUMBER_MAX_CHARACTERS:
        raise ValueError("a quoted or overlong word is text")
    if base is bool:
        return _boolean(text)
    if not (_INTEGER if base is int else _DECIMAL).fullmatch(text):
        raise ValueError("not a number")
    if base is int:
        return int(text)
    if not math.isfinite(float(text)):
        raise ValueError("not a finite number")
    return float(text)


def _boolean(text: str) -> bool:
    if text.lower() not in TRUE_WORDS + FALSE_WORDS:
        raise ValueError("neither true nor false")
    return text.lower() in TRUE_WORDS


def _sound_text(text: str) -> str:
    """Text that a file name, a header or a topic can hold."""
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("control characters")
    text.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    return text


def _out_of_range(value: float, metadata: Mapping[str, Any]) -> bool:
    return any(
        not holds(value, metadata[limit])
        for limit, (holds, _) in LIMITS.items()
        if metadata.get(limit) is not None
    )


def _range(metadata: Mapping[str, Any]) -> str:
    """The permitted range in words: "at least 0, below 1"; "" where there is none."""
    low, high = metadata.get("minimum"), metadata.get("maximum")
    if low is not None and high is not None:
        return f"from {_number(low)} to {_number(high)}"
    words = (
        f"{words} {_number(metadata[limit])}"
        for limit, (_, words) in LIMITS.items()
        if metadata.get(limit) is not None
    )
    return ", ".join(words)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _place(mark: yaml.Mark | None) -> str:
    if mark is None:
        return ""
    # Marks of the file carry PyYAML's own name for a string, "<unicode string>".
    return f"line {mark.line + 1}" if str(mark.name).startswith("<") else str(mark.name)


def _joined(path: str, key: str) -> str:
    return f"{path}.{_clipped(key)}" if path else _clipped(key)


def _clipped(text: str) -> str:
    safe = text.encode("unicode_escape").decode() if not text.isprintable() else text
    return safe if len(safe) <= SHOWN_MAX_CHARACTERS else safe[:SHOWN_MAX_CHARACTERS] + "..."


def _shown(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
    if node.style in ("'", '"'):
        return f"the quoted text {_clipped(node.value)!r}"
    return repr(_clipped(node.value))


def _hint(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key.lower(), known, 1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(known))}"


# --- writing --------------------------------------------------------------------------------------


def example(settings: type, header: str) -> str:
    """A YAML file with every key at its default, each under a comment that explains it."""
    head = [f"# {line}".rstrip() for line in header.splitlines()]
    return "\n".join([*head, *_example_lines(settings, None, top=True)]) + "\n"


def _example_lines(settings: type, instance: Any, top: bool = False) -> Iterator[str]:
    for field in dataclasses.fields(settings):
        if top:
            yield ""
        slot = _slot(settings, field, instance)
        unset = instance is None and not _has_default(field)
        for line in _comment(slot, required=unset):
            yield f"# {line}"
        value = field.metadata.get("example") if unset else slot.base
        yield from _example_field(field.name, slot.kind, value)


def _example_field(name: str, kind: Kind, value: Any) -> Iterator[str]:
    if dataclasses.is_dataclass(kind.base):
        yield f"{name}:" if value is not None or not kind.optional else f"{name}: null"
        lines = _example_lines(kind.base, value)
        yield from _indented(lines, off=value is None and kind.optional, name=name)
    elif kind.base is tuple and kind.item and dataclasses.is_dataclass(kind.item.base):
        yield f"{name}:" if value else f"{name}: []"
        for item in value or (None,):
            yield from _list_item(_example_lines(kind.item.base, item), off=not value, name=name)
    else:
        yield f"{name}: {_yaml_text(value)}"


def _indented(lines: Iterator[str], off: bool, name: str) -> Iterator[str]:
    """Lines one level deeper; those of a section that is off are commented out under its name."""
    if off:
        yield f"# {name}:"
    for line in lines:
        yield f"#   {line}" if off else f"  {line}"


def _list_item(lines: Iterator[str], off: bool, name: str) -> Iterator[str]:
    if off:
        yield f"# {name}:"
    before = "# " if off else ""
    dash = "- "
    for line in lines:
        if line.startswith("#"):
            yield f"{before}  {'  ' if dash == '  ' else ''}{line}"
        else:
            yield f"{before}  {dash}{line}"
            dash = "  "


def _comment(slot: Slot, required: bool) -> Iterator[str]:
    """What a key means, then its unit, range and default."""
    item = slot.kind.item or slot.kind
    is_section = dataclasses.is_dataclass(item.base)
    summary = (item.base.__doc__ or "").split("\n")[0] if is_section else ""
    doc = str(slot.metadata.get("doc", summary)).strip()
    doc = _sentence(doc)
    if is_section:
        yield from textwrap.wrap(doc, COMMENT_MAX_CHARACTERS)
        return
    facts = [
        slot.metadata.get("unit"),
        " | ".join(_yaml_text(choice) for choice in slot.metadata.get("choices") or ()),
        _range(slot.metadata) if slot.kind.base in (int, float) else "",
        "required" if required else f"default {_yaml_text(slot.base)}",
    ]
    told = "[" + "; ".join(str(fact) for fact in facts if fact) + "]"
    one_line = f"{doc} {told}".strip()
    if len(one_line) <= COMMENT_MAX_CHARACTERS:
        yield one_line
    else:
        yield from [*textwrap.wrap(doc, COMMENT_MAX_CHARACTERS), told]


def _sentence(doc: str) -> str:
    """A doc line as a sentence; "url: ..." names the kind of source that it is for."""
    starts_with_a_name = re.match(r"[a-z]+:", doc)
    begun = doc if starts_with_a_name else doc[:1].upper() + doc[1:]
    return begun if not doc or doc.endswith(".") else f"{begun}."


def _yaml_text(value: Any) -> str:
    """A value on one line of YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_yaml_text(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml_text(k)}: {_yaml_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (str, Path)):
        return _quoted_if_needed(str(value))
    return repr(value) if isinstance(value, int) else _number(value)


def _quoted_if_needed(text: str) -> str:
    reserved = text.lower() in (*TRUE_WORDS, *FALSE_WORDS, *NULL_WORDS)
    if _PLAIN_TEXT.fullmatch(text) and not reserved:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def json_schema(settings: type, title: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a settings class, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_schema_of_section(settings),
    }


def _schema_of_section(settings: type) -> dict[str, Any]:
    fields = dataclasses.fields(settings)
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            field.name: _schema_of_field(field, kinds(settings)[field.name]) for field in fields
        },
    }
    required = [field.name for field in fields if not _has_default(field)]
    return {**schema, "required": required} if required else schema


def _schema_of_field(field: Field[Any], kind: Kind) -> dict[str, Any]:
    schema = _schema_of_kind(kind, field.metadata)
    unit = field.metadata.get("unit")
    doc = field.metadata.get("doc", "")
    schema["description"] = f"{doc} [{unit}]" if unit else doc
    if _has_default(field) and not dataclasses.is_dataclass(kind.base):
        schema["default"] = _plain(default_of(field))
    return schema


def _schema_of_kind(kind: Kind, metadata: Mapping[str, Any]) -> dict[str, Any]:
    if dataclasses.is_dataclass(kind.base):
        section = _schema_of_section(kind.base)
        # A section whose keys are all commented out reads as null.
        return {**section, "type": ["object", "null"]}
    if kind.base is tuple and kind.item is not None:
        return {"type": "array", "items": _schema_of_kind(kind.item, {})}
    if kind.base is dict and kind.item is not None:
        return {"type": "object", "additionalProperties": _schema_of_kind(kind.item, {})}
    names = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string"}
    name = names[kind.base]
    schema: dict[str, Any] = {"type": [name, "null"] if kind.optional else name}
    for limit in LIMITS:
        if metadata.get(limit) is not None:
            first, *rest = limit.split("_")
            schema[first + "".join(word.capitalize() for word in rest)] = metadata[limit]
    if metadata.get("choices"):
        schema["enum"] = [*metadata["choices"], *([None] if kind.optional else [])]
    return schema


def _plain(value: Any) -> Any:
    """A default as JSON can hold it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
