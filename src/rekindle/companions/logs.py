"""CloudWatch Logs over the real training logs: the one log group that SageMaker's SDKs read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from starlette.types import ASGIApp

from rekindle.companions.ports import LogEvent, LogStream, TrainingLogs
from rekindle.companions.wire import Call, JsonApp, ServiceError, flag, integer, invalid, text

GROUP: Final = "/aws/sagemaker/TrainingJobs"
_MAX_EVENTS: Final = 10_000
_MAX_STREAMS: Final = 50
_MAX_PATTERN: Final = 1024
#: How many streams, and how many events, one answer of a search goes through, as CloudWatch's do: clients wait for an answer as
#: long as for any.
_LOOKED_UP: Final = 1000
_GONE_THROUGH: Final = 500_000
_ORDERS: Final = ("LogStreamName", "LastEventTime")
#: CloudWatch's own limit on one answer: a megabyte, with this much for each event.
_MAX_BYTES: Final = 1_048_576
_EVENT_BYTES: Final = 26
_FOREVER: Final = 2**62
#: How many events are asked for at once: a log's lines are parted by the megabyte, and what is not taken is parted again.
_MANY: Final = 20_000

_Operation = Callable[[TrainingLogs, Call], Mapping[str, Any]]


def logs_app(logs: TrainingLogs) -> ASGIApp:
    """CloudWatch Logs: DescribeLogGroups, DescribeLogStreams, GetLogEvents, FilterLogEvents."""
    operations: dict[str, _Operation] = {
        "DescribeLogGroups": _describe_log_groups,
        "DescribeLogStreams": _describe_log_streams,
        "GetLogEvents": _get_log_events,
        "FilterLogEvents": _filter_log_events,
    }
    return JsonApp("1.1", {name: partial(operation, logs) for name, operation in operations.items()})


def _describe_log_groups(logs: TrainingLogs, call: Call) -> Mapping[str, Any]:
    prefix, part = text(call, "logGroupNamePrefix", ""), text(call, "logGroupNamePattern", "")
    if prefix and part:
        raise ServiceError(
            "InvalidParameterException", "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        )
    if not GROUP.startswith(prefix) or part not in GROUP:
        return {"logGroups": []}
    arn = f"arn:{call.partition}:logs:{call.owner.region}:{call.owner.account}:log-group:{GROUP}"
    return {"logGroups": [{"logGroupName": GROUP, "arn": f"{arn}:*", "logGroupArn": arn, "metricFilterCount": 0}]}


def _describe_log_streams(logs: TrainingLogs, call: Call) -> Mapping[str, Any]:
    _check_group(call)
    limit = integer(call, "limit", 1, _MAX_STREAMS, _MAX_STREAMS)
    found = _streams(logs, call, text(call, "nextToken", ""), limit + 1)
    page = {"logStreams": [_shown_stream(call, stream) for stream in found[:limit]]}
    return {**page, "nextToken": _place_of(call, found[limit - 1])} if len(found) > limit else page


def _place_of(call: Call, stream: LogStream) -> str:
    """The token of what comes behind a stream, which may be deleted meanwhile."""
    return f"{_newness(stream)[0]}/{stream.name}" if text(call, "orderBy", _ORDERS[0]) == _ORDERS[1] else stream.name


def _streams(logs: TrainingLogs, call: Call, after: str, limit: int) -> Sequence[LogStream]:
    """The streams of a page, in the order asked for, from behind the place ``after`` on."""
    order, prefix = text(call, "orderBy", _ORDERS[0]), text(call, "logStreamNamePrefix", "")
    if order not in _ORDERS:
        raise invalid(f"'{order}'", "orderBy", f"Member must satisfy enum value set: [{', '.join(_ORDERS)}]")
    by_time, descending = order == _ORDERS[1], flag(call, "descending")
    if by_time and prefix:
        raise ServiceError("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
    if not by_time and not descending:
        return logs.streams(call.owner, prefix, after, limit)
    found = list(logs.streams(call.owner, prefix, "", _FOREVER))
    key = _newness if by_time else _name
    found.sort(key=key, reverse=descending)
    if after:
        time, _, name = after.partition("/") if by_time else ("0", "", after)
        if not (name and _is_position(time)):
            raise ServiceError("InvalidParameterException", "The specified nextToken is invalid.")
        place = int(time), name
        found = [stream for stream in found if (key(stream) < place if descending else key(stream) > place)]
    return found[:limit]


def _name(stream: LogStream) -> tuple[int, str]:
    return 0, stream.name


def _newness(stream: LogStream) -> tuple[int, str]:
    return stream.created_ms if stream.last_ms is None else stream.last_ms, stream.name


def _shown_stream(call: Call, stream: LogStream) -> dict[str, Any]:
    arn = f"arn:{call.partition}:logs:{call.owner.region}:{call.owner.account}:log-group:{GROUP}:log-stream:{stream.name}"
    times = {"firstEventTimestamp": stream.first_ms, "lastEventTimestamp": stream.last_ms, "lastIngestionTime": stream.last_ms}
    known = {name: value for name, value in times.items() if value is not None}
    return {"logStreamName": stream.name, "creationTime": stream.created_ms, "arn": arn, "storedBytes": 0, **known}


def _get_log_events(logs: TrainingLogs, call: Call) -> Mapping[str, Any]:
    _check_group(call)
    stream, limit = text(call, "logStreamName"), integer(call, "limit", 1, _MAX_EVENTS, _MAX_EVENTS)
    direction, position = _token(call)
    if direction == "f":
        events, end = _forward(_events(logs, call, stream, position, _times(call)), limit, position)
        return _answer(events, position, end)
    earlier = _backward(_events(logs, call, stream, 0, _times(call)), limit, position)
    start = earlier[0][0] if earlier else (0 if position == _FOREVER else position)
    return _answer([event for _, event in earlier], start, earlier[-1][1].end if earlier else start)


def _answer(events: Sequence[LogEvent], start: int, end: int) -> Mapping[str, Any]:
    return {
        "events": [{"timestamp": event.at_ms, "message": event.message, "ingestionTime": event.at_ms} for event in events],
        "nextForwardToken": f"f/{end}",
        "nextBackwardToken": f"b/{start}",
    }


def _filter_log_events(logs: TrainingLogs, call: Call) -> Mapping[str, Any]:
    _check_group(call)
    if call.parameters.get("startFromHead") is False:
        message = "startFromHead: false: Rekindle searches from the head. GetLogEvents reads a stream from its end."
        raise ServiceError("InvalidParameterException", message)
    limit = integer(call, "limit", 1, _MAX_EVENTS, _MAX_EVENTS)
    found: list[dict[str, Any]] = []
    size = 0
    for stream, begin, event in _matching(logs, call):
        if event is None or len(found) == limit or size > _MAX_BYTES:
            return {"events": found, "searchedLogStreams": [], "nextToken": f"{begin}/{stream}"}
        found.append(_shown_match(stream, event))
        size += _size(event)
    return {"events": found, "searchedLogStreams": []}


def _matching(logs: TrainingLogs, call: Call) -> Iterator[tuple[str, int, LogEvent | None]]:
    """The stream, beginning and content of each event that the filter lets through, from where the token says; no content at
    the end where the next answer has to go on."""
    pattern = text(call, "filterPattern", "")
    if len(pattern) > _MAX_PATTERN:
        raise invalid(f"'{pattern[:80]}...'", "filterPattern", f"Member must have length less than or equal to {_MAX_PATTERN}")
    matches, times = _pattern(pattern), _searched_times(call)
    token = text(call, "nextToken", "")
    position, _, resumed = token.partition("/")
    if token and not (resumed and _is_position(position)):
        raise ServiceError("InvalidParameterException", "The specified nextToken is invalid.")
    streams, following = _named_streams(logs, call, times, resumed)
    # One that was only looked up may be deleted while others are searched.
    must_be_there = bool(call.parameters.get("logStreamNames"))
    gone = 0
    for stream in streams:
        begun = int(position) if token and stream == resumed else 0
        for begin, event in _events(logs, call, stream, begun, times, must_be_there):
            if gone == _GONE_THROUGH:
                yield stream, begin, None
                return
            gone += 1
            if matches(event.message):
                yield stream, begin, event
    if following:
        yield following, 0, None


def _shown_match(stream: str, event: LogEvent) -> dict[str, Any]:
    event_id = f"{stream}@{event.end}"
    times = {"timestamp": event.at_ms, "ingestionTime": event.at_ms}
    return {"logStreamName": stream, "message": event.message, "eventId": event_id, **times}


def _named_streams(logs: TrainingLogs, call: Call, times: tuple[int, int], resumed: str) -> tuple[list[str], str]:
    """The streams that an answer searches, by name, from the one called ``resumed`` on: those listed, or those with the prefix
    and with events within the times; and the one with which the next answer begins, if any."""
    names, prefix = call.parameters.get("logStreamNames"), text(call, "logStreamNamePrefix", "")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ServiceError("SerializationException", "logStreamNames: Expected list of texts or null")
    if names and prefix:
        raise ServiceError(
            "InvalidParameterException", "logStreamNames and logStreamNamePrefix: only one of them can be given."
        )
    if names:
        return sorted({name for name in names if name >= resumed}), ""
    # It may have been deleted since.
    begun = [s for s in (logs.streams(call.owner, resumed, "", 1) if resumed else ()) if s.name == resumed]
    further = logs.streams(call.owner, prefix, resumed, _LOOKED_UP + 1)
    looked_up = [*(s for s in begun if s.name.startswith(prefix)), *further[:_LOOKED_UP]]
    following = further[_LOOKED_UP].name if len(further) > _LOOKED_UP else ""
    return [stream.name for stream in looked_up if _has_events(stream, *times)], following


def _has_events(stream: LogStream, start: int, end: int) -> bool:
    """Whether a stream may have events of a time: a log without any need not be read."""
    return stream.first_ms is not None and stream.last_ms is not None and stream.first_ms < end and start <= stream.last_ms


def _pattern(pattern: str) -> Callable[[str], bool]:
    """CloudWatch's term patterns: all terms occur, ``-term`` does not, ``?term`` any of these; quotes hold words together."""
    if pattern.strip()[:1] in ("{", "[", "%"):
        raise ServiceError("InvalidParameterException", f"filterPattern: {pattern[:80]!r}: Rekindle matches terms only.")
    # A sign within the quotes is of the phrase: "--lr" is looked for, and -"--lr" must not occur.
    terms = list(_terms(pattern))
    without = [term[1:].strip('"') for term in terms if term.startswith("-")]
    either = [term[1:].strip('"') for term in terms if term.startswith("?")]
    every = [term.strip('"') for term in terms if not term.startswith(("-", "?"))]
    return lambda message: (
        all(term in message for term in every)
        and not any(term in message for term in without)
        and (not either or any(term in message for term in either))
    )


