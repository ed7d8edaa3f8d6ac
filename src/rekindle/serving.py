"""The server, put together: one port for every service, and what clients must be told to find it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from rekindle.api.app import create_app as sagemaker_app
from rekindle.api.service_model import preload
from rekindle.bootstrap import App, Served, build, own_endpoint, own_objects
from rekindle.companions.identity import iam_app, sts_app
from rekindle.companions.logs import logs_app
from rekindle.companions.metrics import cloudwatch_app
from rekindle.companions.readers import JobLogs, JobMetrics
from rekindle.domain.training_job import Owner
from rekindle.domain.tuning_rules import Quotas
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import ObjectStore, StoreUnavailable
from rekindle.executors import access
from rekindle.executors.machine import cpus
from rekindle.gateway import tls
from rekindle.gateway.app import Gateway, GatewaySettings
from rekindle.gateway.credentials import Credentials, KeyPair, load_or_create
from rekindle.gateway.errors import CredentialsError
from rekindle.gateway.figures import JobFigures
from rekindle.gateway.origin import is_address
from rekindle.gateway.proxy import Proxy, ProxySettings
from rekindle.gateway.routing import Apps
from rekindle.gateway.telemetry import Telemetry
from rekindle.objects.store import Objects
from rekindle.s3.app import create_app as s3_app
from rekindle.s3.buckets import Buckets
from rekindle.s3.files import locked
from rekindle.s3.folder_objects import FolderObjects
from rekindle.s3.layout import Layout
from rekindle.settings import Settings

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8421
#: Services whose endpoint can be set one by one, as botocore names their variables.
SERVICES = ("SAGEMAKER", "S3", "STS", "IAM", "CLOUDWATCH_LOGS", "CLOUDWATCH")
#: What a client must not have set beside ours.
UNSET = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
#: The same, where the proxy is to be used: many clients prefer these names to those in upper case.
UNSET_FOR_PROXY = ("https_proxy", "no_proxy")

_LOOPBACK = ("127.0.0.1", "localhost", "::1")

_ADDRESS_FILE = "server.json"
_SDK_CONFIG_FILE = "sagemaker-sdk.yaml"


@dataclass(frozen=True)
class Address:
    """Where the server listens, and where the proxy does."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    proxy_port: int = DEFAULT_PORT + 1

    @property
    def url(self) -> str:
        """The endpoint for clients."""
        return f"http://{self._name}:{self.port}"

    @property
    def proxy_url(self) -> str:
        """The HTTPS proxy for clients."""
        return f"http://{self._name}:{self.proxy_port}"

    @property
    def reached_at(self) -> str:
        """The host by which clients reach it: the loopback one for a server on every address."""
        return DEFAULT_HOST if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104

    @property
    def _name(self) -> str:
        return f"[{self.reached_at}]" if ":" in self.reached_at else self.reached_at

    def answers(self) -> bool:
        """Whether anybody listens there."""
        with contextlib.suppress(OSError), socket.create_connection((self.reached_at, self.port), timeout=5):
            return True
        return False


@dataclass(frozen=True)
class Server:
    """The ASGI application and the installation behind it."""

    asgi: ASGIApp
    app: App


def build_server(
    settings: Settings, address: Address, *, insecure: bool = False, worker_runs: Callable[[], bool] = lambda: True
) -> Server:
    """Opens the installation and puts every service behind one gateway; ``worker_runs`` is asked by /healthz. Raises
    GatewayError for an insecure server that others could reach."""
    names = frozenset({address.host.lower(), *settings.hosts})
    gateway_settings = GatewaySettings(
        hosts=names,
        origins=frozenset(settings.origins),
        insecure_no_auth=insecure,
        account=settings.account,
        region=settings.region,
        bind_host=address.host,
    )
    threading.Thread(target=_preload, name="preload", daemon=True).start()
    credentials = known_credentials(settings)
    prepare(settings)
    app = served_app(settings, address, credentials)
    return Server(_gateway(app, credentials, gateway_settings, lambda: worker_runs() and _is_well(app)), app)


def _preload() -> None:
    """Loads what the first creation of a tuning job would wait for: the model of the service, and the search with scipy."""
    preload()
    import rekindle.search.bayesian.strategy  # noqa: F401


def served_app(settings: Settings, address: Address, credentials: Credentials) -> App:
    """The installation as the server and its worker have it: training jobs reach the object store for their own account."""
    ways = (partial(way, settings, address, credentials) for way in (embedded_store_variables, program_variables))
    slots = None if settings.on_cluster else max(4, 2 * cpus())
    return build(settings, None if settings.s3_endpoint else Served(*ways), slots=slots)


def build_proxy(settings: Settings, address: Address) -> Proxy:
    """The HTTPS proxy before the gateway. Raises TlsError where the authority's files cannot be used."""
    environ = settings.environment
    upstream = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    own_store = urlsplit(settings.s3_endpoint).hostname
    proxy_settings = ProxySettings(
        gateway=(address.reached_at, address.port),
        tunnels=settings.proxy_others == "tunnel",
        untouched=frozenset([own_store] if own_store else ()),
        # A server started within `rekindle run` must not go through itself.
        upstream="" if upstream.rstrip("/") == address.proxy_url else upstream,
    )
    authority = tls.load_or_create(settings.home, SystemClock().now)
    return Proxy(proxy_settings, authority)


