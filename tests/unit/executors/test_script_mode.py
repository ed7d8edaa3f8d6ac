"""Script mode: code from an archive, an environment for its requirements, arguments and variables as the toolkit's."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.domain.training_job import Algorithm, Channel, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import Report, Run, RunKey, RunState
from rekindle.executors import runtimes, script_mode
from rekindle.executors.host import Host
from rekindle.executors.images import ImageRule, repository
from rekindle.executors.process import ProcessExecutor

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
KEY = RunKey("job", 1)


def environment(tmp_path: Path) -> dict[str, str]:
    """What installs packages keeps them in the home folder, too: not in the user's, which need not be writable."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}


@pytest.fixture
def executor(tmp_path: Path) -> ProcessExecutor:
    rules = [ImageRule("sagemaker-scikit-learn", python=sys.executable)]
    return ProcessExecutor(Host(tmp_path / "home", environment(tmp_path), images=rules), SystemClock())


def archive(folder: Path, files: Mapping[str, str | bytes], name: str = "sourcedir.tar.gz") -> Path:
    with tarfile.open(folder / name, "w:gz") as packed:
        for inside, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            entry = tarfile.TarInfo(inside)
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))
    return folder / name


def run(executor: ProcessExecutor, hyperparameters: Mapping[str, str], key: RunKey = KEY, **changes) -> tuple[Report, str]:
    spec = TrainingSpec(Algorithm(image=IMAGE), **changes)
    executor.launch(Run(key, spec, hyperparameters))
    while (report := executor.report(key)).state is RunState.RUNNING:
        executor.wait([key], 30.0)
    return report, executor.read_log(key.owner, key.name)[0].decode()


def submitted(path: Path, program: str = "train.py", **others: str) -> dict[str, str]:
    """Hyperparameters as version 2 of the SDK sends them: each in JSON."""
    return {"sagemaker_program": json.dumps(program), "sagemaker_submit_directory": json.dumps(path.as_uri()), **others}


SHOW = "import json, os, sys\nprint(json.dumps({'args': sys.argv[1:], 'env': dict(os.environ), 'cwd': os.listdir()}))\n"


def test_arguments_and_variables_are_the_toolkits(executor: ProcessExecutor, tmp_path: Path) -> None:
    code = archive(tmp_path, {"train.py": SHOW, "lib/helper.py": ""})
    values = {"n_estimators": "20", "kernel": '"rbf"', "k": "1", "on": "true", "raw": "as is", "map": '{"b":1,"a":2}'}
    channels = (Channel("train", str(tmp_path)),)
    executor.check(TrainingSpec(Algorithm(image=IMAGE)), submitted(code, **values))
    report, log = run(executor, submitted(code, **values, _tuning_objective_metric="loss"), channels=channels)
    assert report.state is RunState.COMPLETED, log
    told = json.loads(log)
    # By name, as the toolkit sorts them.
    expected = ["-k", "1", "--kernel", "rbf", "--map", "a=2,b=1", "--n_estimators", "20", "--on", "True", "--raw", "as is"]
    assert told["args"] == expected
    env = told["env"]
    assert env["SM_HP_KERNEL"] == "rbf"
    assert env["SM_HP_ON"] == "true"
    assert env["SM_HP_MAP"] == '{"a":2,"b":1}'
    assert json.loads(env["SM_HPS"]) == {
        "k": 1,
        "kernel": "rbf",
        "map": {"a": 2, "b": 1},
        "n_estimators": 20,
        "on": True,
        "raw": "as is",
    }
    assert env["SM_USER_ENTRY_POINT"] == "train.py"
    assert env["SM_MODULE_NAME"] == "train"
    assert env["SM_MODULE_DIR"] == code.as_uri()
    assert json.loads(env["SM_USER_ARGS"]) == told["args"]
    assert env["SM_CHANNEL_TRAIN"].endswith("/input/data/train")
    assert json.loads(env["SM_CHANNELS"]) == ["train"]
    assert json.loads(env["SM_TRAINING_ENV"])["channel_input_dirs"] == {"train": env["SM_CHANNEL_TRAIN"]}
    assert sorted(told["cwd"]) == ["lib", "train.py"]
    passed = json.loads((Path(env["SM_INPUT_CONFIG_DIR"]) / "hyperparameters.json").read_text())
    assert passed["kernel"] == '"rbf"'


