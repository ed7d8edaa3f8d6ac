"""What is refused and in which words, what a change leaves alone, and which tuning jobs are of one family."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from rekindle.domain.errors import InvalidValue, LimitExceeded, NameInUse, NotFound, Unsupported, WrongState
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import MAX_TAGS, Algorithm, Owner, TrainingJobStatus, TrainingSpec
from rekindle.domain.tuning_job import WarmStart, WarmStartType
from rekindle.domain.tuning_rules import Quotas
from rekindle.engine.commands import (
    MAX_FAMILY,
    add_tags,
    change_extras,
    create_training_job,
    create_tuning_job,
    delete_training_job,
    delete_tuning_job,
    find_parents,
    remove_tags,
    stop_training_job,
    stop_tuning_job,
    with_ancestors,
)
from rekindle.engine.ports import JobStore, Run, RunKey
from rekindle.storage.store import open_store
from support.engine import Engine
from support.jobs import OWNER, training_job, tuning_job
from support.power import Unplugged
from support.simulated import SimulatedExecutor
from support.specs import tuning_spec


class _ScriptsOnly(SimulatedExecutor):
    def check(self, spec: TrainingSpec, hyperparameters: Mapping[str, str] | None = None) -> None:
        if spec.algorithm.image != "sagemaker-scikit-learn":
            raise Unsupported("image: nothing here knows how to run it")


def test_an_image_that_cannot_be_run_is_not_asked_for_metric_definitions() -> None:
    """SageMaker's other algorithms have metrics of their own, which notebooks tune by and do not define."""
    engine = Engine()
    engine.executor = _ScriptsOnly(engine.clock, engine.program)
    for image, refusal, words in (
        ("382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1", Unsupported, "nothing here knows"),
        ("sagemaker-scikit-learn", InvalidValue, "no metric of this name is defined"),
    ):
        spec = tuning_spec("without-metrics")
        training = replace(spec.definition.training, algorithm=Algorithm(image=image))
        with pytest.raises(refusal, match=words):
            engine.create(replace(spec, definitions=(replace(spec.definition, training=training),)))


class _KnowsMetrics(SimulatedExecutor):
    def metrics_of(self, spec: TrainingSpec) -> tuple[MetricDefinition, ...]:
        return (MetricDefinition("loss", "known=(.*)"), MetricDefinition("other", "other=(.*)"))


@pytest.mark.parametrize("given", [(), (MetricDefinition("loss", "given=(.*)"),)], ids=["none", "one"])
def test_what_defines_no_metric_has_those_of_its_image(given: tuple[MetricDefinition, ...]) -> None:
    engine = Engine()
    engine.executor = executor = _KnowsMetrics(engine.clock, engine.program)
    spec = tuning_spec("by-its-image")
    training = replace(spec.definition.training, algorithm=Algorithm(image="kmeans", metrics=given))
    tuning = engine.create(replace(spec, definitions=(replace(spec.definition, training=training),)))
    one = create_training_job(engine.store, executor, engine.clock, replace(training_job(), spec=training))
    for found in (tuning.spec.definition.training, one.spec):
        assert found.algorithm.metrics == (given or executor.metrics_of(training))


def test_a_child_has_its_parents_metrics_before_those_of_its_image() -> None:
    engine = Engine()
    spec = tuning_spec("parent")
    metrics = (MetricDefinition("loss", "parent's=(.*)"),)
    training = replace(spec.definition.training, algorithm=Algorithm(image="own", metrics=metrics))
    engine.create(replace(spec, definitions=(replace(spec.definition, training=training),)))
    engine.run("parent")
    engine.executor = _KnowsMetrics(engine.clock, engine.program)
    child = replace(spec.definition, training=replace(training, algorithm=Algorithm(image="own")))
    warm = WarmStart(WarmStartType.TRANSFER, ("parent",))
    made = engine.create(replace(spec, name="child", definitions=(child,), warm_start=warm))
    assert made.spec.definition.training.algorithm.metrics == metrics


def test_a_script_in_a_built_in_algorithms_image_may_have_a_metric_of_its_own() -> None:
    spec = tuning_spec("of-a-script")
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    training = replace(spec.definition.training, algorithm=Algorithm(image=image))
    with pytest.raises(InvalidValue, match="Give the objective a regex"):
        Engine().create(replace(spec, definitions=(replace(spec.definition, training=training),)))


def _child(store: JobStore, name: str, *parents: str) -> None:
    """Stores a tuning job with its parents alone."""
    ids = tuple(store.tuning_job(OWNER, parent).id for parent in parents)
    spec = tuning_spec(name, warm_start=WarmStart(WarmStartType.TRANSFER, parents) if parents else None)
    store.create_tuning_job(replace(tuning_job(), spec=spec, parents=ids))


