"""Every rule of warm start on both faces, the job file and the wire (which the SDKs speak): each refusal names the parent,
the field, both values, the rule and the way out, and stores nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from rekindle.api.translate.create_request import spec_from_request
from rekindle.domain.errors import NotFound, RekindleError
from rekindle.domain.tuning_rules import Quotas
from rekindle.engine.commands import create_tuning_job
from rekindle.engine.imports import Result, import_tuning_job
from rekindle.jobfile.parse import parse
from support.wire import Json, Wire, changed, error_of, tuning_request, wire

QUOTAS = Quotas(max_jobs=750)
CONFIG, DEFINITION = "HyperParameterTuningJobConfig", "TrainingJobDefinition"
PARENTS = "WarmStartConfig.ParentHyperParameterTuningJobs"
STATICS = {"epochs": "3", **{f"s{i}": "x" for i in range(6)}}
FILE = """\
name: child
command: "true"
objective: {metric: loss, goal: minimize, regex: 'loss=([0-9.]+)'}
metrics: {other: 'other=([0-9.]+)'}
ranges:
  lr: {min: 1e-5, max: 0.1, scaling: logarithmic}
  layers: {min: 1, max: 5, type: integer}
  act: [relu, tanh]
static: {epochs: 3, s0: x, s1: x, s2: x, s3: x, s4: x, s5: x}
limits: {jobs: 4, parallel: 2}
strategy: random
warm_start: {type: transfer, parents: [old]}
"""
#: How the file is given Hyperband and no number of epochs.
NO_EPOCHS = (FILE[FILE.index("static:") : FILE.index("warm_start:")], "static: {}\nlimits: {jobs: 4}\nstrategy: hyperband\n")
NAMES = "The set of tunable plus static HyperParameter names is not the same across current and parent tuning jobs."
FIELDS = "Only the following fields in TrainingJobDefinition are allowed to change: ["


def request() -> Json:
    """The same tuning job as ``FILE``, for the wire."""
    made = tuning_request("child")
    made[DEFINITION]["StaticHyperParameters"] = dict(STATICS)
    made[DEFINITION]["AlgorithmSpecification"]["MetricDefinitions"].append({"Name": "auc", "Regex": "auc=([0-9.]+)"})
    made[CONFIG]["ParameterRanges"]["CategoricalParameterRanges"] = [{"Name": "act", "Values": ["relu", "tanh"]}]
    return {**made, "WarmStartConfig": {"WarmStartType": "TransferLearning", "ParentHyperParameterTuningJobs": named("old")}}


def named(*parents: str) -> list[Json]:
    return [{"HyperParameterTuningJobName": name} for name in parents]


@dataclass(frozen=True)
class Broken:
    """A rule broken on each face: what changes in the file, what changes in the request, and the words of both refusals;
    ``sentence`` is how the wire's begins where SageMaker's own words are known."""

    file: tuple[str, str]
    wire: dict[str, Any]
    words: tuple[str, ...]
    code: str = "ValidationException"
    sentence: str = ""
    wire_words: tuple[str, ...] | None = None


#: What both refusals say of the way out.
WAYS_OUT = {
    "a parent is too old": "Leave this parent out.",
    "its own parent": "Name an earlier tuning job, or give this one another name.",
    "several definitions": "Leave this parent out.",
    "another metric": "Tune 'loss', import the parent again with 'auc' as its objective's name, or leave this parent out.",
    "another type": "Make it integer, or leave this parent out.",
    "twelve changes": "Leave more of them as they were, static with the parent's value or tuned.",
    "the environment": "Set it to what the parent has, or leave this parent out.",
    "hyperband": "; the parents are 'old'. Set it to Bayesian or Random, or leave the warm start out.",
    "hyperband without resources": "; the parents are 'old'. Set it to Bayesian or Random, or leave the warm start out.",
    "almost a parent": "Did you mean 'old'?",
}
#: What only one says, or each in words of its own.
FILE_WAYS_OUT = {
    "six parents": "Leave out 1.",
    "no parents": "Name one, or leave the warm start out.",
    "another goal": "Set it to minimize, or leave this parent out.",
    "a name is gone": "a job file's `match: relaxed` lets names differ.",
}
WIRE_WAYS_OUT = {"another goal": "Set it to Minimize, or leave this parent out."}


def parents(*names: str) -> dict[str, Any]:
    return {PARENTS: named(*names)}


def other_parent(name: str) -> tuple[str, str]:
    return ("parents: [old]", f"parents: [{name}]")


#: Where the first parent is named.
NAMED = "warmStartConfig.parentHyperParameterTuningJobs.1.member.hyperParameterTuningJobName"
RULES: dict[str, Broken] = {
    "a parent is missing": Broken(
        other_parent("nobody"),
        parents("nobody"),
        ("there is no tuning job called 'nobody'", "warm_start.parents"),
        "ResourceNotFound",
        "Amazon SageMaker can't find a tuning job called nobody. Type another name.",
        (f"It is named in {NAMED}.",),
    ),
    "a parent runs": Broken(
        other_parent("running"),
        parents("running"),
        ("running", "'InProgress'", "a parent must have ended (Completed, Stopped or Failed)"),
        wire_words=(f"{NAMED}: 'running': its status is 'InProgress': a parent must have ended", "`rekindle stop running`"),
    ),
    "a parent is too old": Broken(
        other_parent("ancient"),
        parents("ancient"),
        ("ancient", "'2017-07-14'", "made before 2018-10-01"),
        wire_words=(f"{NAMED}: 'ancient': its creation time is '2017-07-14'", "made before 2018-10-01"),
    ),
    "six parents": Broken(
        other_parent("a, b, c, d, e, f"),
        parents(*"abcdef"),
        ("warm_start.parents", "1 to 5 parents, not 6"),
        wire_words=("warmStartConfig.parentHyperParameterTuningJobs", "less than or equal to 5"),
    ),
    "no parents": Broken(
        other_parent(""),
        parents(),
        ("warm_start.parents", "1 to 5 parents, not 0"),
        wire_words=("warmStartConfig.parentHyperParameterTuningJobs", "greater than or equal to 1"),
    ),
    "a parent twice": Broken(other_parent("old, OLD"), parents("old", "OLD"), ("'old'", "the same parent is named twice")),
    "its own parent": Broken(other_parent("Child"), parents("Child"), ("'Child'", "a tuning job cannot be its own parent")),
    "several definitions": Broken(
        other_parent("two"),
        parents("two"),
        ("two", "a parent with several training job definitions cannot be used"),
        wire_words=(f"{NAMED}: 'two': its number of definitions is 2: a parent with several",),
    ),
    "another metric": Broken(
        ("metric: loss, goal: minimize, regex: 'loss", "metric: auc, goal: minimize, regex: 'auc"),
        {f"{CONFIG}.HyperParameterTuningJobObjective.MetricName": "auc"},
        ("old", "'auc'", "the parent's objective is 'loss'; it must be the same metric"),
    ),
    "another goal": Broken(
        ("goal: minimize", "goal: maximize"),
        {f"{CONFIG}.HyperParameterTuningJobObjective.Type": "Maximize"},
        ("old", "'maximize'", "the parent's objective is to minimize; it must be the same goal"),
        wire_words=(
            "hyperParameterTuningJobConfig.hyperParameterTuningJobObjective.type: 'Maximize'",
            "the parent's objective has the type 'Minimize'; it must be the same (the parent is 'old')",
        ),
    ),
    "a name is gone": Broken(
        ("s4: x, s5: x", "s4: x, t5: x"),
        {f"{DEFINITION}.StaticHyperParameters": {**{k: v for k, v in STATICS.items() if k != "s5"}, "t5": "x"}},
        ("old", "['s5', 't5']", "missing here: ['s5']; not in the parent: ['t5']"),
        sentence=NAMES,
    ),
    "another type": Broken(
        ("layers: {min: 1, max: 5, type: integer}", "layers: {min: 1, max: 5}"),
        {
            f"{CONFIG}.ParameterRanges.IntegerParameterRanges": None,
            f"{CONFIG}.ParameterRanges.ContinuousParameterRanges": [
                {"Name": "lr", "MinValue": "1e-5", "MaxValue": "0.1"},
                {"Name": "layers", "MinValue": "1", "MaxValue": "5"},
            ],
        },
        ("old", "layers", "'continuous'", "the parent's range is integer; the type must stay the same"),
        wire_words=(
            "hyperParameterTuningJobConfig.parameterRanges.layers: 'continuous'",
            "the parent's range is integer; the type must stay the same (the parent is 'old')",
        ),
    ),
    "twelve changes": Broken(
        ("s0: x, s1: x, s2: x, s3: x, s4: x, s5: x", "s0: y, s1: y, s2: y, s3: y, s4: y, s5: y"),
        {f"{DEFINITION}.StaticHyperParameters": {"epochs": "3", **{f"s{i}": "y" for i in range(6)}}},
        ("old", "12", "at most 10 changes count from the parent: s0: static 'x' -> static 'y' (2); s1: static", "s5: static"),
    ),
    "the environment": Broken(
        ("strategy:", "environment: {A: 1}\nstrategy:"),
        {f"{DEFINITION}.Environment": {"A": "1"}},
        ("old", "environment", "{'A': '1'}", "the parent has {}; this field may not change"),
        sentence=FIELDS,
    ),
    "the retries": Broken(
        ("strategy:", "retries: 2\nstrategy:"),
        {f"{DEFINITION}.RetryStrategy": {"MaximumRetryAttempts": 2}},
        ("old.retries", "2", "the parent has 0; this field may not change"),
        sentence=FIELDS,
        wire_words=(
            "trainingJobDefinition.retryStrategy.maximumRetryAttempts: 2",
            "the parent has 0; this field may not change (the parent is 'old')",
        ),
    ),
    "hyperband": Broken(
        ("strategy: random", "strategy: hyperband"),
        {f"{CONFIG}.Strategy": "Hyperband"},
        ("strategy", "'Hyperband'", "warm start works with the Bayesian and Random strategies only"),
    ),
    "hyperband without resources": Broken(
        NO_EPOCHS,
        {f"{CONFIG}.Strategy": "Hyperband", f"{DEFINITION}.StaticHyperParameters": {k: "x" for k in STATICS if k != "epochs"}},
        ("strategy", "'Hyperband'", "warm start works with the Bayesian and Random strategies only"),
    ),
    "almost a parent": Broken(
        other_parent("odl"),
        parents("odl"),
        ("there is no tuning job called 'odl'",),
        "ResourceNotFound",
        "Amazon SageMaker can't find a tuning job called odl. Type another name.",
        (f"It is named in {NAMED}.",),
    ),
    "too many with the parents'": Broken(
        ("jobs: 4", "jobs: 749"),
        {f"{CONFIG}.ResourceLimits.MaxNumberOfTrainingJobs": 749},
        ("749", "with the parents' 2 training jobs (old 2) this makes 751; the limit is 750"),
    ),
}


def results(count: int, **more: Any) -> list[Result]:
    return [Result(str(i), {"lr": "0.01", "layers": "2", "act": "relu"}, 0.5, **more) for i in range(count)]


@pytest.fixture(scope="module")
def service() -> Iterator[Wire]:
    """A service with parents that have ended, that run, that are old and that have several definitions."""
    with wire(quotas=QUOTAS) as found:
        engine = found.engine
        spec = replace(parse(FILE.encode(), Path.cwd()).spec, warm_start=None)
        for name, made in (("old", 1.7e9), ("ancient", 1.5e9)):
            rows = results(2, created_at=made)
            import_tuning_job(engine.store, engine.clock, engine.owner, replace(spec, name=name), rows, QUOTAS)
        create(found, replace(spec, name="running"))
        found.client.create_hyper_parameter_tuning_job(**two())
        found.client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="two")
        found.work(lambda: found.describe("two")["HyperParameterTuningJobStatus"] == "Stopped", steps=50)
        yield found


def two() -> Json:
    made = tuning_request("two")
    part, config = made.pop(DEFINITION), made[CONFIG]
    objective, ranges = config.pop("HyperParameterTuningJobObjective"), config.pop("ParameterRanges")
    own = {"TuningObjective": objective, "HyperParameterRanges": ranges}
    return {**made, "TrainingJobDefinitions": [{**part, **own, "DefinitionName": name} for name in ("one", "other")]}


def create(service: Wire, spec: Any) -> Any:
    engine = service.engine
    return create_tuning_job(engine.store, engine.executor, engine.clock, engine.owner, spec, QUOTAS)


def check_nothing_stored(service: Wire) -> None:
    with pytest.raises(NotFound):
        service.engine.job("child")


@pytest.mark.parametrize("rule", RULES)
def test_a_job_file_that_breaks_a_rule(service: Wire, rule: str) -> None:
    broken = RULES[rule]
    assert broken.file[0] in FILE
    with pytest.raises(RekindleError) as caught:
        create(service, parse(FILE.replace(*broken.file, 1).encode(), Path.cwd()).spec)
    for words in (*broken.words, WAYS_OUT.get(rule, ""), FILE_WAYS_OUT.get(rule, "")):
        assert words in str(caught.value)
    check_nothing_stored(service)


@pytest.mark.parametrize("rule", RULES)
def test_a_request_that_breaks_a_rule(service: Wire, rule: str) -> None:
    broken, made = RULES[rule], request()
    for path, value in broken.wire.items():
        made = changed(made, path, value)
    code, message = error_of(service.client.create_hyper_parameter_tuning_job, **made)
    assert code == broken.code
    assert message.startswith(broken.sentence)
    for words in (*(broken.wire_words or broken.words), WAYS_OUT.get(rule, ""), WIRE_WAYS_OUT.get(rule, "")):
        assert words in message
    check_nothing_stored(service)


def test_a_training_job_that_is_named_as_a_parent_is_told_whose_it_is(service: Wire) -> None:
    name = service.engine.trials("old")[0].name
    told = "It is a training job of the tuning job 'old'."
    with pytest.raises(NotFound) as caught:
        create(service, parse(FILE.replace("[old]", f"[{name}]").encode(), Path.cwd()).spec)
    assert str(caught.value).endswith(told)
    code, message = error_of(service.client.create_hyper_parameter_tuning_job, **changed(request(), PARENTS, named(name)))
    assert (code, message[-len(told) :]) == ("ResourceNotFound", told)


def test_unbroken_both_are_accepted(service: Wire) -> None:
    spec = parse(FILE.encode(), Path.cwd()).spec
    assert create(service, replace(spec, name="from-file")).name == "from-file"
    service.client.create_hyper_parameter_tuning_job(**{**request(), "HyperParameterTuningJobName": "from-wire"})
    sent = spec_from_request(request())
    assert sent.definition.ranges == spec.definition.ranges
    assert sent.definition.statics == spec.definition.statics


def test_the_wire_knows_nothing_of_relaxed_matches() -> None:
    made = request()
    made["WarmStartConfig"] |= {"Match": "relaxed", "Recursive": True}
    warm = spec_from_request(made).warm_start
    assert warm is not None
    assert (warm.relaxed, warm.recursive, warm.names) == (False, False, {})
