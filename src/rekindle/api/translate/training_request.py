"""What to run, from a request: shared by a tuning job's definitions and CreateTrainingJob."""

from __future__ import annotations

import re

from rekindle.api.translate.part import Json, Part, check_texts, tags_of, without_nulls
from rekindle.domain.builtins.catalogue import builtin_named
from rekindle.domain.errors import InvalidValue, Unsupported, shown
from rekindle.domain.metrics import MetricDefinition
from rekindle.domain.training_job import (
    DEFAULT_MAX_RUNTIME_SECONDS,
    Algorithm,
    Channel,
    Checkpoints,
    Output,
    Owner,
    Resources,
    TrainingJob,
    TrainingSpec,
)

INPUT_MODES = {m: m for m in ("File", "FastFile", "Pipe")}
#: The lists that may name instances.
_INSTANCE_LISTS = ("InstanceConfigs", "InstanceGroups", "InstancePreferences")
#: An address at AWS's S3: the bucket stands before the host, or first in the path.
_AT_S3 = re.compile(r"https://(?:([a-z0-9][a-z0-9.-]+)\.)?s3(?:[.-][a-z0-9-]+){0,2}\.amazonaws\.com(?:\.cn)?/([^?#]+)")


def training_job_from_request(request: Json, owner: Owner) -> TrainingJob:
    """The training job of its own that CreateTrainingJob asks for. Raises InvalidValue, naming the field."""
    check_texts(request)
    request = without_nulls(request)
    whole = Part("", request)
    if "ServerlessJobConfig" in request:
        message = f"{whole.inner('ServerlessJobConfig')}: serverless training customizes a model of AWS's, and runs there only."
        raise Unsupported(message, "Train by an image: name one in AlgorithmSpecification, and leave this out.")
    return TrainingJob(
        name=whole.need("TrainingJobName", str),
        owner=owner,
        spec=training_spec(whole, extras={"request": request}),
        hyperparameters=whole.texts("HyperParameters"),
        created_at=0.0,
        tags=tags_of(whole),
    )


def training_spec(part: Part, extras: Json) -> TrainingSpec:
    """All of a training job but its hyperparameters. ``extras`` is kept for the echo."""
    stopping, retry = part.part("StoppingCondition"), part.part("RetryStrategy")
    mode = part.part("AlgorithmSpecification").get("TrainingInputMode", str)
    _check_wait(stopping, part.switch("EnableManagedSpotTraining"))
    return TrainingSpec(
        algorithm=_algorithm(part.part("AlgorithmSpecification")),
        role=part.need("RoleArn", str),
        channels=_channels(part, mode),
        output=_output(part.part("OutputDataConfig")),
        checkpoints=_checkpoints(part.part("CheckpointConfig")),
        resources=_resources(part),
        max_runtime_seconds=stopping.integer("MaxRuntimeInSeconds") or DEFAULT_MAX_RUNTIME_SECONDS,
        environment=part.texts("Environment"),
        max_retries=retry.integer("MaximumRetryAttempts") or 0,
        network_isolation=part.switch("EnableNetworkIsolation"),
        encrypted_traffic=part.switch("EnableInterContainerTrafficEncryption"),
        spot=part.switch("EnableManagedSpotTraining"),
        extras=extras,
    )


def _check_wait(stopping: Part, spot: bool) -> None:
    """SageMaker's rules for the longest wait of managed spot training, in its own words."""
    where, wait = stopping.inner("MaxWaitTimeInSeconds"), stopping.integer("MaxWaitTimeInSeconds")
    if wait is not None and not spot:
        reason = "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"
        raise InvalidValue(where, wait, reason, code="verbatim")
    if spot and (wait is None or wait < (stopping.integer("MaxRuntimeInSeconds") or DEFAULT_MAX_RUNTIME_SECONDS)):
        reason = "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        raise InvalidValue(where, wait, reason, code="verbatim")


def _algorithm(part: Part) -> Algorithm:
    image, name = part.get("TrainingImage", str) or None, part.get("AlgorithmName", str) or None
    if (image is None) == (name is None):
        sent = None if image is None else image
        raise InvalidValue(part.inner("TrainingImage"), sent, "exactly one of TrainingImage and AlgorithmName")
    return Algorithm(
        image=image,
        name=name,
        input_mode=part.choice("TrainingInputMode", INPUT_MODES),
        metrics=_metrics(part, image),
        entrypoint=part.strings("ContainerEntrypoint"),
        arguments=part.strings("ContainerArguments"),
    )


