"""Tuning jobs from creation to the end, as boto3 sees them: states, counters, the best, what may be asked when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from rekindle.domain.tuning_rules import Quotas
from rekindle.engine.ports import RunKey, RunState
from support.engine import Engine
from support.gateway import BOB
from support.simulated import Script
from support.wire import Json, Wire, error_of, fresh, ranges, training_request, tuning_request, wire

NOT_THERE = "Amazon SageMaker can't find a tuning job called nobody. Type another name."


def counts(described: Json) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Both counters: (Completed, InProgress, Retryable, NonRetryable, Stopped) and (Succeeded, Pending, Failed)."""
    status, objective = described["TrainingJobStatusCounters"], described["ObjectiveStatusCounters"]
    names = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
    assert set(status) == set(names)
    assert set(objective) == {"Succeeded", "Pending", "Failed"}
    return tuple(status[n] for n in names), (objective["Succeeded"], objective["Pending"], objective["Failed"])


def scripted(*scripts: Script) -> Engine:
    """An engine whose training jobs go by these scripts, in the order in which they start."""
    left = list(scripts)

    def program(hyperparameters: Mapping[str, str]) -> Script:
        return left.pop(0) if len(left) > 1 else left[0]

    return Engine(program)


def test_a_new_job_is_in_progress_with_nothing_to_show_yet(sagemaker: Wire) -> None:
    name = fresh("New")
    answer = sagemaker.client.create_hyper_parameter_tuning_job(**tuning_request(name))
    arn = f"arn:aws:sagemaker:us-east-1:111111111111:hyper-parameter-tuning-job/{name.lower()}"
    assert answer["HyperParameterTuningJobArn"] == arn
    shown = sagemaker.describe(name)
    assert shown["HyperParameterTuningJobName"] == name
    assert shown["HyperParameterTuningJobArn"] == arn
    assert shown["HyperParameterTuningJobStatus"] == "InProgress"
    assert counts(shown) == ((0, 0, 0, 0, 0), (0, 0, 0))
    absent = ("BestTrainingJob", "OverallBestTrainingJob", "HyperParameterTuningEndTime", "FailureReason", "WarmStartConfig",
              "Autotune", "TrainingJobDefinitions", "Tags")  # fmt: skip
    assert not set(absent) & set(shown)
    sagemaker.finish(name)


def test_counters_and_best_at_each_moment_of_a_job() -> None:
    failing = Script((), 15.0, RunState.FAILED, "AlgorithmError: , exit code: 1")
    engine = scripted(Script((3.0, 2.0), 10.0), failing, Script((1.0,), 30.0), Script((9.0,), 5.0))
    with wire(engine) as service:
        name = service.create(jobs=4, parallel=2)
        moments = []
        start = engine.clock.now()
        for _ in range(200):
            service.tick()
            shown = service.describe(name)
            moment = (*counts(shown), shown.get("BestTrainingJob", {}).get("FinalHyperParameterTuningJobObjectiveMetric"))
            if not moments or moments[-1] != moment:
                moments.append(moment)
            if shown["HyperParameterTuningJobStatus"] != "InProgress":
                break
            engine.clock.at += 2.5
        two, one = {"MetricName": "loss", "Value": 2.0}, {"MetricName": "loss", "Value": 1.0}
        assert moments == [
            ((0, 2, 0, 0, 0), (0, 2, 0), None),
            ((1, 2, 0, 0, 0), (1, 2, 0), two),
            ((1, 2, 0, 1, 0), (1, 2, 1), two),
            ((2, 1, 0, 1, 0), (2, 1, 1), two),
            ((3, 0, 0, 1, 0), (3, 0, 1), one),
        ]
        assert shown["HyperParameterTuningJobStatus"] == "Completed"
        assert shown["HyperParameterTuningEndTime"] == shown["LastModifiedTime"]
        assert shown["ConsumedResources"]["RuntimeInSeconds"] == int(engine.clock.now() - start)
        assert shown["TuningJobCompletionDetails"] == {"NumberOfTrainingJobsObjectiveNotImproving": 0}


