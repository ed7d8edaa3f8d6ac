"""Which service a request is for: the one its signature names, checked against what else the request says."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final
from urllib.parse import parse_qs

from starlette.types import ASGIApp

from rekindle.gateway.answers import Dialect
from rekindle.gateway.canonical import WireRequest
from rekindle.gateway.origin import host_name
from rekindle.gateway.refusal import Reason, Refusal

#: The prefix of X-Amz-Target in each service that speaks AWS JSON.
TARGET_PREFIXES: Final = {
    "sagemaker": "SageMaker",
    "logs": "Logs_20140328",
    "monitoring": "GraniteServiceVersion20100801",
}
#: What does here what people's code asks another service for.
_INSTEAD: Final = {
    "events": "State changes of jobs are told by webhooks and files: docs/events.md.",
    "ecr": "How an image is run, from a registry or not, images.yaml says: docs/settings.md.",
}
_QUERY_SERVICES = ("sts", "iam", "monitoring")
_UNSIGNED_ACTIONS: Final = {"GetCallerIdentity": "sts", "GetRole": "iam", "SimulatePrincipalPolicy": "iam"}


@dataclass(frozen=True)
class Apps:
    """The ASGI application behind each service, by the name that signatures carry."""

    sagemaker: ASGIApp
    s3: ASGIApp
    sts: ASGIApp
    iam: ASGIApp
    logs: ASGIApp
    monitoring: ASGIApp

    def of(self, service: str) -> ASGIApp:
        """The application of a service; UNKNOWN_SERVICE where there is none."""
        if service not in self.services():
            instead = f" {_INSTEAD[service]}" if service in _INSTEAD else ""
            served = ", ".join(self.services())
            raise Refusal(Reason.UNKNOWN_SERVICE, f"Rekindle does not serve '{service}'.{instead} It serves: {served}.")
        app: ASGIApp = getattr(self, service)
        return app

    def distinct(self) -> list[ASGIApp]:
        """Each application once; one may serve several services."""
        given = [self.of(service) for service in self.services()]
        return list({id(app): app for app in given}.values())

    @classmethod
    def services(cls) -> tuple[str, ...]:
        """The names of the services."""
        return tuple(field.name for field in fields(cls))


def check_target(request: WireRequest, service: str) -> None:
    """X-Amz-Target, where there is one, belongs to the service that the signature is for; else WRONG_TARGET."""
    target = request.header("x-amz-target")
    if target is None:
        return
    prefix = TARGET_PREFIXES.get(service)
    if prefix is None or target.partition(".")[0] != prefix:
        raise Refusal(Reason.WRONG_TARGET, f"The operation '{target[:128]}' is not one of the service '{service}'.")


def dialect_of(request: WireRequest, service: str | None) -> Dialect:
    """How the sender expects an error to look; guessed from the request where the service is not known."""
    if request.header("x-amz-target") is not None or service in ("sagemaker", "logs"):
        return Dialect.JSON
    if service in _QUERY_SERVICES or (service != "s3" and _is_form(request)):
        return Dialect.QUERY
    if service in (None, "s3"):
        return Dialect.S3
    return Dialect.JSON


def guess_service(request: WireRequest, body: bytes) -> str:
    """The service of a request without a signature, for the mode that asks for none: by target, host or action; else S3."""
    prefix = (request.header("x-amz-target") or "").partition(".")[0]
    by_target = [service for service, target in TARGET_PREFIXES.items() if target == prefix]
    label = host_name(request.header("host") or "").partition(".")[0]
    if by_target or label in Apps.services():
        return (by_target or [label])[0]
    if _is_form(request):
        action = parse_qs(body.decode("latin-1")).get("Action", [""])[0]
        return _UNSIGNED_ACTIONS.get(action, "monitoring")
    return "s3"


def is_buffered(request: WireRequest, service: str | None) -> bool:
    """Whether the body is small and read whole before the application runs: everywhere but in S3."""
    if service is not None:
        return service != "s3"
    return request.header("x-amz-target") is not None or _is_form(request)


def _is_form(request: WireRequest) -> bool:
    content_type = (request.header("content-type") or "").lower()
    return (
        request.method == "POST"
        and content_type.startswith("application/x-www-form-urlencoded")
        and request.path in (b"/", b"")
    )
