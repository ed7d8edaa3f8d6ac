"""What this machine has, and each training job's part of it."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
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
#: Where Linux says which control groups we are in, and where those are.
_OUR_GROUPS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_DEVICE = re.compile(r"nvidia(\d+)")


def cpus() -> int:
    """How many processors we may use: as the scheduler and, in a container, its limit let us."""
    try:
        ours = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        ours = os.cpu_count() or 1
    return min([ours, *(math.ceil(limit) for limit in _cpu_limits())])


def memory() -> float:
    """How much memory this machine has, or we may use of it in a container, in GB."""
    import psutil

    limits = (found[0] for found in _limits("memory", ("memory.max",), ("memory.limit_in_bytes",)))
    return min([float(psutil.virtual_memory().total), *(limit for limit in limits if limit > 0)]) / 2**30


def _cpu_limits() -> Iterator[float]:
    for found in _limits("cpu", ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        if len(found) == 2 and min(found) > 0:
            yield found[0] / found[1]


def _limits(controller: str, of_v2: Sequence[str], of_v1: Sequence[str]) -> Iterator[list[float]]:
    """What the control groups say that we are in, and those above them: the numbers of their files, where they set a limit.
    ``max`` sets none, nor does what a system writes there that only looks like Linux."""
    for group in _groups(controller):
        for names in (of_v2, of_v1):
            with contextlib.suppress(OSError, ValueError):
                found = [float(word) for name in names for word in (group / name).read_text().split()]
                if found:
                    yield found


def _groups(controller: str) -> Iterator[Path]:
    """The folders of our control groups; a container may see no more than the root of its own. Linux."""
    with contextlib.suppress(OSError, ValueError):
        for line in _OUR_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            root = _GROUPS / controller if controllers else _GROUPS
            if not controllers or controller in controllers.split(","):
                inside = Path(path.lstrip("/"))
                yield from (root / part for part in (inside, *inside.parents))


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