def _metrics(part: Part, image: str | None) -> tuple[MetricDefinition, ...]:
    given = tuple(MetricDefinition(m.need("Name", str), m.need("Regex", str)) for m in part.items("MetricDefinitions"))
    known = builtin_named(image)
    builtin = known.metrics if known else ()
    # What a description shows is taken back: the image's own metrics, with the objective's copy or without.
    if given and builtin and not set(builtin) <= set(given):
        where = part.inner("MetricDefinitions")
        raise InvalidValue(where, [m.name for m in given], "the image has metrics of its own", code="builtin-metrics")
    return given or builtin


def _channels(part: Part, mode: str | None) -> tuple[Channel, ...]:
    """The channels: each is a folder of its name, so that no two may share one."""
    found = tuple(_channel(item, mode) for item in part.items("InputDataConfig"))
    names = [channel.name for channel in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidValue(part.inner("InputDataConfig"), twice, "two channels have this name")
    return found


def _channel(part: Part, mode: str | None) -> Channel:
    """A channel; ``mode`` is that of the algorithm, which holds where the channel names none."""
    sources = part.part("DataSource")
    source, name = sources.part("S3DataSource"), part.need("ChannelName", str)
    if not source or len(sources.value) > 1:
        message = f"{part.path}.DataSource: channel {shown(name)}: only S3DataSource is available."
        raise Unsupported(message, "Copy the data into a bucket, and name it there.")
    return Channel(
        name=name,
        uri=_s3_uri(source, "S3Uri"),
        data_type=source.need("S3DataType", str),
        distribution=source.get("S3DataDistributionType", str) or "FullyReplicated",
        content_type=part.get("ContentType", str),
        compression=part.get("CompressionType", str) or "None",
        record_wrapper=part.get("RecordWrapperType", str) or "None",
        input_mode=part.choice("InputMode", INPUT_MODES, mode or "File"),
        extras={"channel": part.value},
    )


def _s3_uri(part: Part, key: str) -> str:
    """The URI of data. An https address at AWS's S3, which SageMaker takes too, is the object that it names."""
    sent = part.need(key, str)
    found = _AT_S3.fullmatch(sent)
    if found is None:
        return sent
    bucket, rest = found.groups()
    return f"s3://{bucket}/{rest}" if bucket else f"s3://{rest}"


def _output(part: Part) -> Output:
    compression = part.get("CompressionType", str) or "GZIP"
    return Output(_s3_uri(part, "S3OutputPath"), compression, part.get("KmsKeyId", str) or None)


def _checkpoints(part: Part) -> Checkpoints | None:
    if not part:
        return None
    uri, local = _s3_uri(part, "S3Uri"), part.get("LocalPath", str)
    return Checkpoints(uri, local) if local else Checkpoints(uri)


def _resources(part: Part) -> Resources:
    """What the training job needs."""
    whole = _resource_part(part)
    chosen = _instances(whole)
    # Instances of a preference may be counted around it, and those of a group have their volume there.
    counted, sized = (chosen if key in chosen.value else whole for key in ("InstanceCount", "VolumeSizeInGB"))
    count, volume, default = counted.integer("InstanceCount"), sized.integer("VolumeSizeInGB"), Resources()
    if count == 0:
        raise InvalidValue(counted.inner("InstanceCount"), 0, "at least 1: nothing can run on no instance")
    return Resources(
        instance_type=chosen.get("InstanceType", str) or default.instance_type,
        instance_count=count or default.instance_count,
        volume_gb=default.volume_gb if volume is None else volume,
    )


def _instances(whole: Part) -> Part:
    """What names the instances: the structure itself or, of the list in it, the first element, as priority would choose. What
    is said in both would be ignored in one of them."""
    lists = [(key, found) for key in _INSTANCE_LISTS if (found := list(whole.items(key)))]
    if not lists:
        return whole
    (key, found), *others = lists
    if key == "InstanceGroups" and len(found) > 1:
        reason = "one group of instances at most: a training job here has instances of one kind"
        raise InvalidValue(whole.inner(key), len(found), reason)
    for name in (*found[0].value, *(other for other, _ in others)):
        if whole.get(name):
            raise InvalidValue(whole.inner(key), whole.get(name), f"either {name} or {key}")
    return found[0]


def _resource_part(part: Part) -> Part:
    """The one structure that says on what to run: a training job of its own knows only the first of the two."""
    plain, tuning = part.part("ResourceConfig"), part.part("HyperParameterTuningResourceConfig")
    if bool(plain) != bool(tuning):
        return plain or tuning
    if not part.path:
        raise InvalidValue(part.inner("ResourceConfig"), None, "missing: it says on what to run")
    sent = "both" if plain else None
    raise InvalidValue(
        part.inner("ResourceConfig"), sent, "exactly one of ResourceConfig and HyperParameterTuningResourceConfig"
    )
