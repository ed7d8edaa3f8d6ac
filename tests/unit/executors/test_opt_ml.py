"""Programs that hard-code /opt/ml: each sees its own, and the machine stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.domain.training_job import PROGRAM as PROGRAM_NAME
from rekindle.domain.training_job import SUBMITTED, Algorithm, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import Run, RunKey, RunState
from rekindle.executors import opt_ml, runtimes
from rekindle.executors.host import Host
from rekindle.executors.process import ProcessExecutor

IMAGE = "1.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
START = [sys.executable, "-I", "-S", opt_ml.__file__]
#: Writes to /opt/ml, and tells what else it sees.
PROGRAM = "echo said > /opt/ml/model/said; ls /opt; id -u; cat /opt/ml/input/here; exit 3"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("code", "model", "input"):
        (tmp_path / name).mkdir()
    (tmp_path / "input" / "here").write_text("mine\n")
    problem = opt_ml.probe(str(tmp_path))
    if problem:
        pytest.skip(f"this machine gives no process a view of its own: {problem}")
    return tmp_path


def test_the_folder_is_at_opt_ml_for_the_program_alone(folder: Path) -> None:
    before = sorted(os.listdir("/opt"))
    done = subprocess.run([*START, "need", "bash", "-c", PROGRAM], cwd=folder / "code", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.split() == [*sorted({*before, "ml"}), str(os.geteuid()), "mine"]
    assert (folder / "model" / "said").read_text() == "said\n"
    assert sorted(os.listdir("/opt")) == before


#: What a program with the job's hosts in ``SM_HOSTS`` sees of them, and of what the machine has had before.
NAMES = "getent hosts algo-2; cat /etc/hosts; ls ..; ls -l /etc/hosts | cut -c 1-10"


def named(text: str) -> list[str]:
    """Where something is mounted over the hosts' names."""
    return [line for line in text.splitlines() if "/etc/hosts" in line]


@pytest.mark.parametrize("mode", ["need", "try", "hosts"])
def test_the_hosts_have_names_for_the_program_alone(folder: Path, mode: str) -> None:
    before, mounts = Path("/etc/hosts").read_bytes(), named(Path("/proc/self/mounts").read_text())
    environment = {"PATH": os.environ["PATH"], "SM_HOSTS": '["algo-1","algo-2"]'}
    done = subprocess.run(
        [*START, mode, "sh", "-c", NAMES], cwd=folder / "code", env=environment, capture_output=True, text=True, umask=0o077
    )
    first, _, others = done.stdout.partition("\n")
    assert (first.split(), done.stderr) == (["127.0.0.1", "algo-2"], "")
    there = sorted({"code", "input", "model", *(["packages"] if mode == "need" else [])})
    told = f"{before.decode()}\n127.0.0.1 algo-1\n127.0.0.1 algo-2\n"
    assert others == told + "\n".join([*there, "-rw-r--r--", ""])
    assert (Path("/etc/hosts").read_bytes(), named(Path("/proc/self/mounts").read_text())) == (before, mounts)


@pytest.mark.parametrize(("mode", "sees"), [("try", ["here"]), ("hosts", [])])
def test_for_names_alone_opt_ml_stays_what_it_is(folder: Path, mode: str, sees: list[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "SM_HOSTS": '["algo-1"]'}
    command = [*START, mode, "sh", "-c", "ls /opt/ml/input; getent hosts algo-1 >&2"]
    done = subprocess.run(command, cwd=folder / "code", env=environment, capture_output=True, text=True)
    assert (done.stdout.split(), "algo-1" in done.stderr) == (sees, True)


def test_without_a_name_to_add_there_is_no_view_for_names(folder: Path) -> None:
    look = [*START, "hosts", "readlink", "/proc/self/ns/mnt"]
    done = subprocess.run(look, cwd=folder / "code", env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.stdout.strip() == os.readlink("/proc/self/ns/mnt")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"127.0.0.1 localhost", b"127.0.0.1 localhost\n127.0.0.1 algo-1\n127.0.0.1 algo-2\n"),
        (b"10.0.0.2\tother algo-1 # algo-2\n\xff", b"10.0.0.2\tother algo-1 # algo-2\n\xff\n127.0.0.1 algo-2\n"),
        (b"127.0.0.1 algo-2 algo-1\n", b""),
        (None, b""),
    ],
)
def test_names_that_the_machine_knows_stay_what_they_are(tmp_path: Path, text: bytes | None, told: bytes) -> None:
    if text is not None:
        (tmp_path / "hosts").write_bytes(text)
    assert opt_ml.hosts_file(["algo-1", "algo-2"], str(tmp_path / "hosts")) == told


#: Becomes a view on a machine without the file that says hosts' names.
NAMELESS = """
import os, sys
from rekindle.executors import opt_ml
opt_ml._HOSTS = sys.argv[1] + "/no such file"
opt_ml.enter(sys.argv[1], b"127.0.0.1 algo-1\\n")
print(*sorted(os.listdir(opt_ml.PLACE)), *sorted(os.listdir(sys.argv[1])))
"""


