"""The program of a training job with the image of XGBoost: ``python -m rekindle.algorithms.xgboost``."""

from __future__ import annotations

import sys

from rekindle.algorithms.job import Job, UserError, run


def main() -> int:
    """Trains; the exit code."""
    # The library imports scikit-learn where that is installed, for an interface that is not used here, and pays for it with
    # most of a small job's time.
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    return run(_train)


def _train(job: Job) -> None:
    try:
        from rekindle.algorithms.boosting import train
    except Exception as error:  # of whatever the library lacks, as OpenMP's on macOS; it says so on many lines
        raise UserError(f"xgboost cannot be loaded: {' '.join(str(error).split())}") from error
    train(job)


if __name__ == "__main__":
    sys.exit(main())
