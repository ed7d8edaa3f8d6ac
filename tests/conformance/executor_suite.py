"""What every executor promises (engine/ports.py), as tests that each adapter inherits."""

from __future__ import annotations

import tarfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from rekindle.domain.errors import InvalidValue, WrongState
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import Algorithm, Channel, Output, Owner, SecondaryStatus, TrainingSpec
from rekindle.engine.ports import Executor, Report, Run, RunKey, RunState
from rekindle.executors.reasons import OF_MEMORY
from support.processes import alive

#: The longest that anything here may take before we call it stuck, in seconds.
PATIENCE = 400.0
KEY = RunKey("job-1", 1)
METRICS = (MetricDefinition("loss", r"loss=(\S+)"), MetricDefinition("acc", r"acc=(\S+)"))


def until(condition, what: str) -> None:
    """Waits for something that has no event to wait for."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.005)


def finished(executor: Executor, key: RunKey = KEY) -> Report:
    """The last report on a run."""
    deadline = time.monotonic() + PATIENCE
    while True:
        report = executor.report(key)
        assert report is not None
        if report.state is not RunState.RUNNING:
            return report
        assert time.monotonic() < deadline, f"{key} does not end"
        executor.wait([key], 5.0)


def archived(uri: str) -> dict[str, str]:
    """The files of a model archive."""
    with tarfile.open(unquote(urlsplit(uri).path)) as archive:
        return {m.name: archive.extractfile(m).read().decode() for m in archive.getmembers() if m.isfile()}


class Bench:
    """A home for runs, a source folder, and a place where training jobs leave marks for the test."""

    def __init__(self, folder: Path, python: str) -> None:
        self.home = folder / "home"
        self.source = folder / "source"
        self.marks = folder / "marks"
        self.python = python
        for made in (self.home, self.source, self.marks):
            made.mkdir()

    def spec(self, script: str, **changes) -> TrainingSpec:
        """A training job that runs ``script``; ``mark(name)`` in it tells the test how far it has come."""
        head = f"import os, sys, time, signal\ndef mark(name): open({str(self.marks)!r} + '/' + name, 'a').write('x')\n"
        # An earlier run of the same script may be copying it just now.
        if not (self.source / "train.py").exists() or (self.source / "train.py").read_text() != head + script:
            (self.source / "train.py").write_text(head + script)
        algorithm = Algorithm(command=f"{self.python} train.py", source=str(self.source), metrics=METRICS)
        return replace(TrainingSpec(algorithm), **changes)

    def run(self, script: str, values: Mapping[str, str] | None = None, key: RunKey = KEY, **changes) -> Run:
        return Run(key, self.spec(script, **changes), values or {}, group="tuning", share=2)

    def marked(self, name: str) -> int:
        """How often a mark was made."""
        path = self.marks / name
        return len(path.read_text()) if path.exists() else 0

    def await_mark(self, name: str) -> None:
        until(lambda: self.marked(name), name)

    @property
    def forever(self) -> str:
        """The lines of a script that name a program which never ends: ``forever``."""
        return f"import subprocess\nforever = ['{self.python}', '-c', 'import time\\nwhile True: time.sleep(0.01)']\n"


WAIT_FOREVER = "mark('ready')\nwhile True: time.sleep(0.01)\n"
SILENT = "the program printed nothing and did not write why to output/failure"
IGNORE_SIGTERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAIT_FOREVER


class ExecutorSuite(ABC):
    """Inherit, and say how to make an executor and how to kill what watches over a run."""

    @abstractmethod
    def make(self, home: Path, grace: float = 2 * PATIENCE, log_head: int = 1 << 20, log_keep: int = 10 << 20) -> Executor:
        """A new executor over the runs in ``home``, as another process would have it."""

    @abstractmethod
    def kill_supervisor(self, executor: Executor, key: RunKey) -> None:
        """Kills the run's supervisor the hard way, and returns when it is dead."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        import sys

        return Bench(tmp_path, sys.executable)

    @pytest.fixture
    def executor(self, bench: Bench) -> Executor:
        return self.make(bench.home)

    # Starting.

    def test_what_was_never_launched_has_no_report(self, bench: Bench, executor: Executor) -> None:
        executor.check(bench.spec("mark('ran')"))
        assert executor.report(KEY) is None
        executor.stop(KEY)
        executor.wait([KEY], 0.01)
        assert executor.read_log(KEY.owner, KEY.name) == (b"", 0)
        assert bench.marked("ran") == 0

    def test_a_run_that_succeeds(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run("open(os.environ['SM_MODEL_DIR'] + '/weights', 'w').write('7')\nprint('loss=0.5')"))
        report = finished(executor)
        assert report.key == KEY
        assert report.state is RunState.COMPLETED
        assert report.exit_code == 0
        assert report.failure_reason is None
        assert report.started_at <= report.points[0].at <= report.ended_at
        expected = [SecondaryStatus.STARTING, SecondaryStatus.TRAINING, SecondaryStatus.UPLOADING]
        assert [status for status, _, _ in report.phases] == expected
        assert [since for _, since, _ in report.phases] == sorted(since for _, since, _ in report.phases)
        assert archived(report.model_uri) == {"weights": "7"}

    def test_launching_again_starts_nothing(self, bench: Bench, executor: Executor) -> None:
        run = bench.run("mark('ran')\nprint('loss=1')")
        executor.launch(run)
        executor.launch(run)
        first = finished(executor)
        executor.launch(run)
        self.make(bench.home).launch(run)
        assert finished(executor) == first
        assert bench.marked("ran") == 1

    def test_many_launching_at_once_start_it_once(self, bench: Bench, executor: Executor) -> None:
        run, start = bench.run("mark('ran')"), threading.Barrier(8)

        def launch() -> None:
            own = self.make(bench.home)
            start.wait()
            own.launch(run)
            assert own.report(KEY) is not None

        threads = [threading.Thread(target=launch) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert finished(executor).state is RunState.COMPLETED
        assert bench.marked("ran") == 1

    def test_runs_are_apart(self, bench: Bench, executor: Executor) -> None:
        keys = [RunKey(f"job-{i}", 1) for i in range(4)]
        for i, key in enumerate(keys):
            executor.launch(bench.run("print('loss=' + os.environ['SM_HP_X'])", {"x": str(i)}, key))
        values = [[p.value for p in finished(executor, key).points] for key in keys]
        assert values == [[0.0], [1.0], [2.0], [3.0]]

    def test_values_arrive_in_all_three_ways(self, bench: Bench, executor: Executor) -> None:
        script = (
            "import json\n"
            "told = json.load(open(os.environ['SM_INPUT_CONFIG_DIR'] + '/hyperparameters.json'))\n"
            "print(sys.argv[1:], told['b'], os.environ['SM_HP_B'], os.environ['TRAINING_JOB_NAME'])\n"
        )
        executor.launch(bench.run(script, {"b": "x y", "a": "1e-05", "_tuning_objective_metric": "loss"}))
        finished(executor)
        assert executor.read_log(KEY.owner, KEY.name)[0].decode() == "['--a', '1e-05', '--b', 'x y'] x y x y job-1\n"

    def test_input_channels(self, bench: Bench, executor: Executor, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "part-1.csv").write_text("one")
        (tmp_path / "data" / "part-2.csv").write_text("two")
        channels = (
            Channel("train", (tmp_path / "data").as_uri()),
            Channel("test", str(tmp_path / "data" / "part-2.csv")),
            Channel("prefix", f"file://{tmp_path}/data/part"),
        )
        script = "print([sorted(os.listdir(os.environ['SM_CHANNEL_' + c])) for c in ('TRAIN', 'TEST', 'PREFIX')])"
        run = bench.run(script, channels=channels)
        executor.check(run.spec)
        executor.launch(run)
        report = finished(executor)
        assert SecondaryStatus.DOWNLOADING in [status for status, _, _ in report.phases]
        both = "['part-1.csv', 'part-2.csv']"
        assert executor.read_log(KEY.owner, KEY.name)[0].decode() == f"[{both}, ['part-2.csv'], {both}]\n"

    def test_results_go_where_they_were_asked_for(self, bench: Bench, executor: Executor, tmp_path: Path) -> None:
        script = (
            "open(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('m')\n"
            "open(os.environ['SM_OUTPUT_DATA_DIR'] + '/o', 'w').write('o')\n"
        )
        for name, compression in (("packed", "GZIP"), ("plain", "NONE")):
            output = Output((tmp_path / "out").as_uri(), compression)
            executor.launch(bench.run(script, key=RunKey(name, 1), output=output))
        packed, plain = (finished(executor, RunKey(name, 1)) for name in ("packed", "plain"))
        assert packed.model_uri == (tmp_path / "out" / "packed" / "output" / "model.tar.gz").as_uri()
        assert archived(packed.model_uri) == {"m": "m"}
        assert archived(packed.model_uri.replace("model.tar", "output.tar")) == {"o": "o"}
        assert plain.model_uri == (tmp_path / "out" / "plain" / "output" / "model").as_uri()
        assert (tmp_path / "out" / "plain" / "output" / "model" / "m").read_text() == "m"
        assert not list((tmp_path / "out").rglob(".*"))

    def test_results_that_cannot_go_where_they_were_asked_for_are_kept_and_the_reason_says_where(
        self, bench: Bench, executor: Executor, tmp_path: Path
    ) -> None:
        # Since it was looked at, somebody has put a file where the folder was to be.
        (tmp_path / "out").touch()
        executor.launch(bench.run("open('../model/m', 'w').write('kept')", output=Output(str(tmp_path / "out"))))
        report = finished(executor)
        assert report.state is RunState.FAILED
        assert (report.failure_reason or "").startswith("ClientError: Artifact upload failed: [Errno")
        (kept,) = bench.home.rglob("model/m")
        assert f"What was trained is kept in {kept.parent};" in (report.failure_reason or "")

    def test_results_within_the_source_are_not_copied_into_the_next_job(self, bench: Bench, executor: Executor) -> None:
        output = Output(str(bench.source / "results"))
        for name in ("first", "second"):
            run = bench.run("print(os.listdir('.'))", key=RunKey(name, 1), output=output)
            executor.launch(run)
            assert finished(executor, run.key).model_uri == (bench.source / f"results/{name}/output/model.tar.gz").as_uri()
            assert executor.read_log(KEY.owner, name)[0] == b"['train.py']\n"

    # Failing.

    @pytest.mark.parametrize(
        ("script", "code", "reason"),
        [
            ("sys.exit(7)", 7, f"AlgorithmError: {SILENT}, exit code: 7"),
            ("open('../output/failure', 'w').write(' \\n')\nsys.exit(7)", 7, f"AlgorithmError: {SILENT}, exit code: 7"),
            ("open('../output/failure', 'w')\nsys.exit('why')", 1, "AlgorithmError: why, exit code: 1"),
            ("raise ValueError('no good: é')", 1, "AlgorithmError: ValueError: no good: é, exit code: 1"),
            ("print('a'); print('b'); sys.exit('last')", 1, "AlgorithmError: a\nb\nlast, exit code: 1"),
            ("os.kill(os.getpid(), 9)", 137, f"AlgorithmError: killed by SIGKILL, exit code: 137. {OF_MEMORY}."),
            ("open('../output/failure', 'w').write('mine')\nsys.exit(137)", 137, "AlgorithmError: mine, exit code: 137"),
            ("open('../output/failure', 'w').write('own words\\n')\nsys.exit(2)", 2, "AlgorithmError: own words, exit code: 2"),
            ("os.mkfifo('../output/failure')\nprint('why')\nsys.exit(2)", 2, "AlgorithmError: why, exit code: 2"),
            ("open('../output/failure', 'w').write('y' * 9999)\nsys.exit(2)", 2, f"AlgorithmError: {'y' * 994}, exit code: 2"),
        ],
    )
    def test_a_run_that_fails(self, bench: Bench, executor: Executor, script: str, code: int, reason: str) -> None:
        executor.launch(bench.run(script))
        report = finished(executor)
        assert report.state is RunState.FAILED
        assert (report.exit_code, report.failure_reason) == (code, reason)
        assert report.model_uri is None

    def test_a_run_that_says_that_something_of_it_was_killed(self, bench: Bench, executor: Executor) -> None:
        """As one within a container does."""
        executor.launch(bench.run("print('fit'); sys.exit(137)"))
        report = finished(executor)
        # Where a shell starts it, as on a cluster's node, it is told like one that was killed itself.
        told = (report.failure_reason or "").replace("killed by SIGKILL: ", "")
        assert (report.exit_code, told) == (137, f"AlgorithmError: fit, exit code: 137. {OF_MEMORY}.")

    @pytest.mark.parametrize("command", ["no-such-program-anywhere x", "./not-there", "'unbalanced"])
    def test_what_cannot_be_started_is_refused_and_reported(self, bench: Bench, executor: Executor, command: str) -> None:
        spec = bench.spec("")
        spec = replace(spec, algorithm=replace(spec.algorithm, command=command))
        with pytest.raises(InvalidValue, match="command: "):
            executor.check(spec)
        executor.launch(Run(KEY, spec, {}))
        report = finished(executor)
        assert report.state is RunState.FAILED
        assert report.failure_reason.startswith("ClientError: ")

    def test_many_long_hyperparameters_arrive_in_the_file(self, bench: Bench, executor: Executor) -> None:
        values = {f"p{i}": "v" * 2500 for i in range(60)}
        told = "import json\nassert len(json.load(open('../input/config/hyperparameters.json'))) == 60\n"
        executor.launch(bench.run(f"{told}assert 'SM_HPS' not in os.environ and len(os.environ['SM_HP_P7']) == 2500", values))
        report = finished(executor)
        assert (report.state, report.failure_reason) == (RunState.COMPLETED, None)

    def test_a_variable_too_long_to_start_a_program_with_is_refused(self, bench: Bench, executor: Executor) -> None:
        with pytest.raises(InvalidValue, match=r"environment.A: 'xxx.*too long to start a program with.*path of a file"):
            executor.check(bench.run("", environment={"A": "x" * 200_000}).spec)

    def test_inputs_that_are_not_there_are_refused_and_waited_for(self, bench: Bench, executor: Executor) -> None:
        run = bench.run("mark('ran')", channels=(Channel("train", "/no/such/folder"),))
        with pytest.raises(InvalidValue, match=r"channels.train.uri: '/no/such/folder'"):
            executor.check(run.spec)
        executor.launch(run)
        assert executor.report(run.key) is None
        assert bench.marked("ran") == 0

    def test_an_input_that_is_a_link_to_nowhere_is_refused(self, bench: Bench, executor: Executor, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "gone")
        with pytest.raises(InvalidValue, match=r"channels.train.uri: .*: there is no such file or folder"):
            executor.check(bench.spec("", channels=(Channel("train", str(tmp_path / "link")),)))

    def test_a_file_in_place_of_the_models_folder_is_told(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run("os.rmdir('../model')\nopen('../model', 'w')"))
        told = "ClientError: model is a file, and results are what lies in the folder model. What was trained is kept in "
        assert finished(executor).failure_reason.startswith(told)

    def test_a_name_that_no_variable_can_have_changes_no_other(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run("print(os.environ['SM_HP_A'], '--a=b' in sys.argv)", {"a": "1", "a=b": "2"}))
        finished(executor)
        assert executor.read_log(KEY.owner, KEY.name)[0] == b"1 True\n"

    # Metrics and logs.

    def test_all_emissions_precede_the_end_and_are_counted(self, bench: Bench, executor: Executor) -> None:
        script = (
            "for i in range(3000):\n"
            "    print(f'loss={i}', file=(sys.stdout, sys.stderr)[i % 2], flush=True)\n"
            "print('loss=nan acc=0.5', end='\\r'); print('no number loss=x'); print('acc=0.25', end='')"
        )
        executor.launch(bench.run(script))
        report = finished(executor)
        assert [p.index for p in report.points] == list(range(3002))
        assert [p.value for p in report.points if p.metric == "loss"] == list(range(3000))
        assert [p.value for p in report.points if p.metric == "acc"] == [0.5, 0.25]
        assert [p.index for p in executor.report(KEY, 3000).points] == [3000, 3001]
        assert executor.report(KEY, 3002).points == ()
        assert len(executor.report(KEY, 0).points) == 3002

    def test_emissions_can_be_seen_while_it_runs(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run("print('loss=1')\n" + WAIT_FOREVER))
        until(lambda: executor.report(KEY).points, "the first emission")
        report = executor.report(KEY)
        assert report.state is RunState.RUNNING
        assert [p.value for p in report.points] == [1.0]
        assert executor.report(KEY, 1).points == ()
        executor.stop(KEY)
        finished(executor)

    def test_a_long_log_keeps_its_ends_and_all_metrics(self, bench: Bench) -> None:
        executor = self.make(bench.home, log_head=1000, log_keep=10_000)
        assert not executor.has_log(KEY.owner, KEY.name)
        script = "for i in range(20000): print(f'line {i:06d}' + (f' loss={i}' if i % 1000 == 0 else ''))"
        executor.launch(bench.run(script))
        report = finished(executor)
        assert [p.value for p in report.points] == [i * 1000.0 for i in range(20)]
        assert [executor.has_log(KEY.owner, KEY.name, attempt) for attempt in (0, 1, 2)] == [True, True, False]
        whole = "".join(f"line {i:06d}" + (f" loss={i}" if i % 1000 == 0 else "") + "\n" for i in range(20000)).encode()
        pieces, offset = {}, 0
        while True:
            data, following = executor.read_log(KEY.owner, KEY.name, offset, 777)
            if not data:
                break
            pieces[following - len(data)] = data
            offset = following
        assert offset == len(whole)
        assert all(whole[at : at + len(data)] == data for at, data in pieces.items())
        assert executor.read_log(KEY.owner, KEY.name, 2**62) == (b"", 2**62)
        kept = sum(map(len, pieces.values()))
        assert 11_000 <= kept <= 15_000
        assert {0, 777} <= set(pieces)
        assert executor.read_log(KEY.owner, KEY.name, len(whole) - 10_000, 20_000)[0] == whole[-10_000:]

    def test_garbage_and_endless_lines_do_no_harm(self, bench: Bench, executor: Executor) -> None:
        script = (
            "out = sys.stdout.buffer\n"
            "out.write(bytes(range(256)) * 100 + b'\\nloss=1\\n' + b'\\xff loss=2\\n')\n"
            "for _ in range(40): out.write(b'z' * 100_000)\n"
            "out.write(b'\\nloss=3\\n')\n"
        )
        executor.launch(bench.run(script))
        report = finished(executor)
        assert [p.value for p in report.points] == [1.0, 2.0, 3.0]
        assert executor.read_log(KEY.owner, KEY.name, 0, 256)[0] == bytes(range(256))

    # Ending.

    def test_stop_lets_a_run_save_its_work(self, bench: Bench, executor: Executor) -> None:
        script = (
            "def end(*_):\n    open('../model/m', 'w').write('saved')\n    sys.exit(3)\nsignal.signal(signal.SIGTERM, end)\n"
        )
        executor.launch(bench.run("print('loss=1')\n" + script + WAIT_FOREVER))
        bench.await_mark("ready")
        executor.stop(KEY)
        executor.stop(KEY)
        report = finished(executor)
        assert report.state is RunState.STOPPED
        assert report.exit_code == 3
        assert report.failure_reason is None
        assert archived(report.model_uri) == {"m": "saved"}
        assert [p.value for p in report.points] == [1.0]
        executor.stop(KEY)
        assert finished(executor) == report

    def test_stop_kills_what_does_not_heed_it(self, bench: Bench) -> None:
        executor = self.make(bench.home, grace=0.1)
        executor.launch(bench.run(IGNORE_SIGTERM))
        bench.await_mark("ready")
        executor.stop(KEY)
        report = finished(executor)
        assert (report.state, report.exit_code) == (RunState.STOPPED, 137)

    def test_stop_right_after_launch(self, bench: Bench, executor: Executor) -> None:
        for i in range(6):
            key = RunKey(f"job-{i}", 1)
            executor.launch(bench.run(WAIT_FOREVER, key=key))
            executor.stop(key)
            assert finished(executor, key).state is RunState.STOPPED

    def test_the_run_time_limit(self, bench: Bench) -> None:
        executor, script = self.make(bench.home, grace=0.1), "print('loss=1', flush=True)\n" + IGNORE_SIGTERM
        # On a crowded machine a program may not come to its first line within a second.
        for seconds in (1, 4, 16):
            key = RunKey(f"job-{seconds}", 1)
            executor.launch(bench.run(script, key=key, max_runtime_seconds=seconds))
            report = finished(executor, key)
            assert report.state is RunState.TIMED_OUT
            assert report.model_uri is not None
            if report.points:
                break
        assert [p.value for p in report.points] == [1.0]

    def test_the_run_time_limit_counts_former_attempts(self, bench: Bench, executor: Executor) -> None:
        run = bench.run(WAIT_FOREVER, key=RunKey(KEY.name, 2), max_runtime_seconds=1000)
        executor.launch(replace(run, spent_seconds=999.9))
        assert finished(executor, run.key).state is RunState.TIMED_OUT

    def test_nothing_that_a_run_started_outlives_it(self, bench: Bench, executor: Executor) -> None:
        script = (
            bench.forever + "pids = [subprocess.Popen(forever, start_new_session=i).pid for i in (False, True)]\nprint(*pids)\n"
        )
        executor.launch(bench.run(script))
        assert finished(executor).state is RunState.COMPLETED
        assert [pid for pid in executor.read_log(KEY.owner, KEY.name)[0].split() if alive(int(pid))] == []

    # Surviving us.

    def test_another_executor_finds_and_stops_it(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run("print('loss=1')\n" + WAIT_FOREVER))
        bench.await_mark("ready")
        other = self.make(bench.home)
        assert other.report(KEY).state is RunState.RUNNING
        until(lambda: other.read_log(KEY.owner, KEY.name)[0] == b"loss=1\n", "the log")
        other.stop(KEY)
        other.wait([KEY], PATIENCE)
        assert finished(other).state is RunState.STOPPED
        assert finished(executor) == finished(other)

    def test_a_run_whose_supervisor_is_killed_is_lost_for_good(self, bench: Bench, executor: Executor) -> None:
        script = (
            bench.forever
            + "pids = [os.getpid()] + [subprocess.Popen(forever, start_new_session=i).pid for i in (False, True)]\n"
            "print(*pids)\nprint('loss=1')\n"
        )
        run = bench.run(script + WAIT_FOREVER)
        executor.launch(run)
        bench.await_mark("ready")
        until(lambda: executor.read_log(KEY.owner, KEY.name)[0].endswith(b"loss=1\n"), "the log")
        self.kill_supervisor(executor, KEY)
        executor.wait([KEY], PATIENCE)
        lost = finished(executor)
        assert lost.state is RunState.LOST
        assert lost.model_uri is None
        pids = executor.read_log(KEY.owner, KEY.name)[0].splitlines()[0].split()
        assert len(pids) == 3
        assert [pid for pid in pids if alive(int(pid))] == []
        executor.launch(run)
        assert finished(self.make(bench.home)) == lost
        assert bench.marked("ready") == 1

    def test_what_has_no_mark_does_not_outlive_a_killed_supervisor_either(self, bench: Bench, executor: Executor) -> None:
        script = (
            bench.forever + "silent = {'env': {}, 'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}\n"
            "print(*[subprocess.Popen(forever, start_new_session=i, **silent).pid for i in (False, True)])\n"
        )
        executor.launch(bench.run(script + WAIT_FOREVER))
        bench.await_mark("ready")
        until(lambda: executor.read_log(KEY.owner, KEY.name)[0].endswith(b"\n"), "the log")
        self.kill_supervisor(executor, KEY)
        executor.wait([KEY], PATIENCE)
        assert finished(executor).state is RunState.LOST
        pids = executor.read_log(KEY.owner, KEY.name)[0].split()
        assert len(pids) == 2
        assert [pid for pid in pids if alive(int(pid))] == []

    def test_the_next_attempt_starts_clean_but_keeps_checkpoints(self, bench: Bench, executor: Executor) -> None:
        first = "print('begins'); open('../checkpoints/c', 'w').write('5'); open('../model/m', 'w'); open('left', 'w')\n"
        executor.launch(bench.run(first + WAIT_FOREVER))
        bench.await_mark("ready")
        until(lambda: executor.read_log(KEY.owner, KEY.name)[0] == b"begins\n", "the log")
        self.kill_supervisor(executor, KEY)
        assert finished(executor).state is RunState.LOST
        again = RunKey(KEY.name, 2)
        executor.launch(bench.run("print(os.listdir('.'), os.listdir('../model'), open('../checkpoints/c').read())", key=again))
        assert finished(executor, again).state is RunState.COMPLETED
        assert executor.read_log(KEY.owner, KEY.name)[0] == b"['train.py'] [] 5\n"
        assert executor.read_log(KEY.owner, KEY.name, attempt=2) == executor.read_log(KEY.owner, KEY.name)
        assert executor.read_log(KEY.owner, KEY.name, attempt=1)[0] == b"begins\n"
        assert executor.read_log(KEY.owner, KEY.name, attempt=3) == (b"", 0)
        assert finished(executor).state is RunState.LOST

    def test_an_attempt_does_not_start_beside_the_one_before(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run(WAIT_FOREVER))
        bench.await_mark("ready")
        with pytest.raises(WrongState):
            executor.launch(bench.run("mark('second')", key=RunKey(KEY.name, 2)))
        executor.stop(KEY)
        finished(executor)
        assert bench.marked("second") == 0

    # Waiting and forgetting.

    def test_wait_returns_when_one_of_several_ends(self, bench: Bench, executor: Executor) -> None:
        slow, quick = RunKey("slow", 1), RunKey("quick", 1)
        executor.launch(bench.run(WAIT_FOREVER, key=slow))
        bench.await_mark("ready")
        executor.launch(bench.run("", key=quick))
        began = time.monotonic()
        while executor.report(quick).state is RunState.RUNNING:
            executor.wait([slow, quick], PATIENCE)
        assert time.monotonic() - began < PATIENCE
        executor.stop(slow)
        finished(executor, slow)

    def test_wait_returns_in_time_when_nothing_ends(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run(WAIT_FOREVER))
        bench.await_mark("ready")
        executor.wait([KEY], 0.05)
        assert executor.report(KEY).state is RunState.RUNNING
        executor.stop(KEY)
        finished(executor)

    def test_one_name_in_two_accounts_and_regions_is_three_runs(self, bench: Bench, executor: Executor) -> None:
        owners = [Owner(), Owner("111111111111"), Owner("111111111111", "eu-west-3")]
        runs = [bench.run("print(os.environ['TRAINING_JOB_ARN'])", key=RunKey("job-1", 1, owner)) for owner in owners]
        for run in runs:
            assert executor.report(run.key) is None
            executor.launch(run)
            executor.launch(run)
            assert finished(executor, run.key).state is RunState.COMPLETED
        for owner in owners:
            arn = f"arn:aws:sagemaker:{owner.region}:{owner.account}:training-job/job-1\n"
            assert executor.read_log(owner, "job-1")[0].decode() == arn
        executor.forget(owners[1], "job-1")
        assert [executor.report(run.key) is None for run in runs] == [False, True, False]
        assert self.make(bench.home).report(runs[2].key) is not None

    def test_forget_removes_all_but_never_what_runs(self, bench: Bench, executor: Executor) -> None:
        executor.launch(bench.run(WAIT_FOREVER))
        bench.await_mark("ready")
        with pytest.raises(WrongState):
            executor.forget(KEY.owner, KEY.name)
        executor.stop(KEY)
        finished(executor)
        executor.forget(KEY.owner, KEY.name)
        executor.forget(KEY.owner, KEY.name)
        assert executor.report(KEY) is None
        assert executor.read_log(KEY.owner, KEY.name) == (b"", 0)
        assert not list(bench.home.rglob(KEY.name))
        executor.launch(bench.run("mark('again')"))
        assert finished(executor).state is RunState.COMPLETED
        assert bench.marked("again") == 1
