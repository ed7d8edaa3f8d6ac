"""From the bytes of a job file to a tree of nodes: YAML without its surprises.

Plain text stays text (``yes``, ``no``, ``on``, ``off``, dates), ``1e-3`` is a number, a key may be there once. What a job
file has no use for is refused, since it could hurt: tags, anchors and aliases, several documents, very deep or large files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from rekindle.domain.errors import shown
from rekindle.domain.texts import unwanted
from rekindle.jobfile.errors import JobFileError
from rekindle.jobfile.nodes import Fields, Items, Node, Scalar

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_NODES = 20_000

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")

_SINGLE_QUOTES = "Put it in single quotes, in which a backslash is only that."
#: What YAML's words for a fault mean to somebody who writes a job file; the first that fits counts.
_WAYS_OUT = (
    ("'\\t'", "Indent with spaces, not with tabs."),
    ("unknown escape", _SINGLE_QUOTES),
    ("expected escape sequence", _SINGLE_QUOTES),
    ("unexpected end of stream", "Close the quote."),
    ("while parsing a flow", "Close each bracket, and quote what holds any of [ ] { } , itself, as regular expressions do."),
    ("<block end>", "Indent it as far as its neighbours, or by two spaces more than the key that it is part of."),
    (
        "mapping values are not allowed",
        "Put a value that holds a colon in quotes; or the line above lacks its colon, or a space after it.",
    ),
    ("could not find expected ':'", "Write `key: value`, with a space after the colon."),
    ("cannot start any token", "Put the value in quotes."),
)
#: Characters that look like what was meant, as they come with text from a web page.
_ODD = (
    ("\u00a0\u2003\u2009\u202f\u3000", "It holds a no-break space, or another that only looks like one: write plain spaces."),
    ("\u2018\u2019\u201c\u201d", "Write straight quotes, ' or \"."),
)


def read(data: bytes) -> Fields:
    """The table that a job file holds. Raises JobFileError, with the line where there is one."""
    text = decode(data)
    try:
        root = _Builder(_events(yaml.SafeLoader(text))).document()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, text) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise JobFileError(f"the character {shown(chr(error.character))} may not stand in a job file", line=line) from error
    if root is None or (isinstance(root, Scalar) and root.is_null):
        raise JobFileError("the file is empty", "Start from the example in docs/job-file.md.")
    if not isinstance(root, Fields):
        kind = "a list" if isinstance(root, Items) else f"the text {shown(root.text, 40)}"
        raise JobFileError(f"a job file is a table of `key: value` lines, not {kind}", line=root.line)
    return root


def decode(data: bytes) -> str:
    """The text of a job file. Raises JobFileError for one that is too large or not UTF-8."""
    if len(data) > MAX_BYTES:
        raise JobFileError(f"larger than {MAX_BYTES:,} bytes, the most that a job file may have")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # What was decoded: a mark of the byte order before it is not counted.
        line = error.object.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
        raise JobFileError(found, "Save the file as UTF-8.", line=line) from error


def _events(loader: yaml.SafeLoader) -> Iterator[Any]:
    """YAML's events. PyYAML takes any eight digits for a character, and any number of them for a version."""
    try:
        yield from iter(loader.get_event, None)
    except (ValueError, OverflowError) as error:
        is_escape = isinstance(error, OverflowError) or "chr()" in str(error)
        found = "an escape that stands for no character" if is_escape else "its version is none"
        raise JobFileError(f"not valid YAML: {found}", _SINGLE_QUOTES if is_escape else "", line=loader.line + 1) from error


class _Builder:
    """Builds the tree from YAML's events, without recursion into what is too deep or too large."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._count = 0

    def document(self) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise JobFileError("the file holds several documents; a job file is one", line=_line(event))
                root = self._node(next(self._events), 0)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        self._check(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(_line(event), tuple(self._items(depth)))
        return self._fields(event, depth)

    def _check(self, event: Any, depth: int) -> None:
        self._count += 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            message = f"{shown(sign + event.anchor)}: anchors and aliases are not used in job files"
            raise JobFileError(message, "Write the value out, or quote it.", line=_line(event))
        if event.tag is not None:
            raise JobFileError(f"{shown(event.tag)}: tags are not used in job files", "Remove it.", line=_line(event))
        if depth > MAX_DEPTH:
            raise JobFileError(f"nested more than {MAX_DEPTH} deep", line=_line(event))
        if self._count > MAX_NODES:
            raise JobFileError(f"more than {MAX_NODES:,} values in one file", line=_line(event))

    def _items(self, depth: int) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                return
            yield self._node(event, depth + 1)

    def _fields(self, start: Any, depth: int) -> Fields:
        nodes: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = _key(self._node(event, depth + 1))
            if key.text in nodes:
                first = lines[key.text]
                raise JobFileError(f"{shown(key.text)}: the key is there twice, first in line {first}", line=key.line)
            lines[key.text] = key.line
            nodes[key.text] = self._node(next(self._events), depth + 1)
        return Fields(_line(start), nodes, lines)


def _key(node: Node) -> Scalar:
    if not isinstance(node, Scalar):
        raise JobFileError("a key must be a word, not a list or a table", line=node.line)
    if not node.text:
        raise JobFileError("a key is empty", line=node.line)
    return node


def _scalar(event: Any) -> Scalar:
    text = _PAIR.sub(_joined, event.value)
    bad = unwanted(text)
    if bad:
        raise JobFileError(f"the character {shown(bad)} may not stand in a job file", line=_line(event))
    return Scalar(_line(event), text, event.style is not None)


def _joined(pair: re.Match[str]) -> str:
    """The character that a surrogate pair stands for: JSON, which is YAML but for this, escapes so what lies beyond 16 bits."""
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _not_yaml(error: yaml.MarkedYAMLError, text: str) -> JobFileError:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "it cannot be read"
    found = f"{error.context}, {problem}" if error.context else problem
    hint = next((way_out for sign, way_out in _WAYS_OUT if sign in found), "")
    if mark is not None:
        # A line may end the trouble that one before it began.
        lines = text.split("\n")[max(mark.line - 1, 0) : mark.line + 1]
        hint = next((way_out for signs, way_out in _ODD if any(c in line for line in lines for c in signs)), hint)
    return JobFileError(f"not valid YAML: {found}", hint, line=mark.line + 1 if mark else None)
