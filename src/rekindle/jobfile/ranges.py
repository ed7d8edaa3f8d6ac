"""The ``ranges`` of a job file: what is tuned, between which ends, on which scale."""

from __future__ import annotations

from collections.abc import Callable

from rekindle.domain.errors import shown
from rekindle.jobfile.errors import JobFileError
from rekindle.jobfile.values import Table, Value
from rekindle.search.space import Categorical, Continuous, Integer, Parameter, Scaling, SpaceError

#: The words for scalings, and SageMaker's own.
SCALINGS: dict[str, Scaling] = {
    "auto": "Auto",
    "linear": "Linear",
    "logarithmic": "Logarithmic",
    "log": "Logarithmic",
    "reverse_logarithmic": "ReverseLogarithmic",
}
TYPES = {"continuous": "continuous", "integer": "integer", "categorical": "categorical"}
_KEYS = ("min", "max", "type", "scaling", "values")
_HINT = "Write {min: 0.1, max: 10}, or a list of values."


def read_ranges(value: Value) -> tuple[Parameter, ...]:
    """The search space, in the order of the file."""
    return tuple(_range(name, v) for name, v in value.table(expected="a table of `name: range`").values())


def _range(name: str, value: Value) -> Parameter:
    if value.is_list:
        return _categorical(name, value)
    if value.is_scalar:
        raise value.refuse("a range is a table or a list of values", f"{_HINT} What stays as it is goes under `static`.")
    table = value.table(_KEYS)
    kind = _kind(table)
    if kind == "categorical":
        return _categorical(name, _only_values(table))
    return _between_ends(name, value, table, kind)


def _kind(table: Table) -> str:
    written = table.get("type")
    if written is not None:
        return written.choice(TYPES)
    return "categorical" if table.get("values") is not None else "continuous"


def _only_values(table: Table) -> Value:
    for key in ("min", "max", "scaling"):
        extra = table.get(key)
        if extra is not None:
            raise extra.refuse("a categorical range has `values` only", "Leave out either this or `values`.")
    return table.need("values", "A categorical range lists its values: {values: [a, b]}.")


def _categorical(name: str, value: Value) -> Parameter:
    texts = [item.text("a single value") for item in value.items("a list of values")]
    return _built(value, lambda: Categorical(name, texts))


def _between_ends(name: str, value: Value, table: Table, kind: str) -> Parameter:
    values = table.get("values")
    if values is not None:
        raise values.refuse(f"a range of type {kind} has `min` and `max`, not values", "Leave out either this or `type`.")
    low, high = table.need("min", _HINT), table.need("max", _HINT)
    scaling = _scaling(table)
    if kind == "integer":
        ends = low.whole(), high.whole()
        return _built(value, lambda: Integer(name, *ends, scaling))
    numbers = float(low.number()), float(high.number())
    return _built(value, lambda: Continuous(name, *numbers, scaling))


def _scaling(table: Table) -> Scaling:
    written = table.get("scaling")
    return "Auto" if written is None else written.choice(SCALINGS)


def _built(value: Value, make: Callable[[], Parameter]) -> Parameter:
    """The parameter; the library's refusal becomes the job file's, with its line."""
    try:
        return make()
    except SpaceError as error:
        raise JobFileError(f"{value.path}: {shown(error.value)}: {error.reason}", line=value.node.line) from error
