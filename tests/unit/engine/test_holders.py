"""Who a worker is, and whether it still lives."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import psutil
import pytest

from rekindle.engine import processes
from rekindle.engine.holders import holder_name, is_dead


def test_a_process_that_lives_is_not_called_dead_and_one_that_ended_is() -> None:
    tell = "from rekindle.engine.holders import holder_name; print(holder_name(), flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", tell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdin is not None
    name = other.stdout.readline().strip()
    assert [is_dead(holder_name()), is_dead(name)] == [False, False]
    other.stdin.write("\n")
    other.stdin.close()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(name), "nobody has looked at it yet"
    other.wait()
    other.stdout.close()
    assert is_dead(name)


def test_a_later_process_of_the_same_number_is_another() -> None:
    assert is_dead(f"{socket.gethostname()}/{os.getpid()}/1")
    assert not is_dead(f"elsewhere/{os.getpid()}/1")
    assert not is_dead(socket.gethostname()), "no process is named"


def test_a_clock_that_is_set_makes_nobody_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    name = holder_name()
    started = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: started + 3600.0)
    assert not is_dead(name)


@pytest.mark.skipif(not os.path.exists("/bin/ps"), reason="what stands in for it is not there")
def test_nor_does_it_where_there_is_no_proc_as_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_pid: int) -> list[bytes]:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(processes, "stat", absent)
    monkeypatch.setattr(sys, "platform", "darwin")
    test_a_clock_that_is_set_makes_nobody_dead(monkeypatch)
    test_a_later_process_of_the_same_number_is_another()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess((), 1, "", ""))
    assert not is_dead(f"{socket.gethostname()}/{os.getpid()}/1"), "what cannot be told"


@pytest.mark.parametrize("problem", [psutil.AccessDenied, psutil.NoSuchProcess])
def test_nor_does_a_machine_that_hides_the_processes_of_other_users(
    monkeypatch: pytest.MonkeyPatch, problem: type[psutil.Error]
) -> None:
    def hidden(pid: int) -> psutil.Process:
        raise problem(pid)

    def not_ours(_pid: int, _number: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(psutil, "Process", hidden)
    monkeypatch.setattr(os, "kill", not_ours)
    assert not is_dead(f"{socket.gethostname()}/{os.getpid()}/1")
