"""The worker: claims unfinished work by lease, moves it step by step, gives it back on the way out.

Any number of workers may share a store. Each piece of work has one mover at a time; when a mover dies its leases expire,
and those of a dead process on this host are freed at once.

Runs outlive the worker that began them, and only a worker of the same home finds them. So work of another home is not
claimed while runs of it may be alive: a second attempt would run beside the first.

Who holds work can be somebody without room for it. Work of which nothing runs is given back for a moment, again and again,
and workers that could begin nothing of it leave free work to others for longer: so it goes where there is room, and stays where
it is if there is none anywhere.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from rekindle.domain.capacity import PATIENCE_SECONDS, turn
from rekindle.domain.decisions import Snapshot
from rekindle.domain.errors import NotFound, RekindleError
from rekindle.domain.training_job import SecondaryStatus, TrainingJob
from rekindle.engine.health import log_end
from rekindle.engine.holders import is_dead
from rekindle.engine.log import log
from rekindle.engine.memory import Memory
from rekindle.engine.ports import NO_POINTS, Lease, LeaseLost, RunKey, RunState, StoreUnavailable, parse_subject
from rekindle.engine.queries import parents_of
from rekindle.engine.reconcile import Step, keys, reconcile_training_job, reconcile_tuning_job, wants_more
from rekindle.engine.suitability import Suitability
from rekindle.engine.work import Work

#: Seconds a lease lasts without renewal.
LEASE_SECONDS = 30.0
#: Seconds after which a lease is renewed.
RENEWAL_SECONDS = LEASE_SECONDS / 2
#: Seconds for which work that met a defect is left alone, so that it does not keep other work from moving.
REST_SECONDS = 10.0
#: Seconds between two looks for dead holders of leases.
EVICTION_SECONDS = 2.0
#: Seconds between two looks for work that waits for a worker of another home.
ELSEWHERE_SECONDS = 60.0
#: Seconds between two offers of a piece of work to other hosts.
OFFER_SECONDS = 10.0
#: Seconds between two offers of any work that waits for room.
BETWEEN_OFFERS_SECONDS = 5.0
#: Seconds for which who offered work leaves it to others: what waits for room, and what this host can never run.
LEFT_SECONDS = 1.5
LEFT_BY_NEVER_SECONDS = 4.0
#: Seconds for which a worker that can begin nothing of it leaves free work to those that can, which look every POLL_SECONDS;
#: and how much free work is looked at for that, at a time.
YIELD_SECONDS = 3.0
MOST_LOOKED_AT = 20
#: Seconds of a turn in which new work is checked.
CHECK_SECONDS = 1.0
#: Seconds between two complaints of a store that cannot be reached or written.
COMPLAINT_SECONDS = 60.0
#: Seconds after which a waiting worker looks for new work, stop requests and emissions.
POLL_SECONDS = 0.5

OnStep = Callable[[Snapshot], None]


@dataclass(frozen=True)
class _Offer:
    """Work that was given back for others to take, and until when it is left to them."""

    work: Work
    until: float


@dataclass
class Worker:
    """Moves all unfinished work of a store, or the one piece ``only``."""

    step: Step
    holder: str
    only: str | None = None
    on_step: OnStep | None = None
    poll_seconds: float = POLL_SECONDS
    #: Homes that are gone for good, as somebody said who knows: their work goes on here.
    gone_homes: tuple[str, ...] = ()
    #: By subject, in the order in which it was claimed.
    _work: dict[str, Work] = field(default_factory=dict)
    #: Runs of work that another moves by now.
    _late: set[RunKey] = field(default_factory=set)
    #: Counts the turns taken.
    _turns: int = 0
    #: When everything is looked at again, and when dead holders are, at the latest.
    _next_look: float = 0.0
    _next_eviction: float = 0.0
    _next_elsewhere: float = 0.0
    _next_complaint: float = 0.0
    _next_remark: float = 0.0
    #: Until when, within a turn, new work is checked: all of a server's would take too long for its leases.
    _checks_until: float = 0.0
    #: What is offered to other hosts, by subject.
    _offers: dict[str, _Offer] = field(default_factory=dict)
    #: When the next work that waits for room may be offered.
    _next_offer: float = 0.0
    _store_is_away: bool = False

    @property
    def _here(self) -> Suitability:
        """What suits this host."""
        return Suitability(self.step.store, self.step.executor)

    def run(self, until: Callable[[], bool]) -> None:
        """Works until ``until`` says so, which may look into the store. Training jobs that still run go on without us. Leases
        are given back, also when an exception ends it."""
        try:
            while not _is_over(until):
                self.tick()
                if not _is_over(until):
                    self.wait()
        finally:
            self.shut_down()

    def tick(self) -> None:
        """Claims what is free and moves each piece of work by one step; where only suggestions have come since the last look
        around, those that they are for."""
        now = self.step.clock.now()
        answered = {f"tuning:{job_id}" for job_id in self.step.suggester.answered()} & self._work.keys()
        everything = not answered or now >= self._next_look
        try:
            self._evict_dead(now)
            self._look_elsewhere(now)
            self._keep_leases(now)
            if everything:
                self._next_look = now + self.poll_seconds
            self._move_all([s for s in self._work if everything or s in answered])
            self._offer_work()
            self._stop_late()
            self._store_is_away, self._next_complaint = False, 0.0
        except StoreUnavailable as error:
            # The leases stay ours while they last; one that was lost meanwhile is refused when it is used.
            self._store_is_away = True
            if not _is_early(self._next_complaint, now, COMPLAINT_SECONDS):
                self._next_complaint = now + COMPLAINT_SECONDS
                log(__name__).warning("store unavailable; trying again", reason=error.message, hint=error.hint)

    def wait(self) -> None:
        """Waits for a training job to end, for a suggestion, or for the next look around."""
        running = [key for work in self._work.values() for key in work.running or ()]
        descriptors = self.step.suggester.descriptors()
        if self._store_is_away:
            # A run whose end cannot be recorded would wake us at once, again and again.
            self.step.clock.sleep(self.poll_seconds)
        elif running or descriptors:
            self.step.executor.wait(running, self.poll_seconds, descriptors)
        else:
            self.step.clock.sleep(self.poll_seconds)

    def shut_down(self) -> None:
        """Gives all leases back, and ends what makes suggestions."""
        self.step.suggester.close()
        for work in self._work.values():
            try:
                self.step.store.release(work.lease, has_runs=self._may_have_runs(work))
            except StoreUnavailable:
                return
        self._work.clear()

    def _may_have_runs(self, work: Work) -> bool:
        """Whether runs of a piece of work may be alive. What is not known to have none may have some; what waited for room may
        have been started in the very step that found it waiting."""
        try:
            return work.running != [] or any(self.step.executor.report(key, NO_POINTS) is not None for key in work.pending)
        except StoreUnavailable:
            return True

    def _evict_dead(self, now: float) -> None:
        """Frees what workers of this host held when they died: nobody else would for the life of a lease."""
        if _is_early(self._next_eviction, now, EVICTION_SECONDS):
            return
        self._next_eviction = now + EVICTION_SECONDS
        for holder in self.step.store.holders():
            if is_dead(holder):
                self.step.store.evict(holder)

    def _look_elsewhere(self, now: float) -> None:
        """Frees the work of homes that are gone, and tells of work that waits for a worker of another home."""
        if _is_early(self._next_elsewhere, now, ELSEWHERE_SECONDS):
            return
        self._next_elsewhere = now + ELSEWHERE_SECONDS
        for home in self.gone_homes:
            self.step.store.free_home(home)
        for home, count in self.step.store.elsewhere(self.holder, self.only).items():
            log(__name__).warning(
                "work of another home waits for a worker there, where its training jobs may still run",
                home=home,
                jobs=count,
                hint=f"Start rekindle with that REKINDLE_HOME or, if it is gone for good, here with REKINDLE_GONE_HOMES={home}",
            )

    def _keep_leases(self, now: float) -> None:
        due, self._checks_until = now + RENEWAL_SECONDS, now + CHECK_SECONDS
        if any(not _is_early(work.next_renewal, now, RENEWAL_SECONDS) for work in self._work.values()):
            kept = {lease.subject for lease in self.step.store.renew([w.lease for w in self._work.values()], LEASE_SECONDS)}
            for subject in sorted(self._work.keys() - kept):
                self._lose(subject)
            for work in self._work.values():
                work.next_renewal = due
        for lease in self._claimed(now):
            work = self._work.setdefault(lease.subject, Work(lease, due, self._turns, moved_at=now))
            work.lease, work.next_renewal = lease, due
            work.is_checked = self.only is not None or not lease.from_nobody

    def _claimed(self, now: float) -> Iterator[Lease]:
        """New leases. What is new, or was given back, is left for a while to those who can begin something of it."""
        claim = partial(self.step.store.claim, self.holder, LEASE_SECONDS)
        if self.only is not None:
            yield from () if self.only in self._work else claim(only=self.only)
            return
        self._take_back(now)
        yield from claim(free_for=YIELD_SECONDS, without=tuple(self._offers))
        ahead = sum(work.wants_more and not work.lacks_room for work in self._work.values())
        for subject in self.step.store.unclaimed(self.holder, MOST_LOOKED_AT):
            if subject not in self._offers and self._here.could_begin(subject, ahead + 1):
                found = claim(only=subject)
                ahead += len(found)
                yield from found

    def _take_back(self, now: float) -> None:
        """Claims what was offered and nobody has: it has waited all the time."""
        for subject, offer in list(self._offers.items()):
            if _is_early(offer.until, now, LEFT_BY_NEVER_SECONDS):
                continue
            for lease in self.step.store.claim(self.holder, LEASE_SECONDS, only=subject):
                self._work[subject] = replace(
                    offer.work, lease=lease, next_renewal=now + RENEWAL_SECONDS, memory=None, is_checked=True
                )
            del self._offers[subject]

    def _move_all(self, subjects: Sequence[str]) -> None:
        """Moves pieces of work. Where the host's slots are limited and shared, all are looked at first, and then each starts
        what it can, a turn at a time."""
        alone = self.step.at_most is None or len(self._work) + len(self._offers) == 1
        for subject in subjects:
            self._move_apart(self._work[subject], None if alone else 0)
        if self.step.at_most is not None and not alone:
            self._share_out(self.step.at_most, subjects)

    def _share_out(self, at_most: int, subjects: Sequence[str]) -> None:
        """Lets each of the subjects that wants more start what it can, a turn at a time."""
        if any(self._is_overdue(offer.work) for offer in self._offers.values()):
            return
        self._turns += 1
        for work in self._work.values():
            if work.busy:
                work.idle_since = self._turns
        ages = {subject: age for age, subject in enumerate(self._work)}
        ours = [(s, self._work[s]) for s in subjects if s in self._work]
        queue = [(turn(work.busy, work.idle_since, ages[s]), s) for s, work in ours if work.wants_more]
        heapq.heapify(queue)
        while queue:
            _, subject = heapq.heappop(queue)
            work = self._work[subject]
            before = set(work.running or ())
            self._move_apart(work, at_most)
            if subject not in self._work:
                continue
            begun = set(work.running or ()) - before
            if self._is_overdue(work):
                # It needs more than is free: were others to take that, it would never be enough.
                return
            if begun:
                self._turns += 1
                work.idle_since = self._turns
            if begun and work.wants_more:
                heapq.heappush(queue, (turn(work.busy, work.idle_since, ages[subject]), subject))

    def _is_overdue(self, work: Work) -> bool:
        """Whether a piece of work has waited for longer than the others may go before it, for what this host has."""
        if work.waits_since is None or self.step.clock.now() - work.waits_since < PATIENCE_SECONDS:
            return False
        return self._here.has_room_ever(work.specs)

    def _move_apart(self, work: Work, at_most: int | None) -> None:
        """Moves one piece of work; a defect that it meets stays its own, unless there is no other work."""
        if _is_early(work.rests_until, self.step.clock.now(), REST_SECONDS):
            return
        try:
            self._move(work, at_most)
        except StoreUnavailable:
            raise
        except Exception:
            if self.only is not None:
                raise
            log(__name__).exception("a step failed; trying again later", subject=work.lease.subject)
            work.rests_until = self.step.clock.now() + REST_SECONDS
            # Nobody is to be woken by its runs: they may have ended, and would wake us at once, again and again.
            work.running, work.wants_more, work.lacks_room = None, False, False
            self._ask_no_more(work.lease.subject)

    def _move(self, work: Work, at_most: int | None) -> None:
        kind, number = parse_subject(work.lease.subject)
        if not work.is_checked:
            if self.step.clock.now() > self._checks_until:
                return
            refusal = self._here.refusal_of(work.lease.subject)
            if refusal is not None:
                # Others are to have it; what nobody takes waits or fails here, and says why.
                self._tell_of(work.lease.subject, refusal)
                self._offer(work, LEFT_BY_NEVER_SECONDS)
                return
            work.is_checked = True
        step = replace(self.step, at_most=at_most)
        # A step that is broken off may have started some.
        before, work.running = work.running, None
        if before is not None:
            work.moved_at = self.step.clock.now()
        try:
            if kind == "tuning":
                finished = self._move_tuning_job(step, work, number)
            else:
                finished = self._move_training_job(step, work, number)
        except (LeaseLost, NotFound):
            work.running = before
            self._lose(work.lease.subject)
            return
        if finished:
            self.step.store.release(work.lease)
            self._drop(work.lease.subject)

    def _tell_of(self, subject: str, refusal: RekindleError) -> None:
        """Says now and then what is left to other hosts, and why."""
        if not _is_early(self._next_remark, self.step.clock.now(), COMPLAINT_SECONDS):
            self._next_remark = self.step.clock.now() + COMPLAINT_SECONDS
            log(__name__).info("left to other hosts: it cannot be run here", subject=subject, reason=str(refusal))

    def _offer_work(self) -> None:
        """Gives back for a moment what waits for room, of which nothing runs: another host may have some. At one time that is
        one piece of what this host will have room for, and all of what it can never run."""
        if self.only is not None:
            return
        now = self.step.clock.now()
        for work in list(self._work.values()):
            since = work.waits_since if work.lacks_room else None
            if since is None or _is_early(work.next_offer, now, OFFER_SECONDS):
                continue
            here = self._here.has_room_ever(work.specs)
            # What has waited for less than an offer takes may soon begin.
            is_time = now - since >= LEFT_SECONDS and not _is_early(self._next_offer, now, BETWEEN_OFFERS_SECONDS)
            # What has begun goes on where its checkpoints are.
            has_begun = any(key.attempt > 1 for key in work.pending)
            if has_begun or (here and not is_time) or self._may_have_runs(work):
                work.next_offer = now + LEFT_SECONDS
                continue
            work.next_offer = now + OFFER_SECONDS
            self._offer(work, LEFT_SECONDS if here else LEFT_BY_NEVER_SECONDS)
            if here:
                self._next_offer = now + BETWEEN_OFFERS_SECONDS

    def _offer(self, work: Work, seconds: float) -> None:
        """Gives a piece of work back, of which nothing runs, and leaves it to others for so many seconds."""
        # Should the store give it away and its answer be lost, it is found to be another's before anything more is done.
        work.next_renewal = 0.0
        self.step.store.release(work.lease)
        self._drop(work.lease.subject)
        self._offers[work.lease.subject] = _Offer(work, self.step.clock.now() + seconds)

    def _move_tuning_job(self, step: Step, work: Work, job_id: int) -> bool:
        if work.parents is None:
            work.parents = tuple(parents_of(self.step.store, self.step.store.tuning_job_by_id(job_id)))
        # What a step that fails has read is forgotten with it.
        memory, work.memory = work.memory or Memory(), None
        snapshot = reconcile_tuning_job(step, work.lease, job_id, work.parents, memory)
        work.memory = memory
        wanting = wants_more(snapshot)
        work.specs = tuple(definition.training for definition in snapshot.job.spec.definitions)
        pending = any(j.secondary is SecondaryStatus.PENDING for j in snapshot.running)
        self._note(work, snapshot.running, wanting, pending or snapshot.job.waiting_for is not None)
        if not wanting:
            self.step.suggester.forget(job_id)
        if self.on_step is not None:
            self.on_step(snapshot)
        if snapshot.job.status.is_terminal and self.only is None:
            log_end(snapshot)
        return snapshot.job.status.is_terminal

    def _move_training_job(self, step: Step, work: Work, job_id: int) -> bool:
        # At the first look, before we start it.
        job = reconcile_training_job(step, work.lease, job_id, untouched=work.lease.from_nobody and not work.looked)
        work.looked = True
        work.specs = (job.spec,)
        self._note(work, [job], job.awaits_start, job.secondary is SecondaryStatus.PENDING)
        return not job.is_running

    def _note(self, work: Work, jobs: Sequence[TrainingJob], wants_more: bool, lacks_room: bool) -> None:
        work.running, work.wants_more, work.lacks_room = keys(jobs), wants_more, wants_more and lacks_room
        work.pending = [RunKey.of(j) for j in jobs if j.is_running and j.secondary is SecondaryStatus.PENDING]
        if work.running or not wants_more:
            work.waits_since = None
        elif lacks_room and work.waits_since is None:
            work.waits_since = self.step.clock.now()

    def _lose(self, subject: str) -> None:
        """Lets go of work that another moves by now. Who was suspended between a save and the launches that it meant may have
        launched what the other had recorded as ended by then: nobody else would ever ask for an end of that."""
        work = self._work[subject]
        self._late |= set(self._begun(work) if work.running is None else work.running)
        self._drop(subject)

    def _begun(self, work: Work) -> list[RunKey]:
        """The runs of which a step that was broken off may have begun some: they had not ended then."""
        kind, number = parse_subject(work.lease.subject)
        try:
            one = kind == "training"
            jobs = [self.step.store.training_job_by_id(number)] if one else self.step.store.jobs_of(number)
        except NotFound:
            return []
        return [RunKey.of(job) for job in jobs if job.is_running or (job.ended_at or 0.0) >= work.moved_at]

    def _stop_late(self) -> None:
        """Ends what we may have launched too late, and is recorded as ended."""
        for key in list(self._late):
            report = self.step.executor.report(key, NO_POINTS)
            if report is not None and report.state is RunState.RUNNING and self._has_ended(key):
                self.step.executor.stop(key, give_up=True)
            self._late.discard(key)

    def _has_ended(self, key: RunKey) -> bool:
        try:
            return not self.step.store.training_job(key.owner, key.name).is_running
        except NotFound:
            return True

    def _drop(self, subject: str) -> None:
        """Forgets a piece of work that has ended or has another mover: a worker may go on for months."""
        del self._work[subject]
        self._ask_no_more(subject)

    def _ask_no_more(self, subject: str) -> None:
        """Keeps no place for a training job that a suggestion was asked for: others may have it."""
        kind, number = parse_subject(subject)
        if kind == "tuning":
            self.step.suggester.forget(number)


def _is_over(until: Callable[[], bool]) -> bool:
    """What ``until`` says; while the store is away nobody knows."""
    try:
        return until()
    except StoreUnavailable:
        return False


def _is_early(due: float, now: float, pause: float) -> bool:
    """Whether something that is done after a pause is not due yet. What is farther off than that was put off before somebody
    set the clock back, and would wait for as long."""
    return 0.0 < due - now <= pause
