"""The command line as people meet it: on a terminal, with Ctrl-C, from several processes."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import psutil
import pytest
import structlog

from rekindle.cli.main import main
from support.processes import alive
from support.serving import until

REKINDLE = str(Path(sys.executable).with_name("rekindle"))
#: Trains until a file appears, so that a test decides when a training job ends.
TRAINER = """\
import os, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("loss=" + str(abs(float(given["--x"]))), flush=True)
while not os.path.exists(given["--gate"]):
    time.sleep(0.01)
"""
PATIENCE = 400


class Terminal:
    """A command on a terminal of its own, the leader of its process group."""

    def __init__(self, *argv, home, columns=120):
        self.fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {**os.environ, "REKINDLE_HOME": str(home), "TERM": "xterm-256color"}
        # The terminal's own size counts, not what the tests run in.
        environment.pop("COLUMNS", None)
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.process = subprocess.Popen([REKINDLE, *argv], env=environment, start_new_session=True, **streams)
        os.close(theirs)

    def read_until(self, *texts):
        """Reads until each of the texts has appeared since the last call."""
        seen = ""
        deadline = time.monotonic() + PATIENCE
        while not all(text in seen for text in texts):
            assert time.monotonic() < deadline, f"waited for {texts}, saw {seen[-2000:]}"
            chunk = self._read()
            assert chunk is not None, f"the command ended before {texts}: {seen[-2000:]}"
            seen += chunk
        return seen

    def interrupt(self):
        """What Ctrl-C does: SIGINT to the terminal's whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self):
        """The rest of the output, and the exit code."""
        rest = ""
        while (chunk := self._read()) is not None:
            rest += chunk
        os.close(self.fd)
        return rest, self.process.wait(PATIENCE)

    def _read(self):
        ready, _, _ = select.select([self.fd], [], [], PATIENCE)
        assert ready, "the command says nothing"
        try:
            chunk = os.read(self.fd, 65_536).decode(errors="replace")
        except OSError:
            return None
        return chunk or None


@pytest.fixture(autouse=True)
def logging_as_before():
    """The command line sends log lines to stderr; other tests have their own way."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    for process in _training_processes(tmp_path):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def job(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(TRAINER)
    (tmp_path / "job.yaml").write_text(
        f"""\
name: tty
command: {sys.executable} -I -S train.py
source: code
objective: {{metric: loss, goal: minimize, regex: 'loss=([0-9.e-]+)'}}
ranges: {{x: {{min: -1, max: 2}}}}
static: {{gate: {tmp_path / "gate"}}}
strategy: random
limits: {{jobs: 4, parallel: 2}}
"""
    )
    return str(tmp_path / "job.yaml")


@pytest.fixture
def run(home, capfd, monkeypatch):
    """Runs a command in this process, which is quicker, and returns what it wrote."""
    monkeypatch.setenv("REKINDLE_HOME", str(home))

    def command(*argv):
        capfd.readouterr()
        assert main(argv) == 0
        return capfd.readouterr().out

    return command


@pytest.fixture
def trials(run):
    return lambda: json.loads(run("trials", "tty", "--json"))


def test_an_export_shows_how_far_it_is(home, job, run, tmp_path):
    (tmp_path / "gate").touch()
    run("tune", job)
    terminal = Terminal("export", "tty", "--as", "optuna", "--to", f"sqlite:///{tmp_path}/study.db", home=home)
    terminal.read_until("exporting", "100%", "4 trials are in study tty")
    assert terminal.wait()[1] == 0


def _training_processes(folder):
    """Trainers and supervisors whose command lines name the test's folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if process.pid != os.getpid() and str(folder) in " ".join(process.info["cmdline"] or []):
            found.append(process)
    return found


def test_the_picture_ctrl_c_and_resume(job, home, tmp_path, trials):
    first = Terminal("tune", job, home=home, columns=80)
    first.read_until("tty", "0/4 done, 2 running", "x=")
    first.interrupt()
    rest, code = first.wait()
    assert code == 130
    assert "interrupted: tty is not finished; nothing is lost. 2 training jobs go on by\r\n  themselves, and their" in rest
    assert "rekindle resume tty" in rest
    assert "rekindle stop tty" in rest
    assert "Traceback" not in rest

    assert [t["status"] for t in trials()] == ["InProgress", "InProgress"]
    # What runs may be at its start still.
    until(lambda: len(_training_processes(tmp_path / "gate")) == 2)

    (tmp_path / "gate").touch()
    second = Terminal("resume", "tty", home=home)
    rest, code = second.wait()
    assert code == 0
    assert "4/4 done" in rest
    assert "best" in rest
    assert "tty: Completed: 4 training jobs, 0 failed." in rest
    finished = trials()
    assert [t["number"] for t in finished] == [1, 2, 3, 4]
    assert all(t["status"] == "Completed" and t["attempt"] == 1 for t in finished)