def test_the_runtime_grows_while_the_job_runs(sagemaker: Wire) -> None:
    name = sagemaker.create()
    sagemaker.engine.clock.at += 7.9
    assert sagemaker.describe(name)["ConsumedResources"] == {"RuntimeInSeconds": 7}
    sagemaker.finish(name)


@pytest.mark.parametrize(
    ("script", "jobs", "reason"),
    [
        (Script((), 1.0, RunState.FAILED, "AlgorithmError: no"), 9, "No training job succeeded after 5 attempts. Please take a "
         "look at the training job failures to get more details."),
        (Script((), 1.0), 9, "No objective metrics found after running 5 training jobs. Please ensure that the custom "
         "algorithm is emitting the objective metric as defined by the regular expression provided."),
        (Script((), 1.0, RunState.FAILED, "AlgorithmError: no"), 3, "All training jobs failed. Please take a look at the "
         "training jobs failures to get more details."),
    ],
)  # fmt: skip
def test_a_fruitless_job_fails_with_amazons_reason(script: Script, jobs: int, reason: str) -> None:
    with wire(scripted(script)) as service:
        shown = service.finish(service.create(jobs=jobs, parallel=1))
        assert shown["HyperParameterTuningJobStatus"] == "Failed"
        assert shown["FailureReason"].startswith(reason)
        assert "BestTrainingJob" not in shown
        trial = service.trials(shown["HyperParameterTuningJobName"])[0]
        assert trial["ObjectiveStatus"] == "Failed"
        assert "FinalHyperParameterTuningJobObjectiveMetric" not in trial


def test_stopping_is_shown_at_once_and_running_jobs_count_until_they_end(sagemaker: Wire) -> None:
    name = sagemaker.create()
    sagemaker.tick()
    stopped = sagemaker.client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    assert stopped["ResponseMetadata"]["HTTPHeaders"]["content-length"] == "0"
    shown = sagemaker.describe(name)
    assert (shown["HyperParameterTuningJobStatus"], counts(shown)) == ("Stopping", ((0, 2, 0, 0, 0), (0, 2, 0)))
    for status, expected in (("Stopping", True), ("InProgress", False), ("Stopped", False)):
        found = sagemaker.client.list_hyper_parameter_tuning_jobs(NameContains=name, StatusEquals=status)
        assert bool(found["HyperParameterTuningJobSummaries"]) is expected
    shown = sagemaker.finish(name)
    assert (shown["HyperParameterTuningJobStatus"], counts(shown)[0]) == ("Stopped", (0, 0, 0, 0, 2))


def test_stopping_twice_is_no_error_while_it_stops_and_one_afterwards(sagemaker: Wire) -> None:
    name = sagemaker.create()
    for _ in range(2):
        sagemaker.client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    sagemaker.finish(name)
    code, message = error_of(sagemaker.client.stop_hyper_parameter_tuning_job, HyperParameterTuningJobName=name)
    assert code == "ValidationException"
    assert "already" in message


def test_a_training_job_stopped_by_hand_is_stopped_and_the_tuning_job_goes_on(sagemaker: Wire) -> None:
    name = sagemaker.create(jobs=3, parallel=1)
    sagemaker.tick()
    trial = sagemaker.trials(name)[0]["TrainingJobName"]
    sagemaker.client.stop_training_job(TrainingJobName=trial)
    shown = sagemaker.describe_training(trial)
    assert (shown["TrainingJobStatus"], shown["SecondaryStatus"]) == ("Stopping", "Stopping")
    assert sagemaker.trials(name, StatusEquals="Stopping")[0]["TrainingJobStatus"] == "Stopping"
    assert sagemaker.trials(name, StatusEquals="InProgress") == []
    assert counts(sagemaker.finish(name))[0] == (2, 0, 0, 0, 1)


