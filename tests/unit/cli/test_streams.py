"""What the command does where its output is a pipe that nobody reads, or is closed."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rekindle.cli.problems import ExitCode

REKINDLE = str(Path(sys.executable).with_name("rekindle"))
JOB = """\
name: closed
command: python train.py
objective: {metric: loss, goal: minimize, regex: 'loss=([0-9.]+)'}
ranges: {x: {min: 0, max: 1}}
limits: {jobs: 2}
"""


@pytest.fixture
def environ(tmp_path):
    (tmp_path / "train.py").write_text("print('loss=1')\n")
    (tmp_path / "job.yaml").write_text(JOB)
    # What is buffered, as it is for users, is written at the end.
    return {**os.environ, "PYTHONUNBUFFERED": "", "REKINDLE_HOME": str(tmp_path / "home")}


@pytest.mark.parametrize("argv", [["--help"], ["jobs"], ["plan", "job.yaml"], ["--version"]])
def test_a_reader_that_went_away_is_no_failure_of_the_command(tmp_path, environ, argv):
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run([REKINDLE, *argv], stdout=writing, stderr=subprocess.PIPE, env=environ, cwd=tmp_path, text=True)
    os.close(writing)
    assert (run.returncode, run.stderr) == (ExitCode.PIPE_CLOSED, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(
    ("argv", "code"), [("jobs", 0), ("tune job.yaml --detach", 0), ("show nothing", 3), ("tune missing.yaml", 2)]
)
def test_a_stream_that_the_caller_closed_changes_nothing_about_the_command(tmp_path, environ, argv, code, closed):
    line = f'"{REKINDLE}" {argv} {closed}'
    run = subprocess.run(["bash", "-c", line], capture_output=True, env=environ, cwd=tmp_path, text=True)
    assert run.returncode == code
    assert "Error" not in run.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ("tune job.yaml", "was created and is not finished: `rekindle resume closed` goes on"),
        ("tune job.yaml --detach", "was created and is not finished: `rekindle resume closed` goes on"),
        ("tune job.yaml --json", "has ended: Completed; see `rekindle show closed`"),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_takes_no_more_says_what_became_of_the_tuning_job(tmp_path, environ, argv, told, unbuffered):
    environ["PYTHONUNBUFFERED"] = unbuffered
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [REKINDLE, *argv.split()], stdout=full, stderr=subprocess.PIPE, env=environ, cwd=tmp_path, text=True
        )
    assert run.returncode == ExitCode.UNREACHABLE
    (error,) = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert "No space left on device. The tuning job closed" in error
    assert told in error
    assert "Exception ignored" not in run.stderr
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "env": environ, "cwd": tmp_path, "text": True}
    assert subprocess.run([REKINDLE, "show", "closed"], **streams).returncode == 0


@pytest.mark.parametrize("argv", ["tune job.yaml", "resume closed"])
def test_a_reader_that_went_away_from_a_tuning_job_leaves_a_word_of_it(tmp_path, environ, argv):
    if argv.startswith("resume"):
        subprocess.run([REKINDLE, "tune", "job.yaml", "--detach"], env=environ, cwd=tmp_path, check=True)
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [REKINDLE, *argv.split()], stdout=writing, stderr=subprocess.PIPE, env=environ, cwd=tmp_path, text=True
    )
    os.close(writing)
    assert run.returncode == ExitCode.PIPE_CLOSED
    assert "interrupted: closed is not finished; nothing is lost." in run.stderr
    assert "error" not in run.stderr


def test_a_hyphen_is_a_job_file_out_of_a_pipe(tmp_path, environ):
    run = subprocess.run([REKINDLE, "plan", "-"], input=JOB, capture_output=True, env=environ, cwd=tmp_path, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "closed" in run.stdout


def test_stdin_may_be_a_socket(tmp_path, environ):
    """As Node's children have it: such a one cannot be opened by the name /dev/stdin."""
    ours, its = socket.socketpair()
    with ours, its:
        ours.sendall(JOB.encode())
        ours.shutdown(socket.SHUT_WR)
        run = subprocess.run([REKINDLE, "plan", "-"], stdin=its, capture_output=True, env=environ, cwd=tmp_path, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_hyphen_is_rows_out_of_a_pipe(tmp_path, environ):
    command, streams = [REKINDLE, "import", "job.yaml", "-"], {"capture_output": True, "env": environ, "cwd": tmp_path}
    run = subprocess.run(command, input="x,loss\n0.1,0.5\n", text=True, **streams)
    assert (run.returncode, run.stderr) == (0, "")
    assert "imported 1 training job as tuning job closed" in run.stdout


@pytest.mark.parametrize("piped", ["describe.json", "training-jobs.json"])
def test_a_hyphen_is_what_sagemaker_answered_out_of_a_pipe(tmp_path, environ, piped):
    streams = {"capture_output": True, "env": environ, "cwd": tmp_path, "text": True}
    rows = "x,loss\n0.1,0.5\n"
    for command in (["import", "job.yaml", "-"], ["export", "closed", "--as", "sagemaker", "--to", "."]):
        subprocess.run([REKINDLE, *command], input=rows, check=True, **streams)
    files = ["-" if name == piped else name for name in ("describe.json", "training-jobs.json")]
    answer = (tmp_path / piped).read_text()
    run = subprocess.run([REKINDLE, "import", *files, "--name", "again"], input=answer, **streams)
    assert (run.returncode, run.stderr) == (0, "")
    assert "imported 1 training job as tuning job again" in run.stdout


@pytest.mark.parametrize(("job", "log"), [("-", "-"), ("/dev/stdin", "-")])
def test_a_job_file_and_its_log_cannot_both_come_from_stdin(tmp_path, environ, job, log):
    command, streams = [REKINDLE, "metrics", job, "--log", log], {"capture_output": True, "env": environ, "cwd": tmp_path}
    run = subprocess.run(command, input=JOB, text=True, **streams)
    expected = "error: --log: '-': the job file is read from there, and nothing is left. Give one of them as a file.\n"
    assert (run.returncode, run.stdout, run.stderr) == (2, "", expected)


def test_a_hyphen_is_not_named_where_the_rules_of_warm_start_are_shown_once_more(tmp_path, environ):
    """By then the pipe holds nothing: `rekindle plan -` would wait for somebody to type a job file."""
    heir = JOB + "warm_start: {type: identical, parents: [nobody, no-one]}\n"
    run = subprocess.run([REKINDLE, "tune", "-"], input=heir, capture_output=True, env=environ, cwd=tmp_path, text=True)
    assert (run.returncode, run.stdout) == (2, "")
    assert "2 rules of warm start are broken; `rekindle plan` shows each of them." in run.stderr


@pytest.mark.parametrize(("leads_to", "told"), [("nowhere", "cannot launch now"), ("runs", "store unavailable")])
def test_who_interrupts_a_tuning_job_is_told_only_of_training_jobs_that_were_launched(tmp_path, environ, leads_to, told):
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "env": environ, "cwd": tmp_path, "text": True}
    subprocess.run([REKINDLE, "tune", "job.yaml", "--detach"], check=True, **streams)
    # As a disk that takes nothing, or is away: what is recorded cannot be launched.
    (tmp_path / "home" / "runs").symlink_to(leads_to)
    with subprocess.Popen([REKINDLE, "resume", "closed"], **streams) as resuming:
        assert told in resuming.stderr.readline()
        resuming.send_signal(signal.SIGINT)
        said = resuming.communicate()[1]
    assert "interrupted: closed is not finished; nothing is lost.\n" in said


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_what_the_output_s_encoding_cannot_say_ends_no_command(tmp_path, environ, encoding):
    (tmp_path / "job.yaml").write_text(JOB.replace("{x:", "{k: [süß, ☃], x:"), encoding="utf-8")
    environ = {**environ, "PYTHONIOENCODING": encoding}

    def told(*argv):
        streams = {"capture_output": True, "env": environ, "cwd": tmp_path}
        run = subprocess.run([REKINDLE, *argv], **streams)
        assert (run.returncode, run.stderr) == (0, b"")
        return run.stdout.decode(encoding)

    assert json.loads(told("plan", "job.yaml", "--json"))["ranges"][0]["values"] == ["süß", "☃"]
    assert ("☃" if encoding == "utf-8" else "\\u2603") in told("plan", "job.yaml")
