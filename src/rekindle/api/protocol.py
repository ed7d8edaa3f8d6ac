"""AWS JSON 1.1: an operation's name in a header and a JSON object in, a JSON object or an error with ``__type`` out.

Decoding is stricter than a JSON reader is: what databases or other readers would take differently (a repeated key, half a
surrogate pair, NUL, numbers beyond a double) is refused here, so that nothing behind has to think of it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rekindle.api.errors import ApiError, internal_failure, serialization, unknown_operation
from rekindle.domain.training_job import Owner

TARGET_PREFIX: Final = "SageMaker"
MEDIA_TYPE: Final = "application/x-amz-json-1.1"
#: How deep objects and arrays may be nested.
MAX_DEPTH: Final = 64
#: How many requests are worked on at once; others wait.
MAX_THREADS: Final = 40

#: One that does not end goes on to the end of the body, where each quote within would else be tried as its beginning.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_LOG = structlog.get_logger("rekindle.api")


@dataclass(frozen=True)
class ApiCall:
    """One request for an operation, its parameters checked against the service model, and whose it is."""

    operation: str
    parameters: dict[str, Any]
    owner: Owner
    access_key: str
    request_id: str


#: Answers one operation: a JSON object, or None for an operation that returns nothing. Raises ApiError.
Handler = Callable[[ApiCall], Mapping[str, Any] | None]
#: Checks the parameters of an operation and returns them in order: known members only, numbers of the right type.
Check = Callable[[str, Mapping[str, Any]], dict[str, Any]]


class ApiApp:
    """The SageMaker API as an ASGI application over handlers by operation name.

    Handlers run in threads of this application's own: one that asks our object store for an input must not have taken the
    thread that would answer it.
    """

    def __init__(self, handlers: Mapping[str, Handler], check: Check) -> None:
        self._handlers = handlers
        self._check = check
        self._threads: CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        request = Request(scope, receive)
        name = operation_name(request.method, request.url.path, request.headers.get("x-amz-target"))
        self._threads = self._threads or CapacityLimiter(MAX_THREADS)
        response = await to_thread.run_sync(self._answer, scope["state"], name, await request.body(), limiter=self._threads)
        await response(scope, receive, send)

    def _answer(self, state: Mapping[str, Any], name: str, body: bytes) -> Response:
        request_id = state["request_id"]
        try:
            return success(self._result(state, name, body), request_id)
        except ApiError as error:
            return failure(error, request_id)
        except Exception:
            _LOG.exception("operation failed", operation=name, request_id=request_id)
            return failure(internal_failure(), request_id)

    def _result(self, state: Mapping[str, Any], name: str, body: bytes) -> Mapping[str, Any] | None:
        handler = self._handlers.get(name)
        if handler is None:
            raise unknown_operation(name, self._handlers.keys())
        parameters = self._check(name, decode(body))
        owner = Owner(state["account"], state["region"])
        return handler(ApiCall(name, parameters, owner, state["access_key"], state["request_id"]))


def operation_name(method: str, path: str, target: str | None) -> str:
    """The operation that a request names; for one of SageMaker's other interfaces, which are REST, its method and path."""
    prefix, _, name = (target or "").partition(".")
    if prefix == TARGET_PREFIX and method == "POST":
        return name
    return target or f"{method} {path}"


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in a request body (an empty body is an empty object); raises SerializationException."""
    if not body:
        return {}
    _check_depth(body)
    try:
        content = json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
    except UnicodeDecodeError:
        raise serialization("The request body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise serialization(f"The request body is not JSON: {error.msg} at character {error.pos}.") from None
    except (ValueError, RecursionError):
        raise serialization("The request body holds a number that is too long.") from None
    if not isinstance(content, dict):
        raise serialization("The request body is not a JSON object.")
    if b"\\u" in body or b"\0" in body:
        _check_characters(content)
    return content


def success(result: Mapping[str, Any] | None, request_id: str) -> Response:
    """The answer of an operation; no body where it returns nothing."""
    return _response(200, b"" if result is None else encode(result), request_id)


def failure(error: ApiError, request_id: str) -> Response:
    """The answer to a request that failed."""
    return _response(error.code.status, encode({"__type": error.code.value, "message": error.message}), request_id)


def encode(result: Mapping[str, Any]) -> bytes:
    """JSON as AWS writes it: no nulls, times as seconds since the epoch, numbers that are none as strings."""
    return json.dumps(_plain(result), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _response(status: int, body: bytes, request_id: str) -> Response:
    return Response(body, status, {"x-amzn-RequestId": request_id}, MEDIA_TYPE)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items() if entry is not None}
    if isinstance(value, str):
        return value
    if isinstance(value, Collection):
        return [_plain(entry) for entry in value]
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp(), 3)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _check_depth(body: bytes) -> None:
    """Before parsing: a parser's own stack is not a limit to rely on."""
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise serialization(f"The request body is nested more than {MAX_DEPTH} levels deep.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        _check_characters(twice)
        raise serialization(f"The request body holds the key '{twice[:128]}' twice in one object.")
    return content


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise serialization(f"The number {text[:40]} is too large.")
    return value


def _constant(text: str) -> float:
    raise serialization(f"{text} is not a JSON number.")


def _check_characters(value: Any) -> None:
    """No NUL, which neither environments nor every database can hold, and no half of a surrogate pair, which is no text."""
    if isinstance(value, str):
        if "\0" in value:
            raise serialization("The request body holds the character NUL, which no field may.")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise serialization("The request body holds half of a surrogate pair, which is no text.")
    elif isinstance(value, dict):
        for name, entry in value.items():
            _check_characters(name)
            _check_characters(entry)
    elif isinstance(value, list):
        for entry in value:
            _check_characters(entry)