def _family(store: JobStore, *parents: str) -> list[str]:
    """The parents and ancestors of a tuning job whose warm start is recursive."""
    warm = WarmStart(WarmStartType.TRANSFER, parents, relaxed=True, recursive=True)
    spec = tuning_spec("last", warm_start=warm)
    spec, family = with_ancestors(store, spec, find_parents(store, OWNER, spec))
    names = [p.job.name for p in family]
    assert spec.warm_start is not None
    assert spec.warm_start.ancestors == tuple(names[len(parents) :])
    assert [p.direct for p in family] == [True] * len(parents) + [False] * (len(names) - len(parents))
    return names


def test_of_a_long_line_of_ancestors_the_nearest_count() -> None:
    store = open_store("sqlite://")
    eldest = ["a", "b", "c", "d", "e"]
    for name in eldest:
        _child(store, name)
    _child(store, "job-0", *eldest)
    for number in range(1, 25):
        _child(store, f"job-{number}", f"job-{number - 1}")
    assert _family(store, "job-24") == [f"job-{number}" for number in range(24, 24 - MAX_FAMILY, -1)]
    line = [f"job-{number}" for number in range(MAX_FAMILY - 4, -1, -1)]
    assert _family(store, line[0]) == [*line, "a", "b", "c"]


def test_whom_two_have_for_a_parent_counts_once() -> None:
    store = open_store("sqlite://")
    for name, *parents in (["root"], ["left", "root"], ["right", "root"], ["low", "left", "right"]):
        _child(store, name, *parents)
    assert _family(store, "left", "right") == ["left", "right", "root"]
    assert _family(store, "low") == ["low", "left", "right", "root"]
    assert _family(store, "left", "root") == ["left", "root"], "a parent that is an ancestor, too, is a parent"


def test_a_name_that_is_in_use_says_what_can_be_done_with_its_job() -> None:
    engine = Engine()
    engine.create(tuning_spec("Job", jobs=1, parallel=1))
    with pytest.raises(NameInUse, match="`rekindle resume Job`"):
        engine.create(tuning_spec("job"))
    engine.run("Job")
    with pytest.raises(NameInUse, match="`rekindle show Job`"):
        engine.create(tuning_spec("JOB"))


def test_what_runs_counts_against_the_quota_and_what_has_ended_or_is_to_stop_does_not() -> None:
    engine, quotas = Engine(), Quotas(running_tuning_jobs=2)

    def create(name: str) -> None:
        spec = tuning_spec(name, jobs=1, parallel=1)
        create_tuning_job(engine.store, engine.executor, engine.clock, engine.owner, spec, quotas)

    create("one")
    create("two")
    with pytest.raises(LimitExceeded) as caught:
        create("three")
    assert (caught.value.asked, caught.value.used) == (3, 2)
    engine.run("one")
    create("three")
    stop_tuning_job(engine.store, engine.owner, "three")
    create("four")


def test_what_still_runs_is_not_deleted_nor_what_a_tuning_job_counts() -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=2, parallel=1))
    for words in ("Stop it first", "Wait until it has ended"):
        with pytest.raises(WrongState) as refused:
            delete_tuning_job(engine.store, engine.owner, "job")
        assert words in refused.value.hint
        stop_tuning_job(engine.store, engine.owner, "job")
    engine.run("job")
    with pytest.raises(WrongState, match="has already ended: it is Stopped"):
        stop_tuning_job(engine.store, engine.owner, "job")
    engine.create(tuning_spec("other", jobs=1, parallel=1))
    engine.run("other")
    (trial,) = engine.trials("other")
    with pytest.raises(WrongState, match="is a result of the tuning job 'other'"):
        delete_training_job(engine.store, engine.executor, engine.owner, trial.name)
    delete_tuning_job(engine.store, engine.owner, "other")
    assert engine.executor.has_log(engine.owner, trial.name)
    delete_training_job(engine.store, engine.executor, engine.owner, trial.name)
    assert not engine.executor.has_log(engine.owner, trial.name)
    with pytest.raises(NotFound):
        engine.store.training_job(engine.owner, trial.name)


def test_what_another_deletes_meanwhile_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.create(tuning_spec("run", jobs=1, parallel=1))
    running = engine.job("run")
    engine.run("run")
    ended, (trial,) = engine.job("run"), engine.trials("run")
    engine.store.delete_tuning_job(ended.id)
    for found, command in ((ended, delete_tuning_job), (running, stop_tuning_job)):
        monkeypatch.setattr(engine.store, "tuning_job", lambda *_, found=found: found)
        with pytest.raises(NotFound, match="no tuning job called 'run'"):
            command(engine.store, engine.owner, "run")
    engine.store.delete_training_job(trial.id)
    for found, arguments in ((trial, (engine.executor,)), (replace(trial, status=TrainingJobStatus.IN_PROGRESS), ())):
        monkeypatch.setattr(engine.store, "training_job", lambda *_, found=found: found)
        command = delete_training_job if arguments else stop_training_job
        with pytest.raises(NotFound, match=f"no training job called '{trial.name}'"):
            command(engine.store, *arguments, engine.owner, trial.name)


