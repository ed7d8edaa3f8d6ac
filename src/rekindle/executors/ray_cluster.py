"""What a training job on a Ray cluster is: which ones can be, and what ``ray_job`` is told of one."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rekindle.domain.errors import Unsupported
from rekindle.domain.training_job import TrainingSpec
from rekindle.engine.ports import ClusterUnavailable, Run
from rekindle.executors import ray_job, workdir
from rekindle.executors.host import Cluster, Host
from rekindle.executors.instances import asked
from rekindle.executors.leftovers import RUN_MARK
from rekindle.executors.programs import Elsewhere, Program
from rekindle.executors.runtimes import runs_container

#: Variables of our own shell that say something of this machine, which a node is not, or of the Ray job that we run in.
_OURS_ALONE = (
    "CUDA_VISIBLE_DEVICES",
    "HOSTNAME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DISPLAY",
    "RAY_ADDRESS",
    "RAY_JOB_CONFIG_JSON_ENV_VAR",
    RUN_MARK,
)
#: The program that follows a job.
_FOLLOWER = (sys.executable, "-I", "-S", str(Path(ray_job.__file__)))
#: Seconds that a node waits for the end of what is printed once the program has ended.
_LINGER_SECONDS = 5
#: Seconds between two looks of a node whether its program is still wanted.
_LOOK_SECONDS = 5


@dataclass(frozen=True)
class RayCluster(Cluster):
    """A Ray cluster, by the URL of its dashboard."""

    address: str
    name: str = "the Ray cluster"

    def check(self, spec: TrainingSpec, host: Host) -> None:
        """See Cluster."""
        if spec.resources.instance_count > 1:
            field = "resources.instances"
            message = f"{field}: {spec.resources.instance_count}: a training job is one program on a Ray cluster."
            raise Unsupported(
                message, "Ask for one instance; within it, Ray Train and ray.init() reach the whole cluster.", field
            )
        if runs_container(spec.algorithm, host.images):
            message = f"image: {spec.algorithm.image!r}: images are not run as containers on a Ray cluster."
            raise Unsupported(
                message, "Let images.yaml choose a Python environment that all nodes have (docs/ray.md).", "image"
            )

    def check_answers(self, host: Host) -> None:
        """See Cluster."""
        if why := self._absence(host, ray_job.ANSWER_SECONDS):
            message = f"REKINDLE_RAY_ADDRESS: {self.address!r}: no Ray cluster can be reached there: {why}"
            raise ClusterUnavailable(message, f"{ray_job.WAY_OUT}.")

    def absence(self, host: Host) -> str:
        """See Cluster."""
        return self._absence(host, ray_job.GLIMPSE_SECONDS)

    def inherited(self, environment: Mapping[str, str]) -> dict[str, str]:
        """See Cluster."""
        return {name: value for name, value in environment.items() if name not in _OURS_ALONE}

    def elsewhere(self, run: Run, folder: Path, host: Host, program: Program, environment: Mapping[str, str]) -> Elsewhere:
        """See Cluster. A Ray job."""
        control = workdir.attempt_of(folder, run.key.attempt)
        launch = f"{control}/{ray_job.LAUNCH}"
        script = shlex.quote(launch)
        # Drawn, for Ray never forgets an id: a job that is made again under its name would be taken for the former, and end as
        # that did. An attempt begins once, by these orders alone.
        job = f"rekindle-{run.key.name}-{os.urandom(4).hex()}-{run.key.attempt}"
        told = {
            "address": self.address,
            "id": job,
            "folder": str(folder),
            "control": control,
            "lost": f"{control}/{workdir.LOST}",
            "request": {
                # Not the program with its variables: whoever may see the cluster's dashboard would see them.
                # By its first line, for what waits in Ray's queue may be of a former job in this very folder.
                "entrypoint": f"{_looks_for(job)} {script} || exit {ray_job.NO_FOLDER}; exec sh {script}",
                "metadata": {"rekindle": run.key.name},
                "runtime_env": {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(math.ceil(host.grace_seconds))}},
                **_resources(run, host),
            },
        }
        files = {
            launch: _launch(job, run, folder, host, program, environment),
            f"{control}/{ray_job.DESCRIPTION}": json.dumps(told),
            # There before anybody looks for it: a network's file system remembers for a minute that a file is not there.
            f"{control}/{ray_job.OUTPUT}": "",
        }
        return Elsewhere(files, [*_FOLLOWER, "run", control], [*_FOLLOWER, "ask", control])

    def _absence(self, host: Host, seconds: float) -> str:
        try:
            # Any job will do: what counts is who says that it is not there.
            ray_job.Cluster(self.address, seconds, host.environment).job("rekindle")
            return ""
        except (ray_job.Silent, ray_job.Refused) as error:
            return str(error)


def end_of_former(run: Run, folder: Path) -> list[str]:
    """The command that ends a run's former attempts in the clusters that they were sent to, whatever the settings say by now;
    empty where there are none."""
    former = [workdir.attempt_of(folder, attempt) for attempt in range(1, run.key.attempt)]
    sent = [attempt for attempt in former if os.path.exists(os.path.join(attempt, ray_job.DESCRIPTION))]
    return [*_FOLLOWER, "end", *sent] if sent else []


def _resources(run: Run, host: Host) -> dict[str, float]:
    each = asked(host.instances, run.spec.resources)
    wanted = {
        "entrypoint_num_cpus": each.amount.cpus or 1.0,
        "entrypoint_num_gpus": float(each.gpus),
        "entrypoint_memory": int(each.amount.memory * 1e9),
    }
    return {name: value for name, value in wanted.items() if value}


def _looks_for(job: str) -> str:
    """The shell command that finds a job's own launch file."""
    return f"grep -qsxF {shlex.quote(f'# {job}')}"