def test_values_as_they_are_work_too(executor: ProcessExecutor, tmp_path: Path) -> None:
    code = archive(tmp_path, {"train.py": SHOW})
    hyperparameters = {"sagemaker_program": "train.py", "sagemaker_submit_directory": str(code), "kernel": "rbf"}
    report, log = run(executor, hyperparameters)
    assert report.state is RunState.COMPLETED
    assert json.loads(log)["args"] == ["--kernel", "rbf"]


@pytest.mark.parametrize("whole", [True, False], ids=["the archive", "its folder"])
def test_a_script_that_comes_as_a_channel_is_found_there(executor: ProcessExecutor, tmp_path: Path, whole: bool) -> None:
    code = tmp_path / "code"
    code.mkdir()
    packed = archive(code, {"train.py": "print('isolated')"})
    channels = (Channel("code", (packed if whole else code).as_uri()),)
    hyperparameters = {**submitted(packed), "sagemaker_submit_directory": '"/opt/ml/input/data/code/sourcedir.tar.gz"'}
    executor.check(TrainingSpec(Algorithm(image=IMAGE), channels=channels), hyperparameters)
    report, log = run(executor, hyperparameters, channels=channels)
    assert (report.state, "isolated" in log) == (RunState.COMPLETED, True), log


def test_a_shell_script_and_a_module(executor: ProcessExecutor, tmp_path: Path) -> None:
    code = archive(tmp_path, {"go.sh": 'echo "$@"; python -c "import helper"\n', "helper.py": "print('found')\n"})
    report, log = run(executor, submitted(code, "go.sh", depth="1"))
    assert (report.state, log) == (RunState.COMPLETED, "--depth 1\nfound\n")
    code = archive(tmp_path, {"pack/__init__.py": "", "pack/__main__.py": "print('main')\n"})
    report, log = run(executor, submitted(code, "pack"), RunKey("module", 1))
    assert (report.state, log) == (RunState.COMPLETED, "main\n")


def test_a_shell_script_with_line_ends_as_on_windows_is_told_so(executor: ProcessExecutor, tmp_path: Path) -> None:
    """The shell said of the script, which is there, that it is not found."""
    code = archive(tmp_path, {"go.sh": "#!/bin/bash\r\necho hi\r\n"})
    report, _ = run(executor, submitted(code, "go.sh"))
    assert report.state is RunState.FAILED
    assert report.failure_reason == (
        "ClientError: sagemaker_program: the lines of 'go.sh' end as on Windows, and its first names no program; "
        "sed -i 's/\\r$//' go.sh gives it those of Linux, exit code: 1"
    )


