"""The composition root: the one place that knows every room."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rekindle.domain.training_job import Owner
from rekindle.domain.tuning_rules import RELAXED, Quotas
from rekindle.engine.clock import SystemClock
from rekindle.engine.event_ports import Announcer, Outbox, Sink
from rekindle.engine.holders import holder_name
from rekindle.engine.messenger import Messenger, telling
from rekindle.engine.ports import Clock, Executor, JobStore, ObjectStore
from rekindle.engine.reconcile import Step
from rekindle.engine.suggestions import HereAndNow, Suggester
from rekindle.engine.worker import OnStep, Worker
from rekindle.executors import machine
from rekindle.executors.ledger import Amount
from rekindle.settings import Settings, load_settings, no_home
from rekindle.sinks.receivers import Receiver


@dataclass(frozen=True)
class Served:
    """How the server's port is reached for an owner, as variables: by the processes that move objects, and by the programs of
    training jobs."""

    by_transfers: Callable[[Owner], Mapping[str, str]]
    by_programs: Callable[[Owner], Mapping[str, str]]


@dataclass(frozen=True)
class App:
    """An installation, put together. ``objects`` is where ``s3://`` URIs lead for its training jobs; None where that depends on
    whose they are."""

    settings: Settings
    store: JobStore
    executor: Executor
    clock: Clock
    slots: int | None = None
    outbox: Outbox | None = None
    sinks: tuple[Sink, ...] = ()
    objects: ObjectStore | None = None

    @property
    def owner(self) -> Owner:
        """Whose jobs the command line's are."""
        return self.settings.owner

    @cached_property
    def home(self) -> str:
        """The id of the home folder."""
        return home_id(self.settings.home)

    @property
    def quotas(self) -> Quotas:
        """How much a tuning job may ask for here."""
        return Quotas() if self.settings.limits == "aws" else RELAXED

    def worker(self, only: str | None = None, on_step: OnStep | None = None, share: int = 1) -> Worker:
        """A worker for all unfinished work, or for the subject ``only``; ``share`` is how many training jobs run at once. One
        for all work has a few processes for suggestions; one for a single subject has nobody to keep waiting."""
        # Where places are few, each tuning job takes one at a time.
        shared = self.slots or _total(self.settings) is not None or machine.gpus(self.settings.environment)
        suggester: Suggester = HereAndNow() if only else _suggestion_pool()
        step = Step(self.store, self.executor, self.clock, suggester, share=share, at_most=1 if shared else None)
        return Worker(step, holder_name(self.home), only, on_step, gone_homes=self.settings.gone_homes)

    def telling(self) -> AbstractContextManager[None]:
        """While the block lasts, what the settings name is told of state changes."""
        holder = holder_name()
        outbox = self.outbox
        return telling([Messenger(outbox, sink, self.clock, holder) for sink in self.sinks] if outbox is not None else [])


def build(
    settings: Settings | None = None,
    served: Served | None = None,
    *,
    slots: int | None = None,
) -> App:
    """Opens the home folder and its store, making both where they are not there yet. ``served`` is given where the object store
    is the home's own folder, which the processes that move objects open themselves; what else goes the way of the server's port
    is told there. ``slots`` is how many training jobs run at once where the settings do not say."""
    from rekindle.executors.host import Host
    from rekindle.executors.process import ProcessExecutor
    from rekindle.executors.ray_cluster import RayCluster
    from rekindle.storage.store import open_store

    settings = load_settings() if settings is None else settings
    slots = slots if settings.slots is None else settings.slots or None
    clock = SystemClock()
    make_home(settings)
    store = open_store(settings.database_url, announcer=_announcer(settings.receivers))
    host = Host(
        settings.runs,
        settings.environment,
        grace_seconds=settings.stop_grace_seconds,
        transfer=_folder_transfer(settings) if served else (sys.executable, "-I", "-m", "rekindle.objects.transfer"),
        transfer_variables=_transfer_variables(settings, served),
        program_variables=served.by_programs if served else lambda _owner: own_endpoint(settings, settings.environment),
        images=settings.images,
        hidden=(settings.home,),
        slots=slots,
        instances=settings.instances,
        total=_total(settings),
        cluster=RayCluster(settings.ray_address) if settings.ray_address else None,
    )
    sinks = tuple(r.sink(clock) for r in settings.receivers)
    objects = None if served else own_objects(settings)
    return App(settings, store, ProcessExecutor(host, clock), clock, slots, store, sinks, objects)