def _terms(pattern: str) -> Iterator[str]:
    """Words, or quoted phrases with their quotes."""
    word, quoted = "", False
    for character in pattern:
        quoted ^= character == '"'
        if character.isspace() and not quoted:
            if word:
                yield word
            word = ""
        else:
            word += character
    if word:
        yield word


def _events(
    logs: TrainingLogs, call: Call, stream: str, position: int, times: tuple[int, int], must_be_there: bool = True
) -> Iterator[tuple[int, LogEvent]]:
    """Each event within the times, with the position that it begins at; ResourceNotFoundException for no stream, unless it
    need not be there."""
    start, end = times
    while True:
        page = logs.events(call.owner, stream, position, _MANY)
        if page is None and not must_be_there:
            return
        if page is None:
            raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")
        for event in page:
            if start <= event.at_ms < end:
                yield position, event
            position = event.end
        if not page:
            return


def _times(call: Call) -> tuple[int, int]:
    """From when to before when events are asked for."""
    return integer(call, "startTime", 0, _FOREVER, 0), integer(call, "endTime", 0, _FOREVER, _FOREVER)


def _searched_times(call: Call) -> tuple[int, int]:
    """The same of a search: to FilterLogEvents, and to it alone, events of its endTime belong."""
    start, end = _times(call)
    return start, end + 1


