"""An engine that does not answer, as a script in its client's place has it, and what its client is told of GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rekindle.executors import container

#: Answers of a client, by its first word; those before ``gone`` calls of it have passed fail.
_CLIENT = """#!/bin/sh
echo "$@" >> "$0.calls"
if [ "$(wc -l < "$0.calls")" -le {gone} ]; then echo "{problem}" >&2; exit 1; fi
case "$1" in inspect) echo running;; info) echo {kept};; wait) echo 0;; esac
"""


def client(folder: Path, gone: int = 0, problem: str = "no daemon", kept: str = "false") -> str:
    path = folder / "docker"
    path.write_text(_CLIENT.format(gone=gone, problem=problem, kept=kept))
    path.chmod(0o755)
    return str(path)


def calls(path: str) -> list[str]:
    return Path(f"{path}.calls").read_text().splitlines()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_PAUSE_SECONDS", 0.01)


def test_it_is_waited_for_while_it_is_asked(tmp_path: Path) -> None:
    path = client(tmp_path, gone=3)
    engine = container.Engine(path)
    assert engine.asked("inspect", "job") == "running"
    assert engine.was_away
    assert calls(path) == [*["ps --quiet"] * 4, "inspect job"]


@pytest.mark.parametrize(("kept", "taken"), [("false", True), ("true", False), ("", False)])
def test_containers_end_with_a_docker_that_is_not_told_to_keep_them(tmp_path: Path, kept: str, taken: bool) -> None:
    assert container.Engine(client(tmp_path, kept=kept)).takes_containers() is taken


def test_a_user_who_may_not_ask_is_told_at_once(tmp_path: Path) -> None:
    path = client(tmp_path, gone=1000, problem="permission denied while trying to connect")
    assert not container.Engine(path).answers()
    assert calls(path) == ["ps --quiet"]


def test_a_client_that_is_not_there_is_no_defect(tmp_path: Path) -> None:
    engine = container.Engine(str(tmp_path / "docker"), patience=0.05)
    assert not engine.answers()
    assert "No such file" in engine.problem


@pytest.mark.parametrize(("client", "words"), [("/usr/bin/docker", ["--gpus", '"device=0,1"']), ("podman", ["--device"] * 2)])
def test_gpus_are_named_in_the_words_of_the_engine(monkeypatch: pytest.MonkeyPatch, client: str, words: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(container.os.path, "exists", lambda _: True)
    found = container._devices(client)
    assert [word for word in found if not word.startswith("nvidia.com/gpu=")] == words
