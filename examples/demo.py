"""`make demo`: tunes a real classifier, warm-starts a second tuning job from the first, and shows why that helped.

Everything it makes is in the folder .demo, which it empties first.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".demo"
BIN = Path(sys.executable).parent
JOBS = ROOT / "examples" / "digits-svm"


def rekindle(*arguments: str, capture: bool = False) -> str:
    """Runs the command as a user would, with .demo as its home and this environment's python first."""
    environ = {**os.environ, "REKINDLE_HOME": str(HOME), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(BIN / "rekindle"), *arguments], check=False, env=environ, stdout=subprocess.PIPE if capture else None, text=True
    )
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout or ""


def asked(*arguments: str) -> Any:
    """What a command prints with --json."""
    return json.loads(rekindle(*arguments, "--json", capture=True))


def running_best(name: str) -> list[float]:
    """The best accuracy after 1, 2, ... training jobs, in the order in which they were chosen."""
    values = [t["objective"] for t in asked("trials", name) if t["objective"] is not None]
    return [max(values[: i + 1]) for i in range(len(values))]


def show_why(console: Console) -> None:
    """The two jobs side by side."""
    cold, warm = running_best("digits-svm"), running_best("digits-svm-2")
    table = Table(title="Best accuracy so far", title_justify="left")
    table.add_column("after training jobs", justify="right")
    table.add_column("digits-svm, from nothing", justify="right")
    table.add_column("digits-svm-2, warm start", justify="right")
    for count in (1, 2, 3, 5, 10, 24):
        table.add_row(str(count), *(f"{best[count - 1]:.4f}" if count <= len(best) else "" for best in (cold, warm)))
    console.print(table)
    console.print(worth(cold, warm))


def worth(cold: list[float], warm: list[float]) -> str:
    """What the warm start was worth, where it was farthest ahead of the first job."""

    def needed(value: float) -> int:
        return next((i for i, best in enumerate(cold, start=1) if best >= value), len(cold) + 1)

    count = max(range(1, len(warm) + 1), key=lambda n: (needed(warm[n - 1]) - n, -n))
    value, took = warm[count - 1], needed(warm[count - 1])
    if took <= count:
        return "This time the warm start was no faster than the first job; `rekindle explain` says what it made of its parent."
    jobs = "Its very first training job" if count == 1 else f"With {count} training jobs the second job"
    never = f"none of the first job's {len(cold)} training jobs got there"
    first = f"the first job took {took} to get there" if took <= len(cold) else never
    return f"{jobs} reached {value:.4f}; {first}.\nIt began with what its parent had learnt, instead of with a look around."


def show_end(console: Console) -> None:
    """The best across both jobs, its model, and what to type next."""
    job = asked("show", "digits-svm-2")
    best = job["overall_best"] or job["best"]
    table = Table(title="The overall best across both tuning jobs", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("accuracy", f"{best['objective']:.4f}")
    table.add_row("configuration", ", ".join(f"{name}={value}" for name, value in best["values"].items()))
    table.add_row("training job", best["name"])
    table.add_row("model", str(best["model"]))
    console.print(table)
    here = BIN.relative_to(ROOT)
    console.print("What to type next:", style="bold")
    console.print(f"  export REKINDLE_HOME={HOME}")
    console.print(f"  {here}/rekindle trials digits-svm-2 --sort objective        every training job, the best first")
    console.print(f"  {here}/rekindle explain digits-svm-2                        what it took from its parent")
    console.print(f"  {here}/rekindle report digits-svm-2                         the same as a page with charts")
    console.print(f"  {here}/rekindle plan examples/random-or-bayesian/job.yaml   how a job file is checked; make it yours")


def main() -> None:
    """Two tuning jobs and what they show."""
    console = Console(soft_wrap=True, highlight=False)
    shutil.rmtree(HOME, ignore_errors=True)
    console.rule("1. A tuning job: 24 training jobs, 2 at a time, Bayesian", align="left")
    rekindle("tune", str(JOBS / "job.yaml"))
    console.rule("2. A second tuning job that warm-starts from the first", align="left")
    rekindle("tune", str(JOBS / "job-2.yaml"))
    console.rule("3. What the warm start was worth", align="left")
    show_why(console)
    show_end(console)


if __name__ == "__main__":
    main()