def wheel(name: str) -> bytes:
    """A package that prints when it is imported."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        packed.writestr(f"{name}.py", f"VALUE = 'from {name}'\n")
        packed.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        packed.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return data.getvalue()


def test_requirements_are_installed_once_for_all(executor: ProcessExecutor, tmp_path: Path) -> None:
    file = "tiny_package-1.0-py3-none-any.whl"
    # What the interpreter has itself is there too.
    script = "import tiny_package, numpy\nprint(tiny_package.VALUE)\n"
    files = {"train.py": script, "requirements.txt": f"./{file}\n", file: wheel("tiny_package")}
    code = archive(tmp_path, files)
    for name in ("one", "two"):
        executor.launch(Run(RunKey(name, 1), TrainingSpec(Algorithm(image=IMAGE)), submitted(code)))
    for name in ("one", "two"):
        report, log = run(executor, submitted(code), RunKey(name, 1))
        assert report.state is RunState.COMPLETED, log
        assert log.endswith("from tiny_package\n")
    built = [p for p in (tmp_path / "home" / ".environments").iterdir() if p.is_dir()]
    assert len(built) == 1
    again = archive(tmp_path, {"train.py": script, "requirements.txt": "./no-such-file.whl\n"})
    report, log = run(executor, submitted(again), RunKey("three", 1))
    assert report.state is RunState.FAILED
    assert "InstallRequirementsError" in report.failure_reason
    # What the installer said last, and not only that it failed.
    assert "no-such-file.whl" in report.failure_reason.partition('ErrorMessage "')[2].partition('"\nCommand')[0]


def test_failures_read_like_the_toolkits(executor: ProcessExecutor, tmp_path: Path) -> None:
    code = archive(tmp_path, {"train.py": "raise ValueError('no good')\n"})
    report, _ = run(executor, submitted(code, C="1"))
    expected = (
        'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "ValueError: no good"\n'
        f'Command "{sys.executable} train.py -C 1", exit code: 1'
    )
    assert report.failure_reason == expected
    code = archive(tmp_path, {"train.py": "import os\nos.kill(os.getpid(), 9)\n"})
    report, _ = run(executor, submitted(code, "no.py"), RunKey("gone", 1))
    assert report.failure_reason == (
        "ClientError: sagemaker_program: the code has no file 'no.py'; it has 'train.py', exit code: 1"
    )
    report, _ = run(executor, submitted(code), RunKey("killed", 1))
    assert 'ExitCode 137\nErrorMessage "killed by SIGKILL"\nExtraInfo "OutOfMemory: Process' in report.failure_reason


def test_an_archive_cannot_write_elsewhere(executor: ProcessExecutor, tmp_path: Path) -> None:
    code = archive(tmp_path, {"train.py": "", "../model/planted": "x"})
    report, _ = run(executor, submitted(code))
    assert report.state is RunState.FAILED
    assert not (tmp_path / "home" / "_" / "job" / "model" / "planted").exists()


def test_archives_are_unpacked_safely_by_an_older_python_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr(tarfile, "data_filter")
    monkeypatch.setattr(tarfile.TarFile, "extraction_filter", staticmethod(tarfile.fully_trusted_filter), raising=False)
    script_mode.unpack(str(archive(tmp_path, {"train.py": "x", "deep/a": "y"})))
    assert (tmp_path / "deep" / "a").read_text() == "y"
    for name in ("../planted", "/planted", "deep/../../planted"):
        with pytest.raises(script_mode.NotPossible, match="planted"):
            script_mode.unpack(str(archive(tmp_path, {name: "x"})))


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (IMAGE, "sagemaker-scikit-learn"),
        ("763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.1.0-gpu-py310", "pytorch-training"),
        ("local/xgboost@sha256:0123", "xgboost"),
        ("localhost:5000/sagemaker-xgboost", "sagemaker-xgboost"),
    ],
)
def test_an_image_is_known_by_its_repository(image: str, name: str) -> None:
    assert repository(image) == name


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters", "words"),
    [
        (Algorithm(image="1.dkr.ecr.x/my-algorithm:1"), None, "image: '1.dkr.ecr.x/my-algorithm:1': nothing here knows"),
    ],
)
def test_what_nothing_here_can_run_is_refused(
    executor: ProcessExecutor, algorithm: Algorithm, hyperparameters: Mapping[str, str] | None, words: str
) -> None:
    with pytest.raises(Unsupported) as refused:
        executor.check(TrainingSpec(algorithm), hyperparameters)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("hyperparameters", "words"),
    [
        ({}, "this image runs a script, and there is no 'sagemaker_program'"),
        ({"sagemaker_program": "3", "sagemaker_submit_directory": "/"}, "hyperparameters.sagemaker_program: '3': not the name"),
        ({"sagemaker_program": "t.py"}, "hyperparameters.sagemaker_submit_directory: '': it must say where the script is"),
        (
            {"sagemaker_program": "t.py", "sagemaker_submit_directory": '"/no/such"'},
            "'/no/such': there is no such file",
        ),
    ],
)
def test_a_script_that_is_not_there_is_refused(executor: ProcessExecutor, hyperparameters: dict, words: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        executor.check(TrainingSpec(Algorithm(image=IMAGE)), hyperparameters)
    assert words in str(refused.value)
    report, _ = run(executor, hyperparameters)
    assert report.state is RunState.FAILED
    assert words in report.failure_reason


def test_an_image_without_its_script_is_told_how_to_name_one(executor: ProcessExecutor) -> None:
    with pytest.raises(InvalidValue) as refused:
        executor.check(TrainingSpec(Algorithm(image=IMAGE)), {})
    assert "SourceCode(entry_script=...), or run the image itself as a container" in refused.value.hint


@pytest.mark.parametrize(
    "content", [b"no tar at all", b"", gzip.compress(b"no tar either"), None], ids=["text", "empty", "gzip", "cut"]
)
def test_code_that_cannot_be_unpacked_is_the_users_to_mend(executor: ProcessExecutor, tmp_path: Path, content: bytes) -> None:
    whole = archive(tmp_path, {"train.py": SHOW + "#" + os.urandom(9000).hex()}).read_bytes()
    packed = tmp_path / "broken.tar.gz"
    packed.write_bytes(whole[:5000] if content is None else content)
    report, _ = run(executor, submitted(packed))
    assert report.state is RunState.FAILED
    told = "ClientError: sagemaker_submit_directory: the code's archive 'broken.tar.gz' cannot be unpacked: "
    assert report.failure_reason.startswith(told)
    assert "tar -czf sourcedir.tar.gz -C FOLDER ." in report.failure_reason


def test_a_folder_that_lacks_the_script_is_refused(executor: ProcessExecutor, tmp_path: Path) -> None:
    (tmp_path / "code" / "src").mkdir(parents=True)
    (tmp_path / "code" / "other.py").touch()
    (tmp_path / "code" / "src" / "train.py").touch()
    spec = TrainingSpec(Algorithm(image=IMAGE))
    with pytest.raises(InvalidValue, match=r"sagemaker_program: 'train.py': the code has no such file.*It has: 'other.py'\."):
        executor.check(spec, submitted(tmp_path / "code"))
    executor.check(spec, submitted(tmp_path / "code", "src/train.py"))
    (tmp_path / "code" / "setup.py").touch()
    executor.check(spec, submitted(tmp_path / "code"))


def test_requirements_of_a_rule_and_of_the_code_need_no_uv(tmp_path: Path) -> None:
    """An environment that is built has no pip of its own."""
    for name in ("tiny_package", "small_package"):
        (tmp_path / f"{name}-1.0-py3-none-any.whl").write_bytes(wheel(name))
    (tmp_path / "wanted.txt").write_text(f"{tmp_path}/tiny_package-1.0-py3-none-any.whl\n")
    code = tmp_path / "code"
    code.mkdir()
    (code / "requirements.txt").write_text(f"{tmp_path}/small_package-1.0-py3-none-any.whl\n")
    (code / "train.py").write_text("import tiny_package, small_package\n")
    assert start_in(code, tmp_path / "wanted.txt").returncode == 0


def test_environments_that_nothing_has_used_for_long_make_room_for_a_new_one(tmp_path: Path) -> None:
    folder, code = tmp_path / "environments", tmp_path / "code"
    code.mkdir()
    long_ago = time.time() - script_mode._KEPT_SECONDS - 60

    def begin(number: int) -> subprocess.Popen[str]:
        wanted = tmp_path / f"wanted-{number}.txt"
        wanted.touch()
        (code / "train.py").write_text("print('runs', flush=True)\ninput()\n")
        arguments = [sys.executable, str(folder), str(wanted), "", "train.py"]
        words = [sys.executable, "-I", "-S", script_mode.__file__, *arguments]
        begun = subprocess.Popen(words, cwd=code, env=environment(tmp_path), stdin=-1, stdout=-1, stderr=-1, text=True)
        assert begun.stdout is not None
        assert begun.stdout.readline() == "runs\n"
        return begun

    def built() -> set[str]:
        return {path.name for path in folder.iterdir() if path.is_dir()}

    unused = begin(1)
    unused.communicate("\n")
    (of_unused,) = built()
    used = begin(2)
    of_used = built() - {of_unused}
    (folder / "half").mkdir()
    (folder / "half.lock").touch()
    for mark in folder.glob("*.lock"):
        os.utime(mark, (long_ago, long_ago))
    others = [begin(3), begin(3)]
    assert len(built()) == 2
    assert of_used < built()
    for process in (used, *others):
        process.communicate("\n")


def test_half_of_an_environment_that_was_swept_does_not_count_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "old"
    (old / "lib").mkdir(parents=True)
    (old / ".built").touch()
    for mark, age in (("old.lock", script_mode._KEPT_SECONDS + 60), ("new.lock", 0)):
        (tmp_path / mark).touch()
        os.utime(tmp_path / mark, (time.time() - age,) * 2)
    # It is ended before it has removed anything of it.
    monkeypatch.setattr(script_mode.shutil, "rmtree", lambda *_, **__: None)
    script_mode._sweep(tmp_path, tmp_path / "new.lock")
    assert [path.name for path in old.iterdir()] == ["lib"]


def test_an_environment_that_cannot_be_built_takes_no_room(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (tmp_path / "wanted.txt").write_text("./no-such-file.whl\n")
    assert start_in(code, tmp_path / "wanted.txt").returncode == 1
    assert [path.suffix for path in (tmp_path / "environments").iterdir()] == [".lock"]


def start_in(code: Path, requirements: Path | str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Starts the code's train.py, as a job's own process does."""
    arguments = [sys.executable, str(code.parent / "environments"), str(requirements), "", "train.py"]
    started = [sys.executable, "-I", "-S", *options, script_mode.__file__, *arguments]
    return subprocess.run(started, cwd=code, env={"PATH": os.defpath} | variables, capture_output=True, text=True, check=False)


