"""What other systems are told of state changes: ``events``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rekindle.cli.options import JsonOption
from rekindle.cli.printing import complain, counted, show, table, tell, write_json

if TYPE_CHECKING:
    from rekindle.engine.event_ports import Outbox, SinkState


def events(
    retry: Annotated[bool, typer.Option("--retry", help="Tell at once what failed, and what was given up too.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Throw away every event that has not been told.")] = False,
    only: Annotated[str, typer.Option("--only", metavar="NAME", help="Just this receiver.", show_default="all")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show how the telling of state changes goes: to each webhook and file that the settings name."""
    from rekindle.cli.opened import open_app

    app = open_app()
    if app.outbox is None:
        return
    named = {sink.name for sink in app.sinks}
    if only:
        _check_known(app.outbox, named, only)
    if drop:
        complain(f"{counted(app.outbox.drop_events(only), 'event')} thrown away")
    elif retry:
        again = app.outbox.try_again(only)
        complain(f"given up, and for the next worker to tell after all: {counted(again, 'event')}")
    records = [_record(state, named) for state in _states(app.outbox, named) if only in ("", state.name)]
    if as_json:
        write_json(records)
    else:
        _show(records)


def _check_known(outbox: Outbox, named: set[str], only: str) -> None:
    """Raises InvalidValue for a receiver that nobody knows."""
    from rekindle.domain.errors import InvalidValue

    known = [state.name for state in _states(outbox, named)]
    if only not in known:
        raise InvalidValue("--only", only, f"not one of {', '.join(known)}" if known else "there are no receivers")


def _states(outbox: Outbox, named: set[str]) -> list[SinkState]:
    """How it goes with each that ever had an event, and with each that the settings name."""
    from rekindle.engine.event_ports import SinkState

    known = {state.name: state for state in outbox.sink_states()}
    return [known.get(name) or SinkState(name) for name in sorted({*known, *named})]


def _record(state: SinkState, named: set[str]) -> dict[str, Any]:
    from rekindle.cli.records import moment

    return {
        "sink": state.name,
        "in_settings": state.name in named,
        "told": state.told,
        "waiting": state.waiting,
        "oldest": moment(state.oldest),
        "given_up": state.given_up,
        "failures": state.failures,
        "next_try": moment(state.due_at) if state.waiting else None,
        "error": state.error,
    }


def _show(records: list[dict[str, Any]]) -> None:
    if not records:
        tell("No events yet; the settings name nobody. See docs/events.md.")
        return
    columns = ["sink", "told", "waiting", "oldest", "given up", "next try", "last error"]
    keys = ["sink", "told", "waiting", "oldest", "given_up", "next_try", "error"]
    show(table(columns, [[record[key] for key in keys] for record in records], right=["told", "waiting", "given up"]))
    for record in records:
        if not record["in_settings"] and record["waiting"]:
            tell(f"{record['sink']}: not named in this shell's settings; a worker that has it in its own tells it")
