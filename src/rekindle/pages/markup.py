"""Pages as trees: text becomes markup in one place, so that no name or message of a user can become markup itself."""

from __future__ import annotations

from unicodedata import category
from xml.etree.ElementTree import Element, tostring

Child = Element | str
#: Line breaks, and what keeps letters apart or joins them, as in Persian words and in emoji.
_ALSO = "\n\t\u200c\u200d"


def node(tag: str, *children: Child, **attributes: object) -> Element:
    """An element of HTML or SVG. A trailing underscore of an attribute's name is left out (``class_``), others are hyphens;
    an attribute that is None is not there."""
    made = Element(tag, {k.rstrip("_").replace("_", "-"): shown(v) for k, v in attributes.items() if v is not None})
    for child in children:
        append(made, child)
    return made


def append(parent: Element, child: Child) -> None:
    """Adds an element, or text, behind what an element has."""
    if isinstance(child, Element):
        parent.append(child)
    elif len(parent):
        parent[-1].tail = (parent[-1].tail or "") + _plain(child)
    else:
        parent.text = (parent.text or "") + _plain(child)


def document(root: Element) -> str:
    """The page as HTML."""
    return "<!doctype html>\n" + tostring(root, encoding="unicode", method="html") + "\n"


def shown(value: object) -> str:
    """An attribute's value: coordinates to a hundredth."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else _plain(str(value))


def _plain(text: str) -> str:
    """What a page can hold: neither surrogates nor control characters but for line breaks, nor what turns lines round."""
    return "".join(c if c.isprintable() or c in _ALSO or category(c) == "Zs" else "\ufffd" for c in text)
