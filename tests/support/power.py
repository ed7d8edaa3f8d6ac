"""The power goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rekindle.engine.ports import Change, Lease, Run
from support.engine import Engine


class Unplugged(BaseException):
    """The power goes."""


class Cable:
    """Wraps the store and the executor: the power goes before or after the given call that changes something."""

    def __init__(self, engine: Engine, at: int, after: bool) -> None:
        self.calls, self.at, self.after = 0, at, after
        self.commit, self.launch = engine.store.commit, engine.executor.launch
        engine.store.commit = self._commit  # type: ignore[method-assign]
        engine.executor.launch = self._launch  # type: ignore[method-assign]

    def _through(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        here = self.calls == self.at
        if here and not self.after:
            raise Unplugged
        result = call()
        if here:
            raise Unplugged
        return result

    def _commit(self, lease: Lease, change: Change) -> Any:
        return self._through(lambda: self.commit(lease, change))

    def _launch(self, run: Run) -> None:
        self._through(lambda: self.launch(run))
