"""The state machine, decided from records alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rekindle.domain.completion import best_job, converged, not_improving, reason_to_end
from rekindle.domain.decisions import Finish, Launch, Snapshot, StopTrial, WindDown, decide
from rekindle.domain.training_job import FAILURE_REASON_LIMIT, ObjectiveStatus, Owner, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import CompletionCriteria, Ending, TuningJob, TuningJobSpec, TuningJobStatus
from rekindle.search.history import Direction
from support.specs import tuning_spec

NOW = 1_800_000_000.0


def tuning_job(spec: TuningJobSpec, **changes: object) -> TuningJob:
    return replace(TuningJob(spec, Owner(), "uid", created_at=NOW, id=1), **changes)


def training_job(number: int, value: float | None = None, *, running: bool = False, completed: bool = True) -> TrainingJob:
    status = TrainingJobStatus.IN_PROGRESS if running else TrainingJobStatus.COMPLETED
    if not running and not completed:
        status = TrainingJobStatus.FAILED
    objective = ObjectiveStatus.PENDING if running else ObjectiveStatus.FAILED
    if value is not None:
        objective = ObjectiveStatus.SUCCEEDED
    return TrainingJob(
        f"job-{number:03d}",
        Owner(),
        tuning_spec().definition.training,
        {},
        NOW,
        number=number,
        status=status,
        objective_status=objective,
        objective_value=value,
        launched_seq=number,
        finished_seq=None if running else 100 + number,
        objective_metric="loss",
    )


def snapshot(spec: TuningJobSpec, *jobs: TrainingJob, **changes: object) -> Snapshot:
    return Snapshot(tuning_job(spec, **changes), jobs)


def test_fills_every_free_place_at_once() -> None:
    assert decide(snapshot(tuning_spec(jobs=6, parallel=2)), NOW) == [Launch(2)]
    assert decide(snapshot(tuning_spec(jobs=6, parallel=3), training_job(1, running=True), training_job(2, 1.0)), NOW) == [
        Launch(2)
    ]


def test_never_launches_more_than_the_budget() -> None:
    done = [training_job(i, 1.0) for i in range(1, 6)]
    assert decide(snapshot(tuning_spec(jobs=6, parallel=4), *done), NOW) == [Launch(1)]


def test_waits_while_everything_runs() -> None:
    assert decide(snapshot(tuning_spec(jobs=6, parallel=1), training_job(1, running=True)), NOW) == []


def test_drains_once_the_budget_is_spent_and_then_completes() -> None:
    spec = tuning_spec(jobs=2, parallel=2)
    ending = Ending(TuningJobStatus.COMPLETED, drain=True)
    running = snapshot(spec, training_job(1, 1.0), training_job(2, running=True))
    assert decide(running, NOW) == [WindDown(ending)]
    assert decide(replace(running, job=replace(running.job, ending=ending)), NOW) == []
    assert decide(snapshot(spec, training_job(1, 1.0), training_job(2, 2.0), ending=ending), NOW) == [Finish(ending)]


def test_a_stop_request_stops_what_runs_and_then_ends_as_stopped() -> None:
    spec = tuning_spec(parallel=2)
    stopped = Ending(TuningJobStatus.STOPPED)
    actions = decide(snapshot(spec, training_job(1, running=True), stop_requested=True), NOW)
    assert actions == [WindDown(stopped), StopTrial("job-001")]
    assert decide(snapshot(spec, training_job(1, 1.0), stop_requested=True, ending=stopped), NOW) == [Finish(stopped)]


def test_a_stop_request_cuts_draining_short() -> None:
    spec = tuning_spec(jobs=1, parallel=1)
    draining = snapshot(
        spec, training_job(1, running=True), ending=Ending(TuningJobStatus.COMPLETED, drain=True), stop_requested=True
    )
    assert decide(draining, NOW) == [WindDown(Ending(TuningJobStatus.STOPPED)), StopTrial("job-001")]


def test_an_ending_that_stops_what_runs_is_not_exchanged_for_another() -> None:
    reached = Ending(TuningJobStatus.COMPLETED)
    stopping = replace(training_job(1, running=True), status=TrainingJobStatus.STOPPING)
    last = snapshot(tuning_spec(runtime=600), stopping, training_job(2, 1.0), ending=reached, stop_requested=True)
    assert decide(last, NOW + 700) == []
    assert decide(replace(last, jobs=last.jobs[1:]), NOW + 700) == [Finish(reached)]


def test_what_a_rule_is_stopping_already_is_not_stopped_again_as_if_it_had_not() -> None:
    stopping = replace(training_job(1, running=True), status=TrainingJobStatus.STOPPING, stopped_early=True)
    asked = snapshot(tuning_spec(parallel=2), stopping, training_job(2, running=True), stop_requested=True)
    assert decide(asked, NOW) == [WindDown(Ending(TuningJobStatus.STOPPED)), StopTrial("job-002")]


def test_the_first_reason_by_weight_is_the_one() -> None:
    completion = CompletionCriteria(target=0.5, max_not_improving=5)
    spec = tuning_spec(jobs=5, runtime=600, parallel=5, completion=completion)
    runs = training_job(5, running=True)
    reached = [training_job(1, 0.4), *(training_job(i, 1.0) for i in range(2, 5))]
    wind_down, stop = decide(snapshot(spec, *reached, runs), NOW + 700)
    assert isinstance(wind_down, WindDown)
    assert wind_down.ending.because.startswith("loss = 0.4 of job-001 reaches the target")
    assert stop == StopTrial("job-005")
    failed = [training_job(i, completed=False) for i in range(1, 6)]
    (action,) = decide(snapshot(spec, *failed), NOW + 700)
    assert isinstance(action, Finish)
    assert (action.ending.reason or "").startswith("No training job succeeded after 5 attempts.")


def test_a_training_job_stopped_by_hand_does_not_end_the_tuning_job() -> None:
    asked = replace(training_job(1, running=True), stop_requested=True)
    assert decide(snapshot(tuning_spec(jobs=6, parallel=2), asked), NOW) == [StopTrial("job-001"), Launch(1)]


def test_a_training_job_that_the_search_gives_up_is_stopped_early() -> None:
    two = [training_job(1, running=True), training_job(2, running=True)]
    assert decide(snapshot(tuning_spec(jobs=6, parallel=2), *two), NOW, to_stop=(2,)) == [StopTrial("job-002", early=True)]
    asked = replace(two[1], stop_requested=True)
    actions = decide(snapshot(tuning_spec(jobs=6, parallel=2), two[0], asked), NOW, to_stop=(2,))
    assert actions == [StopTrial("job-002", early=False)], "a person's word is no rule's"


def test_the_last_training_jobs_are_given_up_like_all_others() -> None:
    two = [training_job(1, running=True), training_job(2, running=True)]
    ending = Ending(TuningJobStatus.COMPLETED, drain=True)
    spent = snapshot(tuning_spec(jobs=2, parallel=2), *two)
    assert decide(spent, NOW, to_stop=(2,)) == [WindDown(ending), StopTrial("job-002", early=True)]
    draining = snapshot(tuning_spec(jobs=2, parallel=2), *two, ending=ending)
    assert decide(draining, NOW, to_stop=(2,)) == [StopTrial("job-002", early=True)]


def test_a_training_job_already_stopping_is_left_alone() -> None:
    stopping = replace(training_job(1, running=True), status=TrainingJobStatus.STOPPING, stop_requested=True)
    assert decide(snapshot(tuning_spec(jobs=6, parallel=1), stopping), NOW) == []


@pytest.mark.parametrize(
    ("direction", "value", "reached"),
    [("minimize", 0.5, True), ("minimize", 0.6, False), ("maximize", 0.5, True), ("maximize", 0.4, False)],
)
def test_the_target_ends_it(direction: str, value: float, reached: bool) -> None:
    spec = tuning_spec(direction=direction, completion=CompletionCriteria(target=0.5))
    actions = decide(snapshot(spec, training_job(1, value), training_job(2, running=True)), NOW)
    assert (actions[0] == WindDown(Ending(TuningJobStatus.COMPLETED))) is reached


def test_the_clock_ends_it() -> None:
    spec = tuning_spec(runtime=600)
    assert decide(snapshot(spec, training_job(1, 1.0)), NOW + 599) == [Launch(2)]
    assert decide(snapshot(spec, training_job(1, 1.0)), NOW + 600) == [Finish(Ending(TuningJobStatus.COMPLETED))]
    assert decide(snapshot(spec), NOW + 600) == [Finish(Ending(TuningJobStatus.COMPLETED))], "nothing ran, and nothing failed"


def test_not_improving_counts_from_the_last_gain_of_one_percent() -> None:
    values = [1.0, 0.995, 0.98, 0.985, None, 0.981]
    jobs = [training_job(i, v) for i, v in enumerate(values, start=1)]
    assert not_improving(jobs, "minimize") == 3
    spec = tuning_spec(jobs=50, completion=CompletionCriteria(max_not_improving=3))
    assert reason_to_end(tuning_job(spec), jobs, NOW) == Ending(TuningJobStatus.COMPLETED)


@pytest.mark.parametrize(
    ("values", "stale"), [([100.0, 99.0], 0), ([100.0, 99.1], 1), ([-100.0, -100.5], 1), ([-100.0, -101.0], 0)]
)
def test_one_percent_is_of_the_size_of_the_best(values: list[float], stale: int) -> None:
    jobs = [training_job(i, v) for i, v in enumerate(values, start=1)]
    assert not_improving(jobs, "minimize") == stale
    assert not_improving([replace(j, objective_value=-values[j.number - 1]) for j in jobs], "maximize") == stale


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_same_again_is_no_improvement_not_even_of_zero(direction: Direction) -> None:
    jobs = [training_job(i, 0.0) for i in range(1, 21)]
    assert not_improving(jobs, direction) == 19
    assert converged(jobs, direction)


def test_who_ends_early_says_why() -> None:
    stale = [training_job(1, 1.0), *(training_job(i, 1.0) for i in range(2, 21))]
    criteria = {
        CompletionCriteria(target=1.5): "loss = 1 of job-001 reaches the target, 1.5",
        CompletionCriteria(max_not_improving=3): "19 training jobs in a row have not improved loss by 1%",
        CompletionCriteria(on_convergence=True): (
            "the search has converged: 19 training jobs in a row have not improved loss by 1%"
        ),
        CompletionCriteria(): "its time is over: 600 s",
    }
    for completion, because in criteria.items():
        (action,) = decide(snapshot(tuning_spec(jobs=50, runtime=600, completion=completion), *stale), NOW + 700)
        assert isinstance(action, Finish)
        assert action.ending.because == because
    (action,) = decide(snapshot(tuning_spec(jobs=20), *stale), NOW)
    assert isinstance(action, Finish)
    assert action.ending.because == "", "it ran to its end"


def test_gives_up_after_five_failures() -> None:
    four = [training_job(i, completed=False) for i in range(1, 5)]
    spec = tuning_spec(jobs=20, parallel=1)
    assert decide(snapshot(spec, *four), NOW) == [Launch(1)]
    (action,) = decide(snapshot(spec, *four, training_job(5, completed=False)), NOW)
    assert isinstance(action, Finish)
    assert action.ending.status is TuningJobStatus.FAILED
    assert action.ending.reason == (
        "No training job succeeded after 5 attempts. Please take a look at the training job failures to get more details."
    )


def test_gives_up_after_five_without_the_metric() -> None:
    # Of many that run at once more may have ended before anybody looked.
    for count in (5, 7):
        jobs = [training_job(i, completed=i != 2) for i in range(1, count + 1)]
        (action,) = decide(snapshot(tuning_spec(jobs=20, parallel=1), *jobs), NOW)
        assert isinstance(action, Finish)
        assert f"No objective metrics found after running {count} training jobs." in (action.ending.reason or "")


def test_one_success_saves_it_from_giving_up() -> None:
    jobs = [training_job(1, 3.0), *(training_job(i, completed=False) for i in range(2, 9))]
    assert decide(snapshot(tuning_spec(jobs=20, parallel=1), *jobs), NOW) == [Launch(1)]


def test_the_reason_names_what_most_died_of() -> None:
    reasons = ["Traceback\nValueError: no", "x\nValueError: no", "KeyError: 'a'", "ValueError: no", "ValueError: no"]
    jobs = [replace(training_job(i, completed=False), failure_reason=r) for i, r in enumerate(reasons, start=1)]
    (action,) = decide(snapshot(tuning_spec(jobs=20, parallel=1), *jobs), NOW)
    assert isinstance(action, Finish)
    assert (action.ending.reason or "").endswith("to get more details. (4 of 5 failed alike: ValueError: no)")
    apart = [replace(j, failure_reason=f"ValueError: {'no' * n}") for n, j in enumerate(jobs, start=1)]
    (action,) = decide(snapshot(tuning_spec(jobs=20, parallel=1), *apart), NOW)
    assert isinstance(action, Finish)
    assert (action.ending.reason or "").endswith(f"to get more details. ({jobs[0].name} failed: ValueError: no)")
    jobs = [replace(j, failure_reason="ValueError: " + "no" * 1000) for j in jobs]
    (action,) = decide(snapshot(tuning_spec(jobs=20, parallel=1), *jobs), NOW)
    assert isinstance(action, Finish)
    assert len(action.ending.reason or "") == FAILURE_REASON_LIMIT


def test_nineteen_jobs_without_improvement_are_convergence() -> None:
    stale = [training_job(1, 1.0), *(training_job(i, 1.0) for i in range(2, 20))]
    assert not converged(stale, "minimize")
    stale.append(training_job(20, 0.995))
    assert converged(stale, "minimize")
    assert not converged([*stale, training_job(21, 0.5)], "minimize")
    watched = tuning_spec(jobs=50, completion=CompletionCriteria(on_convergence=True))
    assert reason_to_end(tuning_job(watched), stale, NOW) == Ending(TuningJobStatus.COMPLETED)
    assert reason_to_end(tuning_job(tuning_spec(jobs=50)), stale, NOW) is None


def test_failures_alone_are_no_convergence() -> None:
    assert not converged([training_job(i, completed=False) for i in range(1, 40)], "minimize")


def test_a_small_budget_of_failures_fails() -> None:
    jobs = [training_job(i, completed=False) for i in (1, 2)]
    (action,) = decide(snapshot(tuning_spec(jobs=2, parallel=1), *jobs), NOW)
    assert isinstance(action, Finish)
    assert action.ending.reason == (
        "All training jobs failed. Please take a look at the training jobs failures to get more details."
    )


def test_the_best_is_the_first_of_equals_in_the_order_of_ending() -> None:
    late = replace(training_job(1, 2.0), finished_seq=50)
    early = replace(training_job(2, 2.0), finished_seq=40)
    assert best_job([late, early, training_job(3, 5.0)], "minimize") == early
    assert best_job([training_job(1, running=True)], "minimize") is None
    uncounted = replace(training_job(3, 1.0), objective_status=ObjectiveStatus.FAILED)
    assert best_job([late, early, uncounted], "minimize") == early
    assert not_improving([late, early, uncounted], "minimize") == 2


def test_nothing_happens_once_it_has_ended() -> None:
    assert decide(snapshot(tuning_spec(), status=TuningJobStatus.COMPLETED), NOW) == []
