"""The rules that a training job of its own keeps by itself, at their limits; and what a host has room for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rekindle.domain.capacity import Room, turn
from rekindle.domain.errors import InvalidValue, LimitExceeded
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Resources, TrainingJob, TrainingJobStatus, check_training_job
from support.jobs import training_job


def given(**hyperparameters: str) -> TrainingJob:
    return replace(training_job(), hyperparameters=hyperparameters)


def on_instances(count: int) -> TrainingJob:
    job = training_job()
    return replace(job, spec=replace(job.spec, resources=Resources(instance_count=count)))


@pytest.mark.parametrize(
    ("job", "most"),
    [
        (lambda n: training_job("a" * n), 63),
        (lambda n: given(**{"p" * n: "1"}), 256),
        (lambda n: given(p="1" * n), 2500),
        (lambda n: given(**{f"p{i}": "1" for i in range(n)}), 100),
        (on_instances, 100),
    ],
)
def test_what_is_at_a_limit_passes_and_one_more_does_not(job: Callable[[int], TrainingJob], most: int) -> None:
    check_training_job(job(most))
    with pytest.raises((InvalidValue, LimitExceeded)):
        check_training_job(job(most + 1))


def test_a_regex_that_is_none_is_refused() -> None:
    job = training_job()
    algorithm = replace(job.spec.algorithm, metrics=(MetricDefinition("loss", "("),))
    with pytest.raises(InvalidValue, match="metrics"):
        check_training_job(replace(job, spec=replace(job.spec, algorithm=algorithm)))


def test_instances_are_named_from_1_and_sorted_as_texts() -> None:
    assert Resources().hosts == ("algo-1",)
    assert Resources(instance_count=10).hosts == ("algo-1", "algo-10", *(f"algo-{n}" for n in range(2, 10)))


def test_the_attempt_at_an_event_is_the_one_that_had_begun_by_then() -> None:
    job = replace(training_job(), attempt=3, attempt_seqs={2: 5, 3: 9})
    assert [job.attempt_at(seq) for seq in (4, 5, 8, 9, 10)] == [1, 2, 2, 3, 3]
    assert replace(job, attempt_seqs={3: 9}).attempt_at(8) is None


def test_who_awaits_a_retry_and_who_was_cut_short() -> None:
    job = training_job()
    again = replace(job, attempt=2)
    running, stopping = replace(again, started_at=1.0), replace(again, status=TrainingJobStatus.STOPPING)
    assert [j.awaits_retry for j in (job, again, running, stopping)] == [False, True, False, False]
    ends = [replace(job, stopped_early=True, status=s) for s in (TrainingJobStatus.STOPPED, TrainingJobStatus.COMPLETED)]
    assert [j.cut_short for j in (*ends, replace(ends[0], stopped_early=False))] == [True, False, False]


def test_who_has_the_fewest_is_next_then_who_had_none_for_the_longest_then_the_oldest() -> None:
    turns = [turn(0, 9, 9), turn(1, 2, 9), turn(1, 3, 0), turn(1, 3, 1), turn(2, 0, 0)]
    assert sorted(turns) == turns


def test_room_is_for_as_many_as_can_start() -> None:
    assert Room().takes(1000)
    assert [Room(2).takes(n) for n in (1, 2, 3)] == [True, True, False]
