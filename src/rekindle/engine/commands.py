"""What people can ask for that changes something: one function for each intention."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from rekindle.domain.builtins.checks import check_run
from rekindle.domain.checks import Check
from rekindle.domain.decisions import ParentJob
from rekindle.domain.errors import InvalidValue, LimitExceeded, NameInUse, NotFound, WrongState, did_you_mean, within
from rekindle.domain.search_plan import strategy_for
from rekindle.domain.training_job import (
    MAX_TAGS,
    SUBMITTED,
    Channel,
    Owner,
    SecondaryStatus,
    TrainingJob,
    TrainingSpec,
    check_training_job,
    moved,
)
from rekindle.domain.tuning_job import TuningJob, TuningJobSpec, TuningJobStatus, with_defaults
from rekindle.domain.tuning_rules import RELAXED, Quotas, check_run_time, check_spec, warm_start_shape
from rekindle.domain.warm_start import (
    bounded,
    check_warm_start,
    composed,
    lacks_metrics,
    warm_start_checks,
    with_parents_metrics,
)
from rekindle.engine.code import MAX_BYTES, check_archive
from rekindle.engine.inputs import check_manifest
from rekindle.engine.ports import NO_POINTS, Clock, Executor, JobFilter, JobStore, ObjectStore, Page, RunKey
from rekindle.engine.queries import parents_of, tags_of

#: What a face keeps with a job for itself.
Extras = Mapping[str, Any]

#: Parents and ancestors of one tuning job are at most this many; the nearest count.
MAX_FAMILY = 20
#: Where a store was made anew over the same home, or an older copy of it put back.
_LEFT_FILES = (
    "The files of a former one are still here, though it has no record: choose another name, or, once nothing of it runs and "
    "nobody needs them, remove the folder of this name in `runs` of the home folder."
)
#: A parent's name that is almost right is looked for among the newest so many tuning jobs.
_LOOKED_AT = 1000


@dataclass(frozen=True)
class CheckedJob:
    """A tuning job that passed every check: what is stored when it is created."""

    spec: TuningJobSpec
    parents: tuple[ParentJob, ...]


def check_tuning_job(
    store: JobStore,
    executor: Executor,
    owner: Owner,
    spec: TuningJobSpec,
    quotas: Quotas,
    objects: ObjectStore | None = None,
) -> CheckedJob:
    """Every check of a new tuning job; stores nothing. What it accepts can be created and starts. With ``objects`` the
    inputs are looked for, too."""
    spec = with_defaults(spec)
    if lacks_metrics(spec):
        # Before those of its image: a parent's own may be others, and the child's objective is one of them.
        spec = with_parents_metrics(spec, find_parents(store, owner, spec))
    own = (replace(d, training=_with_known_metrics(executor, d.training)) for d in spec.definitions)
    spec = replace(spec, definitions=tuple(own))
    _check_rules(executor, spec, quotas)
    _check_name_free(store, owner, spec.name)
    for definition in spec.definitions:
        with within(definition.where):
            executor.check(definition.training, definition.statics)
            check_inputs(objects, definition.training)
            check_outputs(objects, definition.training)
            script = executor.script_of(definition.training, definition.statics)
            check_code(objects, definition.statics, "static", script)
    spec, parents = with_ancestors(store, spec, find_parents(store, owner, spec))
    spec = bounded(spec, parents, quotas)
    check_warm_start(spec, parents, quotas)
    _check_supported(spec, owner, parents)
    return CheckedJob(spec, parents)


def _with_known_metrics(executor: Executor, spec: TrainingSpec) -> TrainingSpec:
    """A spec that defines no metric with those that its program is known to write."""
    known = () if spec.algorithm.metrics else executor.metrics_of(spec)
    return replace(spec, algorithm=replace(spec.algorithm, metrics=known)) if known else spec


def _check_rules(executor: Executor, spec: TuningJobSpec, quotas: Quotas) -> None:
    """The rules of the spec. An algorithm of SageMaker's that is not here has no metrics here either: that it cannot be run
    is then what to say, since no metric definition would help."""
    try:
        check_spec(spec, quotas)
    except InvalidValue as error:
        if error.code == "metric-required":
            for definition in spec.definitions:
                with within(definition.where):
                    executor.check(definition.training, definition.statics)
        raise


def create_tuning_job(
    store: JobStore,
    executor: Executor,
    clock: Clock,
    owner: Owner,
    spec: TuningJobSpec,
    quotas: Quotas,
    objects: ObjectStore | None = None,
) -> TuningJob:
    """Checks and stores a new tuning job; a worker starts it. A refusal stores nothing."""
    checked = check_tuning_job(store, executor, owner, spec, quotas, objects)
    _check_running(store, owner, quotas)
    now = clock.now()
    parents = tuple(p.job.id for p in checked.parents)
    job = TuningJob(checked.spec, owner, uuid.uuid4().hex, created_at=now, modified_at=now, parents=parents)
    return store.create_tuning_job(job)


def create_training_job(
    store: JobStore,
    executor: Executor,
    clock: Clock,
    job: TrainingJob,
    objects: ObjectStore | None = None,
    quotas: Quotas = RELAXED,
) -> TrainingJob:
    """Checks and stores a training job of its own; a worker starts it. A refusal stores nothing."""
    job = replace(job, spec=_with_known_metrics(executor, job.spec))
    check_training_job(job)
    check_run_time(job.spec, quotas)
    check_run(job.spec, job.hyperparameters)
    _check_training_name_free(store, executor, job)
    executor.check(job.spec, job.hyperparameters)
    check_inputs(objects, job.spec)
    check_outputs(objects, job.spec)
    check_code(objects, job.hyperparameters, "hyperparameters", executor.script_of(job.spec, job.hyperparameters))
    now = clock.now()
    transitions = moved((), SecondaryStatus.STARTING, now, "Starting the training job")
    return store.create_training_job(replace(job, created_at=now, modified_at=now, transitions=transitions))


def check_inputs(objects: ObjectStore | None, spec: TrainingSpec) -> None:
    """Whether every input is there to be read, as files of one folder. Raises InvalidValue, naming the channel."""
    if objects is None:
        return
    for channel in spec.channels:
        try:
            _check_input(objects, channel)
        except InvalidValue as error:
            # What is not there is told as SageMaker tells it; of what is there, or of a store that refuses us, that sentence
            # would be a lie.
            where, code = f"channels.{channel.name}", "" if error.code in ("manifest", "names", "refused") else "no-input"
            raise InvalidValue(where, channel.uri, error.reason, error.hint, code=code, role=spec.role) from error


def check_outputs(objects: ObjectStore | None, spec: TrainingSpec) -> None:
    """Whether results and checkpoints have a bucket to go to: a job without would fail after all its work. Raises
    InvalidValue."""
    targets = {"output": spec.output.uri, "checkpoints": spec.checkpoints.uri if spec.checkpoints else None}
    for field, uri in targets.items():
        if objects is None or uri is None:
            continue
        try:
            objects.check_target(uri)
        except InvalidValue as error:
            raise InvalidValue(field, uri, error.reason, error.hint or "Create the bucket first, or name another.") from error


def check_code(
    objects: ObjectStore | None, hyperparameters: Mapping[str, str], field: str, script: tuple[str, str] | None = None
) -> None:
    """Whether the archive of a script is there to be fetched and, where it is small enough to be looked into now, can be
    unpacked and holds the ``script``: its archive's URI and its program. Raises InvalidValue."""
    # The SDKs send it as JSON, or as it is.
    uri, where = hyperparameters.get(SUBMITTED, "").strip('"'), f"{field}.{SUBMITTED}"
    if objects is None:
        return
    archive, program = script or ("", "")
    try:
        missing = uri.startswith("s3://") and uri != archive and not objects.has(uri)
        content = _read_archive(objects, archive) if archive and not missing else None
    except InvalidValue as error:
        if error.code != "no-object":
            raise InvalidValue(where, uri, error.reason, error.hint) from error
        missing, content = True, None
    if missing:
        raise InvalidValue(where, uri, "there is no such object", "Upload the script's archive first.")
    if content is not None:
        check_archive(content, archive, program, field)


