"""The webhook against a real receiver, and the file on a real disk."""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rekindle.engine.event_ports import Event, Undelivered
from rekindle.sinks import webhook
from rekindle.sinks.file import EventFile
from rekindle.sinks.webhook import Webhook
from support.receiver import Receiver, receiving
from support.simulated import SimulatedClock

EVENT = Event("0b1e", 10.0, json.dumps({"id": "0b1e", "detail": {"x": "ü"}}))
KEY = bytes(range(32))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def test_posts_the_event_signed(receiver: Receiver) -> None:
    Webhook(f"{receiver.url}/hook?room=7", KEY, SimulatedClock(1_800_000_000.7)).deliver(EVENT)
    ((headers, body),) = receiver.got
    assert receiver.paths == ["/hook?room=7"]
    assert body == EVENT.body.encode()
    assert headers["Content-Type"] == "application/json"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("0b1e", "1800000000")
    expected = hmac.new(KEY, b"0b1e.1800000000." + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert "Authorization" not in headers


def test_without_a_key_nothing_is_signed_and_a_user_in_the_url_is_told_apart(receiver: Receiver) -> None:
    Webhook(receiver.url.replace("//", "//me:p%40ss@"), b"", SimulatedClock()).deliver(EVENT)
    ((headers, _),) = receiver.got
    assert "webhook-signature" not in headers
    assert headers["Authorization"] == f"Basic {base64.b64encode(b'me:p@ss').decode()}"


FINAL = {400, 410, 422}


@pytest.mark.parametrize("status", sorted({*FINAL, 401, 404, 429, 500}))
def test_what_is_refused_is_told_again_unless_the_answer_blames_the_event(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(Undelivered, match=f"status {status}") as caught:
        Webhook(receiver.url, KEY, SimulatedClock()).deliver(EVENT)
    assert caught.value.final is (status in FINAL)


def test_no_redirect_is_followed(receiver: Receiver) -> None:
    with receiving() as elsewhere:
        receiver.status, receiver.headers = 302, {"Location": elsewhere.url}
        with pytest.raises(Undelivered, match="redirects are not followed"):
            Webhook(receiver.url, KEY, SimulatedClock()).deliver(EVENT)
        assert elsewhere.paths == []


def test_no_proxy_of_the_environment_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        Webhook(receiver.url, KEY, SimulatedClock()).deliver(EVENT)
        assert (len(receiver.got), proxy.paths) == (1, [])


def test_one_that_does_not_answer_is_left(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_SECONDS", 0.2)
    receiver.silent = True
    with pytest.raises(Undelivered, match="timed out"):
        Webhook(receiver.url, KEY, SimulatedClock()).deliver(EVENT)


def test_no_error_repeats_what_may_be_secret() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        sink = Webhook(f"http://me:hidden@127.0.0.1:{port}/token-hidden?key=hidden", b"hidden" * 5, SimulatedClock())
        with pytest.raises(Undelivered) as caught:
            sink.deliver(EVENT)
    assert f"http://127.0.0.1:{port}: " in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert "hidden" not in repr(sink)


@pytest.mark.parametrize(
    ("url", "port"), [("http://[2001:db8::5]/x", 80), ("https://[2001:db8::5]/x", 443), ("http://[::1]:8/", 8)]
)
def test_an_address_of_ipv6_needs_no_port(url: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], *_: object) -> socket.socket:
        asked.append(address)
        raise OSError("nobody there")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Undelivered, match=re.escape(f"{url.rpartition('/')[0]}: nobody there")):
        Webhook(url, KEY, SimulatedClock()).deliver(EVENT)
    assert asked == [(url.partition("[")[2].partition("]")[0], port)]


def test_the_file_gets_a_line_for_each_and_mends_one_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "events.jsonl"
    sink = EventFile(path)
    sink.deliver(EVENT)
    path.write_bytes(path.read_bytes() + b'{"id": "cut')
    sink.deliver(EVENT)
    sink.deliver(EVENT)
    assert path.read_bytes().split(b"\n") == [
        EVENT.body.encode(),
        b'{"id": "cut',
        EVENT.body.encode(),
        EVENT.body.encode(),
        b"",
    ]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [errno.ENXIO, errno.EOPNOTSUPP], ids=["linux", "macos"])
def test_a_socket_in_place_of_the_file_says_the_way_out(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        monkeypatch.setattr(os, "open", refused)
        with pytest.raises(Undelivered, match=r"socket: it is a socket, .*; name a file or a pipe"):
            EventFile(tmp_path / "socket").deliver(EVENT)


def test_a_place_that_cannot_even_be_looked_at_is_told_as_any_other(tmp_path: Path) -> None:
    """To look whether it is a socket met the same error, which counted as a defect: nobody was told of the place."""
    with pytest.raises(Undelivered, match=r": File name too long$"):
        EventFile(tmp_path / ("x" * 300)).deliver(EVENT)
