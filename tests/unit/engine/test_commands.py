"""Which of several refusals of one request is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.domain.training_job import Algorithm, TrainingSpec
from support.engine import Engine
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
