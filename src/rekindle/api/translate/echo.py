"""What SageMaker says back of a request: what was sent, and what the service adds.

A job that did not come over the wire (a job file's) is shown as the request that would have made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rekindle.api.translate.arns import resource_arn, role_arn
from rekindle.api.translate.part import without_nulls
from rekindle.api.translate.stamps import Json, present
from rekindle.domain.metrics import OBJECTIVE_METRIC, MetricDefinition
from rekindle.domain.training_job import Algorithm, Channel, Owner, TrainingSpec
from rekindle.domain.tuning_job import OBJECTIVE_HYPERPARAMETER, Definition, TuningJobSpec, format_value
from rekindle.search.space import Categorical, Continuous, Integer, Parameter

TYPES = {"maximize": "Maximize", "minimize": "Minimize"}

_FLAGS = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")
_RANGE_KINDS = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")
_CHOICES_OF_INSTANCES = ("InstanceGroups", "InstancePreferences")
_PLAIN_RESOURCES = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
_TUNING_ONLY = frozenset(
    ("DefinitionName", "TuningObjective", "HyperParameterRanges", "StaticHyperParameters", "HyperParameterTuningResourceConfig")
)


def tuning_job_members(spec: TuningJobSpec, owner: Owner) -> Json:
    """The members of a tuning job's description that follow from its request."""
    sent = spec.extras.get("request") or _tuning_request(spec)
    return present(
        {
            "HyperParameterTuningJobConfig": _config(sent["HyperParameterTuningJobConfig"], spec),
            **_definitions(spec, owner),
            "WarmStartConfig": sent.get("WarmStartConfig"),
            "Autotune": sent.get("Autotune"),
        }
    )


def resource_limits(spec: TuningJobSpec) -> Json:
    """The limits, with a number of training jobs that the service worked out."""
    sent = spec.extras.get("request") or _tuning_request(spec)
    return _with_limits(sent["HyperParameterTuningJobConfig"]["ResourceLimits"], spec)


def tuned_training_members(spec: TrainingSpec, owner: Owner, objective: str | None) -> Json:
    """The members of the description of a tuning job's training job that follow from its definition."""
    sent = spec.extras.get("definition") or _training_members(spec, owner)
    shown = _common(sent, spec, owner, objective)
    return _as_training_job({name: value for name, value in shown.items() if name not in _TUNING_ONLY}, spec)


def updated(changed: Mapping[str, Any], extras: Mapping[str, Any]) -> Json:
    """The extras of a training job's spec with what UpdateTrainingJob has changed: members of structures one by one, lists as
    a whole."""
    return {**extras, "updates": _merged(extras.get("updates", {}), without_nulls(changed))}


def _merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    return {**before, **{k: _merged(before.get(k, {}), v) if isinstance(v, Mapping) else v for k, v in after.items()}}


def training_members(spec: TrainingSpec, owner: Owner) -> Json:
    """The members of the description of a training job of its own that follow from its request."""
    sent = spec.extras.get("request") or _training_members(spec, owner)
    hidden = ("TrainingJobName", "Tags", "HyperParameters", "SessionChainingConfig")
    shown = _common({name: value for name, value in sent.items() if name not in hidden}, spec, owner, None)
    return _as_training_job(shown, spec)


# --- what is added ---------------------------------------------------------------------------------------------------


def _config(sent: Json, spec: TuningJobSpec) -> Json:
    shown = {
        **sent,
        "ResourceLimits": _with_limits(sent["ResourceLimits"], spec),
        "TrainingJobEarlyStoppingType": sent.get("TrainingJobEarlyStoppingType", "Off"),
    }
    if "ParameterRanges" in sent:
        shown["ParameterRanges"] = _with_scalings(sent["ParameterRanges"])
    return shown


def _with_limits(sent: Json, spec: TuningJobSpec) -> Json:
    return present({**sent, "MaxNumberOfTrainingJobs": spec.limits.max_jobs})


def _with_scalings(ranges: Json) -> Json:
    filled = {kind: [_with_scaling(kind, r) for r in ranges.get(kind, ())] for kind in _RANGE_KINDS}
    return {**ranges, **filled}


def _with_scaling(kind: str, sent: Json) -> Json:
    return sent if kind == "CategoricalParameterRanges" else {"ScalingType": "Auto", **sent}


def _definitions(spec: TuningJobSpec, owner: Owner) -> Json:
    shown = [_definition(d, owner) for d in spec.definitions]
    # A single definition with a name came in the list, as one of several would.
    several = len(shown) > 1 or spec.definition.name is not None
    return {"TrainingJobDefinitions": shown} if several else {"TrainingJobDefinition": shown[0]}