def own_objects(settings: Settings) -> ObjectStore:
    """Where ``s3://`` URIs lead without the embedded store: to the settings' endpoint, else by boto3's own rules."""
    from rekindle.objects.s3 import S3Objects
    from rekindle.objects.store import Objects

    options = {"endpoint_url": settings.s3_endpoint, "region_name": settings.region} if settings.s3_endpoint else {}
    return Objects(S3Objects(**options))


def make_home(settings: Settings) -> None:
    """Makes the home folder, for its owner alone, where it is not there yet. Raises StoreUnavailable where it cannot be made
    or written."""
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise no_home(settings.home, f"cannot be made ({error.strerror})") from error
    if not os.access(settings.home, os.R_OK | os.W_OK | os.X_OK):
        raise no_home(settings.home)


def home_id(home: Path) -> str:
    """What tells a home folder from all others that share its database: twelve hex digits in a file of it, made once."""
    from rekindle.s3.files import locked, write_text

    path = home / _HOME_ID
    if not path.exists():
        with locked(home / f".{_HOME_ID}.lock"):
            if not path.exists():
                write_text(path, home / f".{_HOME_ID}.new", secrets.token_hex(6))
    return path.read_text().strip()


def _total(settings: Settings) -> Amount | None:
    """The CPUs and memory that training jobs share; None where the settings do not count them, or a cluster does."""
    if settings.on_cluster:
        return None
    if not settings.instances and settings.cpus is None and settings.memory is None:
        return None
    return Amount(settings.cpus or float(machine.cpus()), settings.memory or machine.memory())


def _announcer(receivers: Sequence[Receiver]) -> Announcer | None:
    if not receivers:
        return None
    from rekindle.api.translate.events import Events

    return Events({r.name: r.pattern for r in receivers})


def _suggestion_pool() -> Suggester:
    # Imported where it is used: a command for one tuning job need not pay for it.
    from rekindle.engine.suggestion_pool import SuggestionPool
    from rekindle.executors.machine import cpus

    return SuggestionPool(max(2, min(4, cpus())))


def _transfer_variables(settings: Settings, served: Served | None) -> Callable[[Owner], Mapping[str, str]]:
    """What the processes that move an owner's objects are told."""
    return lambda owner: {_ACCOUNT: owner.account, **(served.by_transfers(owner) if served else own_endpoint(settings))}


def own_endpoint(settings: Settings, known: Collection[str] = ()) -> Mapping[str, str]:
    """Where an object store of one's own is, if there is one, unless its variable is ``known``; its keys are inherited."""
    return {_ENDPOINT: settings.s3_endpoint} if settings.s3_endpoint and _ENDPOINT not in known else {}


def _folder_transfer(settings: Settings) -> tuple[str, ...]:
    home_of_code = str(Path(__file__).resolve().parents[1])
    place = (str(settings.objects), settings.region, settings.account)
    return (sys.executable, "-I", "-S", "-X", "utf8", "-c", _START_TRANSFER, home_of_code, *place)


#: The file of a home that holds its id.
_HOME_ID = "home.id"
#: The variable by which AWS's clients find S3.
_ENDPOINT = "AWS_ENDPOINT_URL_S3"
#: The variable that names the account for which objects are moved.
_ACCOUNT = "REKINDLE_TRANSFER_ACCOUNT"
#: Starts the light transfer for what it knows, else the one that asks the server.
_START_TRANSFER = """
import os, sys
code, root, region, default_account, verb, *rest = sys.argv[1:]
if verb not in ("download", "upload"):
    os.execv(sys.executable, [sys.executable, "-I", "-m", "rekindle.objects.transfer", verb, *rest])
sys.path.append(code)
from rekindle.s3.transfer import main
sys.exit(main(root, os.environ["REKINDLE_TRANSFER_ACCOUNT"], region, default_account, verb, *rest))
"""
