"""SageMaker's own request from a JSON file: its shape checked as the wire would, and its unknown members refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rekindle.domain.tuning_job import TuningJobSpec

OPERATION = "CreateHyperParameterTuningJob"
_SHAPE = f"{OPERATION}Request"


def spec_from_file(request: Mapping[str, Any]) -> TuningJobSpec:
    """The tuning job that a request asks for. Raises RekindleError with the first things that are wrong."""
    from rekindle.api.app import request_model
    from rekindle.api.errors import ApiError
    from rekindle.api.translate.create_request import spec_from_request
    from rekindle.api.translate.history import is_description
    from rekindle.domain.errors import RekindleError

    model = request_model()
    shapes = model.description["shapes"]
    if is_description(request):
        what = "it is what describe-hyper-parameter-tuning-job prints of a tuning job, and no request for one"
        asked = ", ".join(name for name in shapes[_SHAPE]["members"] if name in request)
        raise RekindleError(what, f"`rekindle import` takes it with its results. To run it again keep only {asked}.")
    for message, hint in unknown_members(request, shapes, _SHAPE, ""):
        raise RekindleError(message, hint)
    try:
        return spec_from_request(model.check(OPERATION, request))
    except ApiError as error:
        raise RekindleError(error.message, "An entry that you do not use is best removed.") from error


def unknown_members(value: Any, shapes: Mapping[str, Any], name: str, path: str) -> Iterator[tuple[str, str]]:
    """What the shape ``name`` does not know in a value, deep down: a message and the name that was probably meant."""
    from rekindle.domain.errors import did_you_mean

    shape = shapes[name]
    if shape["type"] == "structure" and isinstance(value, Mapping):
        members = shape["members"]
        for key, inner in value.items():
            place = f"{path}.{key}" if path else key
            if key in members:
                yield from unknown_members(inner, shapes, members[key]["shape"], place)
            else:
                yield f"{place}: unknown key", did_you_mean(key, members) or f"The keys here are: {', '.join(members)}."
    elif shape["type"] == "list" and isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            yield from unknown_members(inner, shapes, shape["member"]["shape"], f"{path}.{number}")
