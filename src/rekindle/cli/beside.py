"""The worker of ``rekindle serve``: a process of its own, so that nothing that it does keeps a caller waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from rekindle.engine.log import log

if TYPE_CHECKING:
    import subprocess

    from rekindle.serving import Address

#: Seconds before a worker that died is started again: the first time, at most, and after which it counts as the first time.
FIRST_PAUSE, LONGEST_PAUSE, QUIET_SECONDS = 0.5, 30.0, 60.0
#: Seconds that a worker has to finish the step in hand when the server ends.
PATIENCE = 20.0
#: Starts it without a main module: the processes of its own that make suggestions would import that as well.
_START = "import sys; from rekindle.cli.main import main; sys.exit(main())"

Start = Callable[[], "subprocess.Popen[bytes]"]


class WorkerBeside:
    """Keeps a worker running in a process beside this one for as long as the block lasts.

    One that dies is started again; training jobs do not notice. At the end it is asked to leave, which gives its leases back;
    one that does not is killed, and the next worker of this host frees them.
    """

    def __init__(self, start: Start, *, first_pause: float = FIRST_PAUSE, patience: float = PATIENCE) -> None:
        self._start = start
        self._first_pause = first_pause
        self._patience = patience
        self._ended = threading.Event()
        self._mutex = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="worker")

    def __enter__(self) -> WorkerBeside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        import subprocess

        with self._mutex:
            self._ended.set()
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(self._patience)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join()

    def runs(self) -> bool:
        """Whether there is a worker now."""
        with self._mutex:
            return self._process is not None and self._process.poll() is None

    def _watch(self) -> None:
        from rekindle.engine.clock import SystemClock

        clock, pause = SystemClock(), self._first_pause
        while not self._ended.is_set():
            began, process = clock.now(), self._begin()
            code = None if process is None else process.wait()
            if self._ended.is_set():
                return
            pause = self._first_pause if clock.now() - began > QUIET_SECONDS else min(2 * pause, LONGEST_PAUSE)
            if process is not None:
                log(__name__).warning(
                    "the worker ended; another is started, and training jobs go on", exit_code=code, seconds=pause
                )
            self._ended.wait(pause)

    def _begin(self) -> subprocess.Popen[bytes] | None:
        """A new worker; None at the end, and where the machine has no process for it now."""
        with self._mutex:
            if self._ended.is_set():
                return None
            self._process = None
            try:
                self._process = self._start()
            except OSError as error:
                log(__name__).warning("the worker cannot be started; trying again", reason=str(error))
            return self._process


def worker_beside(address: Address) -> WorkerBeside:
    """The worker for the server at an address."""

    def start() -> subprocess.Popen[bytes]:
        import os
        import subprocess
        import sys

        told = [str(os.getpid()), address.host, str(address.port), str(address.proxy_port)]
        # In a session of its own: Ctrl-C is for the server, which passes it on once it has answered who is waiting.
        argv = [sys.executable, "-c", _START, "serve-worker", *told]
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)

    return WorkerBeside(start)


def serve_worker(
    server: Annotated[int, typer.Argument()],
    host: Annotated[str, typer.Argument()],
    port: Annotated[int, typer.Argument()],
    proxy_port: Annotated[int, typer.Argument()],
) -> None:
    """The worker of a server that runs as the process SERVER; ends when that does. `rekindle serve` starts it."""
    import os

    from rekindle.cli.follow import Interrupt
    from rekindle.cli.logging import log_to_stderr
    from rekindle.serving import Address, known_credentials, served_app
    from rekindle.settings import load_settings

    settings = load_settings()
    log_to_stderr()
    app = served_app(settings, Address(host, port, proxy_port), known_credentials(settings))
    with Interrupt() as interrupt, app.telling():
        app.worker().run(lambda: interrupt.requested or os.getppid() != server)
