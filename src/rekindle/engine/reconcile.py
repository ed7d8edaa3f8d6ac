"""One piece of work, one step: load, collect, decide, save the intent, act.

A crash between any two lines is mended by the next step: what was decided is saved before it is done, and doing it again
does nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rekindle.domain.completion import converged, exhausted, final, not_improving
from rekindle.domain.decisions import CurvePoint, Finish, Launch, ParentJob, Snapshot, StopTrial, WindDown, decide
from rekindle.domain.search_plan import (
    ALGORITHM_VERSION,
    hyperparameters,
    next_definition,
    tuned_values,
    watches_curves,
)
from rekindle.domain.training_job import MetricPoint, SecondaryStatus, TrainingJob, TrainingJobStatus, moved
from rekindle.domain.tuning_job import Definition, Ending, TuningJob, TuningJobStatus
from rekindle.engine.collect import Folded, fold, never_launched_but_stopping, run_time
from rekindle.engine.health import last_notes
from rekindle.engine.memory import Memory, continued
from rekindle.engine.ports import NO_POINTS, Change, Clock, Executor, JobStore, Lease, Report, Run, RunKey, RunState
from rekindle.engine.suggestions import HereAndNow, Suggester
from rekindle.search.history import Observation
from rekindle.search.strategy import Proposal

#: Where a training job's files are in another home than the one in which it was deleted.
_FORMER_FILES = (
    "ClientError: The files of a former training job of this name are still in the home folder where this one was to run. "
    "Delete this one there, which removes them, or choose another name."
)
#: Why a tuning job waits that would have room, were it not for others that are about to begin.
_ITS_TURN = "waits for its turn: another tuning job is about to begin a training job"


@dataclass(frozen=True)
class Step:
    """What a step needs besides the work itself. ``share`` is how many training jobs the host runs at once at least; a
    tuning job's own parallel limit counts where it is higher. ``at_most`` is how many training jobs one step may add, where
    others are to have their turn; with 0 it starts nothing at all."""

    store: JobStore
    executor: Executor
    clock: Clock
    suggester: Suggester = field(default_factory=HereAndNow)
    share: int = 1
    at_most: int | None = None


def reconcile_tuning_job(
    step: Step, lease: Lease, job_id: int, parents: tuple[ParentJob, ...], memory: Memory | None = None
) -> Snapshot:
    """Moves a tuning job on by one step and returns what is recorded then. Raises LeaseLost, NotFound and, once all else is
    recorded and done, whatever kept a suggestion from being made."""
    memory = memory or Memory()
    before = memory.read(step.store, job_id, parents)
    collected = _collect(step, before)
    planned = _plan(step, collected.snapshot, collected.reported, memory)
    after = _save(step, lease, before, replace(planned, points=collected.points, events=collected.events))
    _act(step, after, collected.reported)
    if planned.problem is not None:
        raise planned.problem
    return after


def reconcile_training_job(step: Step, lease: Lease, job_id: int, untouched: bool = False) -> TrainingJob:
    """Moves a training job of its own on by one step; ``untouched``: nothing of it is alive. Raises LeaseLost and NotFound."""
    before = step.store.training_job_by_id(job_id)
    folded = (_left_behind(step, before) if untouched else None) or _fold_one(step, before)
    job = folded.job
    if job.is_running and job.stop_requested and job.status is TrainingJobStatus.IN_PROGRESS:
        job = _stopping(job, step.clock.now(), early=False)
    if not folded.reported:
        (job,) = _waiting(step, [job], frozenset())
    if job != before:
        job = replace(job, modified_at=step.clock.now())
        step.store.commit(lease, Change(changed=(job,), points={job.name: folded.points} if folded.points else {}))
    _drive(step, job, None, folded.reported, job.stop_requested)
    return job


@dataclass(frozen=True)
class _Collected:
    snapshot: Snapshot
    points: Mapping[str, tuple[MetricPoint, ...]]
    events: Mapping[str, tuple[int, ...]]
    reported: frozenset[RunKey]


@dataclass(frozen=True)
class _Plan:
    """``problem``: why nothing could be suggested. That keeps no result from being recorded, and no stop from being made."""

    snapshot: Snapshot
    added: tuple[TrainingJob, ...] = ()
    points: Mapping[str, tuple[MetricPoint, ...]] | None = None
    events: Mapping[str, tuple[int, ...]] | None = None
    problem: Exception | None = None


def _collect(step: Step, snapshot: Snapshot) -> _Collected:
    # Those that have ended and have their place are most of them, and change no more: a step does not go through them.
    before = [job for job in snapshot.jobs if job.finished_seq is None]
    folded = [_fold_one(step, job) if job.is_running else Folded(job) for job in before]
    reported = frozenset(RunKey.of(f.job) for f in folded if f.reported)
    points = {f.job.name: f.points for f in folded if f.points}
    numbered = _numbered(folded, snapshot.job.seq)
    jobs = _with(snapshot.jobs, before, [_placed(f.job, numbered) for f in folded])
    curves = _curves(snapshot, before, folded, numbered)
    job = replace(snapshot.job, seq=numbered.seq)
    return _Collected(replace(snapshot, job=job, jobs=jobs, curves=curves), points, numbered.points, reported)


def _with(
    jobs: tuple[TrainingJob, ...], before: Sequence[TrainingJob], after: Sequence[TrainingJob]
) -> tuple[TrainingJob, ...]:
    """The training jobs with some of them as they are by now."""
    changed = {new.number: new for old, new in zip(before, after, strict=True) if new is not old}
    return tuple([changed.get(job.number, job) for job in jobs]) if changed else jobs


def _curves(
    snapshot: Snapshot, before: Iterable[TrainingJob], folded: Iterable[Folded], numbered: _Numbered
) -> Mapping[int, tuple[CurvePoint, ...]]:
    """The stored curves with this step's emissions behind them, for searches that watch them."""
    if not watches_curves(snapshot.job.spec):
        return {}
    curves = dict(snapshot.curves)
    for f, job in zip(folded, before, strict=True):
        if f.job is job:
            continue
        known = curves.get(job.id, ()) if f.job.attempt == job.attempt else ()
        placed = zip(f.points, numbered.points.get(f.job.name, ()), strict=True)
        new = [(seq, p.value) for p, seq in placed if p.metric == f.job.objective_metric]
        curves[job.id] = continued(known, tuple(CurvePoint(seq, Observation(i, v)) for i, (seq, v) in enumerate(new, start=1)))
    return curves


