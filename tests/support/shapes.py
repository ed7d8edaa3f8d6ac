"""Requests made from botocore's model of SageMaker: valid ones with any optional members, and broken ones.

Everything follows from a ``random.Random``, so that a seed is a request.
"""

from __future__ import annotations

import json
import re._constants as sre
import re._parser as sre_parser
from copy import deepcopy
from functools import cache
from random import Random
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel

from rekindle.domain.training_job import MAX_INSTANCES

Json = dict[str, Any]

#: Text for members without a pattern: what quoting, encodings and formats trip over.
ALPHABET = "abcXYZ019 _-.:/=+@\"'\\{}[]%$#<>&;,éß漢🦊\u00a0\t"
#: Python's expressions do not know Unicode's classes.
CLASSES = {r"\p{L}": "A-Za-zé漢", r"\p{Z}": " ", r"\p{N}": "0-9", r"\p{Alnum}": "A-Za-z0-9"}
#: How often an optional member is there.
SHARE = 0.5


@cache
def model() -> ServiceModel:
    """SageMaker's model, botocore's own copy."""
    loader = Loader([Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    return ServiceModel(loader.load_service_model("sagemaker", "service-2", "2017-07-24"), "sagemaker")


def request_of(random: Random, operation: str) -> Json:
    """A request that keeps every constraint of the model, and no other rule."""
    return dict(_value(random, model().operation_model(operation).input_shape, 0))


def tuning_request_of(random: Random) -> Json:
    """A CreateHyperParameterTuningJob request that keeps the service's own rules, too."""
    request = request_of(random, "CreateHyperParameterTuningJob")
    for name in ("WarmStartConfig", "Autotune", "TrainingJobDefinition", "TrainingJobDefinitions"):
        request.pop(name, None)
    request["HyperParameterTuningJobName"] = f"f{random.randrange(16**12):012x}"
    config = request["HyperParameterTuningJobConfig"]
    config.pop("StrategyConfig", None)
    config["Strategy"] = random.choice(["Random", "Bayesian"])
    jobs = random.randint(1, 500)
    config["ResourceLimits"] |= {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": random.randint(1, min(jobs, 2))}
    _tags(request)
    if random.random() < 0.5:
        _single(random, request, config)
    else:
        _several(random, request, config)
    return request


def training_request_of(random: Random) -> Json:
    """A CreateTrainingJob request that keeps the service's own rules, too."""
    request = request_of(random, "CreateTrainingJob")
    request.pop("ServerlessJobConfig", None)
    request["TrainingJobName"] = f"f{random.randrange(16**12):012x}"
    _algorithm(random, request, "CreateTrainingJob")
    _resources(random, request, ("ResourceConfig",))
    request["HyperParameters"] = _named(request.get("HyperParameters", {}))
    _channels(random, request)
    _waits(request)
    _tags(request)
    return request


def broken(random: Random, request: Json) -> bytes:
    """The body of a request in which something is not as it should be."""
    copy = json.loads(json.dumps(request))
    for _ in range(random.randint(1, 3)):
        _break(random, copy)
    body = json.dumps(copy, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    if random.random() < 0.1:
        at = random.randrange(len(body) + 1)
        body = body[:at] + random.choice([b"", b"\x00", b"\xff", b"}", b'"', b"\\ud800", b"NaN", b"1e999"]) + body[at + 1 :]
    return body


# --- values of shapes ----------------------------------------------------------------------------------------------------


def _value(random: Random, shape: Any, depth: int) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return _structure(random, shape, depth)
    if kind == "list":
        low, high = _bounds(shape, 3)
        return [_value(random, shape.member, depth + 1) for _ in range(random.randint(low, high))]
    if kind == "map":
        low, high = _bounds(shape, 3)
        items = range(random.randint(low, high))
        return {_value(random, shape.key, depth): _value(random, shape.value, depth + 1) for _ in items}
    if kind == "string":
        return _text(random, shape)
    if kind in ("integer", "long"):
        low = int(shape.metadata.get("min", -(2**31)))
        return random.randint(
            low, min(int(shape.metadata.get("max", 2**31 - 1)), low + random.choice([3, 1000, 2**31 - 1 - low]))
        )
    if kind == "timestamp":
        return random.randint(0, 2**32)
    return random.random() < 0.5 if kind == "boolean" else random.choice([0.0, -0.0, 1e-300, 1e300, random.uniform(-9, 9)])


def _structure(random: Random, shape: Any, depth: int) -> Json:
    share = SHARE if depth < 6 else 0.0
    members = shape.members.items()
    return {
        name: _value(random, member, depth + 1)
        for name, member in members
        if name in shape.required_members or random.random() < share
    }


def _bounds(shape: Any, most: int) -> tuple[int, int]:
    low = int(shape.metadata.get("min", 0))
    return low, max(low, min(int(shape.metadata.get("max", most)), most))


def _text(random: Random, shape: Any) -> str:
    if shape.enum:
        return str(random.choice(shape.enum))
    low, high = int(shape.metadata.get("min", 0)), int(shape.metadata.get("max", 40))
    pattern = shape.metadata.get("pattern")
    if pattern in (None, ".*", ".+"):
        length = random.randint(max(low, pattern == ".+"), min(high, low + 12))
        text = "".join(random.choice(ALPHABET) for _ in range(length))
        # AWS counts UTF-16 units.
        return text if len(text.encode("utf-16-le")) // 2 <= high else "x" * low
    for repeats in (6, 6, 12, 24, 60, 3, 2, 1, 0):
        text = _matching(random, _parsed(pattern), repeats)
        if pattern.endswith("(?<!-)"):
            text = text.rstrip("-")
        if low <= len(text) <= high:
            return text
    raise AssertionError(f"found nothing of {low} to {high} characters for {pattern!r}")


@cache
def _parsed(pattern: str) -> Any:
    for name, characters in CLASSES.items():
        pattern = pattern.replace(name, characters)
    return sre_parser.parse(pattern)


def _matching(random: Random, parsed: Any, repeats: int) -> str:
    return "".join(_piece(random, kind, what, repeats) for kind, what in parsed)


def _piece(random: Random, kind: Any, what: Any, repeats: int) -> str:
    if kind is sre.LITERAL:
        return chr(what)
    if kind is sre.IN:
        return _of_class(random, what)
    if kind is sre.ANY:
        return random.choice("abz09._-")
    if kind is sre.NOT_LITERAL:
        return random.choice([c for c in "abz09" if ord(c) != what])
    if kind is sre.SUBPATTERN:
        return _matching(random, what[-1], repeats)
    if kind is sre.BRANCH:
        return _matching(random, random.choice(what[1]), repeats)
    if kind is sre.MAX_REPEAT:
        low, high, inner = what
        return "".join(_matching(random, inner, repeats) for _ in range(random.randint(low, max(low, min(int(high), repeats)))))
    # What is left are places and look-arounds; the texts above keep to them.
    return ""


def _of_class(random: Random, choices: Any) -> str:
    kind, what = random.choice([c for c in choices if c[0] is not sre.NEGATE])
    if any(c[0] is sre.NEGATE for c in choices):
        return random.choice("abz09")
    if kind is sre.RANGE:
        return chr(random.randint(*what))
    if kind is sre.CATEGORY:
        return random.choice("0123456789" if what is sre.CATEGORY_DIGIT else "abz09_")
    return chr(what)


# --- the service's own rules -----------------------------------------------------------------------------------------------


def _single(random: Random, request: Json, config: Json) -> None:
    objective = {"Type": random.choice(["Maximize", "Minimize"]), "MetricName": "m 0"}
    config["HyperParameterTuningJobObjective"] = objective
    config["ParameterRanges"] = _ranges(random)
    shape = model().shape_for("HyperParameterTrainingJobDefinition")
    part = _structure(random, shape, 2)
    for name in ("TuningObjective", "HyperParameterRanges"):
        part.pop(name, None)
    request["TrainingJobDefinition"] = _definition(random, part)


def _several(random: Random, request: Json, config: Json) -> None:
    for name in ("HyperParameterTuningJobObjective", "ParameterRanges"):
        config.pop(name, None)
    config["TrainingJobEarlyStoppingType"] = "Off"
    shape = model().shape_for("HyperParameterTrainingJobDefinition")
    goal = random.choice(["Maximize", "Minimize"])
    request["TrainingJobDefinitions"] = [
        {
            **_definition(random, _structure(random, shape, 2)),
            "DefinitionName": f"d{number}",
            "TuningObjective": {"Type": goal, "MetricName": "m 0"},
            "HyperParameterRanges": _ranges(random),
        }
        for number in range(random.randint(1, 3))
    ]


def _definition(random: Random, part: Json) -> Json:
    _algorithm(random, part, "CreateHyperParameterTuningJob")
    _resources(random, part, ("ResourceConfig", "HyperParameterTuningResourceConfig"))
    part["StaticHyperParameters"] = {f"s {name}": value for name, value in part.get("StaticHyperParameters", {}).items()}
    _channels(random, part)
    _waits(part)
    return part


def _waits(part: Json) -> None:
    """The longest wait goes with managed spot training only, and is as long as the run time at least."""
    stopping = part.get("StoppingCondition", {})
    wait = stopping.pop("MaxWaitTimeInSeconds", 0)
    if part.get("EnableManagedSpotTraining"):
        part["StoppingCondition"] = stopping | {"MaxWaitTimeInSeconds": max(wait, stopping.get("MaxRuntimeInSeconds", 86_400))}


def _ranges(random: Random) -> Json:
    low, high = sorted([random.uniform(-5, 5), random.uniform(-5, 5)])
    found: Json = {"ContinuousParameterRanges": [{"Name": "x é", "MinValue": repr(low), "MaxValue": repr(high)}]}
    if random.random() < 0.5:
        found["IntegerParameterRanges"] = [{"Name": "n", "MinValue": "-3", "MaxValue": "12", "ScalingType": "Linear"}]
    if random.random() < 0.5:
        values = sorted({_random_text(random) for _ in range(random.randint(1, 5))})
        found["CategoricalParameterRanges"] = [{"Name": 'c"', "Values": values}]
    if random.random() < 0.3:
        logs = {"Name": "log", "MinValue": "1e-9", "MaxValue": "1E3", "ScalingType": "Logarithmic"}
        found["ContinuousParameterRanges"].append(logs)
    return found


def _random_text(random: Random) -> str:
    return "".join(random.choice(ALPHABET) for _ in range(random.randint(0, 8)))


def _algorithm(random: Random, part: Json, operation: str) -> None:
    algorithm = part.setdefault("AlgorithmSpecification", {"TrainingInputMode": "File"})
    algorithm.pop("AlgorithmName", None)
    algorithm["TrainingImage"] = f"image:{random.randrange(99)}"
    if operation == "CreateHyperParameterTuningJob" or "MetricDefinitions" in algorithm:
        count = random.randint(1, 4)
        algorithm["MetricDefinitions"] = [{"Name": f"m {i}", "Regex": rf"m{i}=([0-9\.]+) é"} for i in range(count)]


def _resources(random: Random, part: Json, names: tuple[str, ...]) -> None:
    found = {name: part.pop(name, None) for name in names}
    chosen = random.choice(names)
    resources = found[chosen] or {}
    for name in ("SelectedInstanceType", "SelectedInstanceCount"):
        resources.pop(name, None)
    lists = ("InstanceConfigs", "InstanceGroups", "InstancePreferences")
    kept = random.choice([None, *(name for name in lists if resources.get(name))])
    for name in (*lists, "InstanceType", "InstanceCount"):
        if name != kept and (name in lists or kept):
            resources.pop(name, None)
    resources["VolumeSizeInGB"] = random.randint(1, 100)
    if kept == "InstanceConfigs":
        del resources["VolumeSizeInGB"]
    if kept == "InstanceGroups":
        del resources["InstanceGroups"][1:]
    for counted in (resources, *(element for name in lists for element in resources.get(name, ()))):
        if "InstanceCount" in counted:
            counted["InstanceCount"] = min(max(1, counted["InstanceCount"]), MAX_INSTANCES)
    part[chosen] = resources


def _channels(random: Random, part: Json) -> None:
    for number, channel in enumerate(part.get("InputDataConfig", [])):
        channel["ChannelName"] = f"{number}{channel['ChannelName'][:60]}"
        source = channel["DataSource"].get("S3DataSource")
        source = source or _structure(random, model().shape_for("S3DataSource"), 3)
        channel["DataSource"] = {"S3DataSource": source}


def _named(hyperparameters: Json) -> Json:
    return {f"h {name}": value for name, value in hyperparameters.items()}


def _tags(request: Json) -> None:
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", []) if not tag["Key"].lower().startswith("aws:")}
    if "Tags" in request:
        request["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]


# --- breaking ----------------------------------------------------------------------------------------------------------------

_JUNK: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**63, 10**40, 1.5, 1e308, "", "x", "x" * 3000, "\x00", "\ud800", "é" * 300, "🦊" * 40),
    *("../..", "NaN", "arn:aws:iam::111111111111:role/x", "s3://", "(" * 40, "1e400", "-0", " 1", "٣"),
    *([], [None], [[]], {}, {"": ""}, {"a": {"b": []}}),
)


def _break(random: Random, value: Any) -> None:
    """Changes one place at any depth."""
    holder = value
    while True:
        places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not places:
            return
        place = random.choice(places)
        inner = holder[place]
        if isinstance(inner, dict | list) and inner and random.random() < 0.85:
            holder = inner
            continue
        if random.random() < 0.2:
            del holder[place]
        else:
            holder[place] = deepcopy(random.choice(_JUNK))
        return


def contained(sent: Any, shown: Any, path: str = "") -> list[str]:
    """Where what is shown lacks something that was sent; lists may have more at their end."""
    if isinstance(sent, dict) and isinstance(shown, dict):
        missing = [f"{path}.{name} is not shown" for name in sent if name not in shown]
        return missing + [m for name in sent if name in shown for m in contained(sent[name], shown[name], f"{path}.{name}")]
    if isinstance(sent, list) and isinstance(shown, list) and len(sent) <= len(shown):
        return [m for i, item in enumerate(sent) for m in contained(item, shown[i], f"{path}.{i}")]
    return [] if sent == shown and type(sent) is type(shown) else [f"{path}: {sent!r} is shown as {shown!r}"]
