"""From a job file to the tuning job that it describes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rekindle.domain.builtins.catalogue import Builtin
from rekindle.domain.errors import InvalidValue
from rekindle.domain.metrics import MetricDefinition, compile_regex
from rekindle.domain.training_job import MAX_TAGS
from rekindle.domain.tuning_job import (
    CompletionCriteria,
    Definition,
    Hyperband,
    Limits,
    Objective,
    StrategyName,
    TuningJobSpec,
    WarmStart,
    WarmStartType,
)
from rekindle.domain.tuning_rules import MIN_TUNING_RUNTIME_SECONDS, RELAXED
from rekindle.jobfile.nodes import places
from rekindle.jobfile.notes import choices_in, notes_on
from rekindle.jobfile.ranges import read_ranges
from rekindle.jobfile.reader import read
from rekindle.jobfile.training import read_builtin, read_training
from rekindle.jobfile.values import Table, Value
from rekindle.search.history import Direction

KEYS = (
    "name",
    "command",
    "source",
    "python",
    "arguments",
    "algorithm",
    "image",
    "objective",
    "metrics",
    "ranges",
    "static",
    "strategy",
    "hyperband",
    "known_names",
    "seed",
    "limits",
    "early_stopping",
    "completion",
    "warm_start",
    "channels",
    "environment",
    "output",
    "checkpoints",
    "resources",
    "retries",
    "tags",
)
#: Keys that belong into a table and are often written outside it, and what other tools call the same.
ELSEWHERE = {
    "search_space": "ranges",
    "space": "ranges",
    "parameters": "ranges",
    "params": "ranges",
    "param_space": "ranges",
    "hyperparameters": "ranges",
    "hyperparameter_ranges": "ranges",
    "static_hyperparameters": "static",
    "constants": "static",
    "fixed": "static",
    "jobs": "limits.jobs",
    "trials": "limits.jobs",
    "n_trials": "limits.jobs",
    "num_samples": "limits.jobs",
    "budget": "limits.jobs",
    "parallel": "limits.parallel",
    "workers": "limits.parallel",
    "n_jobs": "limits.parallel",
    "concurrency": "limits.parallel",
    "runtime": "limits.runtime",
    "timeout": "limits.runtime",
    "job_runtime": "limits.job_runtime",
    "metric": "objective.metric",
    "objective_metric_name": "objective.metric",
    "goal": "objective.goal",
    "direction": "objective.goal",
    "mode": "objective.goal",
    "objective_type": "objective.goal",
    "regex": "objective.regex",
    "metric_definitions": "metrics",
    "sampler": "strategy",
    "searcher": "strategy",
    "method": "strategy",
    "env": "environment",
    "notes": "tags",
    "description": "tags",
    "comment": "tags",
    "labels": "tags",
    "gpus": "resources.gpus",
    "cpus": "resources.cpus",
    "data": "channels",
    "inputs": "channels",
    "entry_point": "command",
    "script": "command",
    "run": "command",
    "program": "command",
    "parents": "warm_start.parents",
    "target": "completion.target",
    "not_improving": "completion.not_improving",
    "convergence": "completion.convergence",
}
GOALS: dict[str, Direction] = {"maximize": "maximize", "minimize": "minimize", "max": "maximize", "min": "minimize"}
STRATEGIES = {s.value.lower(): s for s in StrategyName}
WARM_START_TYPES = {
    "identical": WarmStartType.IDENTICAL,
    "transfer": WarmStartType.TRANSFER,
    "IdenticalDataAndAlgorithm": WarmStartType.IDENTICAL,
    "TransferLearning": WarmStartType.TRANSFER,
}
EARLY_STOPPING = {"auto": True, "off": False, "true": True, "false": False, "on": True, "yes": True, "no": False}

#: How many characters the name of a metric may have.
_MAX_METRIC_NAME = 255
_TAG = re.compile(r"[\w .:/=+\-@]*")


@dataclass(frozen=True)
class JobFile:
    """A job file that could be read: the tuning job that it asks for, the line of each field, and what may have been meant
    otherwise, in sentences: ``choices`` are those on lists that could be ranges."""

    spec: TuningJobSpec
    lines: Mapping[str, int]
    notes: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    def line_of(self, field: str) -> int | None:
        """The line of a field, or of the nearest field around it."""
        # A job file has this one among the limits.
        field = "limits.job_runtime" if field == "max_runtime_seconds" else field
        while field and field not in self.lines:
            field = field.rpartition(".")[0]
        return self.lines.get(field)


def parse(data: bytes, folder: Path) -> JobFile:
    """The job file in ``data``; relative paths in it start from ``folder``. Raises JobFileError or InvalidValue.

    What depends on more than one field, or on the machine, is checked where tuning jobs are created.
    """
    root = read(data)
    table = Table("", root)
    table.check_keys(KEYS, ELSEWHERE)
    spec = _spec(table, folder)
    choices = tuple(choices_in(table, spec))
    return JobFile(spec, dict(places(root)), (*choices, *notes_on(spec)), choices)


def _spec(table: Table, folder: Path) -> TuningJobSpec:
    name = table.need("name", "Give the tuning job a name.").text("a name")
    definition = _definition(table, folder)
    limits, strategy = _limits(table), table.get("strategy")
    early, seed = table.get("early_stopping"), table.get("seed")
    return TuningJobSpec(
        name=name,
        strategy=StrategyName.BAYESIAN if strategy is None else strategy.choice(STRATEGIES),
        limits=limits,
        definitions=(definition,),
        warm_start=_warm_start(table.get("warm_start")),
        early_stopping=early is not None and early.choice(EARLY_STOPPING),
        completion=_completion(table.get("completion")),
        hyperband=_hyperband(table.get("hyperband")),
        random_seed=None if seed is None else seed.whole(least=0),
        tags=_tags(table.get("tags")),
    )


def _definition(table: Table, folder: Path) -> Definition:
    builtin = read_builtin(table)
    objective, metrics = _objective(table) if builtin is None else _builtin_objective(table, builtin)
    ranges, static = table.need("ranges", "Name at least one hyperparameter and its range."), table.get("static")
    known_names = table.get("known_names")
    return Definition(
        training=read_training(table, folder, metrics),
        objective=objective,
        ranges=read_ranges(ranges),
        statics=static.texts() if static is not None else {},
        known_names=known_names is None or known_names.switch(),
    )


def _objective(table: Table) -> tuple[Objective, tuple[MetricDefinition, ...]]:
    objective = table.need("objective", "Say what to optimise: objective: {metric: accuracy, goal: maximize, regex: ...}.")
    fields = objective.table(("metric", "goal", "regex"))
    named = fields.need("metric", "Name the metric to optimise.")
    metric = named.text("a name")
    if not 1 <= len(metric) <= _MAX_METRIC_NAME:
        raise named.refuse(f"a metric's name has 1 to {_MAX_METRIC_NAME} characters")
    goal = fields.need("goal", "Write maximize or minimize.").choice(GOALS)
    return Objective(metric, goal), _metrics(metric, fields.get("regex"), table.get("metrics"))


def _builtin_objective(table: Table, builtin: Builtin) -> tuple[Objective, tuple[MetricDefinition, ...]]:
    """The objective of a built-in algorithm: the name of one of its metrics, or a table with the name and perhaps the goal."""
    value = table.need("objective", f"Name one of its metrics: objective: {builtin.metrics[0].name}.")
    fields = None if value.is_scalar else value.table(("metric", "goal", "regex"))
    metric = value if fields is None else fields.need("metric", "Name the metric to optimise.")
    name = metric.choice({m.name: m.name for m in builtin.metrics})
    goal = fields.get("goal") if fields else None
    for own in (fields.get("regex") if fields else None, table.get("metrics")):
        if own is not None:
            raise own.refuse(f"the algorithm {builtin.name} has metrics of its own", "Remove it.")
    best: Direction = "maximize" if name in builtin.maximized else "minimize"
    return Objective(name, best if goal is None else goal.choice(GOALS)), builtin.metrics


def _metrics(objective: str, regex: Value | None, others: Value | None) -> tuple[MetricDefinition, ...]:
    found = [] if regex is None else [_metric(objective, regex)]
    if others is not None:
        for name, value in others.table(expected="a table of `name: regex`").values():
            if regex is not None and name == objective:
                raise value.refuse("the objective's regex is given already, under `objective`", "Remove one of them.")
            found.append(_metric(name, value))
    return tuple(found)


def _metric(name: str, regex: Value) -> MetricDefinition:
    # YAML's | and > leave a newline at the end; no line of a log holds one.
    pattern = regex.text("a regular expression").rstrip("\n")
    if len(name) > _MAX_METRIC_NAME:
        raise regex.refuse(f"a metric's name has 1 to {_MAX_METRIC_NAME} characters")
    if len(pattern) > 500:
        raise regex.refuse("a regular expression has at most 500 characters")
    try:
        compile_regex(pattern, regex.path)
    except InvalidValue as error:
        raise regex.refuse(error.reason, error.hint) from error
    return MetricDefinition(name, pattern)


def _limits(table: Table) -> Limits:
    value = table.get("limits")
    if value is None:
        return Limits(None)
    fields = value.table(("jobs", "parallel", "runtime", "job_runtime"))
    jobs, parallel, runtime = fields.get("jobs"), fields.get("parallel"), fields.get("runtime")
    return Limits(
        max_jobs=None if jobs is None else jobs.whole(least=1),
        max_parallel=1 if parallel is None else parallel.whole(least=1),
        max_runtime_seconds=None if runtime is None else _runtime(runtime),
    )


def _runtime(value: Value) -> int:
    seconds = value.seconds()
    if not MIN_TUNING_RUNTIME_SECONDS <= seconds <= RELAXED.max_runtime_seconds:
        raise value.refuse("a tuning job takes from 2 minutes (120 s) to 182.5 days")
    return seconds


def _warm_start(value: Value | None) -> WarmStart | None:
    if value is None:
        return None
    fields = value.table(("type", "parents", "match", "recursive"))
    kind = fields.need("type", "Write identical (same data and algorithm) or transfer.").choice(WARM_START_TYPES)
    parents = fields.need("parents", "List the tuning jobs to learn from.").items("a list of tuning jobs' names")
    match, recursive = fields.get("match"), fields.get("recursive")
    named = [_parent(parent) for parent in parents]
    return WarmStart(
        kind,
        tuple(name for name, _ in named),
        relaxed=match is not None and match.choice({"exact": False, "relaxed": True}),
        recursive=recursive is not None and recursive.switch(),
        names={name.lower(): names for name, names in named if names},
    )


def _parent(value: Value) -> tuple[str, dict[str, str]]:
    """A parent's name, and which of its hyperparameters a name here stands for."""
    if value.is_scalar:
        return value.text("a tuning job's name"), {}
    fields = value.table(("job", "names"))
    names = fields.get("names")
    job = fields.need("job", "Name the tuning job.").text("a tuning job's name")
    return job, {} if names is None else names.texts()


