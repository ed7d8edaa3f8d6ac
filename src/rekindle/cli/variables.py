"""Variables of a training job that could hold one of several hyperparameters only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rekindle.domain.tuning_job import TuningJobSpec


def shared_variables(spec: TuningJobSpec) -> list[str]:
    """For each variable that several hyperparameters of a definition would have, a sentence with the ways out."""
    found: dict[str, None] = {}
    for definition in spec.definitions:
        names: dict[str, list[str]] = {}
        for name in (*(p.name for p in definition.ranges), *definition.statics):
            names.setdefault(name.upper(), []).append(name)
        found |= {_told(variable, sharing): None for variable, sharing in names.items() if len(sharing) > 1}
    return list(found)


def _told(variable: str, names: list[str]) -> str:
    return (
        f"hyperparameters: {' and '.join(map(repr, names))} share the variable SM_HP_{variable}, which holds one of them only."
        " Let their names differ by more than case, or read their values from the command line or SM_HPS."
    )