def test_requirements_may_be_in_an_encoding_that_they_name(tmp_path: Path) -> None:
    (tmp_path / "tiny_package-1.0-py3-none-any.whl").write_bytes(wheel("tiny_package"))
    named = f"# -*- coding: latin-1 -*-\n# Gr\u00f6\u00dfe\n{tmp_path}/tiny_package-1.0-py3-none-any.whl\n"
    (tmp_path / "wanted.txt").write_text(named, encoding="latin-1")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text("import tiny_package\n")
    done = start_in(tmp_path / "code", tmp_path / "wanted.txt")
    assert done.returncode == 0, done.stderr


def test_requirements_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt")]
    for file, other in zip(files, (*files[1:], files[0]), strict=True):
        file.write_text(f"-r {other.name}\n")
    assert script_mode._referred(files[0]) == set(files)


def test_code_with_requirements_may_have_files_whose_names_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    for name in ("requirements.txt", "train.py", os.fsdecode(b"\xff.txt")):
        (tmp_path / "code" / name).touch()
    done = start_in(tmp_path / "code", "")
    assert done.returncode == 0, done.stderr


def test_a_failure_is_told_in_a_locale_without_its_letters(tmp_path: Path) -> None:
    (tmp_path / "wanted.txt").write_text("./Gr\u00f6\u00dfe-1.0-py3-none-any.whl\n", encoding="utf-8")
    for name in ("code", "output"):
        (tmp_path / name).mkdir()
    done = start_in(tmp_path / "code", tmp_path / "wanted.txt", "-X", "utf8=0", LC_ALL="C")
    assert done.returncode == 1
    assert (tmp_path / "output" / "failure").read_text(encoding="utf-8").startswith("InstallRequirementsError")