def _read_archive(objects: ObjectStore, uri: str) -> bytes | None:
    """An archive's content; None where it is too long to be looked into, or a place on this machine that is no file for us:
    what is wrong with that is found when the job begins. Raises InvalidValue."""
    try:
        return objects.read(uri, MAX_BYTES)
    except InvalidValue as error:
        if error.code != "too-long" and uri.startswith("s3://"):
            raise
    except OSError:
        pass
    return None


def _check_input(objects: ObjectStore, channel: Channel) -> None:
    if channel.data_type == "ManifestFile":
        check_manifest(objects, channel.uri)
    else:
        objects.check(channel.uri)


def find_parents(store: JobStore, owner: Owner, spec: TuningJobSpec) -> tuple[ParentJob, ...]:
    """The parents that a spec names, with their training jobs. Raises NotFound, naming the one that is missing."""
    if spec.warm_start is None:
        return ()
    return tuple(_parent(store, owner, name) for name in spec.warm_start.parents)


def warm_start_table(store: JobStore, owner: Owner, spec: TuningJobSpec, quotas: Quotas) -> list[Check]:
    """Every rule of warm start, the broken ones too; raises and stores nothing. Parents that are not there are told, and
    nothing more can be said of them."""
    if spec.warm_start is None:
        return []
    found: list[ParentJob] = []
    missing: list[Check] = []
    for name in spec.warm_start.parents:
        try:
            found.append(_parent(store, owner, name))
        except NotFound as error:
            missing.append(missing_parent(error))
    spec, parents = with_ancestors(store, spec, tuple(found))
    return [*warm_start_shape(spec), *missing, *warm_start_checks(spec, parents, quotas)]