def test_a_training_job_at_its_run_time_limit_is_stopped_and_counts(sagemaker: Wire) -> None:
    with wire(scripted(Script((5.0, 4.0), 10.0, RunState.TIMED_OUT))) as service:
        shown = service.finish(service.create(jobs=1, parallel=1))
        assert counts(shown) == ((0, 0, 0, 0, 1), (1, 0, 0))
        best = service.describe_training(shown["BestTrainingJob"]["TrainingJobName"])
        assert (best["TrainingJobStatus"], best["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
        assert best["SecondaryStatusTransitions"][-1]["Status"] == "MaxRuntimeExceeded"


def test_a_lost_run_starts_again_as_the_same_training_job() -> None:
    with wire() as service:
        name = service.create(jobs=1, parallel=1)
        service.tick()
        trial = service.trials(name)[0]["TrainingJobName"]
        service.engine.executor.lose(RunKey(trial, 1, service.engine.owner))
        service.tick()
        assert counts(service.describe(name))[0] == (0, 0, 1, 0, 0)
        service.tick()
        assert counts(service.describe(name))[0] == (0, 1, 0, 0, 0)
        shown = service.describe_training(trial)
        assert "Interrupted" in [t["Status"] for t in shown["SecondaryStatusTransitions"]]
        assert counts(service.finish(name))[0] == (1, 0, 0, 0, 0)


def test_deletion_of_what_is_stopping_has_to_wait(sagemaker: Wire) -> None:
    name = sagemaker.create()
    sagemaker.client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    _, message = error_of(sagemaker.client.delete_hyper_parameter_tuning_job, HyperParameterTuningJobName=name)
    assert "not in a terminal state: it is Stopping. Wait until it has ended." in message


def test_deletion_waits_for_the_end_and_frees_the_name(sagemaker: Wire) -> None:
    name = sagemaker.create()
    delete = sagemaker.client.delete_hyper_parameter_tuning_job
    code, message = error_of(delete, HyperParameterTuningJobName=name)
    assert code == "ValidationException"
    assert "not in a terminal state: it is InProgress. Stop it first." in message
    sagemaker.finish(name)
    trial = sagemaker.trials(name)[0]["TrainingJobName"]
    delete(HyperParameterTuningJobName=name)
    code, _ = error_of(sagemaker.client.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName=name)
    assert code == "ResourceNotFound"
    assert sagemaker.describe_training(trial)["TuningJobArn"].endswith(f"/{name}")
    sagemaker.create(name=name)
    sagemaker.finish(name)
    assert trial not in [t["TrainingJobName"] for t in sagemaker.trials(name)]


def test_names_are_taken_whatever_their_case(sagemaker: Wire) -> None:
    name = sagemaker.create(name=fresh("Taken"))
    request = tuning_request(name.upper())
    code, message = error_of(sagemaker.client.create_hyper_parameter_tuning_job, **request)
    assert code == "ResourceInUse"
    expected = f"A hyperparameter tuning job with the name, {name.upper()}, already exists. Choose a different name."
    assert message == expected
    assert sagemaker.describe(name.lower())["HyperParameterTuningJobName"] == name
    sagemaker.finish(name)


@pytest.mark.parametrize(
    "operation",
    [
        "describe_hyper_parameter_tuning_job",
        "stop_hyper_parameter_tuning_job",
        "delete_hyper_parameter_tuning_job",
        "list_training_jobs_for_hyper_parameter_tuning_job",
    ],
)
def test_a_missing_tuning_job_is_a_resource_not_found(sagemaker: Wire, operation: str) -> None:
    call = getattr(sagemaker.client, operation)
    assert error_of(call, HyperParameterTuningJobName="nobody") == ("ResourceNotFound", NOT_THERE)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("describe_training_job", "ValidationException"),
        ("stop_training_job", "ValidationException"),
        ("update_training_job", "ResourceNotFound"),
        ("delete_training_job", "ResourceNotFound"),
    ],
)
def test_a_missing_training_job_is_what_amazon_says_it_is(sagemaker: Wire, operation: str, code: str) -> None:
    assert error_of(getattr(sagemaker.client, operation), TrainingJobName="nobody") == (code, "Requested resource not found.")


