"""What happens after each round of boosting: a log line, a checkpoint, an end before the last round."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import xgboost
from xgboost import collective

from rekindle.algorithms.job import Stop, tell
from rekindle.domain.builtins.xgboost import MAXIMIZED
from rekindle.engine.room import lacks_room

CHECKPOINT = "xgboost-checkpoint"
_NAME = re.compile(rf"{CHECKPOINT}\.([0-9]+)")
_KEPT = 5
_BEST = "rekindle_best"

#: For each data set and metric the values of the rounds so far; the library's type for it is wider.
Evaluations = Any


class Log(xgboost.callback.TrainingCallback):
    """``[12]<TAB>train-auc:0.98<TAB>validation-auc:0.97``, as SageMaker's metric definitions want it. ``done`` rounds were
    boosted before; ``names`` are the names under which metrics are shown, where they differ."""

    def __init__(self, done: int, names: Mapping[str, str]) -> None:
        self._done = done
        self._names = names

    def after_iteration(self, model: Any, epoch: int, evals_log: Evaluations) -> bool:
        """See TrainingCallback."""
        if collective.get_rank() == 0:
            shown = [
                f"{data}-{self._names.get(name, name)}:{values[-1]:.5f}"
                for data, metrics in evals_log.items()
                for name, values in metrics.items()
            ]
            tell("\t".join([f"[{self._done + epoch}]", *shown]))
        return False


class Checkpoints(xgboost.callback.TrainingCallback):
    """Keeps the model after a round, if the last time was ``seconds`` ago: whole files, the newest five."""

    def __init__(self, folder: Path, done: int, seconds: float) -> None:
        self._folder = folder
        self._done = done
        self._seconds = seconds
        self._last = monotonic()

    def after_iteration(self, model: Any, epoch: int, evals_log: Evaluations) -> bool:
        """See TrainingCallback."""
        if collective.get_rank() == 0 and monotonic() - self._last >= self._seconds:
            self._keep(model, self._done + epoch)
            self._last = monotonic()
        return False

    def _keep(self, model: Any, number: int) -> None:
        try:
            write(model, self._folder / f"{CHECKPOINT}.{number}")
        except OSError as error:
            if not lacks_room(error):
                raise
            # What is trained is worth more: it goes on, and there may be room for the next one.
            tell(f"[WARNING] No checkpoint was kept after round {number}: {error.strerror}")
            return
        for old in sorted(kept_rounds(self._folder))[:-_KEPT]:
            (self._folder / f"{CHECKPOINT}.{old}").unlink(missing_ok=True)


class EarlyStop(xgboost.callback.TrainingCallback):
    """Ends boosting when a metric has not improved for ``rounds`` rounds; the model is the one of its best round.

    ``metric`` None is the last one, of the last data set where ``data`` is None. The best is noted in the model, so that a
    job which goes on from a checkpoint knows it.
    """

    def __init__(self, rounds: int, data: str | None, metric: str | None, done: int) -> None:
        self._rounds = rounds
        self._data = data
        self._metric = metric
        self._done = done

    def after_iteration(self, model: Any, epoch: int, evals_log: Evaluations) -> bool:
        """See TrainingCallback."""
        metrics = evals_log[self._data or list(evals_log)[-1]]
        name = self._metric or list(metrics)[-1]
        value, number = metrics[name][-1], self._done + epoch
        best = _noted(model)
        if best is None or _improves(name, value, best[1]):
            model.set_attr(**{_BEST: f"{number} {value!r}"})
            return False
        if number - best[0] < self._rounds:
            return False
        tell(f"[INFO] Stopping. Best iteration: [{best[0]}] {name}:{best[1]}")
        return True

    def after_training(self, model: Any) -> Any:
        """The best round's model. A linear model has no rounds to go back to."""
        best = _noted(model)
        if best is None or "gblinear" in model.save_config():
            return model
        kept = model[: best[0] + 1]
        kept.set_attr(best_iteration=str(best[0]), best_score=str(best[1]), **{_BEST: None})
        return kept


class Interrupt(xgboost.callback.TrainingCallback):
    """Ends boosting after the round in which the job was asked to stop, on all hosts at once."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def after_iteration(self, model: Any, epoch: int, evals_log: Evaluations) -> bool:
        """See TrainingCallback."""
        asked = self._stop.asked
        if collective.is_distributed():
            asked = bool(collective.allreduce(np.array([int(asked)]), collective.Op.MAX)[0])
        if asked:
            # Never back to False: who is asked while the hosts agree on this round stops after the next one.
            self._stop.asked = True
        return asked


def write(model: Any, path: Path) -> None:
    """Writes a model, whole or not at all. Raises OSError; the library itself, on a full disk, would lose a file's end, or all
    of a small file, without a word."""
    hidden = path.with_name(f".{path.name}.ubj")
    try:
        hidden.write_bytes(model.save_raw("ubj"))
        hidden.replace(path)
    except OSError:
        hidden.unlink(missing_ok=True)
        raise


def kept_rounds(folder: Path) -> list[int]:
    """The rounds, counted from 0, after which a checkpoint was kept."""
    return [int(found[1]) for path in folder.iterdir() if (found := _NAME.fullmatch(path.name))]


def last_checkpoint(folder: Path, rounds: int) -> tuple[Path | None, int]:
    """The newest checkpoint that can be read and from which at least one of ``rounds`` rounds is to go, and how many were
    boosted before it. One round is always left to do: its metrics are this attempt's."""
    if not folder.is_dir():
        return None, 0
    for number in sorted(kept_rounds(folder), reverse=True):
        path = folder / f"{CHECKPOINT}.{number}"
        if number + 1 < rounds and _is_model(path):
            return path, number + 1
    return None, 0


def _is_model(path: Path) -> bool:
    try:
        xgboost.Booster().load_model(path)
    except xgboost.core.XGBoostError:
        return False
    return True


def _noted(model: Any) -> tuple[int, float] | None:
    text = model.attr(_BEST)
    if text is None:
        return None
    number, _, value = text.partition(" ")
    return int(number), float(value)


def _improves(name: str, value: float, best: float) -> bool:
    base = name.partition("@")[0]
    return value > best if base in MAXIMIZED else value < best
