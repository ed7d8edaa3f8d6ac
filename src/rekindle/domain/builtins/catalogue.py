"""Which image is which built-in algorithm, and what each is."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from rekindle.domain.builtins import knn, linear_learner, xgboost
from rekindle.domain.builtins.rules import TUNED_METRIC, Refused, Rule, plain
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import PROGRAM, Algorithm

#: A registry of Amazon's, as SageMaker's own images are named; a name alone stands for the same.
_REGISTRY = re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/")
_PREFIX = "sagemaker_"


@dataclass(frozen=True)
class Builtin:
    """A built-in algorithm: how to run it (``module``, and what must be importable: ``needs``, from the extra ``extra``),
    the hyperparameters it takes, the metrics it tells and which of them are better when larger, the channels it reads (True:
    needed) and their content types, each with the format it stands for. ``together`` are the hyperparameters that
    ``check_together`` looks at: it is given values and the metric that is tuned, and raises Refused. ``scripts`` says that
    its images run a script of the user's where one is named, ``distributed`` that several instances train together."""

    name: str
    images: tuple[str, ...]
    module: str
    needs: str
    extra: str
    rules: Mapping[str, Rule]
    required: tuple[str, ...]
    metrics: tuple[MetricDefinition, ...]
    maximized: frozenset[str]
    channels: Mapping[str, bool]
    content_types: Mapping[str, str]
    default_format: str
    check_together: Callable[[Mapping[str, Any], str | None], None]
    together: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    scripts: bool = False
    distributed: bool = False

    def rule_of(self, name: str) -> tuple[str, Rule]:
        """A hyperparameter's own name, where ``name`` is an alias, and its rule. Raises Refused for one that is not known."""
        own = self.aliases.get(name, name)
        if own not in self.rules:
            raise Refused(name, f"Extraneous hyperparameter found: {name}")
        return own, self.rules[own]

    def format_of(self, content_type: str | None) -> str:
        """The format that a content type stands for. Raises Refused (of the name ``content_type``)."""
        if content_type is None:
            return self.default_format
        kind, *parameters = (part.strip() for part in content_type.lower().split(";"))
        found = self.content_types.get(kind)
        if found is None:
            accepted = ", ".join(self.content_types)
            raise Refused("content_type", f"{content_type} is not an accepted ContentType: {accepted}.")
        sizes = [p.partition("=")[2].strip() for p in parameters if p.partition("=")[0].strip() == "label_size"]
        if found == "csv" and any(size != "1" for size in sizes):
            message = f"{content_type} is not an accepted csv ContentType. Optional parameter label_size must be equal to 1"
            raise Refused("content_type", message)
        return found

    def parsed(self, hyperparameters: Mapping[str, str]) -> dict[str, Any]:
        """Values by their own names; what is for the service is left out. Raises Refused for the first that will not do."""
        given = own_hyperparameters(hyperparameters)
        names = {self.aliases.get(name, name) for name in given}
        for name in self.required:
            if name not in names:
                raise Refused(name, f"Missing required hyperparameter: {name}")
        values: dict[str, Any] = {}
        for name, text in given.items():
            own, rule = self.rule_of(name)
            values[own] = rule.parse(own, plain(text))
        self.check_together(values, hyperparameters.get(TUNED_METRIC))
        return values


def own_hyperparameters(hyperparameters: Mapping[str, str]) -> dict[str, str]:
    """Those that are for the algorithm and not for the service."""
    return {n: t for n, t in hyperparameters.items() if n != TUNED_METRIC and not n.startswith(_PREFIX)}


#: What must be importable to read a format, besides what the algorithm itself needs.
FORMAT_NEEDS = {"parquet": "pyarrow"}
#: What Amazon's own algorithms read.
_AMAZONS = {"text/csv": "csv", "application/x-recordio-protobuf": "recordio-protobuf"}

BUILTINS = (
    Builtin(
        name="xgboost",
        images=("xgboost", "sagemaker-xgboost"),
        module="rekindle.algorithms.xgboost",
        needs="xgboost",
        extra="xgboost",
        rules=xgboost.RULES,
        required=xgboost.REQUIRED,
        metrics=xgboost.METRICS,
        maximized=frozenset(m.name for m in xgboost.METRICS if m.name.partition(":")[2] in xgboost.MAXIMIZED),
        channels={"train": True, "validation": False},
        content_types={
            "csv": "csv",
            "libsvm": "libsvm",
            "parquet": "parquet",
            "recordio-protobuf": "recordio-protobuf",
            "text/csv": "csv",
            "text/libsvm": "libsvm",
            "text/x-libsvm": "libsvm",
            "application/x-parquet": "parquet",
            "application/x-recordio-protobuf": "recordio-protobuf",
        },
        default_format="libsvm",
        check_together=xgboost.check_together,
        together=xgboost.TOGETHER,
        aliases=xgboost.ALIASES,
        scripts=True,
        distributed=True,
    ),
    Builtin(
        name="linear-learner",
        images=("linear-learner",),
        module="rekindle.algorithms.linear_learner",
        needs="sklearn",
        extra="algorithms",
        rules=linear_learner.RULES,
        required=linear_learner.REQUIRED,
        metrics=linear_learner.METRICS,
        maximized=linear_learner.MAXIMIZED,
        channels={"train": True, "validation": False, "test": False},
        content_types=_AMAZONS,
        default_format="recordio-protobuf",
        check_together=linear_learner.check_together,
        together=linear_learner.TOGETHER,
    ),
    Builtin(
        name="knn",
        images=("knn",),
        module="rekindle.algorithms.knn",
        needs="sklearn",
        extra="algorithms",
        rules=knn.RULES,
        required=knn.REQUIRED,
        metrics=knn.METRICS,
        maximized=knn.MAXIMIZED,
        channels={"train": True, "test": False},
        content_types=_AMAZONS,
        default_format="recordio-protobuf",
        check_together=knn.check_together,
        together=knn.TOGETHER,
    ),
)
_BY_IMAGE = {image: builtin for builtin in BUILTINS for image in builtin.images}


def builtin_named(image: str | None) -> Builtin | None:
    """The built-in algorithm of an image, whatever its account, region and tag; None for any other image."""
    if image is None:
        return None
    name, _, _ = re.sub(_REGISTRY, "", image, count=1).partition("@")
    return _BY_IMAGE.get(name.partition(":")[0])


def builtin_of(algorithm: Algorithm, hyperparameters: Collection[str]) -> Builtin | None:
    """The built-in algorithm that would run: None where the image runs a script or has an entry point of the user's."""
    if algorithm.command is not None or algorithm.entrypoint or algorithm.arguments:
        return None
    builtin = builtin_named(algorithm.image)
    return None if builtin is None or (builtin.scripts and PROGRAM in hyperparameters) else builtin
