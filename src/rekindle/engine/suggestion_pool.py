"""A few processes that make suggestions, so that no tuning job waits for another's slow fit.

A suggestion is a pure function of a search strategy and a history: both go to a process, the configuration comes back. What
is recorded, and who may record it, stays with the worker. A process that dies has cost its one suggestion, which the next
process makes again. Processes end when their worker does: what they read from ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from rekindle.domain.decisions import Snapshot
from rekindle.domain.search_plan import history_for, strategy_for
from rekindle.domain.tuning_job import Definition
from rekindle.engine.helper_process import HelperProcess
from rekindle.engine.log import log
from rekindle.engine.suggestions import HereAndNow, Suggester, Suggestion, is_modelled
from rekindle.search.history import History
from rekindle.search.strategy import Proposal, Strategy

#: How often one suggestion may take its process with it before it is called a defect.
_MAX_DEATHS = 3


class SuggestionFailed(Exception):
    """A suggestion could not be made: the search raised an error, or took its process with it again and again."""


@dataclass
class _Asked:
    """A suggestion that is wanted, under way or made."""

    definition: str | None
    seq: int
    history: History
    strategy: Strategy
    deaths: int = 0
    made: bool = False
    proposal: Proposal | None = None
    problem: str = ""

    def follows(self, snapshot: Snapshot, definition: Definition) -> bool:
        """Whether it is a suggestion for what is recorded: what it saw is what was recorded up to then, and no training job
        was launched since. The database may have gone back meanwhile, to before it."""
        recorded = self.seq <= snapshot.job.seq and definition.name == self.definition
        return recorded and history_for(snapshot, definition, self.seq) == self.history


class SuggestionPool(Suggester):
    """Makes the suggestions that take long in up to ``size`` processes, which are started when they are first needed."""

    def __init__(self, size: int) -> None:
        self._here = HereAndNow()
        self._helpers = [_Helper() for _ in range(size)]
        self._asked: dict[int, _Asked] = {}
        self._queue: list[int] = []
        #: Whether the log knows that no process can be started.
        self._complained = False

    def suggest(self, snapshot: Snapshot, definition: Definition) -> Suggestion | None:
        """See Suggester. Raises SuggestionFailed."""
        job_id = snapshot.job.id
        if not is_modelled(snapshot.job.spec):
            return self._here.suggest(snapshot, definition)
        if not _has_results(snapshot):
            # The first points need no model; by the time that one is needed, a process is there.
            with suppress(OSError):
                self._helpers[0].prepare()
            return self._here.suggest(snapshot, definition)
        self._collect()
        asked = self._asked.get(job_id)
        if asked is not None and not asked.made:
            return None
        if asked is not None:
            del self._asked[job_id]
            if asked.problem:
                raise SuggestionFailed(asked.problem)
            if _launched(snapshot, definition) == asked.history.asked and asked.follows(snapshot, definition):
                return Suggestion(asked.proposal, asked.seq)
        self._ask(snapshot, definition)
        return None

    def forget(self, job_id: int) -> None:
        """See Suggester."""
        if job_id in self._queue:
            self._queue.remove(job_id)
        self._asked.pop(job_id, None)

    def asked_for_others(self, job_id: int) -> int:
        """See Suggester."""
        return len(self._asked) - (job_id in self._asked)

    def answered(self) -> Collection[int]:
        """See Suggester."""
        self._collect()
        return [job_id for job_id, asked in self._asked.items() if asked.made]

    def descriptors(self) -> Sequence[int]:
        """See Suggester."""
        return [h.process.connection.fileno() for h in self._helpers if h.process is not None and h.task]

    def processes(self) -> Mapping[int, bool]:
        """The processes by number, and whether each is at work; for reports and tests."""
        return {h.process.pid: h.task is not None for h in self._helpers if h.process is not None}

    def close(self) -> None:
        """See Suggester."""
        self._asked.clear()
        self._queue.clear()
        for helper in self._helpers:
            helper.end()

    def _ask(self, snapshot: Snapshot, definition: Definition) -> None:
        job, seq = snapshot.job, snapshot.job.seq
        strategy = strategy_for(job, definition, snapshot.parents)
        self._asked[job.id] = _Asked(definition.name, seq, history_for(snapshot, definition, seq), strategy)
        self._queue.append(job.id)
        self._start_next()

    def _collect(self) -> None:
        """Takes what has come, and gives those who are free the next."""
        for helper in self._helpers:
            if helper.task is not None and helper.has_news():
                self._take(helper)
        self._start_next()

    def _take(self, helper: _Helper) -> None:
        task, helper.task = helper.task, None
        assert task is not None
        job_id, asked = task
        answer = helper.receive()
        if self._asked.get(job_id) is not asked:
            return
        if answer is None:
            self._note_death(job_id, asked)
        else:
            asked.made, (asked.proposal, asked.problem) = True, answer

    def _note_death(self, job_id: int, asked: _Asked) -> None:
        asked.deaths += 1
        if asked.deaths < _MAX_DEATHS:
            self._queue.insert(0, job_id)
        else:
            asked.made, asked.problem = True, f"the process that made the suggestion died {asked.deaths} times"

    def _start_next(self) -> None:
        for helper in self._helpers:
            while self._queue and helper.task is None:
                try:
                    helper.start(self._queue[0], self._asked[self._queue[0]])
                except OSError as error:
                    self._complain(error)
                    break
                self._queue.pop(0)
                self._complained = False

    def _complain(self, error: OSError) -> None:
        """The machine has no process for us now, or no pipe: said once, and tried again at each look."""
        if not self._complained:
            log(__name__).warning("cannot start a process for suggestions; trying again", reason=str(error))
        self._complained = True


@dataclass
class _Helper:
    """One process, once it is there, and what it works on."""

    process: HelperProcess | None = None
    task: tuple[int, _Asked] | None = None

    def prepare(self) -> HelperProcess:
        """The process, which is started where there is none."""
        if self.process is None:
            self.process = HelperProcess(_serve)
        return self.process

    def start(self, job_id: int, asked: _Asked) -> None:
        """Gives it a task; a process that is not there, or not any more, is started first."""
        process = self.prepare()
        self.task = (job_id, asked)
        try:
            process.connection.send((asked.strategy, asked.history))
        except OSError:
            return  # it died while it had nothing to do: reading tells the same

    def has_news(self) -> bool:
        """Whether it has answered, or died."""
        return self.process is None or self.process.connection.poll()

    def receive(self) -> tuple[Proposal | None, str] | None:
        """Its answer; None if it has died."""
        answer: tuple[Proposal | None, str] | None = None if self.process is None else self.process.receive()
        if answer is None:
            self.end()
        return answer

    def end(self) -> None:
        """Ends the process, whatever it does."""
        if self.process is not None:
            self.process.end()
        self.process = self.task = None


def _has_results(snapshot: Snapshot) -> bool:
    """Whether there may be results to fit a model to."""
    return bool(snapshot.parents) or any(not job.is_running for job in snapshot.jobs)


def _launched(snapshot: Snapshot, definition: Definition) -> int:
    return sum(job.definition_name == definition.name for job in snapshot.jobs)


def _serve(connection: Connection) -> None:
    """What a process of the pool does: answers, until nobody asks any more."""
    while True:
        strategy, history = connection.recv()
        connection.send(_answer(strategy, history))


def _answer(strategy: Strategy, history: History) -> tuple[Proposal | None, str]:
    try:
        return strategy.propose(history), ""
    except Exception as error:  # said where there is a log
        return None, f"{type(error).__name__}: {error}"
