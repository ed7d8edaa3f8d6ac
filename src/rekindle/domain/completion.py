"""When a tuning job ends, and why."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from rekindle.domain.causes import causes
from rekindle.domain.training_job import FAILURE_REASON_LIMIT, ObjectiveStatus, TrainingJob, TrainingJobStatus
from rekindle.domain.tuning_job import CompletionCriteria, Ending, TuningJob, TuningJobStatus
from rekindle.search.history import Direction, better

#: A tuning job gives up after this many training jobs without a single objective value.
FRUITLESS_LIMIT = 5
#: An objective improves when it gains at least this share of the best value's size.
IMPROVEMENT_SHARE = 0.01
#: A tuning job has converged when the chance that the next training job improves the best by 1 % is below this, with 95 %
#: confidence: after n training jobs without improvement that chance is at most 1 - 0.05 ** (1 / n).
CONVERGENCE_CHANCE = 0.15

_NONE_SUCCEEDED = (
    "No training job succeeded after {n} attempts. Please take a look at the training job failures to get more details."
)
_NO_METRICS = (
    "No objective metrics found after running {n} training jobs. Please ensure that the custom algorithm is emitting the "
    "objective metric as defined by the regular expression provided."
)
_ALL_FAILED = "All training jobs failed. Please take a look at the training jobs failures to get more details."


def finished(jobs: Sequence[TrainingJob]) -> list[TrainingJob]:
    """Training jobs that have ended, in the order in which they did."""
    return sorted([j for j in jobs if j.finished_seq is not None], key=attrgetter("finished_seq"))


def best_job(jobs: Sequence[TrainingJob], direction: Direction) -> TrainingJob | None:
    """The training job with the best objective; of equals, the one that ended first."""
    succeeded = [j for j in jobs if j.objective_status is ObjectiveStatus.SUCCEEDED and j.objective_value is not None]
    pick = min if direction == "minimize" else max
    return pick(finished(succeeded), key=attrgetter("objective_value"), default=None)


def not_improving(jobs: Sequence[TrainingJob], direction: Direction) -> int:
    """How many training jobs have ended since the last one that improved the best objective by 1 % or more."""
    count, best = 0, None
    for job in finished(jobs):
        value = job.objective_value if job.objective_status is ObjectiveStatus.SUCCEEDED else None
        if value is not None and (best is None or _improves(value, best, direction)):
            count, best = 0, value
        else:
            count += 1
    return count


def converged(jobs: Sequence[TrainingJob], direction: Direction) -> bool:
    """Whether enough training jobs in a row brought no improvement (see ``CONVERGENCE_CHANCE``: 19 of them)."""
    stale = not_improving(jobs, direction)
    return stale > 0 and _any_succeeded(jobs) and 1 - 0.05 ** (1 / stale) < CONVERGENCE_CHANCE


def reason_to_end(job: TuningJob, jobs: Sequence[TrainingJob], now: float) -> Ending | None:
    """The first reason, in order of weight, for which no further training job is launched; None to go on."""
    if job.stop_requested:
        return Ending(TuningJobStatus.STOPPED)
    return _fruitless(jobs) or _criterion(job, jobs) or _out_of_time(job, now) or _budget_spent(job, jobs)


def exhausted() -> Ending:
    """The ending of a tuning job whose every configuration has been tried."""
    return Ending(TuningJobStatus.COMPLETED, drain=True, because="every configuration has been tried")


def final(ending: Ending, jobs: Sequence[TrainingJob]) -> Ending:
    """The ending once all training jobs have ended: one without any objective value is a failure."""
    if ending.status is not TuningJobStatus.COMPLETED or not jobs or _any_succeeded(jobs):
        return ending
    failed = all(j.status is TrainingJobStatus.FAILED for j in jobs)
    return _failure(_ALL_FAILED if failed else _NO_METRICS.format(n=len(jobs)), jobs)


def _fruitless(jobs: Sequence[TrainingJob]) -> Ending | None:
    if _any_succeeded(jobs):
        return None
    ended = finished(jobs)
    if len(ended) < FRUITLESS_LIMIT:
        return None
    failed = all(j.status is TrainingJobStatus.FAILED for j in ended)
    return _failure((_NONE_SUCCEEDED if failed else _NO_METRICS).format(n=len(ended)), ended)


def _failure(sentence: str, jobs: Sequence[TrainingJob]) -> Ending:
    """SageMaker's sentence, and behind it what most of the training jobs died of."""
    found = causes(jobs)
    if found:
        alike = len(found[0].jobs)
        count = f"{alike} of {len(jobs)} failed alike" if alike > 1 else f"{found[0].jobs[0].name} failed"
        sentence = f"{sentence} ({count}: {found[0].text})"
    return Ending(TuningJobStatus.FAILED, sentence[:FAILURE_REASON_LIMIT])


def _criterion(job: TuningJob, jobs: Sequence[TrainingJob]) -> Ending | None:
    criteria, direction = job.spec.completion, job.spec.definition.objective.direction
    if criteria == CompletionCriteria():
        return None
    best = best_job(jobs, direction)
    if best is None or best.objective_value is None:
        # There is no best to reach or to improve yet: a search in which nothing succeeds is fruitless, not complete.
        return None
    if criteria.target is not None:
        if not better(criteria.target, best.objective_value, direction):
            reached = (
                f"{best.objective_metric} = {best.objective_value:g} of {best.name} reaches the target, {criteria.target:g}"
            )
            return Ending(TuningJobStatus.COMPLETED, because=reached)
    if criteria.on_convergence and converged(jobs, direction):
        stale = _stale(not_improving(jobs, direction), job.spec.metrics)
        return Ending(TuningJobStatus.COMPLETED, because=f"the search has converged: {stale}")
    if criteria.max_not_improving is not None:
        count = not_improving(jobs, direction)
        if count >= criteria.max_not_improving:
            return Ending(TuningJobStatus.COMPLETED, because=_stale(count, job.spec.metrics))
    return None


def _stale(count: int, metric: str) -> str:
    return f"{count} training jobs in a row have not improved {metric} by {IMPROVEMENT_SHARE:.0%}"


def _out_of_time(job: TuningJob, now: float) -> Ending | None:
    limit = job.spec.limits.max_runtime_seconds
    if limit is not None and now - job.created_at >= limit:
        return Ending(TuningJobStatus.COMPLETED, because=f"its time is over: {limit} s")
    return None


def _budget_spent(job: TuningJob, jobs: Sequence[TrainingJob]) -> Ending | None:
    limit = job.spec.limits.max_jobs
    if limit is not None and len(jobs) >= limit:
        return Ending(TuningJobStatus.COMPLETED, drain=True)
    return None


def _any_succeeded(jobs: Sequence[TrainingJob]) -> bool:
    return any(j.objective_status is ObjectiveStatus.SUCCEEDED for j in jobs)


def _improves(value: float, best: float, direction: Direction) -> bool:
    gain = best - value if direction == "minimize" else value - best
    return gain > 0 and gain >= IMPROVEMENT_SHARE * abs(best)