def test_a_rule_s_requirements_are_an_environment_of_their_own(tmp_path: Path) -> None:
    """With nothing of the interpreter's; what the code asks for comes on top, and the environment is built once."""
    for name in ("tiny_package", "small_package"):
        (tmp_path / f"{name}-1.0-py3-none-any.whl").write_bytes(wheel(name))
    (tmp_path / "wanted.txt").write_text(f"-r more.txt\n{tmp_path}/tiny_package-1.0-py3-none-any.whl\n")
    (tmp_path / "more.txt").write_text("\n")
    rule = ImageRule("sagemaker-*", python=sys.executable, requirements=tmp_path / "wanted.txt")
    executor = ProcessExecutor(Host(tmp_path / "home", environment(tmp_path), images=[rule]), SystemClock())
    script = "import tiny_package\ntry:\n    import numpy\nexcept ImportError:\n    print('alone')\n"
    report, log = run(executor, submitted(archive(tmp_path, {"train.py": script})))
    assert report.state is RunState.COMPLETED, log
    assert log.endswith("alone\n")
    file = "small_package-1.0-py3-none-any.whl"
    files = {
        "train.py": "import tiny_package, small_package\n",
        "requirements.txt": f"./{file}\n",
        file: wheel("small_package"),
    }
    report, log = run(executor, submitted(archive(tmp_path, files)), RunKey("two", 1))
    assert report.state is RunState.COMPLETED, log
    if not runtimes._no_place():
        entrypoint = Algorithm(image=IMAGE, entrypoint=("/bin/sh", "-c"), arguments=("python -c 'import tiny_package'",))
        executor.launch(Run(RunKey("three", 1), TrainingSpec(entrypoint), {}))
        while (report := executor.report(RunKey("three", 1))).state is RunState.RUNNING:
            executor.wait([RunKey("three", 1)], 30.0)
        assert report.state is RunState.COMPLETED, report
    assert len([p for p in (tmp_path / "home" / ".environments").iterdir() if p.is_dir()]) == 2
    (tmp_path / "more.txt").write_text("# changed\n")
    report, _ = run(executor, submitted(archive(tmp_path, {"train.py": script})), RunKey("four", 1))
    assert len([p for p in (tmp_path / "home" / ".environments").iterdir() if p.is_dir()]) == 3


