"""The SageMaker service, put together: the protocol in front, the operations behind, errors in AWS's words between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import structlog
from botocore.model import ServiceModel as Shapes
from starlette.types import ASGIApp

from rekindle.api.errors import ApiError, Code
from rekindle.api.operations import HANDLERS, Handler, ObjectsOf, Service
from rekindle.api.protocol import ApiApp, ApiCall
from rekindle.api.service_model import ServiceModel
from rekindle.api.translate.errors import Context, api_error
from rekindle.domain.errors import RekindleError
from rekindle.domain.tuning_rules import Quotas
from rekindle.engine.ports import Clock, ClusterUnavailable, Executor, JobStore, StoreUnavailable

_LOG = structlog.get_logger("rekindle.api")
#: Instance types that only we have: this machine, as the SDKs' local mode calls it.
_OWN_INSTANCE_TYPES: Final = r"local(_gpu)?"


def create_app(
    store: JobStore,
    executor: Executor,
    clock: Clock,
    quotas: Quotas,
    objects: ObjectsOf | None = None,
    home: str = "",
) -> ASGIApp:
    """The ASGI application of the service ``sagemaker``. It expects the caller in ``scope["state"]``, as the gateway puts it
    there. With ``objects``, which knows where an owner's are, jobs whose inputs are not there are refused at creation.
    ``home`` is the home folder's id."""
    model = request_model()
    service = Service(store, executor, clock, quotas, _Shapes(model), objects, home)
    handlers = {name: _with_wire_errors(name, handler, service) for name, handler in HANDLERS.items()}
    return ApiApp(handlers, model.check)


def request_model() -> ServiceModel:
    """What requests are checked against, wherever they come from: SageMaker's model, and our own instance types. Autotune
    stands for a strategy and limits; without it, translation insists on them as the model does."""
    config = "HyperParameterTuningJobConfig"
    return ServiceModel(
        optional=[(config, "Strategy"), (config, "ResourceLimits"), ("ResourceLimits", "MaxParallelTrainingJobs")],
        further_values={"TrainingInstanceType": _OWN_INSTANCE_TYPES},
    )


@dataclass(frozen=True)
class _Shapes:
    """The shapes of answers, read when the first search asks for them."""

    model: ServiceModel

    def shape_for(self, name: str) -> Any:
        return self._shapes.shape_for(name)

    @cached_property
    def _shapes(self) -> Shapes:
        return Shapes(self.model.description, "sagemaker")


def _with_wire_errors(name: str, handler: Handler, service: Service) -> Callable[[ApiCall], Mapping[str, Any] | None]:
    def answer(call: ApiCall) -> Mapping[str, Any] | None:
        try:
            return handler(service, call.owner, call.parameters)
        except RekindleError as error:
            raise api_error(error, Context(name, call.owner, call.parameters)) from error
        except StoreUnavailable as error:
            _LOG.warning("not available", operation=name, request_id=call.request_id, reason=error.message, hint=error.hint)
            raise ApiError(Code.UNAVAILABLE, f"{_away(error)}. Please try again.") from error

    return answer


def _away(error: StoreUnavailable) -> str:
    """What is not there. A URI is the caller's own word; where the database, an endpoint or a cluster is, is none of the
    caller's business."""
    if error.uri:
        return f"{error.uri}: the object store does not answer"
    if isinstance(error, ClusterUnavailable):
        return "The cluster on which training jobs run cannot be reached; the server's log says why"
    return "The service is not available at the moment"