def test_accounts_and_regions_do_not_see_each_other(sagemaker: Wire) -> None:
    name = sagemaker.create()
    others = (sagemaker.another_client(BOB), sagemaker.another_client(BOB, "eu-west-1"))
    for other in others:
        code, _ = error_of(other.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName=name)
        assert code == "ResourceNotFound"
        assert other.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []
        assert other.search(Resource="HyperParameterTuningJob")["Results"] == []
        arn = other.create_hyper_parameter_tuning_job(**tuning_request(name))["HyperParameterTuningJobArn"]
        assert arn.split(":")[3:5] == [other.meta.region_name, "222222222222"]
    sagemaker.finish(name)


def test_quotas_are_resource_limits_with_amazons_sentence() -> None:
    with wire(quotas=Quotas(max_jobs=20, max_parallel=3, running_tuning_jobs=2)) as service:
        create = service.client.create_hyper_parameter_tuning_job
        cases = {
            "Number of parallel training jobs": (3, 0, 4, tuning_request(jobs=8, parallel=4)),
            "Number of training jobs": (20, 0, 21, tuning_request(jobs=21)),
        }
        for limit, (allowed, used, delta, request) in cases.items():
            code, message = error_of(create, **request)
            unit = limit.removeprefix("Number of ").title()
            assert code == "ResourceLimitExceeded"
            assert message.startswith(
                f"The account-level service limit '{limit}' is {allowed} {unit}, with current utilization of {used} {unit} "
                f"and a request delta of {delta} {unit}. Please use AWS Service Quotas to request an increase for this quota."
            )
            field = {"Number of training jobs": "maxNumberOfTrainingJobs"}.get(limit, "maxParallelTrainingJobs")
            asked = f"hyperParameterTuningJobConfig.resourceLimits.{field}: {delta}"
            assert message.endswith(f"(In Rekindle: {asked}; REKINDLE_LIMITS=relaxed.)")
        service.create()
        first = service.create()
        code, message = error_of(create, **tuning_request())
        assert code == "ResourceLimitExceeded"
        assert "'Number of running tuning jobs' is 2 Running Tuning Jobs, with current utilization of 2" in message
        service.finish(first)
        service.create()


