"""Who moves which piece of work. Each function is given an open transaction.

There is one row for each tuning job and each training job of its own, made and deleted with it. Its token grows with
each claim and never otherwise; ``unfinished`` is cleared by the commit that ends the work.

A holder's name may end in ``@HOME``, where its runs are. Of work whose runs may be alive there, ``@HOME`` stays when the holder
goes, and only holders of that home may claim it. ``until`` is when a lease runs out and, of work that nobody had or that was
given back without runs, since when it has been free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, and_, bindparam, or_, select, text, update

from rekindle.engine.ports import Lease, LeaseLost
from rekindle.storage.schema import leases

# As the partial index has it, word for word, or SQLite does not use that.
_UNFINISHED = text("unfinished")
_HAS_HOME = leases.c.holder.like("%@%")
_OF_HOME = leases.c.holder.like(bindparam("of_home"))
_LEFT = leases.c.until <= bindparam("now")


def _not_since(column: Column[float]) -> ColumnElement[bool]:
    """Whether something is long enough ago. What is told by another clock, which is ahead, counts as that."""
    return or_(column <= bindparam("before"), column > bindparam("now"))


_FREE = or_(
    and_(leases.c.holder.is_(None), _not_since(leases.c.created_at), _not_since(leases.c.until)),
    and_(_LEFT, or_(~_HAS_HOME, _OF_HOME)),
)
_OLDEST = (
    select(leases.c.subject, leases.c.token, leases.c.holder)
    .where(_UNFINISHED, _FREE, leases.c.subject.not_in(bindparam("without", expanding=True)))
    .order_by(leases.c.created_at, leases.c.subject)
    .limit(bindparam("most"))
)
_ONE = select(leases.c.subject, leases.c.token, leases.c.holder).where(
    leases.c.subject == bindparam("only"), _UNFINISHED, _FREE
)
_TAKE = (
    update(leases)
    .where(leases.c.subject == bindparam("subject_"))
    .values(holder=bindparam("holder_"), token=bindparam("token_"), until=bindparam("until_"))
)
_OURS = and_(
    leases.c.subject == bindparam("subject_"),
    leases.c.holder == bindparam("holder_"),
    leases.c.token == bindparam("token_"),
)
_IS_OURS = select(leases.c.subject).where(_OURS)
_EXTEND = update(leases).where(_OURS).values(until=bindparam("until_"))
_RELEASE = update(leases).where(_OURS).values(holder=bindparam("kept"), until=bindparam("until_"))
_EVICT = update(leases).where(leases.c.holder == bindparam("holder_")).values(holder=bindparam("kept"), until=0.0)
_IS_PROCESS = and_(leases.c.holder.is_not(None), leases.c.holder.not_like("@%"))
_HOLDERS = select(leases.c.holder).where(_IS_PROCESS).distinct().order_by(leases.c.holder)
_ELSEWHERE = select(leases.c.holder).where(_UNFINISHED, _LEFT, _HAS_HOME, ~_OF_HOME)
_IS_ELSEWHERE = _ELSEWHERE.where(leases.c.subject == bindparam("only"))
_FREE_HOME = update(leases).where(_OF_HOME, _LEFT).values(holder=None, until=0.0)
# Not now(), which is when the transaction began.
_SERVER_TIME = text("SELECT extract(epoch FROM clock_timestamp())")
_FINISH = update(leases).where(leases.c.subject == bindparam("subject_")).values(unfinished=False)


def server_time(connection: Connection) -> float:
    """The database server's time, in seconds since the epoch."""
    return float(connection.execute(_SERVER_TIME).scalar_one())


@dataclass(frozen=True)
class Wanted:
    """What a holder would claim: see the port."""

    holder: str
    only: str | None = None
    free_for: float = 0.0
    without: tuple[str, ...] = ()


def unclaimed(connection: Connection, wanted: Wanted, now: float, limit: int) -> list[str]:
    """The subjects of free work, oldest first."""
    return [subject for subject, _, _ in _free(connection, wanted, now, limit, lock=False)]


