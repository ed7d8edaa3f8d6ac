"""The log lines of Amazon's own algorithms, by which their metrics are caught."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rekindle.algorithms.job import Job, UserError, tell
from rekindle.algorithms.tables import Rules, Table, missing, read_table
from rekindle.domain.builtins.catalogue import Builtin


def quality(host: str, part: str, name: str, value: float, loss: bool, epoch: int | None = None) -> None:
    """A metric of the channel ``part``: a loss or a score, after an epoch or of the final model."""
    when = "" if epoch is None else f"epoch={epoch}, "
    tell(f"#quality_metric: host={host}, {when}{part} {name} <{'loss' if loss else 'score'}>={value!r}")


def progress(host: str, done: int, total: int) -> None:
    """How much of the work is done."""
    tell(f"#progress_metric: host={host}, completed {100.0 * done / total:.4g} % of epochs")


def read_channels(job: Job, builtin: Builtin, features: int | None, rules: Rules) -> dict[str, Table]:
    """The job's channels; ``rules`` are what the algorithm asks of each row besides having all its features. Raises UserError
    where a channel has no rows, one that breaks a rule, or not as many features as were said."""
    if len(job.hosts) > 1:
        raise UserError(f"{builtin.name} trains on one instance here, not on {len(job.hosts)}")
    tables: dict[str, Table] = {}
    for name, content_type in job.channels.items():
        table = read_table(job.channel(name), builtin.format_of(content_type), rules=lambda found: _complete(found, rules))
        if table is None:
            raise UserError(f"No data in {'training' if name == 'train' else name} channel path")
        tables[name] = table
    features = features or tables["train"].columns
    for name, table in tables.items():
        if table.columns > features or (table.columns < features and table.widened(features) is table):
            raise UserError(
                f"The {name} data have {table.columns} features, where feature_dim or the training data say {features}"
            )
    return {name: table.widened(features) for name, table in tables.items()}


def _complete(table: Table, rules: Rules) -> Iterator[tuple[NDArray[np.bool_], str]]:
    yield missing(table), "a feature has no value"
    yield from rules(table)


def warn_without_effect(values: dict[str, object], names: tuple[str, ...]) -> None:
    """Says which hyperparameters were given and have no effect here."""
    for name in names:
        if name in values:
            tell(f"[WARNING] Hyperparameter {name} has no effect here: this is a stand-in on scikit-learn")
