"""The argument JOB: a short job file, or SageMaker's own request as JSON; both become the same spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rekindle.domain.tuning_job import TuningJobSpec

#: Any of these keys makes a JSON file a request rather than a job file.
REQUEST_KEYS = frozenset({"HyperParameterTuningJobName", "HyperParameterTuningJobConfig"})


@dataclass(frozen=True)
class Source:
    """Where a spec came from, so that errors can say the file and the line."""

    path: str
    spec: TuningJobSpec
    line_of: Callable[[str], int | None]
    #: Whether the tuning job's name is the option's, so that the file is not to blame for it.
    renamed: bool = False
    #: What the file may have meant otherwise, in sentences.
    notes: tuple[str, ...] = ()
    #: Those of them that explain why there are so few combinations.
    choices: tuple[str, ...] = ()

    def named(self, name: str | None) -> Source:
        """The same with another name for the tuning job."""
        return self if name is None else replace(self, spec=replace(self.spec, name=name), renamed=True)

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Errors about the spec say the file and, where it is known, the line."""
        from rekindle.domain.errors import InvalidValue, LimitExceeded, NotFound, Unsupported

        try:
            yield
        except (InvalidValue, LimitExceeded, Unsupported, NotFound) as error:
            field = "warm_start.parents" if isinstance(error, NotFound) else getattr(error, "field", "")
            if self.renamed and field == "name" and isinstance(error, InvalidValue):
                raise InvalidValue("--name", error.value, error.reason, error.hint) from error
            if isinstance(error, InvalidValue) and field.split(".")[0] == "hyperparameters":
                # A training job's hyperparameters are a tuning job's static ones, where they are looked at beforehand.
                field = field.replace("hyperparameters", "static", 1)
                error = InvalidValue(field, error.value, error.reason, error.hint)
            hint = error.hint
            if isinstance(error, InvalidValue) and error.code == "too-few-combinations":
                hint = " ".join((hint, *self.choices[:1]))
            line = self.line_of(field)
            message = f"{field}: {error.message}" if isinstance(error, NotFound) else error.message
            raise _located(self.path, line, message, hint) from error


def load_source(path: str) -> Source:
    """Reads a job file or a request. Raises RekindleError, naming the file and the line."""
    from rekindle.jobfile.load import named

    path = named(path)
    return source_of(path, read_source(path))


def read_source(path: str) -> bytes:
    """The bytes of a job file or a request. Raises RekindleError, naming the file."""
    from rekindle.cli.printing import say_if_waiting
    from rekindle.jobfile.load import read_bytes

    say_if_waiting(path)
    with _naming(path):
        return read_bytes(Path(path))


def source_of(path: str, data: bytes) -> Source:
    """A job file or a request, of which the bytes are known. Raises RekindleError, naming the file and the line."""
    with _naming(path):
        request = _request(data) if _looks_like_json(path, data) else None
        return _from_request(path, request) if request is not None else _from_job_file(path, data)


@contextmanager
def _naming(path: str) -> Iterator[None]:
    from rekindle.domain.errors import RekindleError

    try:
        yield
    except RekindleError as error:
        raise _located(path, getattr(error, "line", None), error.message, error.hint) from error


def check_alone(source: Source) -> None:
    """The rules that need neither the store nor this machine, so that a bad file leaves no trace; where there is no store yet,
    no parent is there either."""
    from rekindle.cli.opened import no_such_job
    from rekindle.domain.tuning_job import with_defaults
    from rekindle.domain.tuning_rules import RELAXED, Quotas, check_spec
    from rekindle.settings import load_settings

    settings, warm = load_settings(), source.spec.warm_start
    quotas = Quotas() if settings.limits == "aws" else RELAXED
    with source.blamed():
        check_spec(with_defaults(source.spec), quotas)
        if warm is not None and settings.nothing_stored:
            raise no_such_job(warm.parents[0])


def _from_job_file(path: str, data: bytes) -> Source:
    from rekindle.jobfile.load import folder_of
    from rekindle.jobfile.parse import parse

    file = parse(data, folder_of(Path(path)))
    return Source(path, file.spec, file.line_of, notes=file.notes, choices=file.choices)


def _from_request(path: str, request: dict[str, object]) -> Source:
    from rekindle.cli.request_file import spec_from_file

    return Source(path, spec_from_file(request), lambda field: None)


def _looks_like_json(path: str, data: bytes) -> bool:
    return path.lower().endswith(".json") or data.lstrip().startswith(b"{")


def _request(data: bytes) -> dict[str, object] | None:
    """The request in a JSON file; None for what is no request, but may be a job file (JSON is YAML)."""
    from rekindle.jobfile.json_reader import read_json

    if not any(f'"{key}"'.encode() in data for key in REQUEST_KEYS):
        return None
    return read_json(data)


def _located(path: str, line: int | None, message: str, hint: str) -> Exception:
    from rekindle.domain.errors import RekindleError

    named = path or repr(path)
    place = named if line is None else f"{named}:{line}"
    return RekindleError(f"{place}: {message}", hint)