def prepare(settings: Settings) -> None:
    """Makes what clients expect to be there: the default bucket, and the SDKs' own configuration file."""
    if not settings.s3_endpoint:
        settings.objects.mkdir(parents=True, exist_ok=True)
        layout = Layout(settings.objects, SystemClock())
        buckets = Buckets(layout, region=settings.region, default_account=settings.account)
        if settings.bucket not in [b.name for b in buckets.of(settings.account)]:
            buckets.create(settings.bucket, settings.account, settings.region)
    sdk_config(settings).write_text(_SDK_CONFIG.format(bucket=settings.bucket, role=settings.role_arn))


@contextlib.contextmanager
def announcing(settings: Settings, address: Address, listen: Callable[[], None]) -> Iterator[Address | None]:
    """Leaves the server's address where ``rekindle env`` finds it, and then lets it ``listen``: who finds the port open finds
    the address too, and of a server that cannot listen nothing is left. It does so for the first of several servers of a home
    only, as long as that one runs; the others are given its address, and clients stay with it until it ends. Then it is
    another's."""
    path = settings.home / _ADDRESS_FILE
    with path.open("a+", encoding="utf-8") as file:
        # One after the other, so that of two that start at once on one port the one that listens is the one that is announced.
        with locked(_start_lock(path)), _noted(file, address) as is_first:
            listen()
        if is_first:
            yield None
            return
    over = threading.Event()
    threading.Thread(target=_succeed, args=(path, address, over), daemon=True).start()
    try:
        yield announced(settings)
    finally:
        over.set()


def _succeed(path: Path, address: Address, over: threading.Event) -> None:
    """Waits for the end of the server that is announced, and leaves the address in its place until this one is over."""
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not over.is_set():
            with locked(_start_lock(path)):
                _rewrite(file, json.dumps(asdict(address)))
            over.wait()


@contextlib.contextmanager
def _noted(file: TextIO, address: Address) -> Iterator[bool]:
    """Writes the address down unless that of a server that runs stands there; takes it back where the block fails."""
    try:
        # The kernel's lock: it goes with its process, however that ends.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
        return
    file.seek(0)
    before = file.read()
    _rewrite(file, json.dumps(asdict(address)))
    try:
        yield True
    except BaseException:
        _rewrite(file, before)
        raise


