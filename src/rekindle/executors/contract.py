"""What a training job is told and how: SageMaker's files, variables and arguments, as its training toolkit forms them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rekindle.domain.training_job import Channel, Checkpoints

#: The first host of a training job, and its only one where it has one instance.
HOST = "algo-1"
#: Names that are for the service or its toolkit and never reach the program as arguments or ``SM_HP_*``.
_OBJECTIVE = "_tuning_objective_metric"
_PREFIX = "sagemaker_"
#: Those of the service's own names that the toolkit does not pass on as parameters of a framework.
_OF_THE_SERVICE = frozenset(
    {
        "sagemaker_program",
        "sagemaker_submit_directory",
        "sagemaker_enable_cloudwatch_metrics",
        "sagemaker_region",
        "sagemaker_container_log_level",
        "sagemaker_job_name",
        "sagemaker_s3_output",
    }
)
#: Linux starts no program with a longer argument or variable (its MAX_ARG_STRLEN, the final zero included).
_LONGEST = 128 * 1024
#: The one group of instances that a training job has.
_GROUP = "homogeneousCluster"


@dataclass(frozen=True)
class Told:
    """What the variables of one run are made of. ``values`` are the hyperparameters as the program is to see them,
    ``raw`` all of them as they were passed; ``arguments`` what is appended to the command."""

    folder: str
    job_name: str
    raw: Mapping[str, str]
    values: Mapping[str, Any]
    arguments: Sequence[str]
    channels: Sequence[Channel]
    instance_type: str
    cpus: int
    gpus: int
    entry_point: str = ""
    module_dir: str = ""
    framework: str = ""
    hosts: Sequence[str] = (HOST,)
    host: str = HOST
    checkpoints: Checkpoints | None = None


def is_reserved(name: str) -> bool:
    """Whether a hyperparameter is addressed to the service and not to the program."""
    return name == _OBJECTIVE or name.startswith(_PREFIX)


def own(hyperparameters: Mapping[str, str]) -> dict[str, str]:
    """The program's own hyperparameters, by name."""
    return {name: value for name, value in sorted(hyperparameters.items()) if not is_reserved(name)}


def decoded(text: str) -> Any:
    """A hyperparameter as the toolkit reads it: JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def plain_arguments(hyperparameters: Mapping[str, str]) -> list[str]:
    """``--name value`` for each of the program's own hyperparameters, by name."""
    return [word for name, value in own(hyperparameters).items() for word in (f"--{name}", value)]


def toolkit_arguments(values: Mapping[str, Any]) -> list[str]:
    """Arguments as the training toolkit forms them: ``-k`` for names of one character, ``a=1,b=2`` for a mapping."""
    words: list[str] = []
    for name, value in sorted(values.items()):
        words += [f"--{name}" if len(name) > 1 else f"-{name}", _argument(value)]
    return words


def config_files(told: Told) -> dict[str, str]:
    """The files of ``input/config``, by path within the run folder."""
    files = {
        "hyperparameters": dict(told.raw),
        "inputdataconfig": _input_data(told.channels),
        "resourceconfig": _resources(told),
    }
    if told.checkpoints is not None:
        files["checkpointconfig"] = {"S3Uri": told.checkpoints.uri, "LocalPath": told.checkpoints.local_path}
    return {f"input/config/{name}.json": json.dumps(content, indent=1) for name, content in files.items()}


def variables(told: Told) -> dict[str, str]:
    """All ``SM_*`` variables: texts as they are, nothing for none, everything else as compact sorted JSON in ASCII. Those that
    hold all hyperparameters at once are left out where they are too long, and those of names with ``=``, which no variable can
    have: ``hyperparameters.json`` has them."""
    facts = {**_facts(told), "training_env": _training_env(told), "hps": dict(told.values)}
    facts |= {f"channel_{c.name}": f"{told.folder}/input/data/{c.name}" for c in told.channels}
    facts |= {f"hp_{name}": value for name, value in told.values.items()}
    found = {f"SM_{name.upper()}": _text(value) for name, value in facts.items()}
    return {name: text for name, text in found.items() if "=" not in name and is_short_enough(name, text)}


