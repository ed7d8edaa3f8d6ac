"""Autotune: hyperparameters of which only an example value is known get ranges around it.

What the real service chooses is unknown but for one example, a hint of 4 that became the integers 2 to 8. So a number's
range goes from half of it to its double, and stays within 0 and 1 where the number does. Zero, and text, have no such range:
they stay static. So do names that begin with ``sagemaker_``, which are the service's and its toolkit's: SDK v2 sends them as
auto parameters, too.

Autotune also chooses what the request leaves out, as the API's reference lists it: strategy, limits, early stopping and an end
at convergence. What is sent holds. The values are ours, for the real ones are not published. Retries stay as they are: a warm
start refuses parents with others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rekindle.api.errors import missing, validation
from rekindle.api.translate.part import Part, says_something
from rekindle.domain.builtins.rules import plain
from rekindle.domain.errors import InvalidValue
from rekindle.domain.texts import number_of

Json = Mapping[str, Any]

#: How many training jobs for each tuned hyperparameter, at least and at most, where no limit is given.
_JOBS_EACH, _JOBS_LEAST, _JOBS_MOST = 10, 20, 100
_PARALLEL = 2
_CONFIG, _ON_THE_WIRE = "HyperParameterTuningJobConfig", "hyperParameterTuningJobConfig"
_OF_THE_SERVICE = "sagemaker_"
_INTEGER = re.compile(r"[-+]?[0-9]{1,15}")
#: What the model insists on, and what Autotune may choose.
_NEEDED, _AT_ONCE = ("Strategy", "ResourceLimits"), "MaxParallelTrainingJobs"


def expanded(request: Json) -> Json:
    """The request with concrete ranges in place of auto parameters, and with all else that Autotune chooses. Raises
    InvalidValue for auto parameters without Autotune."""
    config = request.get(_CONFIG)
    if not isinstance(config, Mapping):
        return request
    if not request.get("Autotune"):
        _check_plain(request, config)
        return request
    config = {"Strategy": "Bayesian", **config}
    single = request.get("TrainingJobDefinition")
    if isinstance(single, Mapping):
        config, single = _with_ranges(config, "ParameterRanges", single)
        _, single = _with_ranges(single, "HyperParameterRanges", single)
        return _chosen({**request, _CONFIG: config, "TrainingJobDefinition": single})
    several = [_with_ranges(d, "HyperParameterRanges", d)[1] for d in request.get("TrainingJobDefinitions") or ()]
    return _chosen({**request, _CONFIG: config, "TrainingJobDefinitions": several})


def range_around(name: str, hint: str) -> tuple[str, Json] | None:
    """The kind of range, and the range, around an example value; None for one that has none."""
    if name.startswith(_OF_THE_SERVICE):
        return None
    # A framework estimator's set_hyperparameters() of SDK v2 makes JSON of a number twice: "0.1", with its quotes.
    hint = plain(hint)
    if _INTEGER.fullmatch(hint):
        whole = int(hint)
        ends = sorted((whole * 2, math.ceil(whole / 2) if whole > 0 else math.floor(whole / 2)))
        return ("IntegerParameterRanges", _range(name, *map(str, ends))) if whole else None
    try:
        number = number_of(hint)
    except ValueError:
        return None
    if not math.isfinite(number * 2) or number == 0:
        return None
    low, high = sorted((number / 2, number * 2))
    return "ContinuousParameterRanges", _range(name, repr(low), repr(min(high, 1.0) if 0 < number <= 1 else high))


def _chosen(request: Json) -> Json:
    """The request with what it leaves out."""
    config, several = request[_CONFIG], request.get("TrainingJobDefinitions")
    plain = config["Strategy"] not in ("Hyperband", "Grid")
    criteria = dict(Part("", config).part("TuningJobCompletionCriteria").value)
    # A grid is for trying all of it, and Hyperband stops training jobs by its own rule.
    if plain:
        criteria.setdefault("ConvergenceDetected", {"CompleteOnConvergence": "Enabled"})
    config = {
        "TrainingJobEarlyStoppingType": "Auto" if plain and not several else "Off",
        **config,
        "ResourceLimits": _limits(request, config),
        **({"TuningJobCompletionCriteria": criteria} if criteria else {}),
    }
    return {**request, _CONFIG: config}


def _limits(request: Json, config: Json) -> Json:
    """The limits with a number of training jobs where nothing else ends the search; a grid counts its own."""
    given = Part("", config).part("ResourceLimits")
    limits = dict(given.value)
    if "MaxNumberOfTrainingJobs" not in limits and "MaxRuntimeInSeconds" not in limits and config["Strategy"] != "Grid":
        holders = [config.get("ParameterRanges"), *(d.get("HyperParameterRanges") for d in _definitions(request))]
        ranges = [r for holder in holders for kind in (holder or {}).values() for r in kind]
        budget = min(max(_JOBS_EACH * len(ranges), _JOBS_LEAST), _JOBS_MOST)
        wanted, there = max(budget, given.integer(_AT_ONCE) or 1), _combinations(holders)
        limits["MaxNumberOfTrainingJobs"] = min(wanted, there) if there < _JOBS_MOST else wanted
    most = limits.get("MaxNumberOfTrainingJobs")
    return {_AT_ONCE: _PARALLEL if most is None else min(_PARALLEL, most), **limits}


def _combinations(holders: Sequence[Any]) -> int:
    """How many configurations there are, as far as that is below our budgets."""
    total = 0
    for holder in filter(says_something, holders):
        count = 1
        for kind, ranges in holder.items():
            for found in ranges:
                count = min(count * _size(kind, Part(kind, found)), _JOBS_MOST)
        total += count
    return total or _JOBS_MOST


def _size(kind: str, found: Part) -> int:
    if kind == "CategoricalParameterRanges":
        return max(1, len(found.strings("Values")))
    if kind != "IntegerParameterRanges":
        return _JOBS_MOST
    try:
        # "3.0" is a whole number, too.
        return max(1, int(min(float(found.need("MaxValue", str)) - float(found.need("MinValue", str)), _JOBS_MOST)) + 1)
    except (ValueError, OverflowError):
        # No number, or none that is finite: whoever reads the range says so.
        return _JOBS_MOST


def _range(name: str, low: str, high: str) -> Json:
    return {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": "Auto"}


def _with_ranges(holder: Json, member: str, definition: Json) -> tuple[Json, Json]:
    """The structure that holds ranges without auto parameters, and the definition with those that stay static."""
    ranges = Part("", holder).part(member)
    auto = list(ranges.items("AutoParameters"))
    if not auto:
        return holder, definition
    lists = {kind: list(found) for kind, found in ranges.value.items() if kind != "AutoParameters"}
    statics = dict(definition.get("StaticHyperParameters") or {})
    for parameter in auto:
        name, hint = parameter.need("Name", str), parameter.need("ValueHint", str)
        found = range_around(name, hint)
        if found is None:
            statics.setdefault(name, hint)
        else:
            lists.setdefault(found[0], []).append(found[1])
    changed = {"StaticHyperParameters": statics} if statics else {}
    tuned = {**holder, member: lists}
    return tuned, {**(tuned if holder is definition else definition), **changed}


def _check_plain(request: Json, config: Json) -> None:
    holders = [config.get("ParameterRanges"), *(d.get("HyperParameterRanges") for d in _definitions(request))]
    for ranges in holders:
        if isinstance(ranges, Mapping) and ranges.get("AutoParameters"):
            names = [p.get("Name") for p in Part("ParameterRanges", ranges).items("AutoParameters")]
            raise InvalidValue(f"{_CONFIG}.ParameterRanges.AutoParameters", names, "needs Autotune", "Set Autotune.Mode.")
    absent = [missing(f"{_ON_THE_WIRE}.{name[0].lower()}{name[1:]}") for name in _NEEDED if config.get(name) is None]
    limits = config.get("ResourceLimits")
    if isinstance(limits, Mapping) and limits.get(_AT_ONCE) is None:
        absent.append(missing(f"{_ON_THE_WIRE}.resourceLimits.maxParallelTrainingJobs"))
    if absent:
        raise InvalidValue(_CONFIG, None, validation(absent).message, code="verbatim")


def _definitions(request: Json) -> list[Json]:
    found = [request.get("TrainingJobDefinition"), *(request.get("TrainingJobDefinitions") or ())]
    return [d for d in found if isinstance(d, Mapping)]