def _completion(value: Value | None) -> CompletionCriteria:
    if value is None:
        return CompletionCriteria()
    fields = value.table(("target", "not_improving", "convergence"))
    target, stale, convergence = fields.get("target"), fields.get("not_improving"), fields.get("convergence")
    return CompletionCriteria(
        target=None if target is None else float(target.number()),
        max_not_improving=None if stale is None else stale.whole(least=3),
        on_convergence=convergence is not None and convergence.switch(),
    )


def _hyperband(value: Value | None) -> Hyperband | None:
    if value is None:
        return None
    fields = value.table(("min_resource", "max_resource", "sampler"))
    least, most, sampler = fields.get("min_resource"), fields.get("max_resource"), fields.get("sampler")
    return Hyperband(
        None if least is None else least.whole(least=1),
        None if most is None else most.whole(least=1),
        "random" if sampler is None else sampler.choice({"random": "random", "bayesian": "bayesian"}),
    )


def _tags(value: Value | None) -> dict[str, str]:
    if value is None:
        return {}
    tags = value.texts()
    if len(tags) > MAX_TAGS:
        raise value.refuse(f"{len(tags)} tags; there may be {MAX_TAGS}")
    for key, field in value.table().values():
        if not (1 <= len(key) <= 128 and len(tags[key]) <= 256 and _TAG.fullmatch(key) and _TAG.fullmatch(tags[key])):
            raise field.refuse("a tag is a key (up to 128) and a value (up to 256) of letters, digits, spaces and _.:/=+-@")
        if key.lower().startswith("aws:"):
            raise field.refuse("names that begin with aws: belong to AWS", "Choose another name.")
    return tags
