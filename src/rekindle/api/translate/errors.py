"""From the domain's errors to AWS's: codes, and AWS's own sentences where they are known.

::

    InvalidValue   ValidationException
    NotFound       ResourceNotFound; ValidationException where SageMaker says so of training jobs
    NameInUse      ResourceInUse
    WrongState     ValidationException; ResourceInUse for the deletion of a training job
    LimitExceeded  ResourceLimitExceeded
    Unsupported    ValidationException
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rekindle.api.errors import ApiError, Code
from rekindle.api.translate.arns import TRAINING, resource_arn
from rekindle.api.translate.fields import OF_PARENTS, parent_of, parent_path, wire_path
from rekindle.api.translate.part import Json
from rekindle.domain.errors import (
    InvalidValue,
    LimitExceeded,
    NameInUse,
    NotFound,
    RekindleError,
    Unsupported,
    WrongState,
)
from rekindle.domain.training_job import Owner
from rekindle.engine.paths import host_in

#: The longest message that is sent.
MESSAGE_LIMIT = 8_000

_GONE = "Requested resource not found."
_NO_TUNING_JOB = "Amazon SageMaker can't find a tuning job called {name}. Type another name."
_NO_METRIC = "A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric definitions."
_BUILTIN = (
    "You can't override the metric definitions for Amazon SageMaker algorithms. "
    "Please retry the request without specifying metric definitions."
)
_TOO_FEW = (
    "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter combinations for the "
    "provided ranges [{found}] must be equal or greater than the value of MaxNumberOfJobs, [{asked}]. Provide additional "
    "ranges."
)
_NO_INPUT = (
    'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket exists in the '
    'selected region ({region}), that objects exist under that S3 prefix, and that the role "{role}" has "s3:ListBucket" '
    'permissions on bucket "{bucket}".'
)
_NAMES = (
    "The set of tunable plus static HyperParameter names is not the same across current and parent tuning jobs. Please "
    "ensure this set is constant when warm starting. Note that previously static HyperParameters can be tuned in warm start "
    "jobs and vice versa."
)
_FIELDS = (
    "Only the following fields in TrainingJobDefinition are allowed to change: [algorithmSpecification, inputDataConfig, "
    "outputDataConfig, staticHyperParameters, roleArn, resourceConfig, stoppingCondition, vpcConfig, "
    "enableManagedSpotTraining, checkpointConfig]."
)
_MAX_RESOURCE = (
    "MaxResource parameter is not provided and could not be inferred from provided static hyperparameters of "
    "TrainingJobDefinition."
)
_IN_USE_TUNING = "A hyperparameter tuning job with the name, {name}, already exists. Choose a different name."
_IN_USE_TRAINING = "Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
_LIMIT = (
    "The account-level service limit '{limit}' is {allowed} {unit}, with current utilization of {used} {unit} and a request "
    "delta of {delta} {unit}. Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is "
    "not available, contact AWS support to request an increase for this quota."
)
#: Limits of an installation and not of the API's structure.
_ADJUSTABLE = frozenset(
    (
        "number of parallel training jobs",
        "number of training jobs",
        "number of running tuning jobs",
        "seconds of run time of a training job",
    )
)
_ADJUST = "REKINDLE_LIMITS=relaxed"
_FIXED = "this limit is fixed"

#: Operations that call a missing training job a ResourceNotFound, as their model declares.
_TRAINING_NOT_FOUND = frozenset(("UpdateTrainingJob", "DeleteTrainingJob"))

#: The field with which a sentence begins that names one.
_SAID = re.compile(r"^[A-Za-z_]+(?:\.[^\s:.]+)*(?=: )")


@dataclass(frozen=True)
class Context:
    """In which operation, for whom, and on which request an error came up."""

    operation: str
    owner: Owner
    request: Json = field(default_factory=dict)

    def path(self, name: str) -> str:
        """Where in the request the field is that the domain calls ``name``."""
        return wire_path(name, self.operation, self.request)


def api_error(error: RekindleError, context: Context) -> ApiError:
    """The error as the client will see it."""
    code, message = _translated(error, context)
    return ApiError(code, message if len(message) <= MESSAGE_LIMIT else f"{message[: MESSAGE_LIMIT - 3]}...")


def _translated(error: RekindleError, context: Context) -> tuple[Code, str]:
    match error:
        case InvalidValue():
            return Code.VALIDATION, _invalid(error, context)
        case NotFound():
            return _not_found(error, context)
        case NameInUse():
            return Code.IN_USE, _name_in_use(error, context)
        case WrongState():
            return (Code.IN_USE if context.operation == "DeleteTrainingJob" else Code.VALIDATION), _wrong_state(error, context)
        case LimitExceeded():
            return Code.LIMIT_EXCEEDED, _limit(error, context)
        case Unsupported():
            return Code.VALIDATION, _SAID.sub(lambda said: context.path(said[0]), str(error), count=1)
        case _:
            return Code.VALIDATION, str(error)


def _not_found(error: NotFound, context: Context) -> tuple[Code, str]:
    if error.kind == "training job":
        return (Code.NOT_FOUND if context.operation in _TRAINING_NOT_FOUND else Code.VALIDATION), _GONE
    if context.operation in ("AddTags", "ListTags", "DeleteTags"):
        return Code.VALIDATION, _GONE
    named = context.operation.startswith("Create")
    detail = f" It is named in {parent_path(error.name, context.request)}." if named else ""
    close = f" {error.close}" if error.close else ""
    return Code.NOT_FOUND, _NO_TUNING_JOB.format(name=error.name) + detail + close


def _name_in_use(error: NameInUse, context: Context) -> str:
    if error.kind == "training job":
        sentence = _IN_USE_TRAINING.format(arn=resource_arn(context.owner, TRAINING, error.name))
        return f"{sentence}. (In Rekindle: {error.hint})" if error.hint else sentence
    return _IN_USE_TUNING.format(name=error.name)


def _wrong_state(error: WrongState, context: Context) -> str:
    if context.operation == "StopTrainingJob":
        return f"The request was rejected because the training job is in status {error.state}."
    return str(error)


def _limit(error: LimitExceeded, context: Context) -> str:
    name = error.limit[:1].upper() + error.limit[1:]
    unit = error.limit.removeprefix("number of ").split(",")[0].split(" of ")[0].title()
    delta = error.asked - error.used
    sentence = _LIMIT.format(limit=name, allowed=error.allowed, unit=unit, used=error.used, delta=delta)
    where = [f"{context.path(error.field)}: {error.asked}"] if error.field else []
    ours = [*where, _ADJUST if error.limit in _ADJUSTABLE else _FIXED]
    way_out = f" {error.hint}" if error.hint else ""
    return f"{sentence} (In Rekindle: {'; '.join(ours)}.{way_out})"


def _invalid(error: InvalidValue, context: Context) -> str:
    sentence = _SENTENCES.get(error.code)
    return _plain(error, context) if sentence is None else sentence(error, context)


def _plain(error: InvalidValue, context: Context) -> str:
    parent, of_parent = parent_of(error.field, context.request)
    if parent and of_parent in OF_PARENTS:
        text = f"{context.path(error.field)}: {parent!r}: {OF_PARENTS[of_parent]} is {error.finding}"
    else:
        text = f"{context.path(error.field)}: {error.finding}{_compared(parent)}"
    return f"{text.rstrip('.')}. {error.hint}" if error.hint else text


def _compared(parent: str) -> str:
    return f" (the parent is {parent!r})" if parent else ""


def _goal(error: InvalidValue, context: Context) -> str:
    ours, theirs = (str(error.facts[whose]).capitalize() for whose in ("ours", "theirs"))
    parent, _ = parent_of(error.field, context.request)
    whose = "the parent's objective" if error.code == "warm-start-goal" else f"the objective of {error.facts['first']}"
    text = f"{context.path(error.field)}: {ours!r}: {whose} has the type {theirs!r}; it must be the same{_compared(parent)}"
    return f"{text}. Set it to {theirs}, or leave this parent out." if parent else text


def _early_stopping(error: InvalidValue, context: Context) -> str:
    """As the wire spells the type: ``Auto`` and ``Off``."""
    text = f"{context.path(error.field)}: {str(error.value).capitalize()!r}: {error.reason}"
    return f"{text}. Set it to Off." if error.hint else text


def _no_input(error: InvalidValue, context: Context) -> str:
    uri, role = str(error.value), error.facts.get("role") or "none"
    bucket = host_in(uri) if uri.startswith("s3://") else uri
    return _NO_INPUT.format(uri=uri, region=context.owner.region, role=role, bucket=bucket)


def _max_resource(error: InvalidValue, context: Context) -> str:
    """AWS's sentence, with the definition that it is about where there may be several."""
    statics = error.facts.get("statics")
    return _MAX_RESOURCE if statics is None else f"{_MAX_RESOURCE} ({context.path(str(statics))})"


_SENTENCES: Mapping[str, Callable[[InvalidValue, Context], str]] = {
    "metric-required": lambda error, context: f"{_NO_METRIC} ({_plain(error, context)})",
    "builtin-metrics": lambda error, context: _BUILTIN,
    # SageMaker shows this whole number as a float.
    "too-few-combinations": lambda error, context: _TOO_FEW.format(
        found=float(str(error.facts.get("combinations", 0))), asked=error.value
    ),
    "no-input": _no_input,
    "warm-start-names": lambda error, context: f"{_NAMES} ({_plain(error, context)})",
    "warm-start-fields": lambda error, context: f"{_FIELDS} ({_plain(error, context)})",
    "warm-start-goal": _goal,
    "definitions-goal": _goal,
    "no-end": lambda error, context: f"{context.path(error.field)}: needed, unless MaxRuntimeInSeconds ends the search",
    "early-stopping": _early_stopping,
    "max-resource": _max_resource,
    "reserved-tag": lambda error, context: f"{error.reason}.",
    "verbatim": lambda error, context: error.reason,
}
