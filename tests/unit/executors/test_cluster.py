"""Whatever cluster training jobs run on: what is asked of it, and what it is not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rekindle.domain.capacity import Room
from rekindle.domain.errors import Unsupported
from rekindle.domain.training_job import Algorithm, Resources, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import ClusterUnavailable, Run, RunKey, RunState
from rekindle.executors.host import Cluster, Host
from rekindle.executors.process import ProcessExecutor
from rekindle.executors.programs import Elsewhere, Program


@dataclass(frozen=True)
class Farm(Cluster):
    """One whose nodes are this machine."""

    away: str = ""
    name: str = "the farm"

    def check(self, spec: TrainingSpec, host: Host) -> None:
        if spec.resources.instance_count > 1:
            raise Unsupported("resources.instances: one is enough.", "Ask for one.", "resources.instances")

    def check_answers(self, host: Host) -> None:
        if self.away:
            raise ClusterUnavailable(f"the farm: {self.away}", "Wake it.")

    def absence(self, host: Host) -> str:
        return self.away

    def inherited(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        return {name: value for name, value in environment.items() if name != "OURS"}

    def elsewhere(self, run: Run, folder: Path, host: Host, program: Program, environment: Mapping[str, str]) -> Elsewhere:
        variables = [f"{name}={value}" for name, value in environment.items()]
        return Elsewhere({str(folder / "sent"): run.key.name}, ["env", "-i", *variables, *program.argv], ["true"])


def executor(folder: Path, farm: Farm) -> ProcessExecutor:
    return ProcessExecutor(Host(folder, {"PATH": os.environ["PATH"], "OURS": "1"}, cluster=farm), SystemClock())


SPEC = TrainingSpec(Algorithm(command="sh -c 'cat ../sent; echo $OURS'"))


def test_a_training_job_is_followed_there_with_what_it_may_know(tmp_path: Path) -> None:
    runs, key = executor(tmp_path, Farm()), RunKey("job", 1)
    runs.check(SPEC)
    runs.launch(Run(key, SPEC, {}))
    while (report := runs.report(key)) is not None and report.state is RunState.RUNNING:
        runs.wait([key], 5.0)
    assert report is not None
    assert report.state is RunState.COMPLETED
    assert runs.read_log(key.owner, key.name)[0] == b"job\n"


def test_what_it_does_not_run_and_its_absence_are_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"^resources\.instances: one is enough\. Ask"):
        executor(tmp_path, Farm()).check(TrainingSpec(SPEC.algorithm, resources=Resources(instance_count=2)))
    away, key = executor(tmp_path, Farm("it sleeps")), RunKey("job", 1)
    assert away.room(SPEC) == Room(0, "waits for the farm, which cannot be reached: it sleeps")
    away.launch(Run(key, SPEC, {}))
    assert away.report(key) is None
    with pytest.raises(ClusterUnavailable, match="it sleeps"):
        away.check(SPEC)
