"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

JobFileArgument = Annotated[
    str, typer.Argument(metavar="JOB.yaml", help="A job file, or SageMaker's request as JSON.", show_default=False)
]
TuningJobArgument = Annotated[str, typer.Argument(metavar="JOB", help="A tuning job's name.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON; its keys are in docs/cli.md.")]
