"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

JobFileArgument = Annotated[
    str, typer.Argument(metavar="JOB.yaml", help="A job file, or SageMaker's request as JSON; - is stdin.", show_default=False)
]
TuningJobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A tuning job's name.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON; its keys are in docs/cli.md.")]


def whole_number(option: str, least: int, most: int | None = None) -> Callable[[str | int], int]:
    """What reads an option's whole number from ``least`` to ``most``; it raises InvalidValue: typer's own sentences name no
    value."""

    def read(given: str | int) -> int:
        from rekindle.domain.errors import InvalidValue

        try:
            number = int(given)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            bounds = f"from {least} on" if most is None else f"from {least} to {most}"
            raise InvalidValue(option, given, f"not a whole number {bounds}")
        return number

    return read
