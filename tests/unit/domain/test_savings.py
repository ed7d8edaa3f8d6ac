"""What early stopping saved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rekindle.domain.savings import savings
from rekindle.domain.training_job import Owner, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import Hyperband, StrategyName
from support.specs import tuning_spec

SPEC = replace(tuning_spec(), early_stopping=True)


def job(number: int, seconds: float, stopped: bool = False, running: bool = False) -> TrainingJob:
    status = TrainingJobStatus.STOPPED if stopped else TrainingJobStatus.COMPLETED
    return TrainingJob(
        f"job-{number}",
        Owner(),
        SPEC.definition.training,
        {},
        0.0,
        id=number,
        number=number,
        definition_name=SPEC.definition.name,
        status=TrainingJobStatus.IN_PROGRESS if running else status,
        stopped_early=stopped,
        started_at=100.0,
        ended_at=100.0 + seconds,
    )


def times(epochs: dict[int, int]) -> dict[int, list[float]]:
    """One emission every second of each job, by its number."""
    return {number: [101.0 + second for second in range(count)] for number, count in epochs.items()}


def test_the_rest_of_the_usual_length_at_the_jobs_own_pace() -> None:
    jobs = [job(1, 10), job(2, 10), job(3, 40), job(4, 6, stopped=True), job(5, 30, stopped=True)]
    emitted = {4: [102.0, 104.0, 106.0], 5: [102.0 + 2 * n for n in range(15)]}
    found = savings(SPEC, jobs, times({1: 10, 2: 10, 3: 20}) | emitted)
    assert found is not None
    assert (found.stopped, found.epochs, found.epochs_saved, found.full_epochs) == (2, 58, 7, 10)
    assert found.seconds_saved == pytest.approx(7 * 2.0)
    assert found.share == pytest.approx(7 / 65)


def test_what_it_takes_to_begin_is_saved_by_nobody() -> None:
    """Each began for 60 seconds; epochs of 2, of 4 and, by the one that emitted only once, of an unknown number of seconds."""
    jobs = [job(1, 80), *(job(n, 70, stopped=True) for n in (2, 3, 4))]
    emitted = {2: [160.0, 162.0, 164.0], 3: [160.0, 164.0], 4: [160.0]}
    found = savings(SPEC, jobs, times({1: 10}) | emitted)
    assert found is not None
    assert found.seconds_saved == pytest.approx(7 * 2.0 + 8 * 4.0 + 9 * 3.0)
    alone = savings(SPEC, [jobs[0], jobs[3]], times({1: 10}) | {4: [160.0]})
    assert alone is not None
    assert alone.seconds_saved == pytest.approx(9 * 8.0), "at the pace of those that ran on"


def test_hyperband_knows_the_length() -> None:
    spec = replace(tuning_spec(strategy=StrategyName.HYPERBAND), hyperband=Hyperband(1, 27))
    found = savings(spec, [job(1, 4, stopped=True), job(2, 9, stopped=True)], times({2: 27}) | {1: [102.0, 104.0]})
    assert found is not None
    assert (found.stopped, found.epochs_saved, found.full_epochs) == (1, 25, 27), "who reached the largest resource was not cut"
    assert found.seconds_saved == pytest.approx(25 * 2.0)


def test_hyperband_knows_the_length_that_it_inferred() -> None:
    spec = tuning_spec(strategy=StrategyName.HYPERBAND, statics={"epochs": "27"})
    found = savings(spec, [job(1, 4, stopped=True), job(2, 9)], times({1: 2, 2: 25}))
    assert found is not None
    assert (found.stopped, found.epochs_saved, found.full_epochs) == (1, 25, 27)


def test_a_stop_that_came_too_late_saved_nothing() -> None:
    late = replace(job(2, 9, stopped=True), status=TrainingJobStatus.COMPLETED)
    assert not late.cut_short
    assert savings(SPEC, [job(1, 10), late], times({1: 10, 2: 9})) is None


def test_nothing_is_made_up() -> None:
    assert savings(SPEC, [], {}) is None
    assert savings(SPEC, [job(1, 10)], times({1: 10})) is None
    assert savings(SPEC, [job(1, 10, stopped=True)], times({1: 3})) is None
    assert savings(SPEC, [job(1, 10), job(2, 3, stopped=True, running=True)], times({1: 10, 2: 3})) is None
