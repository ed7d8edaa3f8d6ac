"""Generated tuning jobs, run to their end on simulated programs: strategies, ranges, limits, criteria, definitions and parents
in any company, with lost runs, restarts, stops and deleted parents. What must hold is worked out from the request and from what
the programs printed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.engine.ports import RunKey, RunState
from rekindle.engine.replay import replay
from support.engine import Engine
from support.simulated import Script
from support.wire import Wire, changed, definition, wire

Json = dict[str, Any]
#: A world of one to four tuning jobs takes a second or so.
EXAMPLES = max(10, settings.default.max_examples // 200)
STEPS = 3_000

NAMES = ("lr", "C", "batch_size", "model", "status", "a,b", 'c"', "é", "n" * 256)
WORDS = ("a", "rbf", "", " ", "1", "1.0", "True", "nan", "null", "a,b", "q'", "é", "🦊", "=1+1", "v" * 256)
CONTINUOUS = (
    ("0", "1", "Auto"),
    ("1e-9", "1e3", "Logarithmic"),
    ("0", "0.999999", "ReverseLogarithmic"),
    ("-1e300", "1e300", "Linear"),
    ("2.5", "2.5", "Auto"),
    ("5e-324", "1.7e308", "Logarithmic"),
)
INTEGER = (("-3", "3", "Auto"), ("1", "1000000", "Logarithmic"), ("7", "7", "Auto"), ("0", "1", "Linear"))


# --- programs ------------------------------------------------------------------------------------------------------------


def program(hyperparameters: Mapping[str, str]) -> Script:
    """What a training job prints, and how it ends: by its static ``kind`` and, whatever that is, by its configuration alone."""
    told = json.dumps(sorted(hyperparameters.items())).encode()
    u, v = (int.from_bytes(hashlib.sha256(told).digest()[i : i + 4], "big") / 2**32 for i in (0, 4))
    seconds = 1 + 30 * v
    curve = tuple(u + 1 / step for step in range(1, 2 + int(20 * v)))
    failed = Script((u,), seconds, RunState.FAILED, f"AlgorithmError: {v}, exit code: 1")
    return {
        "curve": Script(curve, seconds),
        "constant": Script((0.25, 0.25), seconds),
        "ties": Script((round(3 * u) / 3,), seconds),
        "silent": Script((u,) if v < 0.3 else (), seconds),
        "failing": failed if v < 0.5 else Script(curve, seconds),
        "in vain": failed,
        "huge": Script(((1 if v < 0.5 else -1) * 10 ** (600 * u - 300),), seconds),
        "slow": Script(curve, 900 if v < 0.3 else seconds),
    }[hyperparameters["kind"]]


KINDS = ("curve", "curve", "constant", "ties", "silent", "failing", "in vain", "huge", "slow")


# --- requests ------------------------------------------------------------------------------------------------------------


def request_of(random: Random, name: str) -> Json:
    """A valid request of one definition or several."""
    strategy = random.choice(["Random", "Bayesian", "Bayesian", "Grid", "Hyperband"])
    several = random.choice([0, 0, 0, 1, 2, 3])
    ranges = [_ranges(random, strategy == "Grid") for _ in range(several or 1)]
    sizes = [size_of(r) for r in ranges]
    there = None if None in sizes else sum(s or 0 for s in sizes)
    most = min(random.choice([1, 5, 10, 16]), there or 100)
    limits = {"MaxNumberOfTrainingJobs": there if strategy == "Grid" else most}
    limits["MaxParallelTrainingJobs"] = random.randint(1, min(limits["MaxNumberOfTrainingJobs"] or 1, 5))
    config: Json = {"Strategy": strategy, "ResourceLimits": limits}
    if random.random() < 0.2:
        limits["MaxRuntimeInSeconds"] = 120
    if strategy == "Hyperband":
        config["StrategyConfig"] = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": random.choice([1, 9, 27])}}
    elif not several and random.random() < 0.3:
        config["TrainingJobEarlyStoppingType"] = "Auto"
    if random.random() < 0.4:
        config["TuningJobCompletionCriteria"] = random.choice(
            [
                {"TargetObjectiveMetricValue": random.choice([0.3, -1e300, 1e300])},
                {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}},
                {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}},
            ]
        )
    objective = {"Type": random.choice(["Maximize", "Minimize"]), "MetricName": "loss"}
    kind, limit = random.choice(KINDS), random.choice([15, 3600])
    training = definition(StaticHyperParameters={"kind": kind}, StoppingCondition={"MaxRuntimeInSeconds": limit})
    whole = {"HyperParameterTuningJobName": name, "HyperParameterTuningJobConfig": config}
    if several:
        own = [
            {"DefinitionName": f"d{i}", "TuningObjective": objective, "HyperParameterRanges": r} for i, r in enumerate(ranges)
        ]
        return {**whole, "TrainingJobDefinitions": [{**training, **members} for members in own]}
    config |= {"HyperParameterTuningJobObjective": objective, "ParameterRanges": ranges[0]}
    return {**whole, "TrainingJobDefinition": training}


def child_of(random: Random, name: str, parents: list[Json]) -> Json:
    """A request with parents, whose ranges are the first one's but for their ends."""
    strategy = random.choice(["Random", "Bayesian", "Bayesian"])
    request = changed(parents[0], "HyperParameterTuningJobName", name)
    ranges = request["HyperParameterTuningJobConfig"]["ParameterRanges"]
    for kind, choices in (("ContinuousParameterRanges", CONTINUOUS), ("IntegerParameterRanges", INTEGER)):
        for found in ranges.get(kind, ()):
            if random.random() < 0.5:
                found |= dict(zip(("MinValue", "MaxValue", "ScalingType"), random.choice(choices), strict=True))
    most = min(random.choice([1, 4, 10]), size_of(ranges) or 100)
    limits = {"MaxNumberOfTrainingJobs": most, "MaxParallelTrainingJobs": min(2, most)}
    config = {**request["HyperParameterTuningJobConfig"], "Strategy": strategy, "ResourceLimits": limits}
    config.pop("StrategyConfig", None)
    warm = {
        "WarmStartType": random.choice(["IdenticalDataAndAlgorithm", "TransferLearning"]),
        "ParentHyperParameterTuningJobs": [
            {"HyperParameterTuningJobName": p["HyperParameterTuningJobName"]}
            for p in parents
            if _names(p) == _names(parents[0])
        ],
    }
    return {**request, "HyperParameterTuningJobConfig": config, "WarmStartConfig": warm}


