"""The outbox: events as rows, written with the state changes that they tell of, until each sink has been told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from rekindle.domain.texts import storable
from rekindle.domain.training_job import TrainingJob
from rekindle.domain.tuning_job import TuningJob
from rekindle.engine.event_ports import Announcer, Event, SinkState
from rekindle.engine.ports import Change, LeaseLost
from rekindle.storage.dialects import insert_new
from rekindle.storage.questions import jobs_of
from rekindle.storage.schema import event_sinks, events, training_jobs, tuning_jobs

_e, _s = events.c, event_sinks.c
_WAITS = (_e.sink == bindparam("sink_"), _e.given_up_at.is_(None))
_ANY = select(_e.seq).where(*_WAITS).limit(1)
_OLDEST = select(_e.id, _e.at, _e.body).where(*_WAITS).order_by(_e.seq).limit(bindparam("most"))
#: Seconds that no sink is held or put off for, even by a host whose clock is well ahead: what lasts longer was written under a
#: clock that was wrong, and would keep the sink from being told until then.
_FAR = 3600.0
_CLAIM = (
    update(event_sinks)
    .where(
        _s.name == bindparam("sink_"),
        or_(_s.due_at <= bindparam("now_"), _s.due_at > bindparam("far_")),
        or_(
            _s.holder == bindparam("holder_"),
            _s.holder.is_(None),
            _s.until < bindparam("now_"),
            _s.until > bindparam("far_"),
        ),
    )
    .values(holder=bindparam("holder_"), until=bindparam("until_"))
)
_OURS = (_s.name == bindparam("sink_"), _s.holder == bindparam("holder_"))
_KEEP = update(event_sinks).where(*_OURS)
_TOLD = _KEEP.values(until=bindparam("until_"), told=_s.told + 1, failures=0, error=None)
_PUT_OFF = _KEEP.values(holder=None, until=0.0, due_at=bindparam("due_"), failures=_s.failures + 1, error=bindparam("error_"))
_RELEASE = _KEEP.values(holder=None, until=0.0)
_ONE = (_e.sink == bindparam("sink_"), _e.id == bindparam("event_"))
_REMOVE = delete(events).where(*_ONE)
_GIVE_UP = update(events).where(*_ONE).values(given_up_at=bindparam("now_"), error=bindparam("error_"))
_STATES = select(event_sinks).order_by(_s.name)
_GONE = _e.given_up_at.is_not(None)
_COUNTS = select(_e.sink, _GONE, func.count(), func.min(_e.at)).group_by(_e.sink, _GONE)
_REVIVE = update(events).where(_GONE).values(given_up_at=None, error=None)
_DUE = update(event_sinks).values(due_at=0.0)
_DROP = delete(events)

_STATES_BEFORE = {
    table.name: select(table.c.id, table.c.status, *extra).where(table.c.id.in_(bindparam("ids", expanding=True)))
    for table, extra in ((tuning_jobs, ()), (training_jobs, (training_jobs.c.secondary, training_jobs.c.attempt)))
}


# --- the writer's side: within the transaction of the state change --------------------------------------------------


def before(connection: Connection, change: Change) -> Mapping[tuple[str, int], Any]:
    """The states that a change is about to replace."""
    found: dict[tuple[str, int], Any] = {}
    tuning = [] if change.tuning_job is None else [change.tuning_job.id]
    for table, ids in ((tuning_jobs, tuning), (training_jobs, [job.id for job in change.changed])):
        if ids:
            rows = connection.execute(_STATES_BEFORE[table.name], {"ids": ids})
            found |= {(table.name, row[0]): tuple(row[1:]) for row in rows}
    return found


def announce_change(
    connection: Connection,
    announcer: Announcer,
    old: Mapping[tuple[str, int], Any],
    change: Change,
    added: Sequence[TrainingJob],
) -> None:
    """Writes an event for each job whose state a change has made or replaced."""
    moved = [j for j in change.changed if old[training_jobs.name, j.id] != (j.status.value, j.secondary.value, j.attempt)]
    announce_training_jobs(connection, announcer, (*moved, *added))
    job = change.tuning_job
    if job is not None and old[tuning_jobs.name, job.id] != (job.status.value,):
        announce_tuning_job(connection, announcer, job)


def announce_training_jobs(connection: Connection, announcer: Announcer, jobs: Iterable[TrainingJob]) -> None:
    """Writes an event for the state of each."""
    _write(connection, [announcer.training_job(job) for job in jobs])


def announce_tuning_job(connection: Connection, announcer: Announcer, job: TuningJob) -> None:
    """Writes an event for its state, with what its training jobs have come to."""
    _write(connection, [announcer.tuning_job(job, jobs_of(connection, job.id))])


def _write(connection: Connection, found: Sequence[Event]) -> None:
    rows = [{"sink": sink, "id": e.id, "at": e.at, "body": e.body} for e in found for sink in e.sinks]
    if rows:
        sinks = sorted({sink for e in found for sink in e.sinks})
        connection.execute(insert_new(connection, event_sinks), [_new_sink(sink) for sink in sinks])
        connection.execute(insert(events), rows)


def _new_sink(name: str) -> dict[str, Any]:
    return {"name": name, "until": 0.0, "due_at": 0.0, "failures": 0, "told": 0}


# --- the messenger's side -------------------------------------------------------------------------------------------


def any_waiting(connection: Connection, sink: str) -> bool:
    """Whether there is anything to tell."""
    return connection.execute(_ANY, {"sink_": sink}).first() is not None


def claim(connection: Connection, sink: str, holder: str, now: float, until: float, limit: int) -> list[Event]:
    """The oldest events for a sink that is free and due, which is then the holder's."""
    values = {"sink_": sink, "holder_": holder, "now_": now, "until_": until, "far_": now + _FAR}
    if connection.execute(_CLAIM, values).rowcount == 0:
        return []
    return [Event(row.id, row.at, row.body) for row in connection.execute(_OLDEST, {"sink_": sink, "most": limit})]