def _fold_one(step: Step, job: TrainingJob) -> Folded:
    step.executor.adopt(RunKey.of(job))
    report = step.executor.report(RunKey.of(job), job.points_seen)
    now = step.clock.now()
    if report is None and job.started_at is not None:
        # It ran, and nothing is left of it: somebody removed its folder, or its home is gone. Until when it ran nobody knows;
        # days in which nobody looked are no part of it.
        report = Report(RunKey.of(job), RunState.LOST, ended_at=job.modified_at)
    if report is not None:
        return fold(job, report, now)
    # Saved but never launched: a step that died before it acted. A stop in between needs no launch at all.
    return Folded(never_launched_but_stopping(job, now) if job.status is TrainingJobStatus.STOPPING else job)


def _left_behind(step: Step, job: TrainingJob) -> Folded | None:
    """A training job of which nothing is alive, where files of a former one of its name are here, which was deleted in a home
    that did not have them: its results would pass for this one's."""
    report = step.executor.report(RunKey.of(job), NO_POINTS)
    if report is None or report.ended_at is None or report.ended_at > job.created_at:
        return None
    now = step.clock.now()
    return fold(job, Report(report.key, RunState.FAILED, ended_at=now, failure_reason=_FORMER_FILES), now)


@dataclass(frozen=True)
class _Numbered:
    """The places of one step's events among all events of the tuning job: those of emissions by the training job's name, those
    of ends and of attempts after the first by its number; ``seq`` is the last."""

    points: Mapping[str, tuple[int, ...]]
    ends: Mapping[int, int]
    begins: Mapping[int, int]
    seq: int


def _placed(job: TrainingJob, numbered: _Numbered) -> TrainingJob:
    """A training job with the places of what became of it."""
    if job.number in numbered.ends:
        return replace(job, finished_seq=numbered.ends[job.number])
    if job.number in numbered.begins:
        return replace(job, attempt_seqs={**job.attempt_seqs, job.attempt: numbered.begins[job.number]})
    return job


def _numbered(folded: list[Folded], seq: int) -> _Numbered:
    """Numbers emissions and ends by the time at which they happened, so that their order does not hang on how often somebody
    looks, unless a run has more to tell than is taken in at once; at the same time by the training job's number. A later
    attempt begins when it is decided on."""
    events: list[tuple[float, int, int, Folded]] = []
    for f in folded:
        last = 0.0
        for index, point in enumerate(f.points):
            last = max(last, point.at)
            events.append((last, f.job.number, index, f))
        if f.ended and f.job.finished_seq is None:
            events.append((max(last, f.job.ended_at or 0.0), f.job.number, len(f.points), f))
        if f.began_again:
            events.append((f.job.transitions[-1].started_at, f.job.number, 0, f))
    points: dict[str, list[int]] = {}
    ends: dict[int, int] = {}
    begins: dict[int, int] = {}
    for _, number, index, f in sorted(events, key=lambda e: e[:3]):
        seq += 1
        if index < len(f.points):
            points.setdefault(f.job.name, []).append(seq)
        elif f.ended:
            ends[number] = seq
        else:
            begins[number] = seq
    return _Numbered({name: tuple(places) for name, places in points.items()}, ends, begins, seq)