def test_the_best_is_the_best_last_value_and_the_first_of_equals() -> None:
    engine = scripted(Script((1.0, 5.0), 10.0), Script((9.0, 4.0), 30.0), Script((4.0,), 10.0), Script((6.0,), 1.0))
    with wire(engine) as service:
        shown = service.finish(service.create(jobs=4, parallel=2))
        trials = {t["TrainingJobName"]: t for t in service.trials(shown["HyperParameterTuningJobName"])}
        best = shown["BestTrainingJob"]
        assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {"MetricName": "loss", "Value": 4.0}
        equals = [t for t in trials.values() if t["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 4.0]
        assert best == min(equals, key=lambda t: t["TrainingEndTime"])


def warm_started(parents: list[str], kind: str, **changes: Any) -> Json:
    config = {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": p} for p in parents], "WarmStartType": kind}
    return tuning_request(WarmStartConfig=config, **changes)


def test_the_best_overall_counts_parents_for_identical_warm_starts_only() -> None:
    engine = scripted(Script((1.0,), 5.0), Script((2.0,), 5.0), Script((3.0,), 5.0))
    with wire(engine) as service:
        parent = service.create(jobs=1, parallel=1)
        best = service.finish(parent)["BestTrainingJob"]
        assert "OverallBestTrainingJob" not in service.describe(parent)
        for kind, expected in (("IdenticalDataAndAlgorithm", True), ("TransferLearning", False)):
            request = warm_started([parent], kind, jobs=2, parallel=1)
            child = service.create(request=request)
            shown = service.describe(child)
            assert shown["WarmStartConfig"] == request["WarmStartConfig"]
            assert ("OverallBestTrainingJob" in shown) is expected
            shown = service.finish(child)
            assert shown["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] > 1.0
            assert shown.get("OverallBestTrainingJob") == ({**best, "TuningJobName": parent} if expected else None)
            assert len(service.trials(child)) == 2


def test_times_are_epoch_seconds_to_the_millisecond(sagemaker: Wire) -> None:
    sagemaker.engine.clock.at = round(sagemaker.engine.clock.at) + 0.123456
    name = sagemaker.create()
    created = sagemaker.describe(name)["CreationTime"]
    assert isinstance(created, datetime)
    assert created.microsecond == 123000
    sagemaker.finish(name)


def test_several_definitions_take_turns_and_are_named() -> None:
    def one(name: str, metric: str) -> Json:
        request = tuning_request()
        config, part = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
        spec = {**part["AlgorithmSpecification"], "MetricDefinitions": [{"Name": metric, "Regex": "m=(.*)"}]}
        objective = {**config["HyperParameterTuningJobObjective"], "MetricName": metric}
        named = {"DefinitionName": name, "TuningObjective": objective, "HyperParameterRanges": ranges()}
        return {**part, **named, "AlgorithmSpecification": spec}

    with wire() as service:
        request = tuning_request(jobs=4, parallel=1)
        del request["TrainingJobDefinition"]
        for key in ("ParameterRanges", "HyperParameterTuningJobObjective"):
            del request["HyperParameterTuningJobConfig"][key]
        request["TrainingJobDefinitions"] = [one("first", "loss"), one("second", "loss")]
        name = service.create(request=request)
        shown = service.finish(name)
        assert "TrainingJobDefinition" not in shown
        assert [d["DefinitionName"] for d in shown["TrainingJobDefinitions"]] == ["first", "second"]
        for d in shown["TrainingJobDefinitions"]:
            assert d["HyperParameterRanges"]["IntegerParameterRanges"][0]["ScalingType"] == "Auto"
            assert d["StaticHyperParameters"]["_tuning_objective_metric"] == d["TuningObjective"]["MetricName"]
        trials = service.trials(name)
        assert [t["TrainingJobDefinitionName"] for t in trials][:2] == ["first", "second"]
        assert {t["TrainingJobDefinitionName"] for t in trials} == {"first", "second"}
        metric = trials[0]["FinalHyperParameterTuningJobObjectiveMetric"]
        assert (metric["Type"], metric["MetricName"]) == ("Minimize", "loss")


def test_other_operations_are_unknown_and_the_answer_says_what_there_is(sagemaker: Wire) -> None:
    for operation in ("list_models", "create_endpoint", "list_processing_jobs"):
        code, message = error_of(getattr(sagemaker.client, operation))
        assert code == "UnknownOperationException"
        assert "CreateHyperParameterTuningJob" in message


def test_a_training_job_of_its_own_really_runs(sagemaker: Wire) -> None:
    request = training_request(HyperParameters={"lr": "0.01", "layers": "2", "note": '"quoted"'})
    name = request["TrainingJobName"]
    arn = sagemaker.client.create_training_job(**request)["TrainingJobArn"]
    shown = sagemaker.describe_training(name)
    assert (shown["TrainingJobStatus"], shown["SecondaryStatus"]) == ("InProgress", "Starting")
    assert shown["ModelArtifacts"] == {"S3ModelArtifacts": f"s3://bucket/out/{name}/output/model.tar.gz"}
    assert not {"TrainingStartTime", "TrainingEndTime", "TrainingTimeInSeconds", "BillableTimeInSeconds", "TuningJobArn",
                "FailureReason", "FinalMetricDataList", "Tags"} & set(shown)  # fmt: skip
    shown = sagemaker.finish_training(name)
    assert (shown["TrainingJobStatus"], shown["SecondaryStatus"]) == ("Completed", "Completed")
    assert shown["TrainingJobArn"] == arn
    assert shown["HyperParameters"] == request["HyperParameters"]
    seconds = (shown["TrainingEndTime"] - shown["TrainingStartTime"]).total_seconds()
    assert shown["TrainingTimeInSeconds"] == shown["BillableTimeInSeconds"] == max(1, round(seconds))
    assert [m["MetricName"] for m in shown["FinalMetricDataList"]] == ["loss"]
    assert shown["FinalMetricDataList"][0]["Timestamp"].microsecond == 0
    transitions = shown["SecondaryStatusTransitions"]
    assert [t["Status"] for t in transitions] == ["Starting", "Training", "Completed"]
    for earlier, later in pairwise(transitions):
        assert earlier["EndTime"] == later["StartTime"]
    assert transitions[-1]["EndTime"] == transitions[-1]["StartTime"]
    assert all(t["StatusMessage"] for t in transitions)


def test_a_failed_training_job_says_why() -> None:
    engine = scripted(Script((), 1.0, RunState.FAILED, "AlgorithmError: bad data, exit code: 7"))
    with wire(engine) as service:
        request = training_request()
        service.client.create_training_job(**request)
        shown = service.finish_training(request["TrainingJobName"])
        assert (shown["TrainingJobStatus"], shown["SecondaryStatus"]) == ("Failed", "Failed")
        assert shown["FailureReason"] == "AlgorithmError: bad data, exit code: 7"


def test_training_jobs_stop_once(sagemaker: Wire) -> None:
    request = training_request()
    name = request["TrainingJobName"]
    sagemaker.client.create_training_job(**request)
    sagemaker.tick()
    stop = sagemaker.client.stop_training_job
    stop(TrainingJobName=name)
    rejected = "The request was rejected because the training job is in status {}."
    assert error_of(stop, TrainingJobName=name) == ("ValidationException", rejected.format("Stopping"))
    _, message = error_of(sagemaker.client.delete_training_job, TrainingJobName=name)
    assert "not in a terminal state: it is Stopping. Wait until it has ended." in message
    assert sagemaker.finish_training(name)["TrainingJobStatus"] == "Stopped"
    assert error_of(stop, TrainingJobName=name) == ("ValidationException", rejected.format("Stopped"))


def test_a_name_whose_files_outlived_their_record_says_how_to_free_it(sagemaker: Wire) -> None:
    """As where an older copy of the database was put back: no record to delete once more."""
    request = training_request()
    name = request["TrainingJobName"]
    sagemaker.client.create_training_job(**request)
    sagemaker.finish_training(name)
    store = sagemaker.engine.store
    store.delete_training_job(store.training_job(sagemaker.engine.owner, name).id)
    code, message = error_of(sagemaker.client.create_training_job, **request)
    assert code == "ResourceInUse"
    assert "(In Rekindle: The files of a former one are still here" in message
    assert "choose another name, or," in message
    assert "remove the folder of this name in `runs` of the home folder.)" in message


def test_training_jobs_are_deleted_once_they_have_ended_and_their_names_are_free(sagemaker: Wire) -> None:
    request = training_request()
    name = request["TrainingJobName"]
    sagemaker.client.create_training_job(**request)
    delete = sagemaker.client.delete_training_job
    code, message = error_of(delete, TrainingJobName=name)
    assert code == "ResourceInUse"
    assert "not in a terminal state" in message
    code, message = error_of(sagemaker.client.create_training_job, **{**request, "TrainingJobName": name.upper()})
    arn = f"arn:aws:sagemaker:us-east-1:111111111111:training-job/{name}"
    assert code == "ResourceInUse"
    taken = "Job name must be unique within an AWS account and region, and a job with this name already exists"
    assert message == f"{taken} ({arn})"
    sagemaker.finish_training(name)
    delete(TrainingJobName=name)
    assert error_of(sagemaker.client.describe_training_job, TrainingJobName=name)[0] == "ValidationException"
    sagemaker.client.create_training_job(**request)
    sagemaker.finish_training(name)


def test_a_result_of_a_tuning_job_stays_while_the_tuning_job_is_there(sagemaker: Wire) -> None:
    name = sagemaker.create()
    before = sagemaker.finish(name)
    trial = sagemaker.trials(name)[0]["TrainingJobName"]
    code, message = error_of(sagemaker.client.delete_training_job, TrainingJobName=trial)
    assert code == "ResourceInUse"
    assert name in message
    assert sagemaker.describe(name) == before
    sagemaker.client.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    sagemaker.client.delete_training_job(TrainingJobName=trial)


RULE = {"RuleConfigurationName": "loss", "RuleEvaluatorImage": "image", "RuleParameters": {"a": "b"}}


def test_what_an_update_changes_comes_back(sagemaker: Wire) -> None:
    profiler = {"S3OutputPath": "s3://bucket/profiler", "ProfilingParameters": {"a": "1"}}
    request = training_request(ProfilerConfig=profiler, RemoteDebugConfig={"EnableRemoteDebug": False})
    name = request["TrainingJobName"]
    arn = sagemaker.client.create_training_job(**request)["TrainingJobArn"]
    before = sagemaker.describe_training(name)
    sagemaker.engine.clock.at += 5
    update = sagemaker.client.update_training_job
    assert update(TrainingJobName=name, ResourceConfig={"KeepAlivePeriodInSeconds": 60})["TrainingJobArn"] == arn
    update(TrainingJobName=name, ProfilerConfig={"DisableProfiler": True, "ProfilingParameters": {"b": "2"}})
    update(TrainingJobName=name, ProfilerRuleConfigurations=[RULE], RemoteDebugConfig={"EnableRemoteDebug": True})
    expected = {
        "ResourceConfig": {**before["ResourceConfig"], "KeepAlivePeriodInSeconds": 60},
        "ProfilerConfig": {**profiler, "DisableProfiler": True, "ProfilingParameters": {"a": "1", "b": "2"}},
        "ProfilerRuleConfigurations": [RULE],
        "RemoteDebugConfig": {"EnableRemoteDebug": True},
        "LastModifiedTime": before["LastModifiedTime"] + timedelta(seconds=5),
    }
    assert sagemaker.describe_training(name) == {**before, **expected}
    ended = sagemaker.finish_training(name)
    assert {key: ended[key] for key in expected if key != "LastModifiedTime"} == {
        key: value for key, value in expected.items() if key != "LastModifiedTime"
    }
    update(TrainingJobName=name, ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    assert sagemaker.describe_training(name)["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 0


def test_an_update_of_one_training_job_is_not_another_s(sagemaker: Wire) -> None:
    name = sagemaker.create(jobs=2)
    sagemaker.tick()
    first, second = (t["TrainingJobName"] for t in sagemaker.trials(name))
    before = sagemaker.describe_training(second)
    sagemaker.client.update_training_job(TrainingJobName=first, RemoteDebugConfig={"EnableRemoteDebug": True})
    assert sagemaker.describe_training(first)["RemoteDebugConfig"] == {"EnableRemoteDebug": True}
    assert sagemaker.describe_training(second) == before
    assert sagemaker.finish(name)["HyperParameterTuningJobStatus"] == "Completed"
    assert "RemoteDebugConfig" not in sagemaker.describe(name)["TrainingJobDefinition"]


def test_the_waiter_of_botocore_ends() -> None:
    with wire() as service:
        request = training_request()
        service.client.create_training_job(**request)
        service.finish_training(request["TrainingJobName"])
        waiter = service.client.get_waiter("training_job_completed_or_stopped")
        waiter.wait(TrainingJobName=request["TrainingJobName"], WaiterConfig={"Delay": 0, "MaxAttempts": 1})


def test_the_end_of_the_run_time_completes_a_tuning_job(sagemaker: Wire) -> None:
    request = tuning_request(jobs=100, parallel=1)
    request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxRuntimeInSeconds"] = 120
    shown = sagemaker.finish(sagemaker.create(request=request))
    assert shown["HyperParameterTuningJobStatus"] == "Completed"
    assert shown["HyperParameterTuningEndTime"] - shown["CreationTime"] >= timedelta(seconds=120)
    assert counts(shown)[0][4] == 1


def test_a_run_of_another_account_never_passes_for_ones_own(sagemaker: Wire) -> None:
    request = training_request()
    sagemaker.client.create_training_job(**request)
    sagemaker.finish_training(request["TrainingJobName"])
    other = sagemaker.another_client(BOB)
    assert error_of(other.describe_training_job, TrainingJobName=request["TrainingJobName"])[0] == "ValidationException"
    other.create_training_job(**request)
    assert other.describe_training_job(TrainingJobName=request["TrainingJobName"])["TrainingJobStatus"] == "InProgress"
    assert sagemaker.describe_training(request["TrainingJobName"])["TrainingJobStatus"] == "Completed"