def _rewrite(file: TextIO, text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


def is_served(settings: Settings, port: int) -> bool:
    """Whether a server of this home runs at the port."""
    path = settings.home / _ADDRESS_FILE
    with contextlib.suppress(OSError), path.open("rb") as file, locked(_start_lock(path)):
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return announced(settings).port == port
    return False


def _start_lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def announced(settings: Settings) -> Address:
    """Where the server of this home listens, or listened last; the default address before the first."""
    try:
        found = json.loads((settings.home / _ADDRESS_FILE).read_text())
        return Address(str(found["host"]), int(found["port"]), int(found.get("proxy_port", found["port"] + 1)))
    except (OSError, ValueError, KeyError, TypeError):
        return Address()


def client_environment(settings: Settings, address: Address) -> dict[str, str]:
    """The variables that point any AWS client at the server and at nothing else."""
    pair = known_credentials(settings).for_account(settings.account)
    assert pair is not None
    sdk = {"SAGEMAKER_USER_CONFIG_OVERRIDE": str(sdk_config(settings)), "SAGEMAKER_ROLE": settings.role_arn}
    return {**_variables(address, pair, settings.region), **sdk, **own_endpoint(settings), **_past_proxies(settings, address)}


def program_variables(settings: Settings, address: Address, credentials: Credentials, owner: Owner) -> Mapping[str, str]:
    """What the program of an owner's training job needs to reach this server. Nothing where the environment that it inherits
    leads elsewhere already: whoever starts a server with keys of AWS means them for its training jobs."""
    pair, inherited = credentials.for_account(owner.account), settings.environment
    if settings.on_cluster and address.reached_at in _LOOPBACK:
        # Another machine's loopback address is another.
        return {}
    leads_here = credentials.find(inherited.get("AWS_ACCESS_KEY_ID", "")) is not None
    if pair is None or (access.is_said_by(inherited) and not leads_here):
        return {}
    return {**_variables(address, pair, owner.region), **_past_proxies(settings, address)}


def _variables(address: Address, pair: KeyPair | None, region: str) -> dict[str, str]:
    """What points any AWS client at the server, for the account of a pair of keys."""
    keys = {"AWS_ACCESS_KEY_ID": pair.access_key, "AWS_SECRET_ACCESS_KEY": pair.secret_key} if pair else {}
    return {
        "AWS_ENDPOINT_URL": address.url,
        **{f"AWS_ENDPOINT_URL_{service}": address.url for service in SERVICES},
        **keys,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def known_credentials(settings: Settings) -> Credentials:
    """Who may call. A client has one pair of keys for everything, so that those of an object store of the user's own, where
    the environment has them, are good for all services: they act for the installation's account. Raises CredentialsError."""
    credentials = load_or_create(settings.home, settings.account)
    access_key, secret_key = (settings.environment.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    if not (settings.s3_endpoint and access_key and secret_key) or credentials.find(access_key):
        return credentials
    try:
        pair = KeyPair(access_key, secret_key, settings.account)
    except CredentialsError as error:
        hint = f"Set both to the keys of the store at {settings.s3_endpoint}, or unset them."
        raise CredentialsError(f"AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: {error.message}", hint) from error
    return credentials.with_first(pair)


def proxied_environment(settings: Settings, address: Address) -> dict[str, str]:
    """``client_environment``, and the proxy for clients that build AWS's URLs themselves. Raises TlsError."""
    environ = settings.environment
    bundle = settings.home / tls.FOLDER / tls.BUNDLE
    chosen = [environ.get(name, "") for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")]
    others = tls.public_authorities(next((c for c in chosen if c and Path(c) != bundle), None))
    bundle = tls.write_bundle(settings.home, tls.load_or_create(settings.home, SystemClock().now), others)
    return client_environment(settings, address) | {
        "HTTPS_PROXY": address.proxy_url,
        "NO_PROXY": _direct(environ, address),
        "AWS_CA_BUNDLE": str(bundle),
        "REQUESTS_CA_BUNDLE": str(bundle),
    }


def embedded_store_variables(settings: Settings, address: Address, credentials: Credentials, owner: Owner) -> Mapping[str, str]:
    """What a process of ours needs to reach the embedded object store for an owner: the keys of the owner's account."""
    told = _variables(address, credentials.for_account(owner.account), settings.region)
    return {**told, **_past_proxies(settings, address)}


def _past_proxies(settings: Settings, address: Address) -> dict[str, str]:
    """What keeps who has a proxy for plain HTTP from asking it for this server. The environment tells of a proxy or,
    where it says nothing of any, macOS's settings do: they are no more asked once there is a variable, so they become some."""
    inherited = {name.lower(): value for name, value in settings.environment.items() if value}
    of_system, exceptions = ({}, []) if any(name.endswith("_proxy") for name in inherited) else _system_proxies()
    if not (inherited.keys() | of_system) & {"http_proxy", "all_proxy"} or inherited.get("no_proxy") == "*":
        return {}
    direct = ",".join([_direct(settings.environment, address), *exceptions])
    return {**of_system, **dict.fromkeys(("NO_PROXY", "no_proxy"), direct)}


def _system_proxies() -> tuple[dict[str, str], list[str]]:
    """The proxies in macOS's settings, as variables, and the hosts that are reached without them."""
    import urllib.request

    found: dict[str, str] = getattr(urllib.request, "getproxies_macosx_sysconf", dict)()
    # Our own proxy, where there is one, is in capitals, too.
    proxies = {name: found[scheme] for scheme, name in (("http", "http_proxy"), ("https", "HTTPS_PROXY")) if scheme in found}
    said: dict[str, Sequence[str]] = getattr(urllib.request, "_get_proxy_settings", dict)()
    return proxies, [host.removeprefix("*") for host in said.get("exceptions", ()) if host]


def _direct(environ: Mapping[str, str], address: Address) -> str:
    """The hosts that are reached past any proxy: this server's, and those of the environment."""
    others = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(",")
    return ",".join(dict.fromkeys(name.strip() for name in (*_LOOPBACK, address.reached_at, *others) if name.strip()))


def sdk_config(settings: Settings) -> Path:
    """The configuration file of the SageMaker SDKs."""
    return settings.home / _SDK_CONFIG_FILE


def _gateway(app: App, credentials: Credentials, settings: GatewaySettings, health: Callable[[], bool]) -> ASGIApp:
    s = app.settings
    # SageMaker's quotas hold on its wire unless the user says otherwise.
    quotas = app.quotas if s.limits else Quotas()
    objects = _objects_of(s)
    domains = tuple(name for name in settings.hosts if not is_address(name))
    apps = Apps(
        sagemaker=sagemaker_app(app.store, app.executor, app.clock, quotas, objects, app.home),
        s3=s3_app(s.objects, clock=app.clock, region=s.region, default_account=s.account, domains=domains),
        sts=sts_app(s.role),
        iam=iam_app(s.role, app.clock.now()),
        logs=logs_app(JobLogs(app.store, app.executor, app.home)),
        monitoring=cloudwatch_app(JobMetrics(app.store)),
    )
    telemetry = Telemetry()
    if app.outbox is not None:
        telemetry.registry.register(JobFigures(app.store, app.outbox))
    return Gateway(apps, credentials, settings, app.clock.now, telemetry, health=health)


def _objects_of(settings: Settings) -> Callable[[Owner], ObjectStore]:
    """Where an owner's inputs are looked for when a job is created."""
    if settings.s3_endpoint:
        theirs = own_objects(settings)
        return lambda owner: theirs

    @cache
    def ours(account: str) -> ObjectStore:
        return Objects(FolderObjects(settings.objects, account, settings.region, settings.account))

    return lambda owner: ours(owner.account)


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