def _plan(step: Step, snapshot: Snapshot, reported: frozenset[RunKey], memory: Memory) -> _Plan:
    waiting = _waiting(step, snapshot.running, reported)
    snapshot = replace(snapshot, jobs=_with(snapshot.jobs, snapshot.running, waiting))
    plan = _Plan(_waiting_for(snapshot, None) if step.at_most != 0 else snapshot)
    for action in decide(snapshot, step.clock.now(), memory.given_up(snapshot)):
        match action:
            case Launch(count):
                plan = _launch(step, plan, count, reported)
            case StopTrial(name, early):
                plan = replace(plan, snapshot=_stop(plan.snapshot, name, step.clock.now(), early))
            case WindDown(ending):
                plan = replace(plan, snapshot=_winding_down(plan.snapshot, ending))
            case Finish(ending):
                plan = replace(plan, snapshot=_finish(plan.snapshot, ending))
    return plan


def _waiting(step: Step, jobs: Iterable[TrainingJob], reported: frozenset[RunKey]) -> tuple[TrainingJob, ...]:
    """Training jobs with those that the host has no room for shown as pending, and why."""
    seen: list[TrainingJob] = []
    ahead = 0
    for job in jobs:
        if _unlaunched(job, reported):
            ahead += 1
            room = step.executor.room(job.spec)
            seen.append(job if room.takes(ahead) else _pending(job, step.clock.now(), room.reason))
        else:
            seen.append(job)
    return tuple(seen)


def _unlaunched(job: TrainingJob, reported: frozenset[RunKey]) -> bool:
    return job.status is TrainingJobStatus.IN_PROGRESS and RunKey.of(job) not in reported


def _pending(job: TrainingJob, now: float, reason: str) -> TrainingJob:
    transitions = moved(job.transitions, SecondaryStatus.PENDING, now, reason)
    return replace(job, secondary=SecondaryStatus.PENDING, transitions=transitions)


def _waiting_for(snapshot: Snapshot, reason: str | None) -> Snapshot:
    return replace(snapshot, job=replace(snapshot.job, waiting_for=reason))


def _ahead(snapshot: Snapshot, reported: frozenset[RunKey]) -> int:
    """How many are to start anyway."""
    return sum(_unlaunched(j, reported) for j in snapshot.running)


def _launch(step: Step, plan: _Plan, count: int, reported: frozenset[RunKey]) -> _Plan:
    for _ in range(count if step.at_most is None else min(count, step.at_most)):
        snapshot = plan.snapshot
        definition = next_definition(snapshot)
        room, ahead = step.executor.room(definition.training), _ahead(snapshot, reported)
        if not room.takes(ahead + step.suggester.asked_for_others(snapshot.job.id) + 1):
            # What cannot start is not yet drawn.
            step.suggester.forget(snapshot.job.id)
            reason = _ITS_TURN if room.takes(ahead + 1) else room.reason
            return replace(plan, snapshot=_waiting_for(snapshot, reason))
        try:
            suggestion = step.suggester.suggest(snapshot, definition)
        except Exception as error:  # raised when the step is done
            return replace(plan, problem=error)
        if suggestion is None:
            return plan
        if suggestion.proposal is None:
            return replace(plan, snapshot=_exhausted(snapshot))
        trial = new_training_job(snapshot, definition, suggestion.proposal, suggestion.seen_seq, step.clock.now())
        job = replace(snapshot.job, seq=trial.launched_seq)
        plan = replace(plan, snapshot=replace(snapshot, job=job, jobs=(*snapshot.jobs, trial)), added=(*plan.added, trial))
    return plan


def new_training_job(snapshot: Snapshot, definition: Definition, proposal: Proposal, seen_seq: int, now: float) -> TrainingJob:
    """The next training job of a tuning job: its name follows from the tuning job, its number and what it is to run."""
    job, number = snapshot.job, len(snapshot.jobs) + 1
    tuned = tuned_values(proposal)
    given = hyperparameters(definition, tuned)
    seen = {"source": proposal.source, "seen_seq": seen_seq, "algorithm": ALGORITHM_VERSION, "why": dict(proposal.why)}
    return TrainingJob(
        name=training_job_name(job, number, definition, given),
        owner=job.owner,
        spec=definition.training,
        hyperparameters=given,
        created_at=now,
        modified_at=now,
        tuning_job_id=job.id,
        tuning_job_name=job.name,
        definition_name=definition.name,
        number=number,
        tuned=tuned,
        proposal=seen,
        transitions=moved((), SecondaryStatus.STARTING, now, "Starting the training job"),
        launched_seq=job.seq + 1,
        objective_metric=definition.objective.metric,
        tags=job.spec.tags,
    )