def _names(request: Json) -> list[tuple[str, str]]:
    """What a child must have in common with a parent."""
    config = request["HyperParameterTuningJobConfig"]
    ranges = {(kind, r["Name"]) for kind, found in config["ParameterRanges"].items() for r in found}
    return sorted({*ranges, *config["HyperParameterTuningJobObjective"].items()})


def _ranges(random: Random, listed: bool) -> Json:
    found: Json = {}
    for name in random.sample(NAMES, random.randint(1, 3)):
        kind = "Categorical" if listed else random.choice(["Continuous", "Integer", "Categorical"])
        if kind == "Categorical":
            members: Json = {"Values": random.sample(WORDS, random.randint(1, 5))}
        else:
            ends = random.choice(CONTINUOUS if kind == "Continuous" else INTEGER)
            members = dict(zip(("MinValue", "MaxValue", "ScalingType"), ends, strict=True))
        found.setdefault(f"{kind}ParameterRanges", []).append({"Name": name, **members})
    return found


def size_of(ranges: Json) -> int | None:
    """How many configurations there are; None where there is no end of them."""
    size = 1
    for kind, found in ranges.items():
        for r in found:
            if kind == "ContinuousParameterRanges" and r["MinValue"] != r["MaxValue"]:
                return None
            whole = kind == "IntegerParameterRanges"
            size *= int(r["MaxValue"]) - int(r["MinValue"]) + 1 if whole else len(r.get("Values", "1"))
    return size


# --- running -------------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """A service whose programs, workers and people do what they like."""

    service: Wire
    random: Random
    requests: dict[str, Json] = field(default_factory=dict)

    @property
    def engine(self) -> Engine:
        return self.service.engine

    def run(self, request: Json) -> None:
        """Runs a tuning job to its end, with harm on the way."""
        name = self.service.create(request=request)
        random, worker = self.random, self.engine.worker("0")
        parallel = request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"]
        stop_at, harm = random.choice([*[None] * 6, random.randint(1, 40)]), random.choice([0.0, 0.05])
        for step in range(STEPS):
            worker.tick()
            assert self.engine.executor.running <= parallel
            if step == stop_at and not self.engine.job(name).status.is_terminal:
                self.service.client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
            if self.engine.job(name).status.is_terminal:
                worker.shut_down()
                self.requests[name] = request
                return
            if random.random() < harm:
                self._lose(name)
            if random.random() < harm:
                worker.shut_down()
                worker = self.engine.worker(str(step))
            if random.random() < harm / 4:
                self._delete_a_parent(request)
            worker.wait()
        raise AssertionError(f"it does not end: {request}")

    def _lose(self, name: str) -> None:
        begun = [t for t in self.engine.trials(name) if t.is_running and t.started_at is not None]
        if begun:
            self.engine.executor.lose(RunKey.of(self.random.choice(begun)))

    def _delete_a_parent(self, request: Json) -> None:
        for parent in request.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", ()):
            if self.requests.pop(parent["HyperParameterTuningJobName"], None):
                self.service.client.delete_hyper_parameter_tuning_job(**parent)
                return


