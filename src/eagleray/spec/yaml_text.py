"""YAML to plain values and the line of each: a strict subset of YAML 1.2, as documents need it.

Only `true` and `false` are booleans (`no` and `on` stay strings) and `1e-5` is a number. Refused are what makes a
document mean something else than it seems to, or grow when it is read: keys given twice, anchors, tags, several
documents in one file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from eagleray.errors import DocumentError, Finding
from eagleray.spec import paths

# A document is a page or two. What is deeper or longer is not one, and would cost recursion and memory.
MAX_CHARACTERS = 250_000
MAX_DEPTH = 32
MAX_NODES = 20_000
# 64-bit integers have 19 digits and a sign.
_MAX_INTEGER_CHARACTERS = 20

_NO_ANCHORS = "anchors and aliases are not allowed: write the value out, or quote a text that starts with * or &"

_TAG = "tag:yaml.org,2002:"
UNICODE_BREAKS = frozenset("\x85\u2028\u2029")
"""Ends of lines beside those of ASCII: outside of double quotes YAML reads them as spaces or ends of lines."""
_SCALARS = {
    f"{_TAG}bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    f"{_TAG}int": (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), "-+0123456789"),
    f"{_TAG}float": (
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        "-+0123456789.",
    ),
    f"{_TAG}null": (re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
}


@dataclass(frozen=True, slots=True)
class Yaml:
    """A parsed text: its value, the line of each node, and what is wrong but did not stop the reading."""

    value: Any
    lines: dict[paths.Path, int]
    findings: list[Finding]


def parse(text: str, *, source: str) -> Yaml:
    """Raises DocumentError with the line where the text is not YAML of this subset. An empty text is None."""
    if len(text) > MAX_CHARACTERS:
        message = f"more than {MAX_CHARACTERS} characters: this is no document"
        raise DocumentError([Finding("", message, None, source)])
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"the character {chr(error.character)!r} is not allowed in YAML: remove it"
        raise DocumentError([Finding("", message, line, source)]) from error
    except yaml.MarkedYAMLError as error:
        raise DocumentError([_syntax_finding(error, source=source)]) from error
    finally:
        if loader is not None:
            loader.dispose()
    building = _Building(source=source)
    value = building.build(node, ()) if node is not None else None
    return Yaml(value=value, lines=building.lines, findings=building.findings)


class _RefusedError(yaml.MarkedYAMLError):
    """YAML that is valid, but not allowed in a document. Its problem is the message."""


class _Loader(yaml.SafeLoader):
    """Composes nodes; values are built below, because a constructed value has lost its line."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own way to start without YAML 1.1 scalars)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._num_nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise _RefusedError(None, None, _NO_ANCHORS, event.start_mark)
        if self._depth >= MAX_DEPTH:
            raise _RefusedError(None, None, f"nested more than {MAX_DEPTH} levels deep", event.start_mark)
        self._num_nodes += 1
        if self._num_nodes > MAX_NODES:
            raise _RefusedError(None, None, f"more than {MAX_NODES} values: this is no document", event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _add_scalars(target: type[_Loader] | type[yaml.SafeDumper]) -> None:
    for tag, (pattern, first) in _SCALARS.items():
        target.add_implicit_resolver(tag, re.compile(f"^(?:{pattern.pattern})$"), list(first))


_add_scalars(_Loader)


class Dumper(yaml.SafeDumper):
    """Writes plain values so that this reader and readers of YAML 1.1 (kubectl) understand them alike."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _written_text(dumper: Dumper, text: str) -> ScalarNode:
    """In double quotes where another way would lose a character."""
    return dumper.represent_scalar(f"{_TAG}str", text, style='"' if UNICODE_BREAKS.intersection(text) else None)


_add_scalars(Dumper)
Dumper.add_representer(str, _written_text)


@dataclass(slots=True)
class _Building:
    """The reading of one text: nodes in, values out, with the lines and findings gathered on the way."""

    source: str
    lines: dict[paths.Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def build(self, node: Node, path: paths.Path) -> Any:
        # A mapping's entry has the line of its key, set before.
        self.lines.setdefault(path, node.start_mark.line + 1)
        match node:
            case MappingNode(tag=tag) if tag == f"{_TAG}map":
                return self._mapping(node, path)
            case SequenceNode(tag=tag) if tag == f"{_TAG}seq":
                return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            case ScalarNode():
                return self._scalar(node, path)
        return self._refuse(node, path, f"the tag {_shown_tag(node)} is not allowed: leave it out")

    def _mapping(self, node: MappingNode, path: paths.Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._refuse(key_node, path, "a key must be a text, not a list or a mapping")
                continue
            key = key_node.value
            if not _is_unicode(key):
                self._refuse(key_node, path, "a key holds half of a surrogate pair, which is no character")
                continue
            here = (*path, key)
            if key in values:
                first = self.lines[here]
                self._refuse(key_node, here, f"the key is given twice, first in line {first}: keep one of them")
                continue
            self.lines[here] = key_node.start_mark.line + 1
            values[key] = self.build(value_node, here)
        return values

    def _scalar(self, node: ScalarNode, path: paths.Path) -> Any:
        if not _is_unicode(node.value):
            return self._refuse(node, path, "the text holds half of a surrogate pair, which is no character")
        if node.tag in (f"{_TAG}str", "!"):
            return node.value
        if node.tag not in _SCALARS:
            return self._refuse(node, path, f"the tag {_shown_tag(node)} is not allowed: leave it out")
        if not _SCALARS[node.tag][0].fullmatch(node.value):
            return self._refuse(node, path, f"the value does not fit its tag {_shown_tag(node)}: leave the tag out")
        if node.tag == f"{_TAG}int" and len(node.value) > _MAX_INTEGER_CHARACTERS:
            return self._refuse(node, path, "a whole number of more than 19 digits: quote it if it is a text")
        return _plain_value(node.tag, node.value)

    def _refuse(self, node: Node, path: paths.Path, message: str) -> None:
        self.findings.append(Finding(paths.text(path), message, node.start_mark.line + 1, self.source))


def _plain_value(tag: str, text: str) -> bool | int | float | None:
    match tag.removeprefix(_TAG):
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _shown_tag(node: Node) -> str:
    return str(node.tag).replace(_TAG, "!!")


def _syntax_finding(error: yaml.MarkedYAMLError, *, source: str) -> Finding:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or error.context or "not YAML"
    if isinstance(error, _RefusedError):
        pass
    elif "found another document" in problem:
        problem = "several documents in one file (---): keep one a file"
    elif "'\\t'" in problem:
        problem = "a tab: YAML is indented with spaces"
    elif problem.startswith("mapping values are not allowed"):
        problem = "a second `: ` in one line, or a wrong indentation: quote a text that holds `: `"
    elif "cannot start any token" in problem:
        problem += ": quote a text that starts with a special character"
    elif "alias" in (error.context or "") or "anchor" in (error.context or ""):
        problem = _NO_ANCHORS
    else:
        problem = f"not YAML: {problem}{_began(error)}"
    return Finding("", problem, mark.line + 1 if mark is not None else None, source)


def _began(error: yaml.MarkedYAMLError) -> str:
    """Where the thing began that has no end: ` (while scanning a quoted scalar that begins in line 3)`."""
    if not error.context:
        return ""
    begin = f" that begins in line {error.context_mark.line + 1}" if error.context_mark is not None else ""
    return f" ({error.context}{begin})"
