"""The command ``rekindle``: its commands, and what becomes of their errors."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from rekindle.cli import beside, change, events, history, jobs, keys, logs, metrics, plan, replay, run, serve, tune
from rekindle.cli.problems import ExitCode, report

EPILOG = (
    "Exit codes: 0 done; 1 the tuning job failed; 2 a job file, argument or setting is not valid; 3 not found, name in use, or "
    "not possible in this state; 4 the store cannot be reached; 130 interrupted (a tuning job can be resumed)."
)
COMMANDS = (
    tune.tune,
    plan.plan,
    jobs.jobs,
    jobs.show,
    jobs.best,
    jobs.trials,
    logs.logs,
    change.stop,
    tune.resume,
    change.delete,
    metrics.metrics,
    history.import_,
    history.export,
    replay.explain,
    replay.verify,
    tune.worker,
    serve.serve,
    serve.env,
    events.events,
    run.run,
)


def build_app() -> typer.Typer:
    """The command line with all its commands."""
    app = typer.Typer(
        name="rekindle",
        help="Automatic model tuning on your own machines.",
        epilog=EPILOG,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for command in COMMANDS:
        settings = run.CONTEXT if command is run.run else None
        app.command(command.__name__.rstrip("_"), epilog=EPILOG, context_settings=settings)(command)
    app.command("serve-worker", hidden=True)(beside.serve_worker)
    app.add_typer(keys.build_keys(EPILOG), name="keys", epilog=EPILOG)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; errors are one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    _open_closed_streams()
    try:
        code = build_app()(arguments, prog_name="rekindle", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except (typer.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except SystemExit as left:
        if not _is_closed_pipe(left.__context__):
            raise
        return report(BrokenPipeError())
    except Exception as error:
        if "--debug" in arguments[:1]:
            raise
        return report(_directed(error))


def _open_closed_streams() -> None:
    """Python has None for a stream that its caller closed (``>&-``); what is written there goes nowhere."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115 - it stays open to the end of the program
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115


def _is_closed_pipe(error: BaseException | None) -> bool:
    """Whether typer left because of this error: it turns EPIPE into ``sys.exit(1)``, also where it should only raise."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _directed(error: Exception) -> Exception:
    from rekindle.domain.errors import NotFound

    if not isinstance(error, NotFound):
        return error
    from rekindle.cli.nearby import directed

    return directed(error)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("rekindle"))
        raise typer.Exit


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the whole program; ``main`` looks at ``--debug`` itself."""


if __name__ == "__main__":
    sys.exit(main())
