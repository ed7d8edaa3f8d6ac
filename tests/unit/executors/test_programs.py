"""Commands, the formats that supervisors read, and what a program is told."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.domain.errors import InvalidValue, Unsupported
from rekindle.domain.training_job import Algorithm
from rekindle.executors import contract, locations, machine, programs, reasons, records

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)


@given(st.dictionaries(WORDS, st.lists(WORDS, max_size=4), max_size=6))
def test_orders_are_read_as_they_were_written(fields: dict[str, list[str]]) -> None:
    assert records.unpack(records.pack(fields)) == fields


def test_bytes_that_are_no_text_pass_through_orders() -> None:
    name = os.fsdecode(b"/data/\xff\xfe")
    assert records.unpack(records.pack({"a": [name]})) == {"a": [name]}
    with pytest.raises(ValueError, match="NUL"):
        records.pack({"a": ["b\0c"]})


@given(st.dictionaries(WORDS, st.none() | st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_a_told_line_is_json(fields: dict) -> None:
    told = records.line(fields)
    assert told.endswith(b"\n")
    assert told.count(b"\n") == 1
    assert json.loads(told) == fields


def test_plain_arguments_are_by_name_and_the_programs_own() -> None:
    hyperparameters = {"b": "2", "a": "1", "_tuning_objective_metric": "x", "sagemaker_region": "y"}
    assert contract.plain_arguments(hyperparameters) == ["--a", "1", "--b", "2"]


def test_python_takes_the_place_of_the_command_s(tmp_path: Path) -> None:
    algorithm = Algorithm(command="python -u 'a b.py' --flag", python=sys.executable)
    program = programs.command_program(algorithm, {"x": "1"})
    assert program.argv == (sys.executable, "-u", "a b.py", "--flag", "--x", "1")
    assert program.first_on_path == (str(Path(sys.executable).parent),)
    silent = programs.command_program(Algorithm(command="train", arguments_style="none"), {"x": "1"})
    assert silent.argv == ("train",)
    assert silent.values == {"x": "1"}


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (Algorithm(command=""), "command: '': the command is empty"),
        (Algorithm(command="python 'x"), 'command: "python \'x": not a command line: no closing quotation'),
        (Algorithm(command="python t.py | tee log"), "'|' is for a shell"),
        (Algorithm(command="python t.py", python="/no/such"), "python: '/no/such': neither"),
        (Algorithm(command="python none.py", source="."), "there is no file 'none.py' in the source folder"),
        (Algorithm(command="python -u none.py", source="."), "there is no file 'none.py' in the source folder"),
        (Algorithm(command="python3 -Iu -W error -Xdev none", source="."), "there is no file 'none' in the source folder"),
        (Algorithm(command=f"{sys.executable} -OO none.py"), "there is no file 'none.py' there"),
        (Algorithm(command="true", source="/no/such"), "source: '/no/such': there is no such folder"),
        (Algorithm(command="true", source=__file__), f"source: {__file__!r}: it is a file, not a folder"),
        (Algorithm(command="A=1 true"), "command: 'A=1 true': no program 'A=1' is on PATH"),
        (Algorithm(command="~/t"), "'~/t' is for a shell, and commands are run without one. Write the whole path."),
        (Algorithm(command="python $HOME/t.py", source="."), "'$HOME/t.py' is for a shell, and commands are run without one"),
        (Algorithm(command="true\nfalse"), "several lines are several commands for a shell"),
        (Algorithm(command=f"bash -c '{'x' * 131_072}'"), "a word of 131,072 characters is too long to start a program with"),
        (Algorithm(command="true \\\n  --x"), "several lines are several commands for a shell"),
        (Algorithm(command="./plain", source="."), "'./plain' is not executable"),
    ],
)
def test_commands_that_cannot_run_are_refused(algorithm: Algorithm, words: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").touch()
    with pytest.raises(InvalidValue) as refused:
        programs.check_command(algorithm, os.environ["PATH"])
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.sh", b"echo hi\n", "'./x.sh' has no first line that names its interpreter. Write: bash ./x.sh"),
        ("x.py", b"print()\n", "'./x.py' has no first line that names its interpreter. Write: python ./x.py"),
        ("x", b"", "'./x' has no first line that names its interpreter. Write: bash ./x"),
        ("x", b"#!/bin/sh\r\ntrue\r\n", "the lines of './x' end as on Windows"),
        ("x", b"#!/bin/sh\rtrue\r", "the lines of './x' end as on Windows"),
        ("x", b"#!/bin/sh\rtrue\n", r"names '/bin/sh\rtrue', and there is no such program"),
        ("x", b"#!/bin/sh\v-e\ntrue\n", r"names '/bin/sh\x0b-e', and there is no such program"),
        ("x", b"#!/usr/bin/env bash\r\ntrue\r\n", "Save it with the line ends of Linux: sed -i 's/\\r$//' ./x"),
        ("x", b"#! /no/such -x\ntrue\n", "the first line of './x' names '/no/such', and there is no such program"),
    ],
)
def test_a_script_that_the_system_does_not_start_is_refused(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / name).chmod(0o755)
    # As a child of ours is, and not by way of a shell, which would be more lenient.
    done = None
    with contextlib.suppress(OSError):
        done = subprocess.run([f"./{name}"], cwd=tmp_path, check=False, capture_output=True)
    assert done is None or done.returncode == 127
    with pytest.raises(InvalidValue) as refused:
        programs.check_command(Algorithm(command=f"./{name}", source=str(tmp_path)), os.environ["PATH"])
    assert words in str(refused.value)
    # A node of a cluster starts it by env.
    if not content.startswith(b"#!"):
        assert subprocess.run(["env", f"./{name}"], cwd=tmp_path, check=False, capture_output=True).returncode != 127
        programs.check_command(Algorithm(command=f"./{name}", source=str(tmp_path)), os.environ["PATH"], on_node=True)


_STARTS = (b"#!/bin/sh\ntrue", b"#!/usr/bin/env -S sh -e\n", b"#! /bin/sh\n\r\n", b"\x7fELF\x02\0\0")
#: To these a line end as on Windows is a space, like any other.
_TAKE_RETURNS = (b"#!/usr/bin/env -S sh -e\r\n", b"#!/usr/bin/env -vS sh\r\n")


@pytest.mark.parametrize("content", [*_STARTS, *_TAKE_RETURNS])
def test_what_the_system_may_start_is_not_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    (tmp_path / "x").chmod(0o755)
    programs.check_command(Algorithm(command="./x", source=str(tmp_path)), os.environ["PATH"])


def test_line_ends_as_on_windows_are_no_fault_of_a_perl_script_with_options(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"#!./perl -w\r\n")
    (tmp_path / "x").chmod(0o755)
    programs.check_command(Algorithm(command="./x", source=str(tmp_path)), os.environ["PATH"])


@pytest.mark.parametrize(
    ("command", "way_out"),
    [
        ("train.py --x 1", "It is a file of the source folder: write python train.py"),
        ("run", "It is a file of the source folder: write ./run"),
        ("python none.py", "The job file's `source` names the folder that is copied and in which the command runs."),
        ("./none", "The job file's `source` names the folder that is copied and in which the command runs."),
        ("python /no/such.py", ""),
        ("python -u my own train.py --x 1", "A name with spaces stands in quotes: 'my own train.py'"),
        ("'./my own' run --x", "A name with spaces stands in quotes: './my own run'"),
    ],
)
def test_a_file_that_is_not_found_so_comes_with_the_way_out(command: str, way_out: str, tmp_path: Path) -> None:
    for name in ("train.py", "run", "my own train.py", "my own run"):
        (tmp_path / name).touch()
    with pytest.raises(InvalidValue) as refused:
        programs.check_command(Algorithm(command=command, source=str(tmp_path)), os.environ["PATH"])
    assert refused.value.hint == way_out
    assert any(
        words in str(refused.value)
        for words in ("on PATH", f"in the source folder {tmp_path}", "there is no file '/no/such.py' there")
    )


def test_the_python_that_found_no_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    there = "install the package there, or name another"

    def hint(command: str, python: str | None = None) -> str:
        return programs.command_program(Algorithm(command=command, python=python), {}, str(tmp_path)).hint

    assert hint("python -u t.py") == f"The command's Python is {tmp_path}/python: {there} by `python` in the job file"
    assert hint("python t.py", sys.executable).startswith(f"The command's Python is {sys.executable}: ")
    assert hint(f"{sys.executable} t.py") == f"The command's Python is {sys.executable}: {there} in the command"
    assert hint("sh -c 'python t.py'") == ""


@pytest.mark.parametrize(
    "rest", ["-m none", "-Im none.py", "-c none.py", "- none.py", "-u there.py none.py", "-W -x there.py", "-V"]
)
def test_what_is_no_script_of_python_s_need_not_be_there(rest: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.py").touch()
    programs.check_command(Algorithm(command=f"python3 {rest}", source=str(tmp_path)), os.environ["PATH"])


@pytest.mark.parametrize(
    ("python", "way_out"),
    [("python3", "Write the interpreter's path: {folder}/python3"), ("venv", "Give the path of one of the two.")],
)
def test_a_python_by_its_name_alone_comes_with_its_path(python: str, way_out: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidValue, match="neither a Python interpreter nor an environment's folder") as refused:
        # A job file's names are paths from its folder.
        programs.chosen_python(str(tmp_path / "jobs" / python))
    assert refused.value.hint == way_out.format(folder=tmp_path)


@pytest.mark.parametrize("command", ["/bin/x -a 'b c'", "'/my own/x' y", "#x y", "a\\ b c", " x "])
def test_the_first_word_is_a_command_s_program(command: str) -> None:
    assert programs.first_word(command) == programs.command_words(command)[0]
    assert programs.first_word(command + ' "of a shell') == programs.first_word(command)


def test_what_is_no_command_line_names_no_program() -> None:
    assert [programs.first_word(command) for command in ("", "'x y")] == ["", ""]


def test_a_shell_may_be_asked_for() -> None:
    programs.check_command(Algorithm(command="bash -c 'a | b' ; x"), os.environ["PATH"])


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/a b", "/a b"),
        ("file:///a%20b", "/a b"),
        ("file://localhost/a", "/a"),
        ("/a#b?c", "/a#b?c"),
        ("file:///%FF", "/\udcff"),
    ],
)
def test_local_paths(uri: str, path: str) -> None:
    assert locations.local_path(uri, "f") == Path(path)


@pytest.mark.parametrize(("uri", "error"), [("a", InvalidValue), ("file://host/a", InvalidValue), ("https://a/b", Unsupported)])
def test_what_is_no_local_path(uri: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="f: "):
        locations.local_path(uri, "f")


def test_gpus_that_we_may_use() -> None:
    assert machine.gpus({"CUDA_VISIBLE_DEVICES": "0, GPU-1f"}) == ("0", "GPU-1f")
    assert machine.gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == ()


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        ("", ""),
        ("a\n\nb\nc\nd\n", "b\nc\nd"),
        (f"a\n{'b' * 5000}\n{'c' * 500}\n", f"a\n{'b' * 200}...\n{'c' * 500}"),
        ("Traceback (most recent call last):\n  File x\nKeyError: 'a'\n\nlater\n", "KeyError: 'a'"),
        ("Traceback (most recent call last):\n  x\nA: 1\n\nDuring\n\nTraceback (most recent call last):\n  y\nB: 2\n", "B: 2"),
        (
            "Traceback (most recent call last):\n  x\nE: CUDA error\nSet CUDA_LAUNCH_BLOCKING=1\n\tto debug.\n\nlater\n",
            "E: CUDA error\nSet CUDA_LAUNCH_BLOCKING=1\n\tto debug.",
        ),
        (
            f"Traceback (most recent call last):\n  x\nA: 1\n{'b' * 500}\n" + f"{'c' * 99}\n" * 9,
            f"A: 1\n{'b' * 200}...\n" + f"{'c' * 99}\n" * 4 + "...",
        ),
        ("Traceback (most recent call last):\n  x\n", "Traceback (most recent call last):\n  x"),
    ],
)
def test_last_words(tail: str, words: str) -> None:
    assert reasons.last_words(tail) == words


TRACEBACK = "Traceback (most recent call last):\n"
#: What SDK v3's driver prints of a program (it takes the indents), and then of itself; what it writes into the failure file.
DRIVEN = f'{TRACEBACK}File "train.py", line 1, in <module>\nraise E("why")\nE: why\n'
CALLED = f'{TRACEBACK}  File "/opt/ml/input/data/sm_drivers/common/utils.py", line 193, in x\nCalledProcessError: ...'
TRACED = "+++ python a.py\nno luck\n++++ handle_error\n++++ EXIT_STATUS=1\nAn error occurred with exit code 1\n++++ exit 1\n"
GENERAL = "Training Execution failed. For more details, see CloudWatch logs at 'aws/sagemaker/TrainingJobs'.\nTrainingJob - a"


@pytest.mark.parametrize(
    ("told", "tail", "words"),
    [
        (CALLED, f"{DRIVEN}Command failed with exit code 1. Traceback: {CALLED}\n", 'raise E("why")\nE: why'),
        (GENERAL, TRACED, "+++ python a.py\nno luck"),
        (f"\n{GENERAL}", "a\nb", "a\nb"),
    ],
)
def test_what_sdk_v3_says_of_any_failure_hides_no_program_s_words(told: str, tail: str, words: str) -> None:
    told, tail = reasons.without_driver(told, tail)
    assert told is None
    assert reasons.last_words(tail).endswith(words)


@pytest.mark.parametrize("told", [None, "", "CalledProcessError: of my own", "Command failed with exit code 1"])
def test_a_failure_file_of_the_program_s_own_stays(told: str | None) -> None:
    tail = "Command failed with exit code 1\nmore"
    assert reasons.without_driver(told, tail) == (told, tail)


def test_a_word_with_letters_that_the_locale_has_not_is_as_long_as_it_is_passed_on() -> None:
    locale = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = "from rekindle.executors.contract import is_short_word as s; print(s('\\xe9' * 65_535), s('\\xe9' * 65_536))"
    done = subprocess.run([sys.executable, "-c", code], env=locale, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True False\n", "")