def missing_parent(error: NotFound) -> Check:
    """The rule that a parent is there, broken."""
    return Check(error.name, "is there", "no tuning job of this name", error)


def with_ancestors(
    store: JobStore, spec: TuningJobSpec, parents: tuple[ParentJob, ...]
) -> tuple[TuningJobSpec, tuple[ParentJob, ...]]:
    """The spec with the parents' parents that count, the nearest first, and all of these tuning jobs; nothing is added where
    the warm start is not recursive. Names are followed from one generation to the next."""
    warm = spec.warm_start
    if warm is None or not warm.recursive:
        return spec, parents
    own = [*spec.definition.statics, *(p.name for p in spec.definition.ranges)]
    found = {p.job.id: p for p in parents}
    names = {p.job.id: warm.names_in(p.job.name) for p in parents}
    waiting = deque(parents)
    while waiting and len(found) < MAX_FAMILY:
        near = waiting.popleft()
        for far in parents_of(store, near.job):
            theirs = near.job.spec.warm_start
            if theirs is None or not far.direct or far.job.id in found or len(found) == MAX_FAMILY:
                continue
            found[far.job.id] = replace(far, direct=False)
            names[far.job.id] = composed(own, names[near.job.id], theirs.names_in(far.job.name))
            waiting.append(far)
    ancestors = [p for p in found.values() if not p.direct]
    mapped = {**warm.names, **{p.job.name.lower(): names[p.job.id] for p in ancestors if names[p.job.id]}}
    warm = replace(warm, names=mapped, ancestors=tuple(p.job.name for p in ancestors))
    return replace(spec, warm_start=warm), tuple(found.values())


def stop_tuning_job(store: JobStore, owner: Owner, name: str) -> TuningJob:
    """Asks for a tuning job and all its training jobs to be stopped. Raises WrongState when it has ended."""
    job = store.tuning_job(owner, name)
    if job.status.is_terminal:
        state = job.status.value
        raise WrongState("tuning job", job.name, state, f"tuning job {job.name!r} has already ended: it is {state}.")
    with _called("tuning job", job.name):
        store.request_stop(f"tuning:{job.id}")
    return job


def stop_training_job(store: JobStore, owner: Owner, name: str) -> TrainingJob:
    """Asks for one training job to be stopped; a tuning job that it belongs to goes on. One that a rule is stopping already
    may be waiting for an object store with its results: a person's word ends that wait. Raises WrongState when it has ended, or
    when somebody has asked before."""
    job = store.training_job(owner, name)
    if not job.is_running or job.stop_requested:
        state = job.shown_status.value
        message = f"training job {job.name!r} cannot be stopped: it is {state}."
        raise WrongState("training job", job.name, state, message)
    with _called("training job", job.name):
        store.request_stop(f"training:{job.id}")
    return job


def delete_tuning_job(store: JobStore, owner: Owner, name: str) -> TuningJob:
    """Removes a tuning job's record; its training jobs and their files stay. Raises WrongState while it runs."""
    job = store.tuning_job(owner, name)
    check_ended(job)
    with _called("tuning job", job.name):
        store.delete_tuning_job(job.id)
    return job


def check_ended(job: TuningJob) -> None:
    """Raises WrongState for a tuning job that runs: it cannot be deleted."""
    if not job.status.is_terminal:
        raise _not_ended("tuning job", job.name, job.shown_status.value)


@contextmanager
def _called(kind: str, name: str) -> Iterator[None]:
    """What somebody else deletes meanwhile is told by its name, and not by the store's number of it."""
    try:
        yield
    except NotFound as error:
        raise NotFound(kind, name) from error


def _not_ended(kind: str, name: str, status: str) -> WrongState:
    hint = "Wait until it has ended." if status == TuningJobStatus.STOPPING.value else "Stop it first."
    return WrongState(kind, name, status, f"{kind} {name!r} is not in a terminal state: it is {status}.", hint)


def delete_training_job(store: JobStore, executor: Executor, owner: Owner, name: str) -> TrainingJob:
    """Removes a training job's record and files. Raises WrongState while it runs, or while its tuning job is there."""
    # What cannot be deleted is told at once, whoever has the lock.
    _deletable(store, owner, name)
    # One at a time: once another has deleted it, the name is free, and the files may be another job's.
    with executor.deleting(owner, name):
        job = _deletable(store, owner, name)
        # The record last: by it a deletion that was interrupted is found and finished by the next.
        executor.forget(job.owner, job.name)
        with _called("training job", job.name):
            store.delete_training_job(job.id)
    return job


