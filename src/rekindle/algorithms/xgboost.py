"""The program of a training job with the image of XGBoost: ``python -m rekindle.algorithms.xgboost``."""

from __future__ import annotations

import sys


def main() -> int:
    """Trains; the exit code."""
    # The library imports scikit-learn where that is installed, for an interface that is not used here, and pays for it with
    # most of a small job's time.
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    from rekindle.algorithms.boosting import train
    from rekindle.algorithms.job import run

    return run(train)


if __name__ == "__main__":
    sys.exit(main())
