"""The two protocols that the companions speak: AWS query (form in, XML out) and AWS JSON.

An operation is a plain function of a Call. It returns XML or a JSON object, or raises ServiceError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rekindle.domain.training_job import Owner
from rekindle.engine.ports import StoreUnavailable

_LOG = structlog.get_logger("rekindle.companions")
#: What XML 1.0 has no way to say.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: How deep objects and arrays may be nested.
_MAX_DEPTH = 64
#: What to do instead of what notebooks ask for besides.
_INSTEAD = {"AssumeRole": "Use the keys that you have: they may do whatever a role may."}


class ServiceError(Exception):
    """An error in the service's own words."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Call:
    """One request to a companion: what it asks, and for whom."""

    parameters: Mapping[str, Any]
    owner: Owner
    access_key: str
    request_id: str

    @property
    def partition(self) -> str:
        """The first part of ARNs, which says in which of AWS's worlds the region lies."""
        region = self.owner.region
        return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"

    def members(self, name: str) -> list[str]:
        """A list that the query protocol spread over ``name.member.1``, ``name.member.2`` ..."""
        values: list[str] = []
        while (key := f"{name}.member.{len(values) + 1}") in self.parameters:
            values.append(self.parameters[key])
        return values


class QueryApp:
    """A service of the query protocol. An operation's XML becomes the content of its ``...Result`` element."""

    def __init__(self, namespace: str, operations: Mapping[str, Callable[[Call], str]]) -> None:
        self._namespace = namespace
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        request = Request(scope, receive)
        sent = request.url.query if request.method == "GET" else (await request.body()).decode("utf-8", "replace")
        parameters = {name: value.replace("\0", "?") for name, value in parse_qsl(sent, keep_blank_values=True)}
        response = await run_in_threadpool(self._answer, _call(scope, parameters))
        await response(scope, receive, send)

    def _not_here(self, action: str) -> str:
        instead = f" {_INSTEAD[action]}" if action in _INSTEAD else ""
        return f"Could not find operation {action[:128]}.{instead} Rekindle supports: {', '.join(sorted(self._operations))}."

    def _answer(self, call: Call) -> Response:
        action = call.parameters.get("Action", "")
        try:
            operation = self._operations.get(action)
            if operation is None:
                raise ServiceError("InvalidAction", self._not_here(action))
            return self._xml(200, self._success(call, action, operation(call)))
        except ServiceError as error:
            return self._xml(error.status, self._failure(call, error))
        except StoreUnavailable as error:
            return self._xml(503, self._failure(call, unavailable("ServiceUnavailable", action, call.request_id, error)))

    def _success(self, call: Call, action: str, result: str) -> str:
        metadata = f"<ResponseMetadata><RequestId>{call.request_id}</RequestId></ResponseMetadata>"
        content = f"<{action}Result>{result}</{action}Result>{metadata}"
        return f'<{action}Response xmlns="{self._namespace}">{content}</{action}Response>'

    def _failure(self, call: Call, error: ServiceError) -> str:
        blame = element("Type", "Sender") + element("Code", error.code) + element("Message", error.message)
        request_id = element("RequestId", call.request_id)
        return f'<ErrorResponse xmlns="{self._namespace}"><Error>{blame}</Error>{request_id}</ErrorResponse>'

    def _xml(self, status: int, body: str) -> Response:
        return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}', status, media_type="text/xml")


