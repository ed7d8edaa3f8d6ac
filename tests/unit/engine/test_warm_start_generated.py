"""Generated parents and children: a child that is refused stores nothing, and one that is accepted always starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.domain.errors import NotFound, RekindleError
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Algorithm, TrainingSpec
from rekindle.domain.tuning_job import StrategyName, TuningJobSpec, WarmStart, WarmStartType, format_value
from rekindle.domain.tuning_rules import RELAXED
from rekindle.engine.commands import warm_start_table
from rekindle.engine.imports import Result, import_tuning_job
from rekindle.engine.ports import JobFilter, Page
from rekindle.search.space import Categorical, Continuous, Integer, Parameter
from support.engine import Engine
from support.simulated import Script
from support.specs import tuning_spec

NAMES = ("a", "b", "c")
#: Texts of statics, among them what no number is, and what only looks like one.
TEXTS = ("1", "2.5", "x", "nan", "1e999", "-0", '"x"', "", "9" * 400, "1_000", "9007199254740993")
TRAINING = TrainingSpec(
    Algorithm(command="true", metrics=(MetricDefinition("loss", "loss=(.*)"), MetricDefinition("auc", "auc=(.*)")))
)


def ranges_of(name: str) -> list[Parameter]:
    """Ranges of each type and size, the narrowest of one value."""
    return [
        Continuous(name, 0.1, 1),
        Continuous(name, 1e-6, 1e6, "Logarithmic"),
        Continuous(name, 2, 2, "Linear"),
        Integer(name, 1, 3),
        Integer(name, -5, 900),
        Categorical(name, ("x", "1", "2.5")),
        Categorical(name, ("x",)),
    ]


@st.composite
def hyperparameters(draw: st.DrawFn, like: dict[str, Any] | None = None) -> dict[str, Any]:
    """A range or a static for each name; mostly those of a parent, where there is one."""
    found: dict[str, Any] = {}
    for name in NAMES:
        change = (
            draw(st.sampled_from(["same"] * 5 + ["range", "static", "gone"]))
            if like
            else draw(st.sampled_from(["range", "static"]))
        )
        if change == "same" and like is not None and name in like:
            found[name] = like[name]
        elif change == "range":
            found[name] = draw(st.sampled_from(ranges_of(name)))
        elif change == "static":
            found[name] = draw(st.sampled_from(TEXTS))
    return found


def spec_of(name: str, given: dict[str, Any], **options: Any) -> TuningJobSpec:
    ranges = [v for v in given.values() if not isinstance(v, str)]
    statics = {n: v for n, v in given.items() if isinstance(v, str)}
    return tuning_spec(
        name, ranges=ranges, statics=statics, training=options.pop("training", TRAINING), jobs=1, parallel=1, **options
    )


@st.composite
def results(draw: st.DrawFn, spec: TuningJobSpec) -> list[Result]:
    units = st.floats(0, 1)
    found = []
    for i in range(draw(st.integers(1, 7))):
        values = {p.name: format_value(_value(p, draw(units))) for p in spec.definition.ranges}
        found.append(Result(str(i), values, draw(st.none() | st.floats(-1e300, 1e300)), created_at=1.8e9))
    return found


def _value(p: Parameter, u: float) -> Any:
    return p.values[min(int(u * len(p.values)), len(p.values) - 1)] if isinstance(p, Categorical) else p.from_unit(u)


@st.composite
def families(draw: st.DrawFn) -> tuple[TuningJobSpec, list[Result], TuningJobSpec]:
    given = draw(hyperparameters().filter(lambda h: any(not isinstance(v, str) for v in h.values())))
    parent = spec_of("old", given)
    ours = draw(hyperparameters(given))
    kind, relaxed = draw(st.sampled_from(WarmStartType)), draw(st.booleans())
    names = draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES), max_size=1)) if relaxed else {}
    warm = WarmStart(
        kind, draw(st.sampled_from([("old",)] * 6 + [("old", "OLD"), ("gone",), ()])), relaxed, names={"old": names}
    )
    child = spec_of(
        "child",
        ours,
        strategy=draw(st.sampled_from([StrategyName.BAYESIAN, StrategyName.RANDOM] * 3 + list(StrategyName))),
        metric=draw(st.sampled_from(["loss"] * 8 + ["auc"])),
        direction=draw(st.sampled_from(["minimize"] * 8 + ["maximize"])),
        training=draw(st.sampled_from([TRAINING] * 8 + [replace(TRAINING, environment={"A": "1"})])),
        warm_start=replace(warm, recursive=relaxed and draw(st.booleans())),
    )
    return parent, draw(results(parent)), child


@given(families())
@settings(max_examples=25 if settings.default.max_examples < 100 else settings.default.max_examples)
def test_refused_is_not_stored_and_accepted_starts(family: tuple[TuningJobSpec, list[Result], TuningJobSpec]) -> None:
    parent, history, child = family
    engine = Engine(program=lambda given: Script((1.0,), seconds=1))
    import_tuning_job(engine.store, engine.clock, engine.owner, parent, history, RELAXED)
    broken = [c for c in warm_start_table(engine.store, engine.owner, child, RELAXED) if c.error is not None]
    try:
        engine.create(child)
    except RekindleError:
        with pytest.raises(NotFound):
            engine.job("child")
        listed, _ = engine.store.tuning_jobs(engine.owner, JobFilter(), Page())
        assert [job.name for job in listed] == ["old"]
        return
    assert broken == []
    engine.worker().tick()
    (first,) = engine.trials("child")
    assert set(first.tuned) == {p.name for p in child.definition.ranges}
    assert engine.executor.launches
