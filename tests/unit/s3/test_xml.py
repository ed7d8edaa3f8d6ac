from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.s3 import xml
from rekindle.s3.errors import S3Error

_printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))


@given(_printable)
def test_text_comes_back(text: str) -> None:
    written = xml.document("Root", xml.group("Outer", xml.leaf("Inner", text)))
    outer = next(xml.parse(written, "Root").all("Outer"))
    assert outer.get("Inner") == text
    assert ElementTree.fromstring(written)[0][0].text == (text or None)


BOMB = b"""<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Root>&b;</Root>"""
OUTSIDE = b"""<!DOCTYPE r SYSTEM "file:///etc/passwd"><Root/>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Root>",
        b"<Other/>",
        b"<Root/><Root/>",
        b"not xml",
        b"<Root>&undefined;</Root>",
        BOMB,
        OUTSIDE,
        b"<a>" * 1000,
        b"\xff<Root/>",
    ],
)
def test_what_is_refused(body: bytes) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        xml.parse(body, "Root")


def test_namespaces_do_not_matter() -> None:
    for opening in (b"<Root>", b'<Root xmlns="http://s3.amazonaws.com/doc/2006-03-01/">', b'<Root xmlns="other">'):
        assert xml.parse(opening + b"<Key>k</Key></Root>", "Root").need("Key") == "k"


def test_a_missing_element_is_malformed() -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        xml.parse(b"<Root><Key></Key></Root>", "Root").need("Key")


def test_a_moment() -> None:
    assert xml.timestamp(1_700_000_000.9) == "2023-11-14T22:13:20.000Z"
