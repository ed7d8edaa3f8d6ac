"""Built-in algorithms run within the test's own process, on small data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rekindle.algorithms.job import Job
from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.metrics import MetricScanner
from support.tables import write_csv


def job(folder: Path, hyperparameters: Mapping[str, str], **channels: Any) -> Job:
    """A training job in a folder; each channel is its content type, for files that are there."""
    for name in ("model", "output/data", "checkpoints"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Job(
        hyperparameters=dict(hyperparameters),
        channels=channels,
        data=folder / "input",
        model=folder / "model",
        output=folder / "output" / "data",
        checkpoints=folder / "checkpoints",
        keeps_checkpoints=True,
        host="algo-1",
        hosts=("algo-1",),
    )


def csv_job(
    folder: Path,
    hyperparameters: Mapping[str, str],
    data: Callable[[int], tuple[Any, Any]],
    held: Sequence[str] = ("validation",),
    rows: int = 400,
) -> Job:
    """A training job whose channel ``train`` holds three quarters of the rows, and each of ``held`` the rest."""
    features, labels = data(rows)
    cut = rows * 3 // 4
    write_csv(folder / "input" / "train" / "a.csv", features[:cut], labels[:cut])
    for name in held:
        write_csv(folder / "input" / name / "a.csv", features[cut:], labels[cut:])
    return job(folder, hyperparameters, train="text/csv", **dict.fromkeys(held, "text/csv"))


def caught(image: str, log: str) -> dict[str, list[float]]:
    """What the metric definitions of an image catch in a log."""
    found: dict[str, list[float]] = {}
    scanner = MetricScanner(builtin_named(image).metrics)
    for line in log.splitlines():
        for emission in scanner.scan(line):
            found.setdefault(emission.metric, []).append(emission.value)
    return found
