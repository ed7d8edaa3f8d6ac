"""What an instance of a type stands for on this machine: so many CPUs, so much memory, so many GPUs; as the settings say."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import Resources
from rekindle.executors.ledger import Amount

_SETTING = "REKINDLE_INSTANCES"
_FORM = "Write: ml.m5.xlarge=cpus:4,memory:16;ml.g5.*=cpus:4,memory:16,gpus:1"


@dataclass(frozen=True)
class InstanceType:
    """What one instance of the types that fit ``pattern`` takes."""

    pattern: str
    amount: Amount = field(default_factory=Amount)
    gpus: int = 0


def parse_instances(text: str) -> tuple[InstanceType, ...]:
    """The table in a setting: entries by ``;``, the first whose pattern fits a type holds. Raises InvalidValue."""
    return tuple(_entry(part.strip()) for part in text.split(";") if part.strip())


def instance_of(table: tuple[InstanceType, ...], name: str) -> InstanceType:
    """What the table says of a type; nothing, where it does not name it."""
    return next((entry for entry in table if fnmatchcase(name, entry.pattern)), InstanceType(name))


def asked(table: tuple[InstanceType, ...], resources: Resources) -> InstanceType:
    """What each instance of a training job takes: as the job says, else as the table says of its type."""
    each = instance_of(table, resources.instance_type)
    cpus = resources.cpus or each.amount.cpus
    return InstanceType(resources.instance_type, Amount(cpus, each.amount.memory), resources.gpus or each.gpus)


def _entry(text: str) -> InstanceType:
    pattern, equals, rest = text.partition("=")
    if not equals or not pattern.strip():
        raise InvalidValue(_SETTING, text, "not a type and what it takes", _FORM)
    told: dict[str, float] = {}
    for item in rest.split(","):
        name, _, number = (part.strip() for part in item.partition(":"))
        if name not in ("cpus", "memory", "gpus") or name in told:
            raise InvalidValue(_SETTING, text, f"{name!r} is not one of cpus, memory, gpus, each once", _FORM)
        told[name] = _number(text, name, number)
    return InstanceType(pattern.strip(), Amount(told.get("cpus", 0.0), told.get("memory", 0.0)), int(told.get("gpus", 0)))


def _number(text: str, name: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError as error:
        raise InvalidValue(_SETTING, text, f"{name}: {number!r} is not a number", _FORM) from error
    if not math.isfinite(value) or value < 0 or (name == "gpus" and value != int(value)):
        raise InvalidValue(_SETTING, text, f"{name}: {number!r} cannot be", _FORM)
    return value
