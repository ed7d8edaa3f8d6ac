"""Which of several refusals of one request is said, and which tuning jobs are of one family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.domain.training_job import Algorithm, TrainingSpec
from rekindle.domain.tuning_job import WarmStart, WarmStartType
from rekindle.engine.commands import MAX_FAMILY, find_parents, with_ancestors
from rekindle.engine.ports import JobStore
from rekindle.storage.store import open_store
from support.engine import Engine
from support.jobs import OWNER, tuning_job
from support.simulated import SimulatedExecutor
from support.specs import tuning_spec


class _ScriptsOnly(SimulatedExecutor):
    def check(self, spec: TrainingSpec, hyperparameters: Mapping[str, str] | None = None) -> None:
        if spec.algorithm.image != "sagemaker-scikit-learn":
            raise Unsupported("image: nothing here knows how to run it")


def test_an_image_that_cannot_be_run_is_not_asked_for_metric_definitions() -> None:
    """SageMaker's other algorithms have metrics of their own, which notebooks tune by and do not define."""
    engine = Engine()
    engine.executor = _ScriptsOnly(engine.clock, engine.program)
    for image, refusal, words in (
        ("382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1", Unsupported, "nothing here knows"),
        ("sagemaker-scikit-learn", InvalidValue, "no metric of this name is defined"),
    ):
        spec = tuning_spec("without-metrics")
        training = replace(spec.definition.training, algorithm=Algorithm(image=image))
        with pytest.raises(refusal, match=words):
            engine.create(replace(spec, definitions=(replace(spec.definition, training=training),)))


def _child(store: JobStore, name: str, *parents: str) -> None:
    """Stores a tuning job with its parents alone."""
    ids = tuple(store.tuning_job(OWNER, parent).id for parent in parents)
    spec = tuning_spec(name, warm_start=WarmStart(WarmStartType.TRANSFER, parents) if parents else None)
    store.create_tuning_job(replace(tuning_job(), spec=spec, parents=ids))


def _family(store: JobStore, *parents: str) -> list[str]:
    """The parents and ancestors of a tuning job whose warm start is recursive."""
    warm = WarmStart(WarmStartType.TRANSFER, parents, relaxed=True, recursive=True)
    spec = tuning_spec("last", warm_start=warm)
    spec, family = with_ancestors(store, spec, find_parents(store, OWNER, spec))
    names = [p.job.name for p in family]
    assert spec.warm_start is not None
    assert spec.warm_start.ancestors == tuple(names[len(parents) :])
    assert [p.direct for p in family] == [True] * len(parents) + [False] * (len(names) - len(parents))
    return names


def test_of_a_long_line_of_ancestors_the_nearest_count() -> None:
    store = open_store("sqlite://")
    eldest = ["a", "b", "c", "d", "e"]
    for name in eldest:
        _child(store, name)
    _child(store, "job-0", *eldest)
    for number in range(1, 25):
        _child(store, f"job-{number}", f"job-{number - 1}")
    assert _family(store, "job-24") == [f"job-{number}" for number in range(24, 24 - MAX_FAMILY, -1)]
    line = [f"job-{number}" for number in range(MAX_FAMILY - 4, -1, -1)]
    assert _family(store, line[0]) == [*line, "a", "b", "c"]


def test_whom_two_have_for_a_parent_counts_once() -> None:
    store = open_store("sqlite://")
    for name, *parents in (["root"], ["left", "root"], ["right", "root"], ["low", "left", "right"]):
        _child(store, name, *parents)
    assert _family(store, "left", "right") == ["left", "right", "root"]
    assert _family(store, "low") == ["low", "left", "right", "root"]
    assert _family(store, "left", "root") == ["left", "root"], "a parent that is an ancestor, too, is a parent"