def _definition(definition: Definition, owner: Owner) -> Json:
    metric = definition.objective.metric
    sent = definition.training.extras.get("definition") or _definition_request(definition, owner)
    shown = _common(sent, definition.training, owner, metric)
    shown["StaticHyperParameters"] = {**sent.get("StaticHyperParameters", {}), OBJECTIVE_HYPERPARAMETER: metric}
    if "HyperParameterRanges" in sent:
        shown["HyperParameterRanges"] = _with_scalings(sent["HyperParameterRanges"])
    return shown


def _common(sent: Json, spec: TrainingSpec, owner: Owner, objective: str | None) -> Json:
    """What every description of a training job or a definition of one has, whether it was sent or not."""
    return {
        **dict.fromkeys(_FLAGS, False),
        **sent,
        "AlgorithmSpecification": _algorithm(sent["AlgorithmSpecification"], spec, owner, objective),
        "ResourceConfig": _resource_config(sent, spec),
        "StoppingCondition": {"MaxRuntimeInSeconds": spec.max_runtime_seconds, **sent.get("StoppingCondition", {})},
    }


def _algorithm(sent: Json, spec: TrainingSpec, owner: Owner, objective: str | None) -> Json:
    shown = {**sent, "MetricDefinitions": metric_definitions(spec.algorithm.metrics, objective)}
    name = sent.get("AlgorithmName")
    if name is not None and not name.startswith("arn:"):
        shown["AlgorithmName"] = resource_arn(owner, "algorithm", name)
    return shown


def metric_definitions(metrics: Sequence[MetricDefinition], objective: str | None) -> list[Json]:
    """Metric definitions, the objective's once more at the end under SageMaker's own name for it."""
    shown = [{"Name": m.name, "Regex": m.regex} for m in metrics]
    regex = next((m.regex for m in metrics if m.name == objective), None)
    if regex is not None and OBJECTIVE_METRIC not in {m.name for m in metrics}:
        shown.append({"Name": OBJECTIVE_METRIC, "Regex": regex})
    return shown


def _resource_config(sent: Json, spec: TrainingSpec) -> Json:
    """The plain form of what runs the job, whole: SDKs read nothing else, and each of its members."""
    plain: Json = sent.get("ResourceConfig", {})
    if any(plain.get(name) for name in _CHOICES_OF_INSTANCES):
        return plain
    tuning = sent.get("HyperParameterTuningResourceConfig", {})
    chosen = {**tuning, **next(iter(tuning.get("InstanceConfigs", ())), {})}
    return {
        "InstanceType": spec.resources.instance_type,
        "InstanceCount": spec.resources.instance_count,
        "VolumeSizeInGB": spec.resources.volume_gb,
        **{name: chosen[name] for name in _PLAIN_RESOURCES if name in chosen},
        **plain,
    }


def _as_training_job(shown: Json, spec: TrainingSpec) -> Json:
    algorithm = {"EnableSageMakerMetricsTimeSeries": bool(spec.algorithm.metrics), **shown["AlgorithmSpecification"]}
    resources = shown["ResourceConfig"]
    if resources.get("InstancePreferences"):
        selected = {"Type": spec.resources.instance_type, "Count": spec.resources.instance_count}
        resources = {**resources, **{f"SelectedInstance{name}": value for name, value in selected.items()}}
    # SDK v2 reads the key's id whether there is one or not.
    output = {"KmsKeyId": "", **shown["OutputDataConfig"]}
    members = {"AlgorithmSpecification": algorithm, "OutputDataConfig": output, "ResourceConfig": resources}
    return _merged({**shown, **members}, spec.extras.get("updates", {}))


# --- the request that would have made a job ----------------------------------------------------------------------------


def _tuning_request(spec: TuningJobSpec) -> Json:
    single = spec.definition if spec.definition.name is None else None
    config = {
        "Strategy": spec.strategy.value,
        "StrategyConfig": _strategy_config(spec),
        "HyperParameterTuningJobObjective": None if single is None else _objective(single),
        "ResourceLimits": _limits(spec),
        "ParameterRanges": None if single is None else _ranges(single.ranges),
        "TrainingJobEarlyStoppingType": "Auto" if spec.early_stopping else "Off",
        "TuningJobCompletionCriteria": _criteria(spec),
        "RandomSeed": spec.random_seed,
    }
    return present({"HyperParameterTuningJobConfig": present(config), "WarmStartConfig": _warm_start(spec)})


