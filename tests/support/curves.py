"""Recorded learning curves, replayed by the simulated executor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pandas as pd

from rekindle.search.space import Continuous, Integer, Parameter
from support.simulated import Script

_DATA = Path(__file__).parents[2] / "benchmarks" / "tasks" / "data"


@cache
def recorded(algorithm: str = "sgd", data: str = "hard") -> tuple[tuple[float, ...], ...]:
    """The held-out objective after each epoch, a curve for each configuration; lower is better."""
    frame = pd.read_parquet(_DATA / f"curves-{algorithm}.parquet", columns=[f"curve:{data}"])
    return tuple(tuple(float(v) for v in curve) for curve in frame[f"curve:{data}"])


def ranges() -> tuple[Parameter, ...]:
    """A configuration is a recorded curve, and a small shift by which no two of them are alike."""
    return (Integer("curve", 0, len(recorded()) - 1, "Linear"), Continuous("shift", 0.0, 1.0, "Linear"))


def replayed(hyperparameters: Mapping[str, str], epochs: int = 81, seconds: float = 1.0) -> Script:
    """The first epochs of a configuration's curve; an epoch takes up to twice ``seconds``, by the shift."""
    shift = float(hyperparameters["shift"])
    values = [v + 1e-3 * shift for v in recorded()[int(hyperparameters["curve"])][:epochs]]
    return Script(values, seconds=len(values) * seconds * (1 + shift))