def _launch(job: str, run: Run, folder: Path, host: Host, program: Program, environment: Mapping[str, str]) -> str:
    """The shell script that runs the program on its node. What Ray says to a job, such as which GPUs are its own, is seen by
    the program, too. A signal of Ray's reaches both; the script only waits, for it is to tell how the program ended."""
    control = workdir.attempt_of(folder, run.key.attempt)
    # Not the mark of our own processes: a node may be this very machine.
    mark = f"{RUN_MARK}={control}/{job}"
    variables = [f"{name}={value}" for name, value in environment.items() if name != RUN_MARK]
    words = ("env", *variables, mark, *program.argv)
    return _SCRIPT.format(
        job=job,
        wanted=_looks_for(job),
        home=shlex.quote(str(host.root)),
        look=_LOOK_SECONDS,
        grace=math.ceil(host.grace_seconds),
        launch=ray_job.LAUNCH,
        code=shlex.quote(str(folder / "code")),
        control=shlex.quote(control),
        output=ray_job.OUTPUT,
        pipe=ray_job.PIPE,
        exit=ray_job.EXIT,
        no_folder=ray_job.NO_FOLDER,
        mark=shlex.quote(mark),
        linger=_LINGER_SECONDS,
        words=" ".join(shlex.quote(word) for word in words),
    )


#: Ray's signals reach all processes of a job, and are the program's alone. It prints into a pipe, as elsewhere: a file would be
#: emptied by who opens /dev/stderr anew. What it has left running is found by its mark; we do not wait long for the output of
#: who has got rid of that. A shell's own word of how a program ended is none of the program's.
#:
#: The watcher is for a stop that the cluster does not hear of, or nobody sends: twice in a row the launch file is not what it
#: was, though the home is there. And for a node that goes down alone: Ray kills this shell then, and not what it has started.
_SCRIPT = """\
# {job}
control={control}
pipe=$control/{pipe}
cd {code} && : > "$control/{output}" && rm -f "$pipe" && mkfifo "$pipe" || exit {no_folder}
tell() {{
  grep -lzxF {mark} /proc/[0-9]*/environ | while IFS=/ read -r _ _ one _; do kill -"$1" "$one"; done
}}
waited_for() {{
  grep -qs '^State:.[^XZ]' /proc/$$/status
}}
trap '' TERM
cat "$pipe" > "$control/{output}" &
reader=$!
(trap - TERM; exec {words} > "$pipe" 2>&1) &
program=$!
exec 2> /dev/null
(
  told=
  trap told=1 TERM
  unwanted=0
  while waited_for && [ $unwanted -lt 2 ]; do
    sleep {look}
    if [ -d {home} ] && ! {wanted} "$control/{launch}"; then unwanted=$((unwanted + 1)); else unwanted=0; fi
  done
  [ "$told" ] || tell TERM
  waited=0
  while waited_for && [ $waited -lt {grace} ]; do
    sleep 1
    waited=$((waited + 1))
  done
  tell KILL
) &
watcher=$!
wait $program
code=$?
kill -KILL $watcher
tell KILL
(sleep {linger}; kill -KILL $reader) &
limit=$!
wait $reader
kill -KILL $limit
echo $code > "$control/{exit}.new" && mv "$control/{exit}.new" "$control/{exit}"
exit $code
"""
