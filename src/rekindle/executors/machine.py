"""What this machine has, and each training job's part of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

#: Where libraries look for how many threads they may use.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
_DEVICE = re.compile(r"nvidia(\d+)")


def cpus() -> int:
    """How many processors we may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def memory() -> float:
    """How much memory this machine has, in GB."""
    import psutil

    return float(psutil.virtual_memory().total) / 2**30


def gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The NVIDIA devices that we may use: those of CUDA_VISIBLE_DEVICES where it is set."""
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(name.strip() for name in chosen.split(",") if name.strip() and name.strip() != "-1")
    devices = Path("/dev").glob("nvidia[0-9]*") if Path("/dev/nvidiactl").exists() else ()
    return tuple(sorted((m[1] for d in devices if (m := _DEVICE.fullmatch(d.name))), key=int))


def thread_variables(threads: int) -> dict[str, str]:
    """Variables that hold numerical libraries to a number of threads."""
    return dict.fromkeys(_THREADS, str(max(1, threads)))