def test_where_hosts_cannot_be_named_the_view_is_as_without_them(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", NAMELESS, str(folder)], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["code", "input", "model"] * 2, "")


def test_why_it_is_not_possible_is_told(folder: Path) -> None:
    assert "No such file" in opt_ml.probe(str(folder / "not there"))


def test_a_program_that_is_not_there(folder: Path) -> None:
    done = subprocess.run([*START, "try", "no-such-program"], cwd=folder / "code", capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "ClientError: the program 'no-such-program' could not be started: No such file or directory\n"


def test_an_entry_point_is_run_in_such_a_view(folder: Path) -> None:
    algorithm = Algorithm(image=IMAGE, entrypoint=("/bin/bash",), arguments=("-c", "true"))
    runtimes.check_image(algorithm, {})
    program = runtimes.image_program(algorithm, {"lr": "0.1"}, os.environ["PATH"], folder)
    assert program.argv[-4:] == ("need", "/bin/bash", "-c", "true")
    assert program.variables["PIP_TARGET"] == "/opt/ml/packages"


#: Does as pip does, in another process, and imports what that put there.
INSTALLS = """
import os, subprocess, sys
pip = "import os; t = os.environ['PIP_TARGET']; os.makedirs(t, exist_ok=True); open(os.path.join(t, 'late.py'), 'w').close()"
subprocess.run([sys.executable, "-c", pip], check=True)
import late
"""


def test_what_an_entry_point_installs_can_be_imported_by_itself(folder: Path) -> None:
    executor = ProcessExecutor(Host(folder / "home", {"PATH": os.environ["PATH"]}), SystemClock())
    key = RunKey("job", 1)
    executor.launch(Run(key, TrainingSpec(Algorithm(image=IMAGE, entrypoint=("python", "-c", INSTALLS))), {}))
    while (report := executor.report(key)).state is RunState.RUNNING:
        executor.wait([key], 30.0)
    assert report.state is RunState.COMPLETED, report.failure_reason


def test_a_script_finds_its_only_host_by_its_name(folder: Path) -> None:
    (folder / "code" / "train.py").write_text(
        "import os, socket\n"
        "server = socket.create_server((os.environ['SM_CURRENT_HOST'], 0))\n"
        "socket.create_connection(('algo-1', server.getsockname()[1]))\n"
    )
    executor = ProcessExecutor(Host(folder / "home", {"PATH": os.environ["PATH"]}), SystemClock())
    key, values = RunKey("job", 1), {PROGRAM_NAME: "train.py", SUBMITTED: str(folder / "code")}
    executor.launch(Run(key, TrainingSpec(Algorithm(image=IMAGE)), values))
    while (report := executor.report(key)).state is RunState.RUNNING:
        executor.wait([key], 30.0)
    assert report.state is RunState.COMPLETED, report.failure_reason


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program"])
def test_an_entry_point_that_is_not_there_is_refused_and_reported(folder: Path, program: str) -> None:
    executor = ProcessExecutor(Host(folder / "home", {"PATH": os.environ["PATH"]}), SystemClock())
    spec = TrainingSpec(Algorithm(image=IMAGE, entrypoint=(program, "train")))
    with pytest.raises(InvalidValue, match=rf"entrypoint: '{program}': .*such program"):
        executor.check(spec)
    key = RunKey("job", 1)
    executor.launch(Run(key, spec, {}))
    while (report := executor.report(key)).state is RunState.RUNNING:
        executor.wait([key], 30.0)
    told = f"ClientError: the program {program!r} could not be started: No such file or directory, exit code: 1"
    assert report.failure_reason == told


@pytest.mark.parametrize("program", ["bash", "python", "/opt/ml/input/data/drivers/run.sh", "./run.sh"])
def test_an_entry_point_that_is_or_may_be_there_is_not_refused(folder: Path, program: str) -> None:
    executor = ProcessExecutor(Host(folder / "home", {"PATH": os.environ["PATH"]}), SystemClock())
    executor.check(TrainingSpec(Algorithm(image=IMAGE, entrypoint=(program,))))


def test_arguments_alone_are_for_an_image_that_is_not_here() -> None:
    with pytest.raises(Unsupported, match="give an entrypoint, too"):
        runtimes.check_image(Algorithm(image=IMAGE, arguments=("train",)), {})


def test_to_look_whether_there_is_a_view_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert runtimes._no_place.__wrapped__() == runtimes._no_place()
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_view_an_entry_point_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "_no_place", lambda: "no view of its own")
    with pytest.raises(Unsupported, match="no view of its own"):
        runtimes.check_image(Algorithm(image=IMAGE, entrypoint=("/bin/bash",)), {})


def test_where_there_can_be_none_as_on_macos_the_way_out_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SystemExit):
        opt_ml.main(["need", "true"])
    told = capsys.readouterr().err
    assert "darwin has no mount namespaces. Let the image run as a container (images.yaml" in told
    assert "sysctl" not in told
