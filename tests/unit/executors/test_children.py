"""Starting processes."""

from __future__ import annotations

import os
import signal

import pytest

from rekindle.executors import children


def test_who_is_killed_before_it_begins_is_found_by_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(pid: int, noted: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        note(pid, noted)

    note = children._note
    monkeypatch.setattr(children, "_note", killed)
    pid = children.spawn(["/bin/true"], [], "/", 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
