"""The commands of ``rekindle``, put together."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rekindle.cli import beside, change, events, history, jobs, keys, logs, metrics, plan, replay, report, run, serve, tune
from rekindle.cli.interrupts import is_interrupt
from rekindle.cli.problems import Interrupted

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
    report.report,
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
        cls=_Commands,
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


class _Commands(TyperGroup):
    """Leaves at Ctrl-C with an error like others, before typer makes an exit without a word of it."""

    def make_context(self, *given: Any, **named: Any) -> Any:
        try:
            return super().make_context(*given, **named)
        except KeyboardInterrupt as error:
            raise Interrupted("interrupted before anything was done") from error

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, ImportError) as error:
            if not is_interrupt(error):
                raise
            raise Interrupted("interrupted") from error
        except typer.Abort as error:  # somebody was asked, and did not say yes
            raise Interrupted("nothing was changed") from error


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