def training_job_name(job: TuningJob, number: int, definition: Definition, given: Mapping[str, str]) -> str:
    """``<tuning job>-NNN-<8 hex digits>``. Where a copy of the database was put back, the search may come to another
    configuration under the same number: the files of the first are not to pass for its own."""
    told = json.dumps([job.uid, number, definition.name, dict(given)], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    return f"{job.name}-{number:03d}-{digest}"


def _exhausted(snapshot: Snapshot) -> Snapshot:
    ending = exhausted()
    if snapshot.running:
        return replace(snapshot, job=replace(snapshot.job, ending=ending))
    return _finish(snapshot, final(ending, snapshot.jobs))


def _stop(snapshot: Snapshot, name: str, now: float, early: bool) -> Snapshot:
    jobs = tuple(_stopping(j, now, early) if j.name == name else j for j in snapshot.jobs)
    return replace(snapshot, jobs=jobs)


def _stopping(job: TrainingJob, now: float, early: bool) -> TrainingJob:
    transitions = moved(job.transitions, SecondaryStatus.STOPPING, now, "Stopping the training job")
    status = TrainingJobStatus.STOPPING
    return replace(job, status=status, secondary=SecondaryStatus.STOPPING, transitions=transitions, stopped_early=early)


def _winding_down(snapshot: Snapshot, ending: Ending) -> Snapshot:
    stopping = ending.status is TuningJobStatus.STOPPED
    status = TuningJobStatus.STOPPING if stopping else snapshot.job.status
    return replace(snapshot, job=replace(snapshot.job, ending=ending, status=status, waiting_for=None))


def _finish(snapshot: Snapshot, ending: Ending) -> Snapshot:
    """The end is decided here; its time is that of the save."""
    job = replace(snapshot.job, status=ending.status, failure_reason=ending.reason, ending=ending, waiting_for=None)
    return replace(snapshot, job=job)


def _save(step: Step, lease: Lease, before: Snapshot, plan: _Plan) -> Snapshot:
    after = plan.snapshot
    # What is added stands behind the others.
    pairs = zip(before.jobs, after.jobs, strict=False)
    changed = tuple([new for old, new in pairs if new is not old and new != old])
    if after.job == before.job and not changed and not plan.added and not plan.points:
        return after
    now = step.clock.now()
    direction = after.job.spec.definition.objective.direction
    job = replace(after.job, modified_at=now, not_improving=not_improving(after.jobs, direction))
    if job.converged_at is None and converged(after.jobs, direction):
        job = replace(job, converged_at=now)
    if job.status.is_terminal:
        # A clock that was set back meanwhile ends nothing before its start.
        ended_at = max(now, job.created_at, *(j.ended_at or 0.0 for j in after.jobs))
        job = replace(job, ended_at=ended_at, notes=last_notes(step.executor, replace(after, job=job)))
    changed = tuple(replace(j, modified_at=now) for j in changed)
    added = step.store.commit(lease, Change(job, plan.added, changed, plan.points or {}, events=plan.events or {}))
    stored = {j.name: j for j in (*changed, *added)}
    return replace(after, job=job, jobs=tuple(stored.get(j.name, j) for j in after.jobs))


def _act(step: Step, snapshot: Snapshot, reported: frozenset[RunKey]) -> None:
    share = max(step.share, snapshot.job.spec.limits.max_parallel)
    for job in snapshot.running:
        # A rule that ends a training job would have its results all the same; a person wants an end.
        give_up = snapshot.job.stop_requested or job.stop_requested
        _drive(replace(step, share=share), job, snapshot.job.name, RunKey.of(job) in reported, give_up)


def _drive(step: Step, job: TrainingJob, group: str | None, known: bool, give_up: bool) -> None:
    """Makes what runs agree with what is recorded; ``known``: the executor has already told of this attempt. ``give_up``: what
    is stopped waits for no object store."""
    key = RunKey.of(job)
    if job.status is TrainingJobStatus.STOPPING:
        step.executor.stop(key, give_up)
    elif job.is_running and not known and step.at_most != 0:
        step.executor.launch(Run(key, job.spec, job.hyperparameters, group, step.share, run_time(job)))


def wants_more(snapshot: Snapshot) -> bool:
    """Whether another step could start something, if the host had room."""
    limits, running = snapshot.job.spec.limits, snapshot.running
    waiting = any(j.awaits_start for j in running)
    left = limits.max_jobs is None or len(snapshot.jobs) < limits.max_jobs
    return waiting or (snapshot.job.ending is None and left and len(running) < limits.max_parallel)


def keys(jobs: Iterable[TrainingJob]) -> list[RunKey]:
    """The runs of training jobs that have begun, as far as we know, and have not ended."""
    return [RunKey.of(j) for j in jobs if j.is_running and j.secondary is not SecondaryStatus.PENDING]
