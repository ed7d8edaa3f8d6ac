"""What a machine has: no more than its control groups let us use, as in a container."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from rekindle.executors import machine

GB = 2**30
V2 = "0::/pod/us\n"
V1 = "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n"


@pytest.mark.parametrize(
    ("ours", "files", "cpus", "memory"),
    [
        (V2, {}, 64, 256.0),
        (V2, {"pod/us/cpu.max": "max 100000", "pod/us/memory.max": "max"}, 64, 256.0),
        (V2, {"pod/us/cpu.max": "150000 100000", "pod/us/memory.max": f"{2 * GB}"}, 2, 2.0),
        (V2, {"pod/us/cpu.max": "max 100000", "pod/cpu.max": "300000 100000", "pod/memory.max": f"{4 * GB}"}, 3, 4.0),
        # Not as Linux writes it.
        (f"\nmemory\n{V2}", {"pod/us/cpu.max": "50000", "pod/us/memory.max": "none"}, 64, 256.0),
        (V2, {"pod/us/cpu.max": "50000", "pod/us/memory.max": "none", "pod/cpu.max": "2 1", "pod/memory.max": f"{GB}"}, 2, 1.0),
        # In a container that does not see where its groups are among the machine's.
        (V2, {"cpu.max": "100000 100000", "memory.max": f"{GB}"}, 1, 1.0),
        (
            V1,
            {
                "cpu/cpu.cfs_quota_us": "200000",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": f"{8 * GB}",
            },
            2,
            8.0,
        ),
        (
            V1,
            {
                "cpu/docker/abc/cpu.cfs_quota_us": "-1",
                "cpu/docker/abc/cpu.cfs_period_us": "100000",
                "memory/docker/abc/memory.limit_in_bytes": "9223372036854771712",
            },
            64,
            256.0,
        ),
    ],
)
def test_control_groups_are_heeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: str, files: Mapping[str, str], cpus: int, memory: float
) -> None:
    (tmp_path / "ours").write_text(ours)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(f"{text}\n")
    monkeypatch.setattr(machine, "_OUR_GROUPS", tmp_path / "ours")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Has", (), {"total": 256 * GB}))
    assert (machine.cpus(), machine.memory()) == (cpus, memory)