class JsonApp:
    """A service of AWS JSON; ``version`` is 1.0 or 1.1."""

    def __init__(self, version: str, operations: Mapping[str, Callable[[Call], Mapping[str, Any]]]) -> None:
        self._media_type = f"application/x-amz-json-{version}"
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        request = Request(scope, receive)
        name = request.headers.get("x-amz-target", "").partition(".")[2]
        response = await run_in_threadpool(self._answer, scope, name, await request.body())
        await response(scope, receive, send)

    def _answer(self, scope: Scope, name: str, body: bytes) -> Response:
        try:
            operation = self._operations.get(name)
            if operation is None:
                served = ", ".join(sorted(self._operations))
                raise ServiceError(
                    "UnknownOperationException", f"Unknown operation '{name[:128]}'. Rekindle supports: {served}."
                )
            return self._json(200, operation(_call(scope, _json_object(body))), {})
        except ServiceError as error:
            # Clients of services that used to speak the query protocol look for the code in this header.
            headers = {"x-amzn-query-error": f"{error.code};Sender"} if self._media_type.endswith("1.0") else {}
            return self._json(error.status, {"__type": error.code, "message": error.message}, headers)
        except StoreUnavailable as error:
            away = unavailable("ServiceUnavailableException", name, scope["state"]["request_id"], error)
            return self._json(away.status, {"__type": away.code, "message": away.message}, {})

    def _json(self, status: int, content: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
        return Response(json.dumps(content, allow_nan=False), status, dict(headers), self._media_type)


def by_protocol(json_app: ASGIApp, query_app: ASGIApp) -> ASGIApp:
    """One application for a service that speaks both: what carries X-Amz-Target is JSON."""

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        is_json = any(name.lower() == b"x-amz-target" for name, _ in scope["headers"])
        await (json_app if is_json else query_app)(scope, receive, send)

    return choose


def nested(parameters: Mapping[str, str]) -> dict[str, Any]:
    """The query protocol's flat parameters (``A.member.1.B``) in the shape of a JSON protocol's."""
    found: dict[str, Any] = {}
    for path, value in parameters.items():
        *outer, last = path.split(".")[:_MAX_DEPTH]
        place = found
        for name in outer:
            inner = place.get(name)
            place = place.setdefault(name, {}) if inner is None or isinstance(inner, dict) else {}
        place[last] = value
    return {name: _listed(value) for name, value in found.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    members = value.get("member")
    if len(value) == 1 and isinstance(members, dict) and all(n.isascii() and n.isdigit() and len(n) < 10 for n in members):
        return [_listed(members[n]) for n in sorted(members, key=int)]
    return {name: _listed(inner) for name, inner in value.items()}


def elements(content: Mapping[str, Any]) -> str:
    """A JSON protocol's answer as the query protocol has it: lists of members, times as text."""
    return "".join(f"<{name}>{_content(name, value)}</{name}>" for name, value in content.items())


def _content(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return elements(value)
    if isinstance(value, list):
        inner = (_content(name, entry) for entry in value)
        return "".join(f"<member>{entry}</member>" for entry in inner)
    shown = stamp(value) if name.startswith("Timestamp") else repr(value) if isinstance(value, float) else str(value)
    return escape(_NOT_XML.sub("?", shown))


def element(name: str, content: object) -> str:
    """An XML element with text; characters that XML cannot hold are replaced."""
    return f"<{name}>{escape(_NOT_XML.sub('?', str(content)))}</{name}>"


def stamp(seconds: float) -> str:
    """A time as the query protocol has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def text(call: Call, name: str, default: str | None = None) -> str:
    """A string parameter; InvalidParameterException where it is missing (and has no default) or of another type."""
    value = call.parameters.get(name)
    if value is None and default is not None:
        return default
    if value is None:
        raise invalid("null", name, "Member must not be null")
    if not isinstance(value, str):
        raise ServiceError("SerializationException", f"{name}: {json.dumps(value)[:80]} can not be converted to a String")
    return value


def integer(call: Call, name: str, low: int, high: int, default: int) -> int:
    """A whole number parameter within its bounds, or its default."""
    value = call.parameters.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise ServiceError("SerializationException", f"{name}: {json.dumps(value)[:80]} can not be converted to a Long")
    if value < low:
        raise invalid(f"'{value}'", name, f"Member must have value greater than or equal to {low}")
    if value > high:
        raise invalid(f"'{value}'", name, f"Member must have value less than or equal to {high}")
    return value


def flag(call: Call, name: str) -> bool:
    """A boolean parameter; false where it is missing."""
    value = call.parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise ServiceError("SerializationException", f"{name}: {json.dumps(value)[:80]} can not be converted to a Boolean")
    return bool(value)


def unavailable(code: str, operation: str, request_id: str, cause: StoreUnavailable) -> ServiceError:
    """What a client is told, who may try again, when the store cannot be asked; the log says why."""
    _LOG.warning("not available", operation=operation, request_id=request_id, reason=cause.message, hint=cause.hint)
    return ServiceError(code, "The service is not available at the moment. Please try again.", 503)


def invalid(value: str, name: str, constraint: str) -> ServiceError:
    """AWS's sentence for a parameter that breaks a constraint."""
    sentence = f"1 validation error detected: Value {value} at '{name}' failed to satisfy constraint: {constraint}"
    return ServiceError("InvalidParameterException", sentence)


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body.decode("utf-8") or "{}")
    except (ValueError, RecursionError):
        raise ServiceError("SerializationException", "The request body is not JSON.") from None
    if not isinstance(content, dict):
        raise ServiceError("SerializationException", "The request body is not a JSON object.")
    _check_depth(content)
    _check_text(content)
    return content


def _check_depth(content: Any) -> None:
    """What could just be read would be nested too deeply to be shown."""
    level = [content]
    for _ in range(_MAX_DEPTH):
        level = [v for c in level for v in (c.values() if isinstance(c, dict) else c if isinstance(c, list) else ())]
    if level:
        raise ServiceError("SerializationException", f"The request body is nested more than {_MAX_DEPTH} levels deep.")


def _check_text(parameters: Mapping[str, Any]) -> None:
    """No NUL and no half of a surrogate pair, which stores cannot take."""
    # Without the backslashes of the texts themselves, so that a NUL's escape is one.
    shown = json.dumps(parameters, ensure_ascii=False).replace(r"\\", "")
    if r"\u0000" in shown or any("\ud800" <= character <= "\udfff" for character in shown):
        raise ServiceError("SerializationException", "The request holds a character that no field may.")


def _call(scope: Scope, parameters: Mapping[str, Any]) -> Call:
    state = scope["state"]
    return Call(parameters, Owner(state["account"], state["region"]), state["access_key"], state["request_id"])