def claim(connection: Connection, wanted: Wanted, now: float, seconds: float, limit: int) -> list[Lease]:
    """Takes free work for a holder, oldest first."""
    free = _free(connection, wanted, now, limit, lock=True)
    taken = [Lease(subject, wanted.holder, token + 1, from_nobody=former is None) for subject, token, former in free]
    if taken:
        connection.execute(_TAKE, [{**_values(lease), "until_": now + seconds} for lease in taken])
    return taken


def renew(connection: Connection, held: Iterable[Lease], until: float) -> list[Lease]:
    """Extends what is still ours."""
    kept = [lease for lease in held if _is_ours(connection, lease)]
    if kept:
        connection.execute(_EXTEND, [{**_values(lease), "until_": until} for lease in kept])
    return kept


def release(connection: Connection, lease: Lease, has_runs: bool, now: float) -> None:
    """Gives a lease back if it is ours."""
    left = {"kept": _home_of(lease.holder), "until_": 0.0} if has_runs else {"kept": None, "until_": now}
    connection.execute(_RELEASE, {**_values(lease), **left})


def evict(connection: Connection, holder: str) -> None:
    """Frees all that ``holder`` holds, for its home if it has one: nobody knows what runs there."""
    connection.execute(_EVICT, {"holder_": holder, "kept": _home_of(holder)})


def elsewhere(connection: Connection, holder: str, now: float, only: str | None) -> Mapping[str, int]:
    """How much unfinished work waits for each home but the holder's."""
    statement = _ELSEWHERE if only is None else _IS_ELSEWHERE
    found = connection.scalars(statement, {"now": now, "of_home": _ending(holder), **({} if only is None else {"only": only})})
    return Counter(name.rpartition("@")[2] for name in found if name is not None)


def free_home(connection: Connection, home: str, now: float) -> None:
    """Lets all claim what waits for a home."""
    connection.execute(_FREE_HOME, {"of_home": f"%@{home}", "now": now})


def holders(connection: Connection) -> Sequence[str]:
    """Everyone who holds a lease, expired or not."""
    return [holder for holder in connection.scalars(_HOLDERS) if holder is not None]


def check(connection: Connection, lease: Lease) -> None:
    """Raises LeaseLost unless the lease is ours, and keeps it so until the transaction ends."""
    if not _is_ours(connection, lease):
        raise LeaseLost(f"the lease on {lease.subject} (token {lease.token}) is not {lease.holder}'s any more")


def finish(connection: Connection, subject: str) -> None:
    """The work is done: nobody claims it again."""
    connection.execute(_FINISH, {"subject_": subject})


def _is_ours(connection: Connection, lease: Lease) -> bool:
    return connection.execute(_IS_OURS.with_for_update(), _values(lease)).first() is not None


def _home_of(holder: str) -> str | None:
    _, at, home = holder.rpartition("@")
    return at + home if at else None


def _ending(holder: str) -> str:
    """The pattern of the holders of a holder's home; of one without home, none."""
    return f"%{_home_of(holder) or '@'}"


def _free(connection: Connection, wanted: Wanted, now: float, limit: int, lock: bool) -> list[tuple[str, int, str | None]]:
    """What may be claimed: its subject, its last token, and who has it still, or had it."""
    which = {"most": limit, "without": wanted.without} if wanted.only is None else {"only": wanted.only}
    values = {"now": now, "before": now - wanted.free_for, "of_home": _ending(wanted.holder), **which}
    statement = _OLDEST if wanted.only is None else _ONE
    if lock:
        # PostgreSQL passes over what another claim has in hand; SQLite lets in one writer at a time and needs no such word.
        statement = statement.with_for_update(skip_locked=True)
    return [(row.subject, row.token, row.holder) for row in connection.execute(statement, values)]


def _values(lease: Lease) -> dict[str, object]:
    return {"subject_": lease.subject, "holder_": lease.holder, "token_": lease.token}
