"""A built-in algorithm's hyperparameters, channels and objective, checked before anything runs: what is accepted starts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rekindle.domain.builtins.catalogue import Builtin, builtin_of, own_hyperparameters
from rekindle.domain.builtins.rules import TUNED_METRIC, Real, Refused, Rule, plain
from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import Channel, TrainingSpec
from rekindle.search.space import Categorical, Continuous, Integer, Parameter, resolved_scaling

#: How many combinations of categorical values are looked at; ranges that large are left to the training jobs.
_MOST_COMBINATIONS = 20_000
#: How far a search stays from an end of a range that the algorithm does not take, in parts of the range.
_ASIDE = 1e-3


def check_run(spec: TrainingSpec, hyperparameters: Mapping[str, str]) -> None:
    """Raises InvalidValue for a training job that a built-in algorithm would refuse; other algorithms pass."""
    builtin = builtin_of(spec.algorithm, hyperparameters)
    if builtin is None:
        return
    metric = hyperparameters.get(TUNED_METRIC)
    names = [m.name for m in builtin.metrics]
    if metric is not None and metric not in names:
        reason = f"Hyperparameter {TUNED_METRIC}: {metric} is not in {names}"
        raise InvalidValue(f"hyperparameters.{TUNED_METRIC}", metric, reason)
    _check_channels(builtin, spec, metric)
    try:
        builtin.parsed(hyperparameters)
    except Refused as refused:
        raise _invalid("hyperparameters", refused, hyperparameters.get(refused.name)) from refused


def check_search(
    spec: TrainingSpec, statics: Mapping[str, str], ranges: Sequence[Parameter], metric: str, where: str = ""
) -> None:
    """Raises InvalidValue for a search of which a training job would be refused by its built-in algorithm; other algorithms
    pass. ``where`` goes before the fields' names."""
    builtin = builtin_of(spec.algorithm, statics)
    if builtin is None:
        return
    _check_channels(builtin, spec, metric, where)
    given = own_hyperparameters(statics)
    _check_names(builtin, [*given, *(p.name for p in ranges)], where)
    values: dict[str, Any] = {}
    for name, text in given.items():
        try:
            own, rule = builtin.rule_of(name)
            values[own] = rule.parse(own, plain(text))
        except Refused as refused:
            raise _invalid(f"{where}static", refused, text, name) from refused
    for parameter in ranges:
        _check_range(builtin, parameter, where)
    for choice in _choices(builtin, ranges):
        try:
            builtin.check_together({**values, **choice}, metric)
        except Refused as refused:
            raise _together(builtin, refused, statics, ranges, metric, where) from refused


def _check_names(builtin: Builtin, names: Sequence[str], where: str) -> None:
    own = [builtin.aliases.get(name, name) for name in names]
    for name in builtin.required:
        if name not in own:
            raise InvalidValue(f"{where}static.{name}", None, f"Missing required hyperparameter: {name}")
    for name, known in zip(names, own, strict=True):
        if own.count(known) > 1:
            both = ", ".join(n for n, other in zip(names, own, strict=True) if other == known)
            raise InvalidValue(f"{where}static.{name}", name, f"{known} is given twice, as {both}", "Leave one of them out.")


