"""Training jobs as runs of MLflow, by the optional library ``mlflow`` (``mlflow-skinny`` will do)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, count
from typing import Any

from rekindle.domain.errors import RekindleError, Unsupported
from rekindle.domain.texts import without_secrets
from rekindle.engine.imports import Result, Watched

#: MLflow takes this many entries in one call.
_BATCH = 100
#: The longest name that MLflow takes, and what of it a number needs where several begin alike.
_LONGEST, _FOR_A_NUMBER = 250, 10
_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Stopped": "KILLED"}
#: What is left of a run whose export was cut short.
_BEGUN = "RUNNING"
#: The tag by which a run is known again: exporting twice adds nothing.
TAG = "rekindle.training_job"


def write_runs(
    uri: str,
    experiment: str,
    metric: str,
    direction: str,
    statics: Mapping[str, str],
    results: Sequence[Result],
    called: Mapping[str, str],
    watched: Watched = iter,
) -> int:
    """A run in the experiment for each result that is not there yet; returns how many were added. ``called``: the names of
    hyperparameters there (``names_there``); ``watched`` sees how far it is. Raises RekindleError where the tracking server or
    store cannot be used."""
    try:
        from mlflow import MlflowClient
    except ModuleNotFoundError as error:
        raise Unsupported("MLflow is not installed.", 'Install it: pip install "rekindle[mlflow]".') from error
    try:
        client = MlflowClient(tracking_uri=uri)
        place = _experiment(client, experiment, {"rekindle.metric": metric, "rekindle.goal": direction})
        known = _known(client, place, {r.name for r in results if r.name})
        missing = [r for r in results if r.name not in known]
        for r in watched(missing):
            _write(client, place, metric, {called[name]: value for name, value in {**statics, **r.values}.items()}, r)
    except Exception as error:
        line = " ".join(without_secrets(str(error)).split())[:300]
        raise RekindleError(
            f"--to {without_secrets(uri)}: MLflow cannot write there ({type(error).__name__}: {line})."
        ) from error
    return len(missing)


def names_there(names: Iterable[str]) -> dict[str, str]:
    """What metrics or hyperparameters are called in MLflow, which takes no ``@`` and the like in names, no name that leads
    elsewhere as a path (``..``, ``a//b``), and none that is very long; what would be called alike there is numbered."""
    found: dict[str, str] = {}
    # What is taken as it is comes first: nothing else may have its name.
    for name in sorted(dict.fromkeys(names), key=lambda name: (_plain(name) != name, name)):
        called = (f"{_plain(name)[: _LONGEST - _FOR_A_NUMBER]}_{n}" for n in count(2))
        found[name] = next(c for c in chain([_plain(name)], called) if c not in found.values())
    return found


def _plain(name: str) -> str:
    plain = re.sub(r"[^\w.\- :/]", "_", name)
    if posixpath.normpath(plain) != plain or plain == "." or plain.startswith(("..", "/")):
        plain = re.sub(r"^\.+", "_", plain.replace("/", "_")) or "_"
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - _FOR_A_NUMBER]


def _experiment(client: Any, name: str, tags: Mapping[str, str]) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, tags=dict(tags)))
        except Exception:
            # Another export, from another home or of another job, may have made it meanwhile.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _known(client: Any, place: str, names: Collection[str]) -> set[str]:
    """Those training jobs of the names that are there; of a run that an export left half-written, nothing is. Others may be at
    the runs of other names."""
    known: set[str] = set()
    begun: list[str] = []
    token: str | None = None
    while True:
        page = client.search_runs([place], max_results=1000, page_token=token)
        ours = [run for run in page if run.data.tags.get(TAG) in names]
        known |= {run.data.tags[TAG] for run in ours if run.info.status != _BEGUN}
        begun += [run.info.run_id for run in ours if run.info.status == _BEGUN]
        token = page.token
        if not token:
            break
    for run_id in begun:
        client.delete_run(run_id)
    return known


def _write(client: Any, place: str, metric: str, given: Mapping[str, str], r: Result) -> None:
    from mlflow.entities import Metric, Param

    started = _milliseconds(r.started_at or r.created_at)
    ended = max(_milliseconds(r.ended_at), started)
    tags = {TAG: r.name, "rekindle.status": r.status, "rekindle.failure_reason": r.failure_reason}
    run = client.create_run(place, start_time=started, tags={k: v for k, v in tags.items() if v is not None}, run_name=r.name)
    curve = r.curve or (() if r.objective is None else (r.objective,))
    params = [Param(name, value) for name, value in given.items()]
    metrics = [Metric(_plain(metric), value, ended, step) for step, value in enumerate(curve)]
    for i in range(0, max(len(params), len(metrics)), _BATCH):
        client.log_batch(run.info.run_id, metrics=metrics[i : i + _BATCH], params=params[i : i + _BATCH])
    client.set_terminated(run.info.run_id, status=_STATUS[r.status], end_time=ended)


def _milliseconds(seconds: float | None) -> int:
    return round((seconds or 0.0) * 1000)
