"""The settings of this installation, read from the environment in this one place."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import STOP_GRACE_SECONDS, Owner
from rekindle.engine.paths import with_home
from rekindle.engine.ports import StoreUnavailable
from rekindle.executors.images import ImageRule, load_rules
from rekindle.executors.instances import InstanceType, parse_instances
from rekindle.sinks.receivers import Receiver, distinct, load_receivers, read_secret, read_url

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
#: Variables that training jobs do not inherit.
_OURS_ALONE = ("REKINDLE_EVENTS", "REKINDLE_EVENTS_WEBHOOK", "REKINDLE_EVENTS_SECRET", "REKINDLE_EVENTS_FILE")
#: Names of AWS's and of one's own; of a length that leaves room in the name of the default bucket.
_REGION = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_IN_MEMORY = re.compile(r"sqlite(\+\w+)?:///?(:memory:)?")
_HOME_ID = re.compile(r"[0-9a-f]{12}")
_ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]-]+")


@dataclass(frozen=True)
class Settings:
    """Everything that an installation may choose.

    ``home`` holds the database, the training jobs' folders and keys. ``database_url`` is SQLAlchemy's. ``limits``:
    ``aws`` enforces SageMaker's quotas, ``relaxed`` those of the machine only; None: ``aws`` on SageMaker's wire, ``relaxed``
    for job files. ``role`` is the name of the IAM role that
    clients are given. ``s3_endpoint`` is the URL of an object store of one's own; empty: the embedded one.
    ``hosts`` are names, besides this machine's addresses, under which clients may call; ``origins`` are origins whose web
    pages may. ``proxy_others``: what the HTTPS proxy does with hosts that are not AWS's.
    ``images`` says how training images are run, before what is known of them.
    ``slots`` is how many training jobs run at once on this machine; 0: any number; None: what suits the command. They share
    ``cpus`` and ``memory`` (GB; None: the machine's), of which ``instances`` says what an instance of each type takes.
    ``ray_address`` is the URL of a Ray cluster's dashboard, on which training jobs run then; empty: on this machine.
    ``receivers`` are told of state changes. ``gone_homes`` are ids of homes of the same database that will never be back.
    ``environment`` is what training jobs inherit.
    """

    home: Path
    database_url: str
    limits: Literal["aws", "relaxed"] | None = None
    account: str = "000000000000"
    region: str = "us-east-1"
    role: str = "rekindle"
    s3_endpoint: str = ""
    ray_address: str = ""
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    proxy_others: Literal["tunnel", "refuse"] = "tunnel"
    stop_grace_seconds: float = STOP_GRACE_SECONDS
    slots: int | None = None
    images: tuple[ImageRule, ...] = ()
    cpus: float | None = None
    memory: float | None = None
    instances: tuple[InstanceType, ...] = ()
    receivers: tuple[Receiver, ...] = ()
    gone_homes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def nothing_stored(self) -> bool:
        """Whether there can be no job yet: the database would be the home folder's own, and there is no such folder."""
        return self.database_url == _own_database(self.home) and not self.home.exists()

    @property
    def on_cluster(self) -> bool:
        """Whether training jobs run on a cluster, and not on this machine."""
        return bool(self.ray_address)

    @property
    def runs(self) -> Path:
        """The folder that holds the training jobs' folders."""
        return self.home / "runs"

    @property
    def objects(self) -> Path:
        """The folder of the embedded object store: a folder for each bucket."""
        return self.home / "s3"

    @property
    def bucket(self) -> str:
        """The default bucket that clients are given."""
        return f"sagemaker-{self.region}-{self.account}"

    @property
    def role_arn(self) -> str:
        """The role that clients are given."""
        return f"arn:aws:iam::{self.account}:role/{self.role}"

    @property
    def owner(self) -> Owner:
        """Whose jobs the command line's are."""
        return Owner(self.account, self.region)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from ``REKINDLE_*`` variables (of this process unless given). Raises InvalidValue, naming the variable, and
    StoreUnavailable where the home folder is one that this user may not look into."""
    environ = os.environ if environ is None else environ
    home = _home(environ.get("REKINDLE_HOME") or _default_home())
    return Settings(
        home=home,
        database_url=_database(environ.get("REKINDLE_DATABASE_URL") or _own_database(home)),
        limits=_limits(environ.get("REKINDLE_LIMITS") or None),
        account=_account(environ.get("REKINDLE_ACCOUNT") or "000000000000"),
        region=_region(environ.get("REKINDLE_REGION") or "us-east-1"),
        role=_role(environ.get("REKINDLE_ROLE") or "rekindle"),
        s3_endpoint=_endpoint(
            "REKINDLE_S3_ENDPOINT",
            environ.get("REKINDLE_S3_ENDPOINT") or "",
            "Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        ),
        ray_address=_endpoint(
            "REKINDLE_RAY_ADDRESS", environ.get("REKINDLE_RAY_ADDRESS") or "", "A token comes from RAY_AUTH_TOKEN."
        ),
        hosts=_listed("REKINDLE_HOSTS", environ.get("REKINDLE_HOSTS") or "", _HOST, "not a host name (without a port)"),
        origins=_listed(
            "REKINDLE_ORIGINS", environ.get("REKINDLE_ORIGINS") or "", _ORIGIN, "not an origin: scheme://host:port"
        ),
        proxy_others=_proxy_others(environ.get("REKINDLE_PROXY_OTHERS") or "tunnel"),
        stop_grace_seconds=_seconds("REKINDLE_STOP_GRACE", environ.get("REKINDLE_STOP_GRACE") or str(STOP_GRACE_SECONDS)),
        slots=_slots(environ.get("REKINDLE_SLOTS") or None),
        images=_images(environ.get("REKINDLE_IMAGES") or None, home),
        cpus=_amount("REKINDLE_CPUS", environ.get("REKINDLE_CPUS") or None),
        memory=_amount("REKINDLE_MEMORY", environ.get("REKINDLE_MEMORY") or None),
        instances=parse_instances(environ.get("REKINDLE_INSTANCES") or ""),
        receivers=_receivers(environ, home),
        gone_homes=_listed(
            "REKINDLE_GONE_HOMES",
            environ.get("REKINDLE_GONE_HOMES") or "",
            _HOME_ID,
            "not the id of a home: 12 hex digits, which the log tells and the home's file home.id holds",
        ),
        # Whoever writes a training program need not be who may speak in our name.
        environment={name: value for name, value in environ.items() if name not in _OURS_ALONE},
    )


def no_home(home: Path, problem: str = "cannot be read and written by this user") -> StoreUnavailable:
    """What is said of a home folder that cannot be one, as where it is another account's."""
    return StoreUnavailable(f"the home folder {home} {problem}.", "Set REKINDLE_HOME to a folder that you may write.")


def in_notebook() -> bool:
    """Whether a notebook's kernel started this process, as ``!`` does: by what Jupyter tells kernels, or what IPython's tells
    its children, whoever started it."""
    ipython = os.environ.get("TERM") == "xterm-color" and os.environ.get("GIT_PAGER") == "cat"
    return ipython or "JPY_PARENT_PID" in os.environ


def _home(text: str) -> Path:
    home = _path("REKINDLE_HOME", text)
    try:
        # Whether a file of it is there: until Python 3.14 each such question would end with that file's name.
        os.stat(os.path.join(home, "."))
    except PermissionError as error:
        raise no_home(home) from error
    except OSError:
        pass
    return home


def _path(variable: str, text: str) -> Path:
    return with_home(text, variable).absolute()


def _database(url: str) -> str:
    """The URL as it is. A database in memory would be gone with each command, and all jobs with it."""
    if _IN_MEMORY.fullmatch(url):
        raise InvalidValue("REKINDLE_DATABASE_URL", url, "it names no file", "Write sqlite:////folder/rekindle.db.")
    return url


def _own_database(home: Path) -> str:
    """The URL of the database in the home folder: as they are, ``?`` and ``%`` in the folder's name mean something to a URL."""
    return f"sqlite:///{quote(os.fsencode(home / 'rekindle.db'))}"


def _images(named: str | None, home: Path) -> tuple[ImageRule, ...]:
    """The rules of the file that is named, which must be there; else of the home's own, if it has one."""
    if named is not None:
        return load_rules(_path("REKINDLE_IMAGES", named), "REKINDLE_IMAGES")
    own = home / "images.yaml"
    return load_rules(own) if own.is_file() else ()


def _default_home() -> str:
    import platformdirs

    try:
        return platformdirs.user_data_dir("rekindle", appauthor=False)
    except RuntimeError as error:
        reason = "not set, and this user has no home folder: there is neither HOME nor an account of this number"
        raise InvalidValue("REKINDLE_HOME", None, reason, "Set it to a folder that you may write.") from error


def _limits(text: str | None) -> Literal["aws", "relaxed"] | None:
    if text is None:
        return None
    if text == "aws":
        return "aws"
    if text == "relaxed":
        return "relaxed"
    raise InvalidValue("REKINDLE_LIMITS", text, "neither 'aws' nor 'relaxed'")


def _account(text: str) -> str:
    if len(text) == 12 and text.isascii() and text.isdigit():
        return text
    raise InvalidValue("REKINDLE_ACCOUNT", text, "an account is 12 digits")


def _region(text: str) -> str:
    if _REGION.fullmatch(text):
        return text
    reason = "a region is 1 to 40 small letters, digits and hyphens, such as eu-west-1: it is a part of a bucket's name"
    raise InvalidValue("REKINDLE_REGION", text, reason)


def _role(text: str) -> str:
    if all(c.isascii() and (c.isalnum() or c in "_+=,.@-") for c in text) and len(text) <= 64:
        return text
    raise InvalidValue("REKINDLE_ROLE", text, "a role's name has 1 to 64 letters, digits or characters of _+=,.@-")


def _endpoint(variable: str, text: str, way_of_secrets: str) -> str:
    if not text or is_endpoint(text):
        return text.rstrip("/")
    form = "not a URL of the form http://HOST[:PORT] or https://HOST[:PORT]"
    raise InvalidValue(variable, "..." if "@" in text else text, form, way_of_secrets if "@" in text else "")


def is_endpoint(text: str) -> bool:
    """Whether every client takes this for an endpoint."""
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        return False
    named = _HOST.fullmatch(host) or (":" in host and f"[{host}]" in url.netloc)
    plain = not (url.username or url.password or url.query or url.fragment) and text.isprintable() and " " not in text
    return url.scheme in ("http", "https") and bool(named) and port != 0 and plain


def _receivers(environ: Mapping[str, str], home: Path) -> tuple[Receiver, ...]:
    """Those of single variables, which are told of everything, and those of the file of receivers."""
    found: list[Receiver] = []
    if path := environ.get("REKINDLE_EVENTS_FILE"):
        found.append(Receiver("file", file=_path("REKINDLE_EVENTS_FILE", path)))
    secret = environ.get("REKINDLE_EVENTS_SECRET")
    key = read_secret("REKINDLE_EVENTS_SECRET", secret) if secret else b""
    if url := environ.get("REKINDLE_EVENTS_WEBHOOK"):
        found.append(Receiver("webhook", read_url("REKINDLE_EVENTS_WEBHOOK", url), key))
    named, own = environ.get("REKINDLE_EVENTS"), home / "events.yaml"
    if named:
        found.extend(load_receivers(_path("REKINDLE_EVENTS", named), "REKINDLE_EVENTS"))
    elif own.is_file():
        found.extend(load_receivers(own))
    return distinct(found)


def _listed(name: str, text: str, form: re.Pattern[str], reason: str) -> tuple[str, ...]:
    found = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for part in found:
        if not form.fullmatch(part):
            raise InvalidValue(name, part, reason)
    return found


def _proxy_others(text: str) -> Literal["tunnel", "refuse"]:
    if text == "tunnel":
        return "tunnel"
    if text == "refuse":
        return "refuse"
    raise InvalidValue("REKINDLE_PROXY_OTHERS", text, "neither 'tunnel' nor 'refuse'")


def _slots(text: str | None) -> int | None:
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 4:
        return int(text)
    raise InvalidValue("REKINDLE_SLOTS", text, "not a whole number from 0 (no limit) to 9999")


def _amount(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidValue(name, text, "not a number") from error
    if not 0 < value < 1e9:
        raise InvalidValue(name, text, "must be above 0")
    return value


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InvalidValue(name, text, "not a number of seconds") from error
    if not 0 <= value < 1e9:
        raise InvalidValue(name, text, "must be from 0 to 1e9 seconds")
    return value
