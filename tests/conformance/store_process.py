"""What the store's tests run in processes of their own. Each function talks through its end of a pipe."""

from __future__ import annotations

import itertools
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection

from tests.support.jobs import LONG, OWNER, emissions, trial, tuning_job

from rekindle.engine.ports import Change
from rekindle.storage.store import open_store


def commit_forever(pipe: Connection, url: str, name: str) -> None:
    """Commits steps as fast as it can, each with a new training job, a changed one and emissions; tells of each."""
    store = open_store(url)
    job = store.tuning_job(OWNER, name)
    (lease,) = store.claim("victim", LONG, only=f"tuning:{job.id}")
    known = store.jobs_of(job.id)
    for number in itertools.count(len(known) + 1):
        changed = tuple(replace(t, points_seen=t.number) for t in known[-1:])
        points = {t.name: emissions(3) for t in changed}
        known = store.commit(lease, Change(replace(job, seq=number), (trial(job, number),), changed, points, seq=number))
        pipe.send(number)


def claim_all(pipe: Connection, url: str, holder: str) -> None:
    """Claims until nothing is left, and tells of each."""
    with closing(open_store(url)) as store:
        pipe.send("ready")
        pipe.recv()
        while leases := store.claim(holder, LONG, limit=2):
            for lease in leases:
                pipe.send(lease.subject)


def open_and_create(pipe: Connection, url: str, name: str) -> None:
    """Opens the store together with others, and creates a tuning job."""
    pipe.send("ready")
    pipe.recv()
    with closing(open_store(url)) as store:
        pipe.send(store.create_tuning_job(tuning_job(name)).id)