def is_short_enough(name: str, value: str) -> bool:
    """Whether a program can be started with this variable."""
    return is_short_word(f"{name}={value}")


def is_short_word(word: str) -> bool:
    """Whether a program can be started with this argument."""
    return len(word.encode("utf-8", "surrogateescape")) < _LONGEST


def toolkit_variables(told: Told, region: str) -> dict[str, str]:
    """What the training toolkit sets besides, for the frameworks' own code."""
    own = {name: decoded(value) for name, value in told.raw.items()}
    return {
        "CURRENT_HOST": told.host,
        "SAGEMAKER_JOB_NAME": str(own.get("sagemaker_job_name", "")),
        "SAGEMAKER_REGION": str(own.get("sagemaker_region") or region),
    }


def _argument(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={item}" for name, item in sorted(value.items()))
    return "" if value is None else str(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))


def _input_data(channels: Sequence[Channel]) -> dict[str, dict[str, str]]:
    return {c.name: _channel(c) for c in channels}


def _channel(channel: Channel) -> dict[str, str]:
    told = {
        "TrainingInputMode": channel.input_mode,
        "S3DistributionType": channel.distribution,
        "RecordWrapperType": channel.record_wrapper,
    }
    return told | ({"ContentType": channel.content_type} if channel.content_type else {})


def _resources(told: Told) -> dict[str, Any]:
    group = {"instance_group_name": _GROUP, "instance_type": told.instance_type, "hosts": [*told.hosts]}
    return {
        "current_host": told.host,
        "current_instance_type": told.instance_type,
        "current_group_name": _GROUP,
        "hosts": [*told.hosts],
        "instance_groups": [group],
        "network_interface_name": "lo",
    }


def _facts(told: Told) -> dict[str, Any]:
    folder = told.folder
    return {
        "hosts": [*told.hosts],
        "network_interface_name": "lo",
        "user_entry_point": told.entry_point,
        "framework_params": _framework_parameters(told.raw),
        "resource_config": _resources(told),
        "input_data_config": _input_data(told.channels),
        "output_data_dir": f"{folder}/output/data",
        "channels": sorted(c.name for c in told.channels),
        "current_host": told.host,
        "current_instance_type": told.instance_type,
        "current_instance_group": _GROUP,
        "current_instance_group_hosts": [*told.hosts],
        "instance_groups": [_GROUP],
        "instance_groups_dict": {_GROUP: _resources(told)["instance_groups"][0]},
        "distribution_instance_groups": [],
        "is_hetero": False,
        "module_name": told.entry_point.removesuffix(".py"),
        "log_level": _log_level(told.raw),
        "framework_module": told.framework,
        "input_dir": f"{folder}/input",
        "input_config_dir": f"{folder}/input/config",
        "output_dir": f"{folder}/output",
        "output_intermediate_dir": f"{folder}/output/intermediate",
        "num_cpus": told.cpus,
        "num_gpus": told.gpus,
        "num_neurons": 0,
        "model_dir": f"{folder}/model",
        "module_dir": told.module_dir or f"{folder}/code",
        "user_args": list(told.arguments),
    }


def _training_env(told: Told) -> dict[str, Any]:
    facts = _facts(told)
    renamed = {"user_args", "channels", "framework_params"}
    return {name: value for name, value in facts.items() if name not in renamed} | {
        "additional_framework_parameters": facts["framework_params"],
        "channel_input_dirs": {c.name: f"{told.folder}/input/data/{c.name}" for c in told.channels},
        "distribution_hosts": [],
        "hyperparameters": dict(told.values),
        "is_master": told.host == HOST,
        "is_modelparallel_enabled": None,
        "job_name": told.job_name,
        "master_hostname": HOST,
    }


def _framework_parameters(raw: Mapping[str, str]) -> dict[str, Any]:
    names = (n for n in raw if n.startswith(_PREFIX) and n not in _OF_THE_SERVICE)
    return {name: decoded(raw[name]) for name in sorted(names)}


def _log_level(raw: Mapping[str, str]) -> Any:
    return decoded(raw.get("sagemaker_container_log_level", "20"))
