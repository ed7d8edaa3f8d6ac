"""The webhook: an HTTP POST for each event, signed as the Standard Webhooks specification has it.

Nothing but the URL of the settings is ever called: no redirect is followed and no proxy asked. What the receiver answers is
not kept, but for its status.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from rekindle.engine.event_ports import Event, Undelivered
from rekindle.engine.ports import Clock

#: Seconds that a receiver has for each step of an answer.
TIMEOUT_SECONDS = 10.0
#: Answers that blame the event itself: the same one would be refused again.
_FINAL = frozenset({400, 410, 413, 415, 422})


@dataclass(frozen=True)
class Webhook:
    """A sink that posts to ``url``. ``secret`` is the key that signs, as bytes; empty: unsigned."""

    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    clock: Clock
    name: str = "webhook"

    def deliver(self, event: Event) -> None:
        """See Sink."""
        try:
            status = self._post(event)
        except (OSError, http.client.HTTPException) as error:
            raise Undelivered(f"{self._place}: {error or type(error).__name__}") from error
        if 200 <= status < 300:
            return
        where = " (redirects are not followed: name the final URL)" if 300 <= status < 400 else ""
        raise Undelivered(f"{self._place}: status {status}{where}", final=status in _FINAL)

    @property
    def _place(self) -> str:
        """The receiver without what may be secret in the URL: its path, its query, its user."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def _post(self, event: Event) -> int:
        parts = urlsplit(self.url)
        target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        body = event.body.encode()
        connection = self._connection(parts.hostname or "", parts.port, parts.scheme == "https")
        try:
            connection.request("POST", target, body, self._headers(event, body))
            return connection.getresponse().status
        finally:
            connection.close()

    def _connection(self, host: str, port: int | None, tls: bool) -> http.client.HTTPConnection:
        # Without a port, it would take the last group of an IPv6 address for one.
        if tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port or 443, timeout=TIMEOUT_SECONDS, context=context)
        return http.client.HTTPConnection(host, port or 80, timeout=TIMEOUT_SECONDS)

    def _headers(self, event: Event, body: bytes) -> dict[str, str]:
        at = str(int(self.clock.now()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "rekindle",
            "webhook-id": event.id,
            "webhook-timestamp": at,
        }
        parts = urlsplit(self.url)
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        if self.secret:
            signed = b".".join((event.id.encode(), at.encode(), body))
            digest = base64.b64encode(hmac.new(self.secret, signed, hashlib.sha256).digest()).decode()
            headers["webhook-signature"] = f"v1,{digest}"
        return headers
