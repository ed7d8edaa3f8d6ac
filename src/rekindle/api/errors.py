"""What SageMaker's clients are told when a request fails.

ApiError           a code of AWS's, its HTTP status and the sentence
├── validation     one or more constraints of the service model are broken
├── serialization  the body is not what the protocol says
└── unknown_operation, internal_failure
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Final

#: How much of a value an error shows. AWS shows all of it, be it a megabyte.
_SHOWN: Final = 4096


class Code(StrEnum):
    """Every error code that this service gives: of those in SageMaker's model, and of those common to AWS's services."""

    VALIDATION = "ValidationException"
    NOT_FOUND = "ResourceNotFound"
    IN_USE = "ResourceInUse"
    LIMIT_EXCEEDED = "ResourceLimitExceeded"
    SERIALIZATION = "SerializationException"
    UNKNOWN_OPERATION = "UnknownOperationException"
    INTERNAL = "InternalFailure"
    UNAVAILABLE = "ServiceUnavailable"

    @property
    def status(self) -> int:
        """The HTTP status that goes with it."""
        return {Code.INTERNAL: 500, Code.UNAVAILABLE: 503}.get(self, 400)


class ApiError(Exception):
    """An error as the client will see it."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code.value}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Violation:
    """One broken constraint: the path in AWS's spelling (``inputDataConfig.1.member.channelName``), the value, the rule."""

    path: str
    value: Any
    constraint: str

    def __str__(self) -> str:
        shown = "null" if self.value is None else f"'{shown_value(self.value)}'"
        return f"Value {shown} at '{self.path}' failed to satisfy constraint: {self.constraint}"


def validation(violations: Sequence[Violation]) -> ApiError:
    """AWS's sentence for broken constraints, with their number."""
    count = "1 validation error" if len(violations) == 1 else f"{len(violations)} validation errors"
    return ApiError(Code.VALIDATION, f"{count} detected: {'; '.join(map(str, violations))}")


def missing(path: str) -> Violation:
    """A member that must be there and is not."""
    return Violation(path, None, "Member must not be null")


def serialization(message: str, path: str = "") -> ApiError:
    """The body cannot be read as the protocol says; ``path`` is where."""
    return ApiError(Code.SERIALIZATION, f"{message} (at '{path}')" if path else message)


_HOSTING = "There is no hosting here: load the model from the training job's ModelArtifacts.S3ModelArtifacts."
_EXPERIMENTS = "There are no experiments here: leave the Run out. `rekindle export --as mlflow` makes runs of a tuning job."
#: What to do instead of what people's code asks for besides: the first whose word is in the operation's name.
_INSTEAD = {
    "Pipeline": "Run the steps' jobs yourself: with a Session in place of a PipelineSession, fit, tune and train start them.",
    "Processing": "There are no processing jobs here: run the script itself.",
    "Experiment": _EXPERIMENTS,
    "Trial": _EXPERIMENTS,
    "Transform": _HOSTING,
    "Endpoint": _HOSTING,
    "Model": _HOSTING,
}


def unknown_operation(name: str, supported: Collection[str]) -> ApiError:
    """An operation that is not SageMaker's, or not one of ours."""
    instead = next((f" {words}" for word, words in _INSTEAD.items() if word in name), "")
    served = ", ".join(sorted(supported))
    message = f"The operation '{name[:128]}' is not supported.{instead} Rekindle supports: {served}."
    return ApiError(Code.UNKNOWN_OPERATION, message)


def internal_failure() -> ApiError:
    """A defect of ours; the log has more under the request's id."""
    return ApiError(Code.INTERNAL, "We encountered an internal error. Please try again.")


def shown_value(value: Any) -> str:
    """A value as Java prints it, which is how AWS shows it: ``{key=value}``, ``[a, b]``; cut when very long."""
    text = _java(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _java(value: Any) -> str:
    # Members beyond so many are beyond what is shown, however short each is.
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={_java(entry)}" for key, entry in islice(value.items(), _SHOWN)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_java, islice(value, _SHOWN))) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)
