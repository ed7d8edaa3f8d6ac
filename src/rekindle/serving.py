"""The server, put together: one port for every service, and what clients must be told to find it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from rekindle.api.app import create_app as sagemaker_app
from rekindle.bootstrap import App, build
from rekindle.companions.identity import iam_app, sts_app
from rekindle.companions.logs import logs_app
from rekindle.companions.metrics import cloudwatch_app
from rekindle.companions.readers import JobLogs, JobMetrics
from rekindle.domain.tuning_job import Quotas
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import StoreUnavailable
from rekindle.gateway.app import Gateway, GatewaySettings
from rekindle.gateway.credentials import Credentials, KeyPair, load_or_create
from rekindle.gateway.routing import Apps
from rekindle.objects.s3 import S3Objects
from rekindle.objects.store import Objects
from rekindle.s3.app import create_app as s3_app
from rekindle.s3.buckets import Buckets
from rekindle.s3.layout import Layout
from rekindle.settings import Settings

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8421
#: Services whose endpoint can be set one by one, as botocore names their variables.
SERVICES = ("SAGEMAKER", "S3", "STS", "IAM", "CLOUDWATCH_LOGS", "CLOUDWATCH")
#: What a client must not have set beside ours.
UNSET = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")

_ADDRESS_FILE = "server.json"
_SDK_CONFIG_FILE = "sagemaker-sdk.yaml"


@dataclass(frozen=True)
class Address:
    """Where the server listens."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT

    @property
    def url(self) -> str:
        """The endpoint for clients: a server on every address is reached by the loopback one."""
        host = DEFAULT_HOST if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


@dataclass(frozen=True)
class Server:
    """The ASGI application and the installation behind it."""

    asgi: ASGIApp
    app: App


def build_server(settings: Settings, address: Address, *, insecure: bool = False) -> Server:
    """Opens the installation and puts every service behind one gateway. Raises GatewayError for an insecure server that
    others could reach."""
    gateway_settings = GatewaySettings(hosts=frozenset({address.host}), insecure_no_auth=insecure, bind_host=address.host)
    credentials = load_or_create(settings.home, settings.account)
    prepare(settings)
    variables = object_store_variables(settings, address, key_pair(settings, credentials))
    app = build(settings, transfer_variables=variables)
    return Server(_gateway(app, credentials, gateway_settings, variables), app)


def prepare(settings: Settings) -> None:
    """Makes what clients expect to be there: the default bucket, and the SDKs' own configuration file."""
    if not settings.s3_endpoint:
        settings.objects.mkdir(parents=True, exist_ok=True)
        layout = Layout(settings.objects, SystemClock())
        buckets = Buckets(layout, region=settings.region, default_account=settings.account)
        if settings.bucket not in [b.name for b in buckets.of(settings.account)]:
            buckets.create(settings.bucket, settings.account, settings.region)
    sdk_config(settings).write_text(_SDK_CONFIG.format(bucket=settings.bucket, role=settings.role_arn))


def announce(settings: Settings, address: Address) -> None:
    """Leaves the server's address where ``rekindle env`` finds it."""
    (settings.home / _ADDRESS_FILE).write_text(json.dumps({"host": address.host, "port": address.port}))


def announced(settings: Settings) -> Address:
    """Where the server of this home listens, or listened last; the default address before the first."""
    try:
        found = json.loads((settings.home / _ADDRESS_FILE).read_text())
        return Address(str(found["host"]), int(found["port"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Address()


def client_environment(settings: Settings, address: Address) -> dict[str, str]:
    """The variables that point any AWS client at the server and at nothing else."""
    pair = key_pair(settings, load_or_create(settings.home, settings.account))
    found = {
        "AWS_ENDPOINT_URL": address.url,
        **{f"AWS_ENDPOINT_URL_{service}": address.url for service in SERVICES},
        "AWS_ACCESS_KEY_ID": pair.access_key,
        "AWS_SECRET_ACCESS_KEY": pair.secret_key,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_REGION": settings.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(sdk_config(settings)),
        "SAGEMAKER_ROLE": settings.role_arn,
    }
    return found | ({"AWS_ENDPOINT_URL_S3": settings.s3_endpoint} if settings.s3_endpoint else {})


def key_pair(settings: Settings, credentials: Credentials) -> KeyPair:
    """The key pair of this installation's own account."""
    return credentials.for_account(settings.account) or credentials.first


def object_store_variables(settings: Settings, address: Address, pair: KeyPair) -> Mapping[str, str]:
    """What a process of ours needs to reach the object store; empty for one of the user's own, whose keys it inherits."""
    if settings.s3_endpoint:
        return {"AWS_ENDPOINT_URL_S3": settings.s3_endpoint}
    return {
        "AWS_ENDPOINT_URL_S3": address.url,
        "AWS_ACCESS_KEY_ID": pair.access_key,
        "AWS_SECRET_ACCESS_KEY": pair.secret_key,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def sdk_config(settings: Settings) -> Path:
    """The configuration file of the SageMaker SDKs."""
    return settings.home / _SDK_CONFIG_FILE


def _gateway(app: App, credentials: Credentials, settings: GatewaySettings, variables: Mapping[str, str]) -> ASGIApp:
    s = app.settings
    # SageMaker's quotas hold on its wire unless the user says otherwise.
    quotas = app.quotas if s.limits else Quotas()
    objects = _objects(s, variables)
    apps = Apps(
        sagemaker=sagemaker_app(app.store, app.executor, app.clock, quotas, objects),
        s3=s3_app(s.objects, clock=app.clock, region=s.region, default_account=s.account),
        sts=sts_app(s.role),
        iam=iam_app(s.role, app.clock.now()),
        logs=logs_app(JobLogs(app.store, app.executor)),
        monitoring=cloudwatch_app(JobMetrics(app.store)),
    )
    return Gateway(apps, credentials, settings, app.clock.now, health=lambda: _is_well(app))


def _objects(settings: Settings, variables: Mapping[str, str]) -> Objects:
    keys = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    options = {option: variables[name] for option, name in keys.items() if name in variables}
    return Objects(S3Objects(endpoint_url=variables["AWS_ENDPOINT_URL_S3"], region_name=settings.region, **options))


def _is_well(app: App) -> bool:
    try:
        app.store.holders()
    except StoreUnavailable:
        return False
    return True


_SDK_CONFIG = """\
# Written by `rekindle serve` for the SageMaker SDKs, which find it by SAGEMAKER_USER_CONFIG_OVERRIDE.
SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
      Session:
        DefaultS3Bucket: {bucket}
  TrainingJob:
    RoleArn: {role}
"""