def searched(spec: TrainingSpec, statics: Mapping[str, str], ranges: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The ranges that a search draws from: those of a built-in algorithm without the ends that it does not take. SageMaker
    accepts 0 to 1 for a share that must be above 0, and many are written so, for an end is next to never drawn at random."""
    builtin = builtin_of(spec.algorithm, statics)
    if builtin is None:
        return tuple(ranges)
    return tuple(_searched(p, builtin.rules.get(builtin.aliases.get(p.name, p.name))) for p in ranges)


def _searched(parameter: Parameter, rule: Rule | None) -> Parameter:
    if isinstance(parameter, Categorical) or (ends := _ends(parameter, rule)) == (parameter.low, parameter.high):
        return parameter
    # On the scale that the whole range has: its new end might give another.
    return Continuous(parameter.name, *ends, resolved_scaling(parameter))


def _ends(parameter: Continuous | Integer, rule: Rule | None) -> tuple[float, float]:
    """The ends of a range; of a continuous one a little inside where the rule's interval is open."""
    low, high = parameter.low, parameter.high
    if not isinstance(parameter, Continuous) or not isinstance(rule, Real):
        return low, high
    aside = _ASIDE * (high - low)
    return low + aside * rule.interval.opens_at(low), high - aside * rule.interval.opens_at(high)


def _check_range(builtin: Builtin, parameter: Parameter, where: str) -> None:
    field = f"{where}ranges.{parameter.name}"
    try:
        own, rule = builtin.rule_of(parameter.name)
        if isinstance(parameter, Categorical):
            for value in parameter.values:
                rule.parse(own, plain(str(value)))
            return
        whole = isinstance(parameter, Integer)
        if rule.kind == "text" or (rule.kind == "integer" and not whole):
            kind = "integer" if rule.kind == "integer" else "categorical"
            raise InvalidValue(field, parameter.name, f"Hyperparameter {own} takes a range of the type {kind}")
        for end in _ends(parameter, rule):
            rule.parse(own, str(int(end)) if whole else repr(float(end)))
    except Refused as refused:
        raise InvalidValue(field, _shown(parameter), refused.message) from refused


def _shown(parameter: Parameter) -> object:
    return list(parameter.values) if isinstance(parameter, Categorical) else [parameter.low, parameter.high]


def _choices(builtin: Builtin, ranges: Sequence[Parameter]) -> Iterator[dict[str, Any]]:
    """Each combination of the values, or of the ends, of the tuned hyperparameters that must go together."""
    names, options = [], []
    for parameter in ranges:
        own, rule = builtin.rule_of(parameter.name)
        if own in builtin.together:
            ends = parameter.values if isinstance(parameter, Categorical) else _ends(parameter, rule)
            names.append(own)
            options.append([rule.parse(own, plain(_text(parameter, end))) for end in ends])
    for values in itertools.islice(itertools.product(*options), _MOST_COMBINATIONS):
        yield dict(zip(names, values, strict=True))


def _text(parameter: Parameter, value: object) -> str:
    return str(int(float(str(value)))) if isinstance(parameter, Integer) else str(value)


def _check_channels(builtin: Builtin, spec: TrainingSpec, metric: str | None, where: str = "") -> None:
    names, instances = [channel.name for channel in spec.channels], spec.resources.instance_count
    if instances > 1 and not builtin.distributed:
        raise InvalidValue(f"{where}resources.instances", instances, f"{builtin.name} trains on one instance here")
    for name, needed in builtin.channels.items():
        if needed and name not in names:
            raise InvalidValue(f"{where}channels", names, f"Missing required channel: {name}")
    for channel in spec.channels:
        if channel.name not in builtin.channels:
            raise InvalidValue(f"{where}channels", channel.name, f"Extraneous channel found: {channel.name}")
        format_of(builtin, channel, where)
    part = (metric or "").partition(":")[0]
    if part in builtin.channels and part not in names:
        reason = f"{metric} is computed on the channel {part!r}, and there is none"
        raise InvalidValue(f"{where}channels", names, reason, f"Add the channel {part!r}, or tune by another metric.")


def format_of(builtin: Builtin, channel: Channel, where: str = "") -> str:
    """The format of a channel's content; raises InvalidValue for a content type that the algorithm does not take."""
    try:
        return builtin.format_of(channel.content_type)
    except Refused as refused:
        raise InvalidValue(f"{where}channels.{channel.name}.content_type", channel.content_type, refused.message) from refused


def _invalid(where: str, refused: Refused, value: object, name: str | None = None) -> InvalidValue:
    return InvalidValue(f"{where}.{name or refused.name}", value, refused.message)


def _together(
    builtin: Builtin, refused: Refused, statics: Mapping[str, str], ranges: Sequence[Parameter], metric: str, where: str
) -> InvalidValue:
    """The refusal of a combination, with the field of the hyperparameter that it names."""
    tuned = next((p for p in ranges if builtin.aliases.get(p.name, p.name) == refused.name), None)
    if tuned is not None:
        return InvalidValue(f"{where}ranges.{tuned.name}", _shown(tuned), refused.message)
    if refused.name == TUNED_METRIC:
        return InvalidValue(f"{where}objective.metric", metric, refused.message)
    return InvalidValue(f"{where}static.{refused.name}", statics.get(refused.name), refused.message)