def _forward(events: Iterator[tuple[int, LogEvent]], limit: int, position: int) -> tuple[list[LogEvent], int]:
    taken: list[LogEvent] = []
    size = 0
    for _, event in events:
        if len(taken) == limit or (taken and size + _size(event) > _MAX_BYTES):
            break
        taken.append(event)
        size += _size(event)
        position = event.end
    return taken, position


def _backward(events: Iterator[tuple[int, LogEvent]], limit: int, before: int) -> list[tuple[int, LogEvent]]:
    """The last events that end before a position."""
    kept: deque[tuple[int, LogEvent]] = deque(maxlen=limit)
    for begin, event in events:
        if event.end > before:
            break
        kept.append((begin, event))
    size = sum(_size(event) for _, event in kept)
    while size > _MAX_BYTES and len(kept) > 1:
        size -= _size(kept.popleft()[1])
    return list(kept)


def _size(event: LogEvent) -> int:
    return len(event.message.encode("utf-8", "replace")) + _EVENT_BYTES


def _token(call: Call) -> tuple[str, int]:
    """Which way to read, and from where: as the token says, or from the head or the end."""
    token = text(call, "nextToken", "")
    if not token:
        return ("f", 0) if flag(call, "startFromHead") else ("b", _FOREVER)
    direction, _, position = token.partition("/")
    if direction not in ("f", "b") or not _is_position(position):
        raise ServiceError("InvalidParameterException", "The specified nextToken is invalid.")
    return direction, int(position)


def _is_position(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _FOREVER


def _check_group(call: Call) -> None:
    group = call.parameters.get("logGroupName") or call.parameters.get("logGroupIdentifier")
    if group is None:
        raise invalid("null", "logGroupName", "Member must not be null")
    if not isinstance(group, str) or group.removesuffix(":*").rpartition(":log-group:")[2] != GROUP:
        raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