def _started(home, *argv, **more):
    environment = {**os.environ, "REKINDLE_HOME": str(home), **more.pop("variables", {})}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([REKINDLE, *argv], env=environment, text=True, **streams)


def test_ctrl_c_before_anything_was_imported_says_so(job, home, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "typer.py").write_text(f"open({str(gate)!r}).read()\n")
    tuning = _started(home, "tune", job, variables={"PYTHONPATH": str(tmp_path)})
    with gate.open("w"):  # opens when the import reads
        tuning.send_signal(signal.SIGINT)
        assert tuning.communicate(timeout=PATIENCE) == ("", "interrupted before anything was done\n")
    assert tuning.returncode == 130
    assert not home.exists()


BEGUN_ONCE_MORE = """\
import sys
if hasattr(sys, "begun"):
    raise ImportError("cannot load module more than once per process")
sys.begun = True
open({!r}).read()
"""
MADE_AN_ERROR = """\
try:
    open({!r}).read()
except KeyboardInterrupt as error:
    raise ImportError("initialization failed") from error
"""


@pytest.mark.parametrize("module", [BEGUN_ONCE_MORE, MADE_AN_ERROR])
@pytest.mark.parametrize(("command", "said"), [("tune", "interrupted: nothing was created"), ("plan", "interrupted")])
def test_ctrl_c_while_a_module_in_c_is_imported_is_no_defect(job, home, tmp_path, module, command, said):
    """numpy's modules cannot be begun twice, and scipy's make an error of what breaks them off."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "numpy.py").write_text(module.format(str(gate)))
    started = _started(home, command, job, variables={"PYTHONPATH": str(tmp_path)})
    with gate.open("w"):
        started.send_signal(signal.SIGINT)
        assert started.communicate(timeout=PATIENCE) == ("", f"{said}\n")
    assert started.returncode == 130


def test_a_second_ctrl_c_leaves_at_once_while_the_first_is_told(job, home, tmp_path):
    """As when the store is asked what there is by now: its answer may take long."""
    gate, asked = tmp_path / "gate", tmp_path / "asked"
    os.mkfifo(gate)
    os.mkfifo(asked)
    telling = f"try:\n    open({str(gate)!r}).read()\nexcept KeyboardInterrupt:\n    open({str(asked)!r}).read()\n"
    (tmp_path / "typer.py").write_text(telling)
    tuning = _started(home, "tune", job, variables={"PYTHONPATH": str(tmp_path)})
    with gate.open("w"):
        tuning.send_signal(signal.SIGINT)
        with asked.open("w"):
            tuning.send_signal(signal.SIGINT)
            assert tuning.communicate(timeout=PATIENCE) == ("", "")
    assert tuning.returncode == 130


def test_ctrl_c_that_is_ignored_from_the_start_stays_so(job, home, tmp_path, trials):
    """A terminal sends it to all that a script has begun, and what that runs in the background goes on."""
    begun = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", REKINDLE, "tune", job]
    tuning = subprocess.Popen(begun, env={**os.environ, "REKINDLE_HOME": str(home)}, stdout=subprocess.DEVNULL)
    until(lambda: len(_training_processes(tmp_path / "gate")) == 2)
    tuning.send_signal(signal.SIGINT)
    (tmp_path / "gate").touch()
    assert tuning.wait(PATIENCE) == 0
    assert [t["status"] for t in trials()] == ["Completed"] * 4


ENDINGS = pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])


@ENDINGS
def test_an_end_before_a_tuning_job_is_created_says_so(home, tmp_path, ending):
    file = tmp_path / "job.yaml"
    os.mkfifo(file)
    tuning = _started(home, "tune", str(file))
    with file.open("w"):  # opens when the job file is read
        tuning.send_signal(ending)
        out, err = tuning.communicate(timeout=PATIENCE)
        assert (out, err.splitlines()[-1]) == ("", "interrupted: nothing was created")
    assert tuning.returncode == 130


@ENDINGS
def test_an_end_after_a_tuning_job_was_created_says_which(job, home, trials, ending):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 512)
    os.set_blocking(writer, True)
    tuning = _started(home, "tune", job, "--detach", stdout=writer)
    os.close(writer)
    deadline = time.monotonic() + PATIENCE
    while main(["show", "tty"]) != 0:
        assert time.monotonic() < deadline
    tuning.send_signal(ending)
    with open(reader, "rb") as output:
        output.read()
    said = tuning.communicate(timeout=PATIENCE)[1]
    assert tuning.returncode == 130
    assert "tty is not finished; nothing is lost." in said
    assert "rekindle resume tty" in said


def test_on_a_narrow_terminal_no_word_is_broken(job, home):
    rest, _ = Terminal("tune", job, "--detach", home=home, columns=40).wait()
    assert rest.split("\r\n")[:2] == ["created tuning job tty; `rekindle", "  worker` runs it, or `rekindle resume"]
    rest, _ = Terminal("jobs", home=home, columns=55).wait()
    assert rest.split("\r\n")[0] == "tty  InProgress (waits)  0/4 jobs, 0 failed  best -"
    rest, _ = Terminal("jobs", home=home, columns=80).wait()
    assert "created (UTC)" in rest


@pytest.mark.parametrize("answer", [b"n\n", b"\x04", None])
def test_who_does_not_say_yes_deletes_nothing(job, home, tmp_path, run, trials, answer):
    (tmp_path / "gate").touch()
    run("tune", job, "--quiet")
    asking = Terminal("delete", "tty", "--training-jobs", home=home)
    asking.read_until("[y/N]")
    # Python's prompt misses a signal that comes between its last word and its wait for an answer.
    until(lambda: psutil.Process(asking.process.pid).status() == psutil.STATUS_SLEEPING)
    asking.interrupt() if answer is None else os.write(asking.fd, answer)
    rest, code = asking.wait()
    assert code == 130
    assert "nothing was changed" in rest
    assert len(trials()) == 4


def test_a_notebook_is_not_asked_whether_to_delete(job, home, tmp_path, run, trials, monkeypatch):
    (tmp_path / "gate").touch()
    run("tune", job, "--quiet")
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    rest, code = Terminal("delete", "tty", "--training-jobs", home=home).wait()
    assert code == 2
    assert rest.splitlines() == ["error: --training-jobs: this cannot be undone. Add --yes where nobody can be asked."]
    assert len(trials()) == 4


def test_a_second_ctrl_c_leaves_at_once_and_loses_nothing(job, home, tmp_path, run):
    first = Terminal("tune", job, home=home)
    first.read_until("2 running")
    first.interrupt()
    first.interrupt()
    _, code = first.wait()
    assert code == 130
    (tmp_path / "gate").touch()
    assert "tty: Completed: 4 training jobs, 0 failed." in run("resume", "tty")


def test_resume_watches_what_another_process_runs(job, home, tmp_path, trials):
    first = Terminal("tune", job, home=home)
    first.read_until("2 running")
    second = Terminal("resume", "tty", home=home)
    second.read_until("2 running")
    (tmp_path / "gate").touch()
    for terminal in (first, second):
        rest, code = terminal.wait()
        assert code == 0
        assert "tty: Completed: 4 training jobs, 0 failed." in rest
    assert len(trials()) == 4


def test_stop_ends_what_runs_also_where_no_worker_does(job, home, tmp_path, run, trials):
    first = Terminal("tune", job, home=home)
    first.read_until("2 running")
    first.interrupt()
    first.wait()
    assert "tty: Stopped" in run("stop", "tty")
    assert {t["status"] for t in trials()} == {"Stopped"}
    assert [p for p in _training_processes(tmp_path / "gate") if alive(p.pid)] == []


def test_stop_from_elsewhere_ends_tune(job, home, run):
    first = Terminal("tune", job, home=home)
    first.read_until("2 running")
    run("stop", "tty")
    rest, code = first.wait()
    assert code == 0
    assert "tty: Stopped: 2 training jobs" in rest


def test_logs_follow_a_running_job_to_its_end(job, home, tmp_path, trials):
    first = Terminal("tune", job, home=home)
    first.read_until("2 running")
    name = trials()[0]["name"]
    follower = Terminal("logs", name, "-f", home=home)
    follower.read_until("loss=")
    (tmp_path / "gate").touch()
    _, code = follower.wait()
    assert code == 0
    assert first.wait()[1] == 0


def test_stopping_one_training_job_lets_the_others_go_on(job, home, tmp_path, run, trials):
    first = Terminal("tune", job, home=home)
    first.read_until("2 running")
    name = trials()[0]["name"]
    run("stop", name)
    first.read_until("#3")
    (tmp_path / "gate").touch()
    rest, code = first.wait()
    assert code == 0
    assert "tty: Completed: 4 training jobs, 0 failed." in rest
    assert next(t for t in trials() if t["name"] == name)["status"] == "Stopped"
