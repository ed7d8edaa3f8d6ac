"""The process executor keeps every promise of the port, and those of its own."""

from __future__ import annotations

import contextlib
import errno
import gc
import operator
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import PROGRAM, SUBMITTED, Algorithm, Channel, Checkpoints, Output, Owner, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.engine.paths import path_in
from rekindle.engine.ports import NO_POINTS, Executor, Run, RunKey, RunState, StoreUnavailable
from rekindle.executors import folders, journal, leftovers, locks, machine, orders, process, records, workdir
from rekindle.executors.attempts import Attempt
from rekindle.executors.folders import Folders
from rekindle.executors.host import Host
from rekindle.executors.journal import JournalReader
from rekindle.executors.process import ProcessExecutor
from support.processes import alive

from .executor_suite import IGNORE_SIGTERM, KEY, PATIENCE, WAIT_FOREVER, Bench, archived, finished, until
from .supervised_suite import ENVIRONMENT, SupervisedSuite, supervisor_of

#: Longer than a file's name may be.
LONG = "long" * 100


def attempt_of(bench: Bench, key: RunKey = KEY) -> Path:
    return bench.home / "tuning" / key.name / ".rekindle" / str(key.attempt)


def launch_and_die(command: list[str], seconds: float) -> None:
    """Starts a process that launches a run, and kills it once it has worked for ``seconds``."""
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT)
    assert victim.stdout.readline() == b"go\n", "it did not come to launch anything"
    worked = lambda: victim.poll() is not None or psutil.Process(victim.pid).cpu_times().user  # noqa: E731
    began = 0.0 if (done := worked()) is True else done
    until(lambda: (now := worked()) is True or now >= began + seconds, "work")
    victim.kill()
    victim.communicate()


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class TestProcessExecutor(SupervisedSuite):
    def test_a_supervisor_that_does_not_begin_is_told_and_started_again_after_a_while(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        started, start = [], process._start_supervisor
        monkeypatch.setattr(process, "_start_supervisor", lambda *words: (started.append(words), start(*words))[1])
        run = bench.run("mark('ran')")
        with monkeypatch.context() as replaced, capture_logs() as told:
            # A package that is being replaced.
            replaced.setattr(process, "_START", "import nowhere")
            executor.launch(run)
            until(lambda: executor.report(KEY) is None, "its end")
            # For a while from then on, which on a crowded machine may be over before we have looked.
            ended = (executor._ordered(KEY).folder / workdir.ERRORS).stat().st_mtime
            replaced.setattr(executor._clock, "now", lambda: ended + 1.0, raising=False)
            for _ in range(20):
                executor.launch(run)
                assert executor.report(KEY) is None
        assert len(started) == 1
        assert [f"{line['event']}: {line['reason']}" for line in told] == [
            "cannot launch now; trying again: the training job's supervisor did not begin: "
            "ModuleNotFoundError: No module named 'nowhere'"
        ]
        monkeypatch.setattr(executor._clock, "now", lambda: ended + 6.0, raising=False)
        executor.launch(run)
        monkeypatch.undo()
        assert finished(executor).state is RunState.COMPLETED

    # Where there is neither a guard nor another's environment to be seen, as on macOS.

    @pytest.fixture
    def as_on_macos(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "_START", process._START.replace("import sys;", "import sys; sys.platform = 'darwin';", 1))
        monkeypatch.setattr(psutil.Process, "environ", lambda _: {})

    def test_a_supervisor_leaves_our_session_though_it_cannot_be_started_in_one_of_its_own(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def spawn(*arguments: object, setsid: bool = False, **options: object) -> int:
            if setsid:
                raise NotImplementedError("posix_spawn: setsid unavailable on this platform")
            return without(*arguments, **options)

        without = os.posix_spawn
        monkeypatch.setattr(os, "posix_spawn", spawn)
        executor.launch(bench.run(WAIT_FOREVER))
        bench.await_mark("ready")
        assert os.getsid(supervisor_of(bench.home, KEY).pid) != os.getsid(0)
        executor.stop(KEY)
        assert finished(executor).state is RunState.STOPPED

    @pytest.mark.usefixtures("as_on_macos")
    def test_what_a_killed_supervisor_leaves_is_known_by_its_notes(self, bench: Bench, executor: Executor) -> None:
        own = "import subprocess\nsubprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1, start_new_session=True)\n"
        executor.launch(bench.run(own + IGNORE_SIGTERM))
        bench.await_mark("ready")
        left = supervisor_of(bench.home, KEY).children(recursive=True)
        self.kill_supervisor(executor, KEY)
        assert len([p for p in left if alive(p.pid)]) == 2
        assert finished(executor).state is RunState.LOST
        assert [p for p in left if alive(p.pid)] == []

    @pytest.mark.usefixtures("as_on_macos")
    def test_so_it_is_where_the_folder_was_removed(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run(IGNORE_SIGTERM))
        bench.await_mark("ready")
        supervisor = supervisor_of(bench.home, KEY)
        former = [supervisor, *supervisor.children(recursive=True)]
        shutil.rmtree(bench.home / "tuning")
        again = RunKey(KEY.name, 2)
        self.make(bench.home).launch(bench.run("mark('again')", key=again))
        assert [p for p in former if alive(p.pid)] == []
        assert len(former) == 2
        assert finished(executor, again).state is RunState.COMPLETED

    def test_what_is_noted_of_a_number_is_not_said_of_a_later_process(self, tmp_path: Path) -> None:
        bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        (tmp_path / "started").write_text(f"{bystander.pid} 1\n{bystander.pid} \n{bystander.pid}\n\0\0 1\nx 1")
        leftovers.kill_marked(str(tmp_path))
        bystander.communicate(b"\n")
        assert bystander.returncode == 0

    # A folder that somebody removes.

    def test_a_run_whose_folder_is_removed_is_lost_and_not_launched_again(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run("mark('ran')\nimport shutil\nshutil.rmtree(os.path.abspath('..'), ignore_errors=True)"))
        report = finished(executor)
        assert report.state is RunState.LOST
        assert bench.marked("ran") == 1
        executor.launch(bench.run("mark('ran')", key=RunKey(KEY.name, 2)))
        assert finished(executor, RunKey(KEY.name, 2)).state is RunState.COMPLETED

    def test_a_run_whose_folder_is_removed_runs_until_it_is_stopped(self, bench: Bench) -> None:
        executor = self.make(bench.home, grace=0.1)
        script = "import shutil\nshutil.rmtree(os.path.abspath('..'), ignore_errors=True)\nmark('ready')\n"
        executor.launch(bench.run(script + WAIT_FOREVER))
        bench.await_mark("ready")
        assert executor.report(KEY).state is RunState.RUNNING
        executor.stop(KEY)
        assert finished(executor).state is RunState.LOST

    @pytest.mark.parametrize("removed", [f"tuning/{KEY.name}", "tuning", "."])
    def test_the_attempt_after_a_removed_folder_starts_and_never_beside_the_one_before(
        self, bench: Bench, removed: str
    ) -> None:
        executor, another = self.make(bench.home), self.make(bench.home)
        executor.launch(bench.run(IGNORE_SIGTERM))
        bench.await_mark("ready")
        supervisor = supervisor_of(bench.home, KEY)
        former = [supervisor.parent(), supervisor, *supervisor.children(recursive=True)]
        shutil.rmtree(bench.home / removed)
        # Another process knows nothing of it but what is recorded elsewhere: it is at its next attempt.
        assert another.report(KEY) is None
        again = RunKey(KEY.name, 2)
        another.launch(bench.run("mark('again')", key=again))
        assert len(former) == 3
        assert [p for p in former if alive(p.pid)] == []
        assert finished(another, again).state is RunState.COMPLETED
        assert bench.marked("again") == 1

    @pytest.mark.skipif(os.pathconf("/", "PC_PATH_MAX") < 4096, reason="no path is so long here")
    @pytest.mark.parametrize("compression", ["GZIP", "NONE"])
    def test_a_model_of_folders_that_lie_deep_in_one_another_is_kept_and_can_be_removed(
        self, bench: Bench, executor: Executor, tmp_path: Path, compression: str
    ) -> None:
        """The attempt counted as lost, and was run again."""
        script = "os.chdir('../model')\nfor _ in range(1100): os.mkdir('d'); os.chdir('d')\nopen('m', 'w').write('deep')\n"
        executor.launch(bench.run(script, output=Output((tmp_path / "out").as_uri(), compression)))
        report = finished(executor)
        assert report.state is RunState.COMPLETED, report.failure_reason
        place = Path(path_in(report.model_uri))
        deep = "d/" * 1100 + "m"
        assert archived(report.model_uri) == {deep: "deep"} if compression == "GZIP" else (place / deep).is_file()
        executor.forget(KEY.owner, KEY.name)
        workdir.remove_tree(str(place.parent))
        assert not (bench.home / "tuning" / KEY.name).exists()
        assert not place.parent.exists()

    @pytest.mark.parametrize("ending", ["stop", "launch"])
    def test_nor_does_it_go_on_beside_itself_where_nobody_who_is_left_knows_of_it(self, bench: Bench, ending: str) -> None:
        """Its launcher died before the record could say that it began, or before the wish that it stops."""
        executor, another = self.make(bench.home), self.make(bench.home)
        executor.launch(bench.run(IGNORE_SIGTERM))
        bench.await_mark("ready")
        supervisor = supervisor_of(bench.home, KEY)
        former = [supervisor.parent(), supervisor, *supervisor.children(recursive=True)]
        shutil.rmtree(bench.home / "tuning" / KEY.name)
        another.stop(KEY) if ending == "stop" else another.launch(bench.run("mark('again')"))
        assert [p for p in former if alive(p.pid)] == []

    def test_what_somebody_has_begun_meanwhile_is_not_taken_for_a_run_without_a_folder(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        another, scan = self.make(bench.home), psutil.process_iter
        Folders(bench.home).claim(bench.run(WAIT_FOREVER))
        scans = iter(range(99))

        def meanwhile() -> object:
            # It is looked for by who launches it, too.
            if next(scans) == 0:
                executor.launch(bench.run(WAIT_FOREVER))
                bench.await_mark("ready")
            return scan()

        monkeypatch.setattr(psutil, "process_iter", meanwhile)
        shutil.rmtree(bench.home / "tuning" / KEY.name)
        another.stop(KEY)
        assert executor.report(KEY).state is RunState.RUNNING
        executor.stop(KEY)
        assert finished(executor).state is RunState.STOPPED

    def test_a_run_whose_folder_cannot_be_looked_at_for_a_moment_is_not_lost(self, bench: Bench) -> None:
        executor, another = self.make(bench.home), self.make(bench.home)
        executor.launch(bench.run("mark('ran')"))
        index, aside = bench.home / ".by-name", bench.home / "aside"
        index.rename(aside)
        index.symlink_to(index)  # as bad as a network's file system that does not answer
        for look in (another.report, another.stop, lambda key: another.has_log(key.owner, key.name)):
            with pytest.raises(StoreUnavailable, match="symbolic links"):
                look(KEY)
        another.wait([KEY], 0.01)
        index.unlink()
        aside.rename(index)
        assert finished(another).state is RunState.COMPLETED
        assert bench.marked("ran") == 1

    @pytest.mark.parametrize("inside", [".rekindle", ".rekindle/1", ".rekindle/1/orders"])
    def test_nor_is_its_end_where_only_a_part_of_it_cannot_be_looked_at(self, bench: Bench, inside: str) -> None:
        executor, another = self.make(bench.home), self.make(bench.home)
        executor.launch(bench.run("mark('ran')"))
        finished(executor)
        place, aside = bench.home / "tuning" / KEY.name / inside, bench.home / "aside"
        place.rename(aside)
        place.symlink_to(place)
        for look in (another.report, another.stop, another.adopt):
            with pytest.raises(StoreUnavailable, match="symbolic links"):
                look(KEY)
        place.unlink()
        aside.rename(place)
        assert finished(another).state is RunState.COMPLETED

    # A folder that cannot be made.

    @pytest.mark.parametrize("place", ["tuning", f"tuning/{KEY.name}", f"tuning/{KEY.name}/.rekindle"])
    def test_a_run_in_whose_folders_place_a_file_lies_fails(self, bench: Bench, executor: Executor, place: str) -> None:
        (bench.home / place).parent.mkdir(parents=True, exist_ok=True)
        (bench.home / place).write_text("somebody's")
        assert executor.report(KEY) is None
        executor.launch(bench.run("mark('ran')"))
        report = executor.report(KEY)
        assert report is not None
        assert report.state is RunState.FAILED
        assert (report.failure_reason or "").startswith("ClientError: The training job's folder could not be made: the file")
        assert str(bench.home / place) in (report.failure_reason or "")
        assert (bench.home / place).read_text() == "somebody's"
        assert bench.marked("ran") == 0

    def test_what_may_pass_is_waited_for_and_told_once_a_minute(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = bench.run("mark('ran')")
        with monkeypatch.context() as full, capture_logs() as told:
            full.setattr(Folders, "claim", no_room)
            for _ in range(3):
                executor.launch(run)
                assert executor.report(KEY) is None
        assert [line["event"] for line in told] == ["cannot launch now; trying again"]
        executor.launch(run)
        assert finished(executor).state is RunState.COMPLETED

    # What failed, and the way out.

    @pytest.mark.parametrize("needed", ["", ", required=True"])
    def test_an_option_that_the_program_spells_otherwise_is_told_as_it_spells_it(
        self, bench: Bench, executor: Executor, needed: str
    ) -> None:
        script = f"import argparse\np = argparse.ArgumentParser()\np.add_argument('--batch-size'{needed})\n"
        executor.launch(bench.run(f"{script}p.add_argument('--lr')\np.parse_args()\n", {"batch_size": "8", "lr": "1"}))
        report = finished(executor)
        assert (report.exit_code, report.state) == (2, RunState.FAILED)
        assert report.failure_reason.endswith(", exit code: 2. Its usage says --batch-size: name the hyperparameter so.")
        assert report.model_uri is None

    # A launcher that dies between two steps.

    def test_a_launcher_that_died_before_anything_started(self, bench: Bench, executor: Executor) -> None:
        run = bench.run("mark('ran')")
        folder = executor._folders.claim(run)
        assert executor.report(KEY) is None
        attempt_of(bench).mkdir(parents=True)
        assert executor.report(KEY) is None
        (attempt_of(bench) / "orders").write_bytes(b"cut sh")
        assert executor.report(KEY) is None
        (attempt_of(bench) / "lock").touch()
        (attempt_of(bench) / "orders").write_bytes(records.pack(orders.orders_of(run, folder, executor._host)))
        assert executor.report(KEY) is None
        executor.launch(run)
        assert finished(executor).state is RunState.COMPLETED
        assert bench.marked("ran") == 1

    def test_a_launcher_killed_at_any_moment(self, bench: Bench, executor: Executor) -> None:
        run = bench.run("mark('ran')")
        executor.launch(run)
        finished(executor)
        again = [sys.executable, "-c", LAUNCHER, str(bench.home), str(bench.source)]
        for i in range(4):
            # Each is killed a little later into its launch.
            launch_and_die([*again, f"victim-{i}"], 0.02 * i)
            key = RunKey(f"victim-{i}", 1)
            executor.launch(bench.run("mark('ran')", key=key))
            assert finished(executor, key).state is RunState.COMPLETED
            assert bench.marked("ran") == i + 2

    def test_a_second_supervisor_does_nothing(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run("mark('ran')"))
        first = finished(executor)
        lock = os.open(attempt_of(bench) / "lock", os.O_RDWR)
        try:
            pid = process._start_supervisor(attempt_of(bench), (lock,), ENVIRONMENT)
            assert os.waitpid(pid, 0)[1] == 0
        finally:
            os.close(lock)
        assert finished(executor) == first
        assert bench.marked("ran") == 1

    def test_stopped_before_its_supervisor_was_there(self, bench: Bench, executor: Executor) -> None:
        run = bench.run("mark('ran')")
        executor._folders.claim(run)
        attempt_of(bench).mkdir(parents=True)
        (attempt_of(bench) / "orders").touch()
        executor.stop(KEY)
        executor.launch(run)
        assert finished(executor).state is RunState.STOPPED
        assert bench.marked("ran") == 0

    def test_a_machine_that_goes_down_loses_the_run_and_fails_nobody(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run(WAIT_FOREVER))
        bench.await_mark("ready")
        supervisor_of(bench.home, KEY).send_signal(signal.SIGTERM)
        assert finished(executor).state is RunState.LOST

    def test_who_is_asked_about_one_run_looks_at_no_others(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = [RunKey(f"run-{number}", 1) for number in range(3)]
        for key in keys:
            executor.launch(bench.run("mark('ready')\ntime.sleep(600)", key=key))
        until(lambda: bench.marked("ready") == 3, "their start")
        looked, wait = [], os.waitpid
        with monkeypatch.context() as replaced:
            replaced.setattr(os, "waitpid", lambda pid, how: (looked.append(pid), wait(pid, how))[1])
            assert [executor.report(key).state for key in keys] == [RunState.RUNNING] * 3
        assert len(looked) == len(set(looked)) == 3
        for key in keys:
            executor.stop(key)
        for key in keys:
            assert finished(executor, key).state is RunState.STOPPED

    def test_a_signal_is_never_sent_to_a_later_process_of_the_same_number(self, bench: Bench) -> None:
        bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        process._signal(bystander.pid, "1")
        bystander.communicate(b"\n")
        assert bystander.returncode == 0

    def test_a_machine_without_room_can_be_asked_again(self, bench: Bench, executor: Executor) -> None:
        run = bench.run("mark('ran')")
        executor._folders.claim(run)
        attempt_of(bench).parent.mkdir()
        attempt_of(bench).write_text("in the way of a folder, as a full disk is")
        executor.launch(run)
        assert bench.marked("ran") == 0
        attempt_of(bench).unlink()
        executor.launch(run)
        assert finished(executor).state is RunState.COMPLETED

    def test_a_full_disk_keeps_an_end_or_a_wish_from_being_noted_and_nothing_else(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor.launch(bench.run(WAIT_FOREVER))
        bench.await_mark("ready")
        with monkeypatch.context() as full:
            full.setattr(Path, "touch", no_room)
            with pytest.raises(StoreUnavailable, match=r"job-1: the disk is full\."):
                executor.stop(KEY)
        self.kill_supervisor(executor, KEY)
        until(lambda: Attempt(attempt_of(bench)).is_free, "its guard's end")
        with monkeypatch.context() as full:
            full.setattr(leftovers, "kill_marked", no_room)
            with pytest.raises(StoreUnavailable, match=r"job-1: the disk is full\."):
                executor.report(KEY)
        assert executor.report(KEY).state is RunState.LOST

    def test_checkpoints_in_a_folder_in_place_of_the_link_are_there_at_the_next_attempt(
        self, bench: Bench, executor: Executor, tmp_path: Path
    ) -> None:
        kept = {"checkpoints": Checkpoints(str(tmp_path / "kept"))}
        own = "os.unlink('../checkpoints'); os.mkdir('../checkpoints'); open('../checkpoints/c', 'w').write('5')\n"
        executor.launch(bench.run(own + WAIT_FOREVER, **kept))
        bench.await_mark("ready")
        self.kill_supervisor(executor, KEY)
        assert finished(executor).state is RunState.LOST
        again = RunKey(KEY.name, 2)
        executor.launch(
            bench.run("print(os.path.islink('../checkpoints'), open('../checkpoints/c').read())", key=again, **kept)
        )
        report = finished(executor, again)
        assert (report.state, report.failure_reason) == (RunState.COMPLETED, None)
        assert executor.read_log(KEY.owner, KEY.name)[0] == b"True 5\n"
        assert (tmp_path / "kept" / KEY.name / "c").read_text() == "5"

    def test_so_are_those_of_several_attempts_whatever_they_are(self, bench: Bench, executor: Executor, tmp_path: Path) -> None:
        kept = {"checkpoints": Checkpoints(str(tmp_path / "kept"))}
        own = (
            "number = os.environ['REKINDLE_RUN'][-1]\nos.unlink('../checkpoints'); os.makedirs('../checkpoints/deep')\n"
            "open('../checkpoints/c' + number, 'w').write(number); os.symlink('c' + number, '../checkpoints/latest')\n"
            "open('../checkpoints/deep/c', 'w').write(number)\n"
            "open('../checkpoints/was', 'w').write(number) if number == '2' else os.symlink('c1', '../checkpoints/was')\n"
            "mark('ready' + number)\n"
        )
        for number in (1, 2):
            key = RunKey(KEY.name, number)
            executor.launch(bench.run(own + WAIT_FOREVER, key=key, **kept))
            bench.await_mark(f"ready{number}")
            self.kill_supervisor(executor, key)
            assert finished(executor, key).state is RunState.LOST
        executor.launch(bench.run("", key=RunKey(KEY.name, 3), **kept))
        report = finished(executor, RunKey(KEY.name, 3))
        assert (report.state, report.failure_reason) == (RunState.COMPLETED, None)
        found = tmp_path / "kept" / KEY.name
        assert os.readlink(found / "latest") == "c2"
        told = {name: (found / name).read_text() for name in ("c1", "c2", "deep/c", "was")}
        # What a link led to is not written to.
        assert told == {"c1": "1", "c2": "2", "deep/c": "2", "was": "2"}

    @pytest.mark.parametrize("ending", ["", "sys.exit(3)", "os.kill(os.getpid(), 9)"])
    def test_checkpoints_in_a_folder_in_place_of_the_link_are_kept_at_the_end(
        self, bench: Bench, executor: Executor, tmp_path: Path, ending: str
    ) -> None:
        own = "os.unlink('../checkpoints'); os.mkdir('../checkpoints'); open('../checkpoints/c', 'w').write('5')\n"
        executor.launch(bench.run(own + ending, checkpoints=Checkpoints(str(tmp_path / "kept"))))
        finished(executor)
        executor.forget(KEY.owner, KEY.name)
        assert (tmp_path / "kept" / KEY.name / "c").read_text() == "5"

    def test_a_link_to_what_is_kept_under_its_name_takes_nothing_of_it(
        self, bench: Bench, executor: Executor, tmp_path: Path
    ) -> None:
        best = tmp_path / "kept" / KEY.name / "best"
        best.mkdir(parents=True)
        (best / "m").write_text("5")
        own = f"os.unlink('../checkpoints'); os.mkdir('../checkpoints'); os.symlink({str(best)!r}, '../checkpoints/best')\n"
        executor.launch(
            bench.run(own + "open('../checkpoints/c', 'w').write('6')", checkpoints=Checkpoints(str(tmp_path / "kept")))
        )
        assert finished(executor).state is RunState.COMPLETED
        assert [(best / "m").read_text(), (best.parent / "c").read_text()] == ["5", "6"]

    def test_what_it_writes_for_itself_is_for_the_user_alone(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run(""))
        finished(executor)
        assert attempt_of(bench).parent.stat().st_mode & 0o777 == 0o700

    def test_waiting_works_without_process_descriptors(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
        executor.launch(bench.run(""))
        executor.wait([KEY], PATIENCE)
        assert executor.report(KEY).state is RunState.COMPLETED

    @pytest.mark.parametrize("left", [b"", b"\0" * 4096, b"folder\x00", b"folder\x001\x00/nowhere\x00remove\x00"])
    def test_a_run_whose_orders_a_power_cut_has_damaged_is_lost_all_the_same(
        self, bench: Bench, executor: Executor, left: bytes
    ) -> None:
        executor.launch(bench.run(WAIT_FOREVER))
        bench.await_mark("ready")
        self.kill_supervisor(executor, KEY)
        (attempt_of(bench) / "orders").write_bytes(left)
        assert finished(self.make(bench.home)).state is RunState.LOST
        executor.launch(bench.run("mark('again')", key=RunKey(KEY.name, 2)))
        assert finished(executor, RunKey(KEY.name, 2)).state is RunState.COMPLETED

    @pytest.mark.parametrize("watched", [False, True])
    def test_what_passes_until_somebody_looks_is_no_part_of_a_lost_run(
        self, bench: Bench, executor: Executor, watched: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor.launch(bench.run("print('loss=1')\n" + WAIT_FOREVER))
        bench.await_mark("ready")
        began = executor.report(KEY).started_at
        looker = self.make(bench.home)
        monkeypatch.setattr(looker._clock, "now", lambda: began + 3600.0, raising=False)
        if watched:
            assert looker.report(KEY).state is RunState.RUNNING
        self.kill_supervisor(executor, KEY)
        until(lambda: Attempt(attempt_of(bench)).is_free, "the end of what it left")
        monkeypatch.setattr(looker._clock, "now", lambda: began + 7200.0, raising=False)
        report = looker.report(KEY)
        assert report.state is RunState.LOST
        assert report.ended_at == began + 3600.0 if watched else began - 1.0 < report.ended_at < began + 600.0

    def test_a_number_that_another_user_has_by_now_ends_no_wait_and_no_worker(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def not_ours(_pid: int, _number: int) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        executor.launch(bench.run(WAIT_FOREVER))
        with monkeypatch.context() as as_on_macos:
            as_on_macos.delattr(os, "pidfd_open", raising=False)
            as_on_macos.setattr(os, "kill", not_ours)
            executor.wait([KEY], 0.05)
        executor.stop(KEY)
        assert finished(executor).state is RunState.STOPPED

    def test_a_clock_that_is_set_back_makes_no_waiting_longer(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(os, "pidfd_open", raising=False)  # as on macOS
        executor.launch(bench.run(WAIT_FOREVER))
        looks = iter([1e9, *[1e9 - 3600.0] * 30])
        monkeypatch.setattr(executor._clock, "now", lambda: next(looks), raising=False)
        executor.wait([KEY], 0.05)
        monkeypatch.undo()
        executor.stop(KEY)
        assert finished(executor).state is RunState.STOPPED

    def test_who_waits_for_the_run_of_another_or_stops_it_reads_on_in_its_journal(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor.launch(bench.run("for i in range(3000): print('loss=1')\nmark('ready')\n" + WAIT_FOREVER))
        bench.await_mark("ready")
        until(lambda: len(executor.report(KEY).points) == 3000, "the emissions")
        other, taken, take = self.make(bench.home), [], JournalReader._take
        assert len(other.report(KEY).points) == 3000
        monkeypatch.setattr(JournalReader, "_take", lambda reader, line, *rest: (taken.append(line), take(reader, line, *rest)))
        other.wait([KEY], 0.01)
        other.stop(KEY)
        other.wait([KEY], PATIENCE)
        assert finished(other).state is RunState.STOPPED
        assert len(taken) < 10

    @pytest.mark.parametrize("killed", [False, True])
    def test_more_emissions_than_fit_come_in_parts_and_the_end_with_the_last(
        self, bench: Bench, executor: Executor, killed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = "for i in range(250): print(f'loss={i}')\nmark('ready')\n"
        executor.launch(bench.run(script + (WAIT_FOREVER if killed else "")))
        bench.await_mark("ready")
        if killed:
            until(lambda: len(executor.report(KEY).points) == 250, "the emissions")
            self.kill_supervisor(executor, KEY)
        finished(executor)
        monkeypatch.setattr(journal, "MOST_POINTS", 100)
        other, values, states = self.make(bench.home), [], []
        while not states or states[-1] is RunState.RUNNING:
            report = other.report(KEY, len(values))
            assert len(report.points) <= 100
            assert [p.index for p in report.points] == list(range(len(values), len(values) + len(report.points)))
            values += [p.value for p in report.points]
            states.append(report.state)
            other.wait([KEY], PATIENCE)
        assert values == list(range(250))
        assert states == [RunState.RUNNING, RunState.RUNNING, RunState.LOST if killed else RunState.COMPLETED]
        assert other.report(KEY, NO_POINTS).state is states[-1]

    def test_launchers_reporters_and_a_killer_at_once(self, bench: Bench, executor: Executor) -> None:
        script = "mark('-'.join(os.environ['REKINDLE_RUN'].split('/')[-3::2]))\ntime.sleep(0.03)\nprint('loss=1')\n"
        spec, done, ended = bench.spec(script), threading.Event(), []

        def drive(name: str) -> None:
            own, key = self.make(bench.home), RunKey(name, 1)
            while True:
                report = own.report(key)
                if report is None:
                    own.launch(Run(key, spec, {}))
                elif report.state is RunState.LOST:
                    key = RunKey(name, key.attempt + 1)
                elif report.state is not RunState.RUNNING:
                    return ended.append(report)
                own.wait([key], 0.1)

        def kill() -> None:
            chance = random.Random(1)
            for _ in range(8):
                done.wait(chance.uniform(0.0, 0.05))
                with contextlib.suppress(psutil.Error, IndexError):
                    child = chance.choice(psutil.Process().children())
                    if str(bench.home) in " ".join(child.cmdline()):
                        child.kill()

        # Two to each run, each with an executor of its own, as workers in two processes have.
        threads = [threading.Thread(target=drive, args=(f"job-{i // 2}",)) for i in range(12)]
        killer = threading.Thread(target=kill)
        for thread in (*threads, killer):
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        done.set()
        killer.join()
        assert [(r.state, len(r.points)) for r in ended] == [(RunState.COMPLETED, 1)] * 12
        assert {p.name: p.read_text() for p in bench.marks.iterdir() if len(p.read_text()) > 1} == {}

    def test_a_run_goes_on_without_its_supervisors_guard(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run("mark('ready')\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('loss=1')\n"))
        bench.await_mark("ready")
        guard = supervisor_of(bench.home, KEY).parent()
        guard.kill()
        guard.wait(PATIENCE)
        assert executor.report(KEY).state is RunState.RUNNING
        (bench.home / "tuning" / KEY.name / "code" / "go").touch()
        report = finished(executor)
        assert (report.state, len(report.points)) == (RunState.COMPLETED, 1)

    def test_a_job_is_not_taken_for_one_of_its_name_that_was_forgotten_meanwhile(
        self, bench: Bench, executor: Executor
    ) -> None:
        another = self.make(bench.home)
        executor.launch(bench.run("for i in range(99): print(f'loss={i}', flush=True)\n" + WAIT_FOREVER))
        until(lambda: len(another.report(KEY).points) == 99, "what it prints")
        executor.stop(KEY)
        finished(executor)
        executor.forget(KEY.owner, KEY.name)
        executor.launch(bench.run("print('loss=0.5')"))
        report = finished(executor)
        assert (report.state, another.report(KEY)) == (RunState.COMPLETED, report)

    def test_two_at_once_remove_a_job_without_a_complaint_and_neither_is_done_before_all_is_gone(
        self, bench: Bench, executor: Executor
    ) -> None:
        """Who is done deletes the record, and the name is free: what the other still removes would be another job's."""
        executor.launch(bench.run("for i in range(300): os.makedirs(f'a/{i}')"))
        finished(executor)
        places = [bench.home / "tuning" / KEY.name, bench.home / ".by-name" / KEY.name]
        start, left = threading.Barrier(2), []

        def forget() -> None:
            start.wait()
            executor.forget(KEY.owner, KEY.name)
            left.extend(place for place in places if os.path.lexists(place))

        with capture_logs() as logs:
            both = [threading.Thread(target=forget) for _ in range(2)]
            for one in both:
                one.start()
            for one in both:
                one.join()
        assert (logs, left) == ([], [])

    def test_one_at_a_time_deletes(self, bench: Bench, executor: Executor) -> None:
        order: list[str] = []
        waits = threading.Event()

        def second() -> None:
            waits.set()
            with self.make(bench.home).deleting(KEY.owner, KEY.name):
                order.append("second")

        thread = threading.Thread(target=second)
        with executor.deleting(KEY.owner, KEY.name), self.make(bench.home).deleting(Owner("111111111111"), KEY.name):
            thread.start()
            waits.wait(PATIENCE)
            thread.join(0.2)
            order.append("first")
        thread.join(PATIENCE)
        assert order == ["first", "second"]

    def test_one_that_does_not_end_is_not_waited_for(
        self, bench: Bench, executor: Executor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who waits in a server keeps a thread, of which there are few."""
        monkeypatch.setattr(folders, "_DELETING_PATIENCE", 0.1)
        with executor.deleting(KEY.owner, KEY.name):
            with self.make(bench.home).deleting(KEY.owner, "another"):
                pass
            with pytest.raises(StoreUnavailable, match="is not done"), self.make(bench.home).deleting(KEY.owner, KEY.name):
                pass

    def test_a_full_disk_keeps_nobody_from_deleting(self, executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(locks, "take", no_room)
        with executor.deleting(KEY.owner, KEY.name):
            pass

    # What it costs us.

    def test_nothing_leaks(self, bench: Bench, executor: Executor) -> None:
        def state() -> tuple[int, int]:
            return len(os.listdir("/proc/self/fd")), len(psutil.Process().children())

        # What other tests have left may go at any time, now or later.
        gc.collect()
        before = state()
        for i in range(4):
            key = RunKey(f"job-{i}", 1)
            executor.launch(bench.run("print(sorted(int(f) for f in os.listdir('/proc/self/fd')))", key=key))
            assert finished(executor, key).state is RunState.COMPLETED
            assert executor.read_log(key.owner, key.name)[0] == b"[0, 1, 2, 3]\n"
        supervisors_gone = lambda: executor.report(key) and all(map(operator.le, state(), before))  # noqa: E731
        until(supervisors_gone, "all to be given back")

    def test_the_supervisor_starts_light(self) -> None:
        code = (
            f"import sys; sys.path.append({process._HOME_OF_CODE!r}); import rekindle.executors.supervisor;"
            "heavy = {'json', 're', 'enum', 'signal', 'subprocess', 'typing', 'ctypes', 'contextlib', 'dataclasses', 're2'};"
            "print(sorted(heavy & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    # What a training job sees.

    def test_parallel_jobs_share_the_cores(self, bench: Bench, executor: Executor) -> None:
        script = "print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'], os.environ['PYTHONUNBUFFERED'])"
        executor.launch(bench.run(script, environment={"MKL_NUM_THREADS": "17"}))
        finished(executor)
        threads = max(1, machine.cpus() // 2)
        assert executor.read_log(KEY.owner, KEY.name)[0].decode() == f"{threads} 17 1\n"

    def test_python_is_found_where_the_path_has_none(self, bench: Bench) -> None:
        environment = {"PATH": "/nonexistent"}
        executor = ProcessExecutor(Host(bench.home, environment), SystemClock())
        spec = bench.spec("print(sys.executable)")
        run = bench.run("print(sys.executable)")
        run = type(run)(run.key, type(spec)(type(spec.algorithm)(command="python train.py", source=str(bench.source))), {})
        executor.check(run.spec)
        executor.launch(run)
        assert finished(executor).state is RunState.COMPLETED
        assert executor.read_log(KEY.owner, KEY.name)[0].decode().strip() == str(Path(sys.executable).parent / "python")

    def test_a_program_beside_the_chosen_python_is_found_whatever_path_the_job_has(
        self, bench: Bench, executor: Executor
    ) -> None:
        folder = bench.home / "venv" / "bin"
        folder.mkdir(parents=True)
        (folder / "python").symlink_to(sys.executable)
        (folder / "tool").write_text("#!/bin/sh\necho $PATH\n")
        (folder / "tool").chmod(0o755)
        algorithm = Algorithm(command="tool", python=str(folder.parent))
        run = Run(KEY, TrainingSpec(algorithm, environment={"PATH": "/opt/own"}), {})
        executor.check(run.spec)
        executor.launch(run)
        assert finished(executor).state is RunState.COMPLETED
        assert executor.read_log(KEY.owner, KEY.name)[0].decode().startswith(f"{folder}:/opt/own:{ENVIRONMENT['PATH']}")

    def test_a_program_that_is_in_our_own_folder_only_is_refused(
        self, executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "tool").write_text("#!/bin/sh\n")
        (tmp_path / "tool").chmod(0o755)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InvalidValue, match="no program 'tool' is on PATH"):
            executor.check(TrainingSpec(Algorithm(command="tool")))

    @pytest.mark.parametrize(
        ("field", "algorithm", "hyperparameters"),
        [
            ("channels.train.uri", Algorithm(command="true"), {}),
            ("python", Algorithm(command="true", python=f"/tmp/{LONG}"), {}),
            ("command", Algorithm(command=f"{sys.executable} {LONG}.py"), {}),
            ("command", Algorithm(command=f"./{LONG}"), {}),
            (f"hyperparameters.{SUBMITTED}", Algorithm(image="xgboost"), {PROGRAM: "a.py", SUBMITTED: f"/tmp/{LONG}"}),
            (f"hyperparameters.{PROGRAM}", Algorithm(image="xgboost"), {PROGRAM: f"{LONG}.py", SUBMITTED: "/tmp"}),
        ],
    )
    def test_a_name_that_no_file_can_have_is_refused(
        self, executor: Executor, field: str, algorithm: Algorithm, hyperparameters: dict[str, str]
    ) -> None:
        channels = (Channel("train", f"/tmp/{LONG}"),) if field.startswith("channels") else ()
        with pytest.raises(InvalidValue) as refused:
            executor.check(TrainingSpec(algorithm, channels=channels), hyperparameters)
        assert refused.value.field == field

    def test_a_home_whose_name_is_no_text_is_named_where_results_are_kept_in_it(self, bench: Bench) -> None:
        home = bench.home / os.fsdecode(b"\xff")
        executor = ProcessExecutor(Host(home, ENVIRONMENT, transfer=("false",)), SystemClock())
        executor.launch(bench.run("mark('ran')", output=Output("s3://bucket/out")))
        report = finished(executor)
        assert report.state is RunState.FAILED
        assert f"What was trained is kept in {bench.home}/\ufffd/tuning/{KEY.name}/model;" in report.failure_reason
        assert os.fsencode(home) in executor.read_log(KEY.owner, KEY.name)[0]
        assert bench.marked("ran") == 1

    def fetching(self, bench: Bench, folder: Path) -> tuple[Executor, tuple[Channel, Channel]]:
        """An executor with an object store, and a channel there and one here."""
        (folder / "store" / "bucket" / "rows").mkdir(parents=True)
        (folder / "store" / "bucket" / "rows" / "part-1.csv").write_text("1")
        (folder / "local").mkdir()
        (folder / "local" / "part-2.csv").write_text("2")
        move = "import sys; from rekindle.s3.transfer import main; sys.exit(main(*sys.argv[1:]))"
        transfer = (sys.executable, "-c", move, str(folder / "store"), "000000000000", "us-east-1", "000000000000")
        executor = ProcessExecutor(Host(bench.home, ENVIRONMENT, transfer=transfer), SystemClock())
        return executor, (Channel("far", "s3://bucket/rows"), Channel("near", str(folder / "local")))

    @pytest.mark.parametrize(("code", "state"), [(0, RunState.COMPLETED), (3, RunState.FAILED)])
    def test_copies_of_what_an_object_store_holds_go_with_the_run(
        self, bench: Bench, tmp_path: Path, code: int, state: RunState
    ) -> None:
        executor, channels = self.fetching(bench, tmp_path)
        script = f"print([os.listdir(os.environ['SM_CHANNEL_' + c]) for c in ('FAR', 'NEAR')])\nsys.exit({code})"
        executor.launch(bench.run(script, channels=channels))
        assert finished(executor).state is state
        assert executor.read_log(KEY.owner, KEY.name)[0] == b"[['part-1.csv'], ['part-2.csv']]\n"
        data = bench.home / "tuning" / KEY.name / "input" / "data"
        until(lambda: not (data / "far").exists(), "the end of the copy: a hundred training jobs would keep a hundred")
        assert (data / "near").exists()
        assert (tmp_path / "local" / "part-2.csv").read_text() == "2"
        assert (tmp_path / "store" / "bucket" / "rows" / "part-1.csv").read_text() == "1"

    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
    def test_copies_of_a_run_that_is_lost_are_gone_once_that_is_told(
        self, bench: Bench, tmp_path: Path, end: signal.Signals
    ) -> None:
        executor, channels = self.fetching(bench, tmp_path)
        executor.launch(bench.run(WAIT_FOREVER, channels=channels))
        bench.await_mark("ready")
        data = bench.home / "tuning" / KEY.name / "input" / "data"
        assert (data / "far" / "part-1.csv").read_text() == "1"
        supervisor_of(bench.home, KEY).send_signal(end)
        assert finished(executor).state is RunState.LOST
        assert not (data / "far").exists(), "there may be no next attempt, and it may have brought its own"
        assert (tmp_path / "local" / "part-2.csv").read_text() == "2"

    def test_whoever_is_killed_while_copies_are_removed_has_told_the_end(
        self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor, channels = self.fetching(bench, tmp_path)
        dies = "from rekindle.executors import supervisor; supervisor._clear = lambda _: os.kill(os.getpid(), 9); "
        begun, ends = process._START.split("from ", 1)
        monkeypatch.setattr(process, "_START", f"{begun}import os; {dies}from {ends}")
        executor.launch(bench.run("pass", channels=channels))
        assert finished(executor).state is RunState.COMPLETED

    def test_copies_of_a_run_that_may_be_tried_again_are_gone_once_its_end_is_told(
        self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor, channels = self.fetching(bench, tmp_path)
        slow = "from rekindle.executors import supervisor; clear = supervisor._clear; "
        slow += "supervisor._clear = lambda path: (time.sleep(1.0), clear(path)); "
        begun, ends = process._START.split("from ", 1)
        monkeypatch.setattr(process, "_START", f"{begun}import time; {slow}from {ends}")
        executor.launch(bench.run("sys.exit(3)", channels=channels))
        until(lambda: (report := executor.report(KEY)) and report.state is RunState.FAILED, "its end")
        assert not (bench.home / "tuning" / KEY.name / "input" / "data" / "far").exists(), "the next attempt's data would go"

    def test_gpus_are_divided(self, bench: Bench) -> None:
        environment = ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": "4,7"}
        executor = ProcessExecutor(Host(bench.home, environment, grace_seconds=0.1), SystemClock())
        keys = [RunKey(f"job-{i}", 1) for i in range(3)]
        script = "print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True)\n" + WAIT_FOREVER
        seen = []
        for key in keys:
            executor.launch(bench.run(script, key=key))
            until(lambda key=key: executor.read_log(key.owner, key.name)[0], "its output")
            seen.append(executor.read_log(key.owner, key.name)[0].decode().strip())
        for key in keys:
            executor.stop(key)
            finished(executor, key)
        assert seen[:2] == ["4", "7"]
        assert seen[2] in ("4", "7")

    def test_a_part_of_a_gpu_is_known_by_a_name_with_slashes(self, bench: Bench) -> None:
        environment = ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": "MIG-GPU-1f/1/0"}
        executor = ProcessExecutor(Host(bench.home, environment), SystemClock())
        executor.launch(bench.run("print(os.environ['CUDA_VISIBLE_DEVICES'])"))
        report = finished(executor)
        assert (report.state, report.failure_reason) == (RunState.COMPLETED, None)
        assert executor.read_log(KEY.owner, KEY.name)[0] == b"MIG-GPU-1f/1/0\n"


LAUNCHER = """
import sys, os
from pathlib import Path
from rekindle.domain.training_job import Algorithm, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import Run, RunKey
from rekindle.executors.host import Host
from rekindle.executors.process import ProcessExecutor
home, source, name = sys.argv[1:]
executor = ProcessExecutor(Host(Path(home), dict(os.environ)), SystemClock())
print("go", flush=True)
spec = TrainingSpec(Algorithm(command=f"{sys.executable} train.py", source=source))
executor.launch(Run(RunKey(name, 1), spec, {}, group="tuning"))
"""


@pytest.fixture(autouse=True)
def _no_run_outlives_its_test(tmp_path: Path):
    yield
    mark = str(tmp_path)
    for found in psutil.process_iter():
        try:
            if any(mark in word for word in found.cmdline()):
                found.kill()
        except psutil.Error:
            continue