@pytest.fixture(scope="module")
def service() -> Iterator[Wire]:
    with wire(Engine(program)) as found, closing(found.engine.store):
        yield found


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**63 - 1))
def test_whatever_is_accepted_runs_to_an_end_that_agrees_with_itself(service: Wire, seed: int, answered: Counter[str]) -> None:
    random = Random(seed)
    world = World(service, random)
    for number in range(random.randint(1, 4)):
        name = f"w{seed:x}-{number}"
        parents = [r for r in world.requests.values() if "TrainingJobDefinition" in r]
        some = random.sample(parents, random.randint(1, len(parents))) if parents and random.random() < 0.7 else []
        request = child_of(random, name, some) if some else request_of(random, name)
        world.run(request)
        answered["whole tuning jobs"] += 1
        _check(service, request, name)
    for name in world.requests:
        service.client.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


# --- what must hold ------------------------------------------------------------------------------------------------------


def _check(service: Wire, request: Json, name: str) -> None:
    shown, trials = service.describe(name), service.trials(name)
    status, config = shown["HyperParameterTuningJobStatus"], request["HyperParameterTuningJobConfig"]
    assert (status == "Failed") == ("FailureReason" in shown)
    states, objectives = Counter(t["TrainingJobStatus"] for t in trials), Counter(t["ObjectiveStatus"] for t in trials)
    told = shown["TrainingJobStatusCounters"]
    assert (told["Completed"], told["Stopped"], told["NonRetryableError"], told["InProgress"], told["RetryableError"]) == (
        *(states["Completed"], states["Stopped"], states["Failed"]),
        *(0, 0),
    )
    assert {k: n for k, n in shown["ObjectiveStatusCounters"].items() if n} == dict(objectives)
    assert not objectives["Pending"]
    assert len(trials) <= config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    configurations = [(t.get("TrainingJobDefinitionName"), *sorted(t["TunedHyperParameters"].items())) for t in trials]
    assert len(set(configurations)) == len(configurations)
    for trial in trials:
        _check_trial(request, trial)
    _check_best(request, shown, trials)
    assert set(service.engine.executor.launches.values()) <= {1}
    replayed = replay(service.engine.store, service.engine.owner, name)
    assert not replayed.missing
    assert all(c.agrees or c.incomparable for c in replayed)


def _check_trial(request: Json, trial: Json) -> None:
    several = {d["DefinitionName"]: d["HyperParameterRanges"] for d in request.get("TrainingJobDefinitions", ())}
    single = request["HyperParameterTuningJobConfig"].get("ParameterRanges")
    ranges = several.get(trial.get("TrainingJobDefinitionName"), single)
    tuned = dict(trial["TunedHyperParameters"])
    for kind, found in ranges.items():
        for r in found:
            text = tuned.pop(r["Name"])
            if kind == "CategoricalParameterRanges":
                assert text in r["Values"]
            else:
                number = float if kind == "ContinuousParameterRanges" else int
                assert number(r["MinValue"]) <= number(text) <= number(r["MaxValue"])
    assert not tuned
    if trial["TrainingJobStatus"] == "Completed":
        kind = (request.get("TrainingJobDefinition") or request["TrainingJobDefinitions"][0])["StaticHyperParameters"]["kind"]
        given = {**trial["TunedHyperParameters"], "kind": kind, "_tuning_objective_metric": "loss"}
        printed = program(given).values
        assert value_of(trial) == (printed[-1] if printed else None)


def _check_best(request: Json, shown: Json, trials: list[Json]) -> None:
    objective = request["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective")
    objective = objective or request["TrainingJobDefinitions"][0]["TuningObjective"]
    values = [v for t in trials if t["TrainingJobStatus"] != "Failed" and (v := value_of(t)) is not None]
    assert len(values) == shown["ObjectiveStatusCounters"]["Succeeded"]
    best = shown.get("BestTrainingJob")
    wanted = (max if objective["Type"] == "Maximize" else min)(values, default=None)
    assert (None if best is None else value_of(best)) == wanted


def value_of(trial: Json) -> float | None:
    """The final value of the objective."""
    return trial.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")