def told(connection: Connection, sink: str, holder: str, event: Event, until: float) -> None:
    """An event has been told."""
    _hold(connection, _TOLD, sink, holder, until_=until)
    connection.execute(_REMOVE, {"sink_": sink, "event_": event.id})


def put_off(connection: Connection, sink: str, holder: str, due: float, error: str) -> None:
    """A sink is left alone until ``due``."""
    _hold(connection, _PUT_OFF, sink, holder, due_=due, error_=storable(error))


def give_up(connection: Connection, sink: str, holder: str, event: Event, now: float, error: str) -> None:
    """An event is told no more, and kept."""
    _hold(connection, _KEEP.values(holder=holder), sink, holder)
    connection.execute(_GIVE_UP, {"sink_": sink, "event_": event.id, "now_": now, "error_": storable(error)})


def release(connection: Connection, sink: str, holder: str) -> None:
    """Gives a sink back; nothing happens if it is another's."""
    connection.execute(_RELEASE, {"sink_": sink, "holder_": holder})


def _hold(connection: Connection, statement: Any, sink: str, holder: str, **values: object) -> None:
    if connection.execute(statement, {"sink_": sink, "holder_": holder, **values}).rowcount == 0:
        raise LeaseLost(f"the sink {sink} is not {holder}'s any more")


# --- people's side --------------------------------------------------------------------------------------------------


def states(connection: Connection) -> list[SinkState]:
    """Every sink that ever had an event."""
    counts = {(sink, bool(gone)): (count, oldest) for sink, gone, count, oldest in connection.execute(_COUNTS)}
    found: list[SinkState] = []
    for row in connection.execute(_STATES):
        waiting, oldest = counts.get((row.name, False), (0, None))
        given_up, _ = counts.get((row.name, True), (0, None))
        found.append(SinkState(row.name, row.told, waiting, oldest, given_up, row.failures, row.due_at or None, row.error))
    return found


def try_again(connection: Connection, sink: str = "") -> int:
    """A sink's events (empty: all sinks') that were given up wait again, and it is due; how many events."""
    connection.execute(_DUE.where(_s.name == sink) if sink else _DUE)
    return connection.execute(_REVIVE.where(_e.sink == sink) if sink else _REVIVE).rowcount


def drop(connection: Connection, sink: str) -> int:
    """Throws away all of a sink's events (empty: all sinks') that have not been told; how many."""
    return connection.execute(_DROP.where(_e.sink == sink) if sink else _DROP).rowcount