@pytest.mark.parametrize("step", ["forget", "delete_training_job"])
def test_a_deletion_in_which_the_power_goes_is_finished_by_the_next(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.create(tuning_spec(jobs=1, parallel=1))
    engine.run("job")
    (stored,) = engine.trials("job")
    delete_tuning_job(engine.store, engine.owner, "job")

    def unplug(*_: object) -> None:
        raise Unplugged

    with monkeypatch.context() as patch:
        patch.setattr(engine.executor if step == "forget" else engine.store, step, unplug)
        with pytest.raises(Unplugged):
            delete_training_job(engine.store, engine.executor, engine.owner, stored.name)
    delete_training_job(engine.store, engine.executor, engine.owner, stored.name)
    assert not engine.executor.has_log(engine.owner, stored.name)
    with pytest.raises(NotFound):
        engine.store.training_job(engine.owner, stored.name)


class _Awaited(SimulatedExecutor):
    """One where another deletes the same just before we may."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    @contextlib.contextmanager
    def deleting(self, owner: Owner, name: str) -> Iterator[None]:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        yield


def test_a_deletion_that_comes_second_leaves_the_files_of_a_new_job_of_the_name() -> None:
    engine = Engine()
    engine.executor = executor = _Awaited(engine.clock, engine.program)
    alone = replace(training_job(), hyperparameters={"lr": "0.1", "layers": "1"})
    create_training_job(engine.store, executor, engine.clock, alone)
    worker = engine.worker()
    for _ in range(9):
        worker.tick()
        worker.wait()

    def meanwhile() -> None:
        delete_training_job(engine.store, executor, engine.owner, alone.name)
        create_training_job(engine.store, executor, engine.clock, alone)
        worker.tick()

    executor.meanwhile = meanwhile
    with pytest.raises(WrongState):
        delete_training_job(engine.store, executor, engine.owner, alone.name)
    assert executor.has_log(engine.owner, alone.name)


def test_the_name_of_a_training_job_whose_files_are_still_here_is_in_use() -> None:
    engine = Engine()
    stored = create_training_job(engine.store, engine.executor, engine.clock, training_job())
    engine.executor.launch(Run(RunKey.of(stored), stored.spec, {"lr": "0.1", "layers": "1"}))
    with pytest.raises(NameInUse) as refused:
        create_training_job(engine.store, engine.executor, engine.clock, training_job("ALONE"))
    assert "are still here" not in str(refused.value)
    engine.store.delete_training_job(stored.id)
    with pytest.raises(NameInUse, match="are still here"):
        create_training_job(engine.store, engine.executor, engine.clock, training_job())


def test_a_change_that_changes_nothing_is_none() -> None:
    engine = Engine()
    made = create_training_job(engine.store, engine.executor, engine.clock, training_job())
    engine.clock.sleep(1)
    change_extras(engine.store, engine.clock, engine.owner, "alone", dict)
    assert engine.store.training_job(engine.owner, "alone") == made
    change_extras(engine.store, engine.clock, engine.owner, "alone", lambda extras: {**extras, "a": 1})
    after = engine.store.training_job(engine.owner, "alone")
    assert (after.spec.extras, after.modified_at) == ({"a": 1}, made.modified_at + 1)


def test_a_job_has_fifty_tags_at_most() -> None:
    store = open_store("sqlite://")
    subject = f"tuning:{store.create_tuning_job(tuning_job()).id}"
    assert len(add_tags(store, subject, {str(n): "" for n in range(MAX_TAGS)})) == MAX_TAGS
    assert add_tags(store, subject, {"0": "new"})["0"] == "new"
    with pytest.raises(LimitExceeded) as refused:
        add_tags(store, subject, {"one more": ""})
    assert (refused.value.asked, refused.value.used) == (MAX_TAGS + 1, MAX_TAGS)
    assert len(remove_tags(store, subject, ["0", "none"])) == MAX_TAGS - 1


def test_tags_that_somebody_else_adds_meanwhile_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("sqlite://")
    subject = f"tuning:{store.create_tuning_job(tuning_job()).id}"
    real, others = store.set_tags, [{"theirs": "1"}]

    def busy(subject: str, tags: Mapping[str, str], expected: Mapping[str, str] | None = None) -> bool:
        if others:
            real(subject, others.pop())
        return real(subject, tags, expected)

    monkeypatch.setattr(store, "set_tags", busy)
    assert add_tags(store, subject, {"ours": "2"}) == {"theirs": "1", "ours": "2"}
