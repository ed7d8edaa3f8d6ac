"""Autotune: hyperparameters of which only an example value is known get ranges around it.

What the real service chooses is unknown but for one example, a hint of 4 that became the integers 2 to 8. So a number's
range goes from half of it to its double, and stays within 0 and 1 where the number does. Zero, and text, have no such range:
they stay static.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from rekindle.api.translate.part import Part
from rekindle.domain.errors import InvalidValue

Json = Mapping[str, Any]

_CONFIG = "HyperParameterTuningJobConfig"
_INTEGER = re.compile(r"[-+]?[0-9]{1,15}")
_STRATEGY_MISSING = (
    "1 validation error detected: Value null at 'hyperParameterTuningJobConfig.strategy' failed to satisfy constraint: Member "
    "must not be null"
)


def expanded(request: Json) -> Json:
    """The request with concrete ranges in place of auto parameters, and with the strategy that Autotune stands for. Raises
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
        return {**request, _CONFIG: config, "TrainingJobDefinition": single}
    several = [_with_ranges(d, "HyperParameterRanges", d)[1] for d in request.get("TrainingJobDefinitions") or ()]
    return {**request, _CONFIG: config, "TrainingJobDefinitions": several}


def range_around(name: str, hint: str) -> tuple[str, Json] | None:
    """The kind of range, and the range, around an example value; None for one that has none."""
    if _INTEGER.fullmatch(hint):
        whole = int(hint)
        ends = sorted((whole * 2, math.ceil(whole / 2) if whole > 0 else math.floor(whole / 2)))
        return ("IntegerParameterRanges", _range(name, *map(str, ends))) if whole else None
    try:
        number = float(hint)
    except ValueError:
        return None
    if not math.isfinite(number * 2) or number == 0:
        return None
    low, high = sorted((number / 2, number * 2))
    return "ContinuousParameterRanges", _range(name, repr(low), repr(min(high, 1.0) if 0 < number <= 1 else high))


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
    if config.get("Strategy") is None:
        raise InvalidValue(f"{_CONFIG}.Strategy", None, _STRATEGY_MISSING, code="verbatim")


def _definitions(request: Json) -> list[Json]:
    found = [request.get("TrainingJobDefinition"), *(request.get("TrainingJobDefinitions") or ())]
    return [d for d in found if isinstance(d, Mapping)]