def _strategy_config(spec: TuningJobSpec) -> Json | None:
    if spec.hyperband is None:
        return None
    resources = {"MinResource": spec.hyperband.min_resource, "MaxResource": spec.hyperband.max_resource}
    return {"HyperbandStrategyConfig": present(resources)}


def _limits(spec: TuningJobSpec) -> Json:
    return present(
        {
            "MaxNumberOfTrainingJobs": spec.limits.max_jobs,
            "MaxParallelTrainingJobs": spec.limits.max_parallel,
            "MaxRuntimeInSeconds": spec.limits.max_runtime_seconds,
        }
    )


def _criteria(spec: TuningJobSpec) -> Json | None:
    criteria = spec.completion
    not_improving = criteria.max_not_improving
    shown = {
        "TargetObjectiveMetricValue": criteria.target,
        "BestObjectiveNotImproving": not_improving and {"MaxNumberOfTrainingJobsNotImproving": not_improving},
        "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"} if criteria.on_convergence else None,
    }
    return present(shown) or None


def _warm_start(spec: TuningJobSpec) -> Json | None:
    if spec.warm_start is None:
        return None
    parents = [{"HyperParameterTuningJobName": name} for name in spec.warm_start.parents]
    return {"ParentHyperParameterTuningJobs": parents, "WarmStartType": spec.warm_start.type.value}


def _objective(definition: Definition) -> Json:
    return {"Type": TYPES[definition.objective.direction], "MetricName": definition.objective.metric}


def _ranges(ranges: Sequence[Parameter]) -> Json:
    shown: dict[str, list[Json]] = {kind: [] for kind in _RANGE_KINDS}
    for p in ranges:
        if isinstance(p, Categorical):
            shown["CategoricalParameterRanges"].append({"Name": p.name, "Values": [format_value(v) for v in p.values]})
        else:
            kind = "IntegerParameterRanges" if isinstance(p, Integer) else "ContinuousParameterRanges"
            shown[kind].append(_numeric(p))
    return shown


def _numeric(p: Continuous | Integer) -> Json:
    return {"Name": p.name, "MinValue": format_value(p.low), "MaxValue": format_value(p.high), "ScalingType": p.scaling}


def _definition_request(definition: Definition, owner: Owner) -> Json:
    named = definition.name is not None
    return present(
        {
            "DefinitionName": definition.name,
            "TuningObjective": _objective(definition) if named else None,
            "HyperParameterRanges": _ranges(definition.ranges) if named else None,
            "StaticHyperParameters": dict(definition.statics),
            **_training_members(definition.training, owner),
        }
    )


def _training_members(spec: TrainingSpec, owner: Owner) -> Json:
    return present(
        {
            "AlgorithmSpecification": _plain_algorithm(spec.algorithm),
            "RoleArn": spec.role or role_arn(owner),
            "InputDataConfig": [_channel(c) for c in spec.channels] or None,
            "OutputDataConfig": present(
                {
                    "KmsKeyId": spec.output.kms_key,
                    "S3OutputPath": spec.output.uri or "",
                    "CompressionType": spec.output.compression,
                }
            ),
            "CheckpointConfig": spec.checkpoints and {"S3Uri": spec.checkpoints.uri, "LocalPath": spec.checkpoints.local_path},
            "RetryStrategy": {"MaximumRetryAttempts": spec.max_retries} if spec.max_retries else None,
            "Environment": dict(spec.environment) or None,
            "EnableNetworkIsolation": spec.network_isolation,
            "EnableInterContainerTrafficEncryption": spec.encrypted_traffic,
            "EnableManagedSpotTraining": spec.spot,
        }
    )


def _plain_algorithm(algorithm: Algorithm) -> Json:
    return present(
        {
            "TrainingImage": algorithm.image,
            "AlgorithmName": algorithm.name,
            "TrainingInputMode": algorithm.input_mode,
            "ContainerEntrypoint": _entrypoint(algorithm),
            "ContainerArguments": list(algorithm.arguments) or None,
        }
    )


def _entrypoint(algorithm: Algorithm) -> list[str] | None:
    return [algorithm.command] if algorithm.command else list(algorithm.entrypoint) or None


def _channel(channel: Channel) -> Mapping[str, Any]:
    sent: Mapping[str, Any] | None = channel.extras.get("channel")
    source = {
        "S3DataType": channel.data_type,
        "S3Uri": channel.uri,
        "S3DataDistributionType": channel.distribution,
    }
    return sent or present(
        {
            "ChannelName": channel.name,
            "DataSource": {"S3DataSource": source},
            "ContentType": channel.content_type,
            "CompressionType": channel.compression,
            "RecordWrapperType": channel.record_wrapper,
            "InputMode": channel.input_mode,
        }
    )