def test_a_package_that_is_not_there_comes_with_the_way_out(executor: ProcessExecutor, tmp_path: Path) -> None:
    report, _ = run(executor, submitted(archive(tmp_path, {"train.py": "import no_such_framework\n"})))
    assert "No module named 'no_such_framework'" in report.failure_reason
    assert f"The image sagemaker-scikit-learn stands for {sys.executable} here" in report.failure_reason
    assert report.failure_reason.endswith("in images.yaml (docs/settings.md).")


def test_so_does_one_that_a_command_misses(executor: ProcessExecutor) -> None:
    executor.launch(Run(RunKey("command", 1), TrainingSpec(Algorithm(command="python -c 'import no_such_framework'")), {}))
    while (report := executor.report(RunKey("command", 1))).state is RunState.RUNNING:
        executor.wait([RunKey("command", 1)], 30.0)
    assert "No module named 'no_such_framework', exit code: 1. The command's Python is /" in report.failure_reason
    assert report.failure_reason.endswith("or name another by `python` in the job file.")


def test_what_a_built_in_algorithm_needs_must_be_here(executor: ProcessExecutor, tmp_path: Path, monkeypatch) -> None:
    spec = TrainingSpec(
        Algorithm(image="sagemaker-xgboost:1.7-1"), channels=(Channel("train", str(tmp_path), content_type="parquet"),)
    )
    executor.check(spec, {"num_round": "1"})
    for gone, words in (
        ("pyarrow", "channels.train.content_type: 'parquet': pyarrow is not installed here. Install it: pip install pyarrow"),
        (
            "xgboost",
            "its built-in algorithm needs xgboost, which is not installed here. Install it: pip install 'rekindle[xgboost]'",
        ),
    ):
        monkeypatch.setattr(runtimes, "_is_there", lambda name, gone=gone: name != gone)
        with pytest.raises(Unsupported) as refused:
            executor.check(spec, {"num_round": "1"})
        assert words in str(refused.value)


def test_a_format_that_a_built_in_algorithm_does_not_take_is_refused(executor: ProcessExecutor, tmp_path: Path) -> None:
    """Whoever asks before the rules of the algorithm were: of several definitions, the first may lack its metrics."""
    spec = TrainingSpec(Algorithm(image="linear-learner:1"), channels=(Channel("train", str(tmp_path), content_type="csv"),))
    with pytest.raises(InvalidValue, match=r"^channels\.train\.content_type: 'csv': csv is not an accepted ContentType"):
        executor.check(spec, {})


def test_an_image_of_an_algorithm_alone_runs_no_script(executor: ProcessExecutor, tmp_path: Path) -> None:
    spec = TrainingSpec(Algorithm(image="knn:1"), channels=(Channel("train", str(tmp_path)),))
    executor.check(spec, {"sagemaker_program": "train.py"})
