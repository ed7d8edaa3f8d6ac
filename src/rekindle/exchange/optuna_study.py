"""Optuna's studies as history, and history as a study: the optional library ``optuna`` reads and writes its own storage."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from rekindle.domain.errors import InvalidValue, NameInUse, RekindleError, Unsupported
from rekindle.domain.search_plan import configuration_of
from rekindle.domain.texts import without_secrets
from rekindle.domain.tuning_job import Definition
from rekindle.engine.imports import LAST_SECOND, Result, Watched
from rekindle.search.history import Direction
from rekindle.search.space import Categorical, Continuous, Integer, Parameter, SpaceError, resolved_scaling

#: A parameter that fewer than this share of the trials have is left out, and not the trials without it.
_COMMON = 0.5
#: What we keep with a study, in its user attributes.
_OURS = "rekindle"
#: What to do about a part of a study.
_DELETE = "Delete it, by `optuna delete-study` or `optuna.delete_study()`"
#: What we keep with a trial: seconds since the epoch. Optuna's own times have no zone, and none of when it was made.
_TIMES = "created_started_ended"


@dataclass(frozen=True)
class Study:
    """A study as far as it can be mapped. ``notes`` tell what could not be. ``statics`` are those of a study that we wrote."""

    name: str
    metric: str | None
    direction: Direction
    ranges: tuple[Parameter, ...]
    results: tuple[Result, ...]
    notes: tuple[str, ...]
    statics: Mapping[str, str] = field(default_factory=dict)


def read_study(url: str, name: str | None = None, among: Collection[str] | None = None) -> Study:
    """A study in a storage (such as ``sqlite:///study.db``); its name is needed only where there are several. Distributions
    become ranges, trials that have ended become results. ``among`` are the parameters that are asked for, if not all. Raises
    InvalidValue for what has no counterpart at all."""
    optuna = _optuna()
    study = _load(optuna, url, name)
    if len(study.directions) > 1:
        way_out = "Save study.trials_dataframe() as CSV; import it with a job file, --objective values_0, --column x=params_x."
        raise InvalidValue(
            "--from-optuna", study.study_name, f"the study has {len(study.directions)} objectives, not one", way_out
        )
    states, trials = optuna.trial.TrialState, _trials(study)
    if len(trials) < _due(study):
        reason = f"an export that was broken off, or is under way: {len(trials)} of {_due(study)} trials are there"
        raise InvalidValue("--from-optuna", study.study_name, reason, f"{_DELETE} and export it again.")
    ended = [t for t in trials if t.state in (states.COMPLETE, states.PRUNED, states.FAIL)]
    notes = _counted(len(trials) - len(ended), "still running or waiting: left out")
    ended, kept, more = _common(ended, among)
    if not kept:
        raise InvalidValue("--from-optuna", study.study_name, f"none of its {len(trials)} trials has ended with parameters")
    ranges, told = _ranges(ended, kept)
    metric = study.metric_names[0] if study.metric_names else None
    direction: Direction = "maximize" if study.direction == optuna.study.StudyDirection.MAXIMIZE else "minimize"
    results = tuple(_result(t, [p.name for p in ranges], states) for t in ended)
    return Study(study.study_name, metric, direction, ranges, results, (*notes, *more, *told), _statics(study))


def renamed(study: Study, columns: Mapping[str, str]) -> Study:
    """The study with parameters under the names of ``columns`` in place of their own. Raises InvalidValue for a parameter that
    it has not, and for a name that two would have."""
    known = [p.name for p in study.ranges]
    for name, column in columns.items():
        if column not in known:
            raise InvalidValue(f"--column {name}", column, "the study has no such parameter", f"There is {sorted(known)}.")
    names = {column: name for name, column in columns.items()}
    twice = next((n for n, count in Counter(names.get(k, k) for k in known).items() if count > 1), None)
    if twice is not None:
        raise InvalidValue("--column", twice, "two of the study's parameters would have this name")
    ranges = tuple(replace(p, name=names.get(p.name, p.name)) for p in study.ranges)
    results = tuple(replace(r, values={names.get(n, n): v for n, v in r.values.items()}) for r in study.results)
    return replace(study, ranges=ranges, results=results)


def write_study(url: str, name: str, definition: Definition, results: Sequence[Result], watched: Watched = iter) -> list[str]:
    """A new study with a trial for each result; returns what could not be kept. Raises NameInUse where there is one. Optuna
    writes value by value, some 2,000 in a second: ``watched`` sees how far it is."""
    optuna = _optuna()
    try:
        study = optuna.create_study(storage=url, study_name=name, direction=definition.objective.direction)
    except optuna.exceptions.DuplicatedStudyError as error:
        raise NameInUse("study", name, _way_out(optuna, url, name)) from error
    except Exception as error:
        raise RekindleError(f"--to {without_secrets(url)}: Optuna cannot open this storage ({_line(error)}).") from error
    try:
        study.set_user_attr(_OURS, {"statics": dict(definition.statics), "trials": len(results)})
        _fill(optuna, study, definition, watched(results))
    except BaseException:
        # Half of it would pass for the whole, and be in the way of the next try.
        with suppress(Exception):
            optuna.delete_study(study_name=name, storage=url)
        raise
    odd = [p.name for p in definition.ranges if getattr(p, "scaling", "") == "ReverseLogarithmic"]
    return [f"{n}: Optuna has no reverse logarithmic scale; the range is linear there" for n in odd]


def _fill(optuna: Any, study: Any, definition: Definition, results: Iterable[Result]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they call it experimental
        study.set_metric_names([definition.objective.metric])
    distributions = {p.name: _distribution(optuna, p) for p in definition.ranges}
    study.add_trials(_trial(optuna, i, r, definition, distributions) for i, r in enumerate(results))


def _way_out(optuna: Any, url: str, name: str) -> str:
    """What to do where a study is in the way: perhaps only a part, for a process that is killed takes nothing back."""
    study = optuna.load_study(study_name=name, storage=url)
    if len(_trials(study)) < _due(study):
        return f"Its export was broken off, or is under way. {_DELETE}, or give this one another name by --name."
    return "Give it another name by --name."


def _kept(study: Any, what: str) -> Any:
    """What ``write_study`` kept with a study; None where others wrote it."""
    kept = study.user_attrs.get(_OURS)
    return kept.get(what) if isinstance(kept, Mapping) else None


def _statics(study: Any) -> dict[str, str]:
    """The static hyperparameters; none of a study that others wrote."""
    statics = _kept(study, "statics")
    return {str(n): str(v) for n, v in statics.items()} if isinstance(statics, Mapping) else {}


def _due(study: Any) -> int:
    """How many trials a study has at least, if it is whole."""
    trials = _kept(study, "trials")
    return trials if isinstance(trials, int) else 0


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise Unsupported("Optuna is not installed.", 'Install it: pip install "rekindle[optuna]".') from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _load(optuna: Any, url: str, name: str | None) -> Any:
    _check_file(url)
    try:
        names = [name] if name is not None else optuna.get_all_study_names(storage=url)
        if len(names) != 1:
            reason = "there are several studies in this storage" if names else "there is no study in this storage"
            raise InvalidValue("--study", names or None, reason, "Name one by --study." if names else "")
        return optuna.load_study(study_name=names[0], storage=url)
    except KeyError as error:
        known = optuna.get_all_study_names(storage=url)
        raise InvalidValue("--study", name, f"there is no such study; there is {known or 'none'}") from error
    except RekindleError:
        raise
    except Exception as error:
        raise InvalidValue(
            "--from-optuna", without_secrets(url), f"Optuna cannot open this storage ({_line(error)})"
        ) from error


def _trials(study: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a choice is a list: whoever made the study was told
        return study.trials


def _check_file(url: str) -> None:
    """SQLite would make the file that is not there."""
    from pathlib import Path

    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///").partition("?")[0]).is_file():
        raise InvalidValue("--from-optuna", url, "there is no such file")
    if "://" not in url:
        raise InvalidValue("--from-optuna", url, "not the URL of a storage", f"Write sqlite:///{url}.")


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(without_secrets(str(error)).split())[:200]}"


def _common(trials: Sequence[Any], among: Collection[str] | None) -> tuple[list[Any], list[str], list[str]]:
    """The trials that have all of the parameters that most have, the names of these, and what was left out."""
    with_any = [t for t in trials if t.params]
    names = [n for n in dict.fromkeys(name for t in with_any for name in t.params) if among is None or n in among]
    counts = {name: sum(name in t.params for t in with_any) for name in names}
    kept = [name for name in names if counts[name] > _COMMON * len(with_any)]
    rest = [t for t in with_any if all(name in t.params for name in kept)]
    notes = [f"{n}: only {counts[n]} of {len(with_any)} trials have it: left out" for n in names if n not in kept]
    return rest, kept, [*notes, *_counted(len(trials) - len(rest), "without some parameter that the others have: left out")]


def _counted(count: int, what: str) -> list[str]:
    return [f"{count} trials {what}"] if count else []


def _ranges(trials: Sequence[Any], names: Sequence[str]) -> tuple[tuple[Parameter, ...], list[str]]:
    ranges: list[Parameter] = []
    notes: list[str] = []
    for name in names:
        seen = list(dict.fromkeys(_key(t.distributions[name]) for t in trials))
        try:
            ranges.append(_range(name, seen))
        except SpaceError as error:
            way_out = "Leave it out: give a job file as JOB that does not tune it."
            raise InvalidValue(f"--from-optuna: {name}", error.value, error.reason, way_out) from error
        notes += _told(name, seen)
    return tuple(ranges), notes


def _key(d: Any) -> tuple[Any, ...]:
    """A distribution as plain values: kind, and either (low, high, log, step) or the choices, by type and text: 1 and True are
    equal, and a list, which storages take as well, cannot be looked up."""
    if hasattr(d, "choices"):
        return ("categorical", *((type(c), _text(c)) for c in d.choices))
    kind = "integer" if type(d).__name__.startswith("Int") else "continuous"
    return (kind, d.low, d.high, d.log, d.step)


def _range(name: str, seen: Sequence[tuple[Any, ...]]) -> Parameter:
    """The widest range of all; Optuna itself sees to it that a parameter keeps its type."""
    if seen[0][0] == "categorical":
        return Categorical(name, tuple(dict.fromkeys(text for _, *choices in seen for _, text in choices)))
    make = Integer if seen[0][0] == "integer" else Continuous
    low, high = min(s[1] for s in seen), max(s[2] for s in seen)
    return make(name, low, high, "Logarithmic" if all(s[3] for s in seen) else "Linear")


def _told(name: str, seen: Sequence[tuple[Any, ...]]) -> list[str]:
    notes = [f"{name}: its range changed; the widest is kept"] if len(seen) > 1 else []
    if seen[0][0] == "categorical":
        choices = dict.fromkeys(choice for _, *some in seen for choice in some)
        alike = [text for text, count in Counter(text for _, text in choices).items() if count > 1]
        return [*notes, *(f"{name}: {text} is written alike in two of its choices, which become one" for text in alike)]
    steps = [s[4] for s in seen if s[4] not in (None, 1)]
    told = [f"{name}: ranges have no step of {steps[0]:g} here: every value between its ends is allowed"] if steps else []
    return [*notes, *told]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _result(trial: Any, names: Sequence[str], states: Any) -> Result:
    curve = tuple(v for _, v in sorted(trial.intermediate_values.items()) if v is not None and math.isfinite(v))
    pruned, value = trial.state == states.PRUNED, trial.value if trial.state == states.COMPLETE else None
    if pruned:
        value = curve[-1] if curve else None
    if value is not None and not math.isfinite(value):
        value = None
    created, started, ended = _times(trial)
    values = {name: _text(trial.params[name]) for name in names}
    reason = trial.user_attrs.get("failure_reason")
    name = str(trial.user_attrs.get("training_job", f"trial {trial.number}"))
    where = f"trial {trial.number}"
    # Optuna has no state for a trial that ended well without a value.
    completed = trial.state == states.COMPLETE or trial.user_attrs.get("status") == "Completed"
    told = None if reason is None else str(reason)
    return Result(where, values, value, created, started, ended, pruned, told, name, curve, completed)


def _times(trial: Any) -> tuple[float | None, float | None, float | None]:
    """When a trial was made, began and ended, by ``write_study`` or else by Optuna."""
    kept = trial.user_attrs.get(_TIMES)
    if isinstance(kept, list) and len(kept) == 3 and all(t is None or _is_moment(t) for t in kept):
        return kept[0], kept[1], kept[2]
    started = _seconds(trial.datetime_start)
    return started, started, _seconds(trial.datetime_complete)


def _is_moment(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= LAST_SECOND


def _seconds(moment: datetime | None) -> float | None:
    """Optuna keeps local time without a zone."""
    return None if moment is None else moment.timestamp()


def _local(seconds: float | None) -> datetime:
    return datetime.fromtimestamp(seconds or 0.0, UTC).astimezone().replace(tzinfo=None)


def _distribution(optuna: Any, p: Parameter) -> Any:
    d = optuna.distributions
    if isinstance(p, Categorical):
        return d.CategoricalDistribution(tuple(p.values))
    make = d.IntDistribution if isinstance(p, Integer) else d.FloatDistribution
    return make(p.low, p.high, log=resolved_scaling(p) == "Logarithmic")


def _trial(optuna: Any, number: int, r: Result, definition: Definition, distributions: Mapping[str, Any]) -> Any:
    states = optuna.trial.TrialState
    state = states.PRUNED if r.stopped else states.FAIL if r.objective is None else states.COMPLETE
    curve = r.curve or ((r.objective,) if r.stopped and r.objective is not None else ())
    times = [r.created_at, r.started_at, r.ended_at]
    facts = {"training_job": r.name, "failure_reason": r.failure_reason, "status": r.status, _TIMES: times}
    return optuna.trial.FrozenTrial(
        number=number,
        state=state,
        value=r.objective if state == states.COMPLETE else None,
        datetime_start=_local(r.started_at or r.created_at),
        datetime_complete=_local(r.ended_at or r.started_at or r.created_at),
        params=configuration_of(definition, r.values),
        distributions=dict(distributions),
        user_attrs={name: fact for name, fact in facts.items() if fact is not None},
        system_attrs={},
        intermediate_values=dict(enumerate(curve)),
        trial_id=number,
    )
