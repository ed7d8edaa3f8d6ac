"""S3's XML: written by two small functions, read by a parser that knows no entities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.parsers import expat

from rekindle.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
#: Deepest nesting read; S3's own documents need four levels.
MAX_DEPTH = 8

_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;"}
# XML 1.0 cannot hold control characters at all. As on AWS, a key with one is told by a reference that parsers refuse:
# clients that have such keys ask for encoding-type=url.
_ESCAPES |= {code: f"&#x{code:X};" for code in [*range(32), 127] if chr(code) not in "\t\n"}
_CONTROLS = {code: "\ufffd" for code in [*range(32), 0xFFFE, 0xFFFF] if chr(code) not in "\t\n\r"}


def leaf(name: str, value: str | int | bool) -> str:
    """An element with text."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{text.translate(_ESCAPES)}</{name}>"


def readable(text: str) -> str:
    """Text without what XML cannot hold, for people."""
    return text.translate(_CONTROLS)


def group(name: str, *content: str) -> str:
    """An element of elements."""
    return f"<{name}>{''.join(content)}</{name}>"


def document(name: str, *content: str, namespace: bool = True) -> bytes:
    """A whole document."""
    opening = f'{name} xmlns="{NAMESPACE}"' if namespace else name
    return DECLARATION + f"<{opening}>{''.join(content)}</{name}>".encode()


def timestamp(seconds: float) -> str:
    """A moment as S3's documents write it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass
class Element:
    """An element that was read; names without their namespace."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        """The children of that name."""
        return (child for child in self.children if child.name == name)

    def get(self, name: str) -> str | None:
        """The text of the first child of that name."""
        return next((child.text for child in self.all(name)), None)

    def need(self, name: str) -> str:
        """The text of a child that must be there."""
        text = self.get(name)
        if not text:
            raise S3Error("MalformedXML")
        return text


class _Builder:
    def __init__(self) -> None:
        self.top = Element("")
        self.stack = [self.top]

    def start(self, name: str, _: object) -> None:
        if len(self.stack) > MAX_DEPTH:
            raise S3Error("MalformedXML")
        element = Element(name.rpartition(" ")[2])
        self.stack[-1].children.append(element)
        self.stack.append(element)

    def end(self, _: str) -> None:
        self.stack.pop()

    def text(self, data: str) -> None:
        self.stack[-1].text += data

    def refuse(self, *_: object) -> None:
        raise S3Error("MalformedXML")


def parse(body: bytes, root: str) -> Element:
    """Read a document with that root. A document type, and with it any entity, is refused."""
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError):
        raise S3Error("MalformedXML") from None
    element = builder.top.children[0]
    if element.name != root:
        raise S3Error("MalformedXML")
    return element
