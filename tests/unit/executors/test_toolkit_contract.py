"""Script mode against the training toolkit's contract, value by value, by scripts that really run."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.executors.test_script_mode import archive, environment, wheel

from rekindle.domain.training_job import Algorithm, Channel, Resources, TrainingSpec
from rekindle.engine.clock import SystemClock
from rekindle.engine.ports import Run, RunKey, RunState
from rekindle.executors.host import Host
from rekindle.executors.images import ImageRule
from rekindle.executors.process import ProcessExecutor

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SHOW = "import json, os, sys\nprint(json.dumps({'args': sys.argv[1:], 'env': dict(os.environ)}))\n"
#: A hyperparameter as it is sent, the argument that the toolkit makes of it, and the variable.
VALUES = {
    "text-in-json": ('"rbf"', "rbf", "rbf"),
    "text-as-it-is": ("rbf", "rbf", "rbf"),
    "whole": ("20", "20", "20"),
    "whole-in-quotes": ('"20"', "20", "20"),
    "number": ("0.10", "0.1", "0.1"),
    "exponent": ("1e-05", "1e-05", "1e-05"),
    "exponent-large": ("1E5", "100000.0", "100000.0"),
    "long": ("0.1015727388941435", "0.1015727388941435", "0.1015727388941435"),
    "true": ("true", "True", "true"),
    "false": ("false", "False", "false"),
    "True-as-python-writes-it": ("True", "True", "True"),
    "null": ("null", "", ""),
    "empty": ("", "", ""),
    "empty-in-json": ('""', "", ""),
    "map": ('{"b": 1, "a": "x"}', "a=x,b=1", '{"a":"x","b":1}'),
    "list": ('["a", 1, null]', "['a', 1, None]", '["a",1,null]'),
    "spaces": ('"  two words "', "  two words ", "  two words "),
    "quotes": ('it\'s "so"', 'it\'s "so"', 'it\'s "so"'),
    "shell": ("$(id); `id` && *", "$(id); `id` && *", "$(id); `id` && *"),
    "lines": ('"a\\nb"', "a\nb", "a\nb"),
    "not-ascii": ('"grün"', "grün", "grün"),
    "not-ascii-in-a-map": ('{"k": "grün"}', "k=grün", '{"k":"gr\\u00fcn"}'),
    "nested-beyond-reading": ("[" * 2000, "[" * 2000, "[" * 2000),
    "json-twice": ('"\\"x\\""', '"x"', '"x"'),
    "dash_and.dot": ("1", "1", "1"),
}


@pytest.fixture
def executor(tmp_path: Path) -> ProcessExecutor:
    rules = [ImageRule("sagemaker-scikit-learn", python=sys.executable)]
    return ProcessExecutor(Host(tmp_path / "home", environment(tmp_path), images=rules), SystemClock())


def printed(
    executor: ProcessExecutor, tmp_path: Path, files: Mapping[str, str | bytes], values: Mapping[str, str], **spec
) -> str:
    """What a script prints; ``values`` name it."""
    where = {"sagemaker_submit_directory": json.dumps(archive(tmp_path, files).as_uri())}
    key = RunKey("job", 1)
    executor.launch(Run(key, TrainingSpec(Algorithm(image=IMAGE), **spec), where | values))
    while (report := executor.report(key)).state is RunState.RUNNING:
        executor.wait([key], 30.0)
    log = executor.read_log(key.owner, key.name)[0].decode()
    assert report.state is RunState.COMPLETED, (report.failure_reason, log)
    return log


def test_every_value_arrives_as_the_toolkit_converts_it(executor: ProcessExecutor, tmp_path: Path) -> None:
    sent = {name: value for name, (value, _, _) in VALUES.items()}
    told = json.loads(printed(executor, tmp_path, {"train.py": SHOW}, {"sagemaker_program": "train.py", "k": "v", **sent}))
    words = dict(zip(told["args"][::2], told["args"][1::2], strict=True))
    assert words.pop("-k") == "v"
    assert words == {f"--{name}": argument for name, (_, argument, _) in VALUES.items()}
    assert told["args"][::2] == ["-k" if n == "k" else f"--{n}" for n in sorted([*VALUES, "k"])]
    variables = {name: told["env"][f"SM_HP_{name.upper()}"] for name in VALUES}
    assert variables == {name: variable for name, (_, _, variable) in VALUES.items()}
    passed = json.loads((Path(told["env"]["SM_INPUT_CONFIG_DIR"]) / "hyperparameters.json").read_text())
    assert {name: passed[name] for name in VALUES} == sent


def test_every_variable_of_the_toolkit_is_there(executor: ProcessExecutor, tmp_path: Path) -> None:
    values = {
        "sagemaker_program": '"src/train.py"',
        "sagemaker_container_log_level": "10",
        "sagemaker_job_name": '"by-the-sdk"',
        "sagemaker_region": '"eu-west-1"',
        "sagemaker_mpi_enabled": "true",
        "sagemaker_estimator_class_name": '"SKLearn"',
        "_tuning_objective_metric": "loss",
        "depth": "3",
    }
    spec = {
        "channels": (Channel("train", str(tmp_path), content_type="text/csv"), Channel("my-data", str(tmp_path))),
        "resources": Resources("ml.m5.large", cpus=3),
    }
    env = json.loads(printed(executor, tmp_path, {"src/train.py": SHOW}, values, **spec))["env"]
    folder = env["SM_MODEL_DIR"].removesuffix("/model")
    group = {"hosts": ["algo-1"], "instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large"}
    inputs = {
        name: {"RecordWrapperType": "None", "S3DistributionType": "FullyReplicated", "TrainingInputMode": "File"}
        for name in ("my-data", "train")
    }
    inputs["train"] |= {"ContentType": "text/csv"}
    resources = {
        "current_group_name": "homogeneousCluster",
        "current_host": "algo-1",
        "current_instance_type": "ml.m5.large",
        "hosts": ["algo-1"],
        "instance_groups": [group],
        "network_interface_name": "lo",
    }
    framework = {"sagemaker_estimator_class_name": "SKLearn", "sagemaker_mpi_enabled": True}
    expected: dict[str, object] = {
        "CHANNELS": ["my-data", "train"],
        "CHANNEL_MY-DATA": f"{folder}/input/data/my-data",
        "CHANNEL_TRAIN": f"{folder}/input/data/train",
        "CURRENT_HOST": "algo-1",
        "CURRENT_INSTANCE_GROUP": "homogeneousCluster",
        "CURRENT_INSTANCE_GROUP_HOSTS": ["algo-1"],
        "CURRENT_INSTANCE_TYPE": "ml.m5.large",
        "DISTRIBUTION_INSTANCE_GROUPS": [],
        "FRAMEWORK_MODULE": "sagemaker_sklearn_container.training:main",
        "FRAMEWORK_PARAMS": framework,
        "HOSTS": ["algo-1"],
        "HPS": {"depth": 3},
        "HP_DEPTH": 3,
        "INPUT_CONFIG_DIR": f"{folder}/input/config",
        "INPUT_DATA_CONFIG": inputs,
        "INPUT_DIR": f"{folder}/input",
        "INSTANCE_GROUPS": ["homogeneousCluster"],
        "INSTANCE_GROUPS_DICT": {"homogeneousCluster": group},
        "IS_HETERO": False,
        "LOG_LEVEL": 10,
        "MODEL_DIR": f"{folder}/model",
        "MODULE_DIR": (tmp_path / "sourcedir.tar.gz").as_uri(),
        "MODULE_NAME": "src/train",
        "NETWORK_INTERFACE_NAME": "lo",
        "NUM_CPUS": 3,
        "NUM_GPUS": 0,
        "NUM_NEURONS": 0,
        "OUTPUT_DATA_DIR": f"{folder}/output/data",
        "OUTPUT_DIR": f"{folder}/output",
        "OUTPUT_INTERMEDIATE_DIR": f"{folder}/output/intermediate",
        "RESOURCE_CONFIG": resources,
        "USER_ARGS": ["--depth", "3"],
        "USER_ENTRY_POINT": "src/train.py",
    }
    own = ("SM_TRAINING_ENV", "SM_CHECKPOINT_DIR")
    found = {n.removeprefix("SM_"): v for n, v in env.items() if n.startswith("SM_") and n not in own}
    assert found == {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
        for name, value in expected.items()
    }
    training = json.loads(env["SM_TRAINING_ENV"])
    assert training["hyperparameters"] == {"depth": 3}
    assert training["additional_framework_parameters"] == framework
    assert training["job_name"] == env["TRAINING_JOB_NAME"] == "job"
    assert training["channel_input_dirs"] == {name: f"{folder}/input/data/{name}" for name in ("my-data", "train")}
    assert (training["is_master"], training["master_hostname"], training["distribution_hosts"]) == (True, "algo-1", [])
    assert (env["CURRENT_HOST"], env["SAGEMAKER_JOB_NAME"], env["SAGEMAKER_REGION"]) == ("algo-1", "by-the-sdk", "eu-west-1")


BASH = '#!/bin/bash\nwords=("$@"); echo "${#words[@]} ${words[1]}"\n'


@pytest.mark.parametrize(
    ("entry", "files", "words"),
    [
        ("go.sh", {"go.sh": BASH}, "2 two words\n"),
        ("bin/go", {"bin/go": BASH}, "2 two words\n"),
        ("plain.sh", {"plain.sh": 'echo "$2"\n'}, "two words\n"),
        ("pack.train", {"pack/__init__.py": "", "pack/train.py": "import sys\nprint(sys.argv[2])\n"}, "two words\n"),
        (
            "src/train.py",
            {"src/train.py": "import sys, aside\nprint(sys.argv[2], aside.X)\n", "aside.py": "X = 1\n"},
            "two words 1\n",
        ),
    ],
)
def test_what_an_entry_point_may_be(
    executor: ProcessExecutor, tmp_path: Path, entry: str, files: dict[str, str | bytes], words: str
) -> None:
    assert printed(executor, tmp_path, files, {"sagemaker_program": entry, "name": '"two words"'}) == words


#: The smallest builder of a package, in the package: nothing of it comes from an index.
BACKEND = """
import pathlib
def build_wheel(folder, config_settings=None, metadata_directory=None):
    file = 'mine-1.0-py3-none-any.whl'
    pathlib.Path(folder, file).write_bytes(pathlib.Path('mine.bin').read_bytes())
    return file
"""


def test_code_that_is_a_package_is_installed_and_run_as_a_module(executor: ProcessExecutor, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "setup.py": "",
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        "[project]\nname = 'mine'\nversion = '1.0'\n",
        "backend.py": BACKEND,
        "mine.bin": wheel("mine"),
        "pack/__init__.py": "",
        "pack/train.py": "import mine, sys\nprint(__name__, mine.VALUE, 'site-packages' in mine.__file__)\n",
    }
    log = printed(executor, tmp_path, files, {"sagemaker_program": "pack/train.py"})
    assert log.splitlines()[-1] == "__main__ from mine True"