def _deletable(store: JobStore, owner: Owner, name: str) -> TrainingJob:
    job = store.training_job(owner, name)
    if job.is_running:
        raise _not_ended("training job", job.name, job.shown_status.value)
    _check_not_counted(store, job)
    return job


def add_tags(store: JobStore, subject: str, tags: Mapping[str, str]) -> Mapping[str, str]:
    """Adds tags to a job, or gives those that it has new values; returns all that it then has. Raises LimitExceeded."""
    return _change_tags(store, subject, lambda known: {**known, **tags})


def remove_tags(store: JobStore, subject: str, keys: Collection[str]) -> Mapping[str, str]:
    """Takes tags away from a job; one that it does not have is no error."""
    return _change_tags(store, subject, lambda known: {k: v for k, v in known.items() if k not in keys})


def change_extras(store: JobStore, clock: Clock, owner: Owner, name: str, change: Callable[[Extras], Extras]) -> TrainingJob:
    """Changes what a face keeps with a training job for itself. Raises NotFound."""
    while True:
        job = store.training_job(owner, name)
        extras = change(job.spec.extras)
        if extras == job.spec.extras or store.set_extras(job.id, extras, job.spec.extras, clock.now()):
            return job


def check_tags(tags: Mapping[str, str], used: int = 0) -> None:
    """Raises LimitExceeded for more tags than a job may have, of which it has ``used`` already."""
    if len(tags) > MAX_TAGS:
        raise LimitExceeded("number of tags", MAX_TAGS, len(tags), used=used, field="tags")


def _change_tags(store: JobStore, subject: str, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> Mapping[str, str]:
    while True:
        known = tags_of(store, subject)
        tags = change(known)
        check_tags(tags, len(known))
        if store.set_tags(subject, tags, expected=known):
            return tags


def _check_not_counted(store: JobStore, job: TrainingJob) -> None:
    """A tuning job's results are what its counters, its best and its children's warm starts are made of."""
    if job.tuning_job_id is None:
        return
    try:
        family = store.tuning_job_by_id(job.tuning_job_id)
    except NotFound:
        return
    message = f"training job {job.name!r} is a result of the tuning job {family.name!r}."
    raise WrongState("training job", job.name, job.status.value, message, "Delete the tuning job first.")


def _check_training_name_free(store: JobStore, executor: Executor, job: TrainingJob) -> None:
    try:
        raise NameInUse("training job", store.training_job(job.owner, job.name).name)
    except NotFound:
        # Whose record is gone and whose files are not: its results would pass for this job's.
        if executor.report(RunKey(job.name, 1, job.owner), NO_POINTS) is not None:
            raise NameInUse("training job", job.name, _LEFT_FILES) from None


def _check_name_free(store: JobStore, owner: Owner, name: str) -> None:
    try:
        known = store.tuning_job(owner, name)
    except NotFound:
        return
    way_out = f"Go on with it by `rekindle resume {known.name}`, or choose another name."
    ended = f"See it by `rekindle show {known.name}`, or choose another name."
    raise NameInUse("tuning job", name, ended if known.status.is_terminal else way_out)


def _check_supported(spec: TuningJobSpec, owner: Owner, parents: Sequence[ParentJob]) -> None:
    draft = TuningJob(spec, owner, uid="", created_at=0.0)
    for definition in spec.definitions:
        strategy_for(draft, definition, parents)


def _check_running(store: JobStore, owner: Owner, quotas: Quotas) -> None:
    where = JobFilter(status=TuningJobStatus.IN_PROGRESS.value)
    running, _ = store.tuning_jobs(owner, where, Page(size=quotas.running_tuning_jobs))
    if len(running) >= quotas.running_tuning_jobs:
        used = len(running)
        raise LimitExceeded("number of running tuning jobs", quotas.running_tuning_jobs, used + 1, used=used)


def _parent(store: JobStore, owner: Owner, name: str) -> ParentJob:
    try:
        job = store.tuning_job(owner, name)
    except NotFound as error:
        raise NotFound("tuning job", name, "It is named in warm_start.parents.", _meant(store, owner, name)) from error
    return ParentJob(job, store.jobs_of(job.id))


def _meant(store: JobStore, owner: Owner, name: str) -> str:
    """What a name that is no tuning job's was probably meant for; empty where that is not known."""
    with suppress(NotFound):
        made_by = store.training_job(owner, name).tuning_job_name
        return f"It is a training job of the tuning job {made_by!r}." if made_by else "It is a training job of its own."
    newest, _ = store.tuning_jobs(owner, JobFilter(), Page(_LOOKED_AT, descending=True))
    return did_you_mean(name, (job.name for job in newest))
