"""The composed server, as `rekindle serve` puts it together: names, origins, sizes, accounts."""

from __future__ import annotations

import http.client
import io
import os
import sys
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from rekindle.domain.errors import InvalidValue
from rekindle.domain.training_job import (
    Algorithm,
    Channel,
    Checkpoints,
    Output,
    Owner,
    SecondaryStatus,
    TrainingJob,
    TrainingSpec,
)
from rekindle.engine.clock import SystemClock
from rekindle.engine.code import MAX_BYTES
from rekindle.engine.commands import check_code, check_inputs, create_training_job
from rekindle.engine.ports import Run, RunKey, RunState
from rekindle.executors.host import Host
from rekindle.executors.process import ProcessExecutor
from rekindle.gateway.credentials import KeyPair, add_pair, load_or_create
from rekindle.objects.s3 import S3Objects
from rekindle.serving import Address, Server, build_server
from rekindle.settings import Settings
from support.gateway import serving
from support.script_jobs import training_request
from support.script_jobs import tuning_request as script_tuning_request
from support.serving import until
from support.wire import Json, changed, error_of, tuning_request, wire

OTHER = "222222222222"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class Served:
    """The server, its port, and the keys of its two accounts."""

    server: Server
    port: int
    mine: KeyPair
    other: KeyPair

    def client(self, service: str, pair: KeyPair, region: str = "us-east-1", **config: Any) -> Any:
        return boto3.session.Session().client(
            service,
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=pair.access_key,
            aws_secret_access_key=pair.secret_key,
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    def status(self, host: str, path: str = "/healthz", **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path, headers={"Host": host, **headers})
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(
        home, f"sqlite:///{home / 'rekindle.db'}", hosts=("tuner.lab", "lab"), origins=("https://pages.lab:8443",)
    )
    mine, other = load_or_create(home).first, add_pair(home, OTHER)
    server = build_server(settings, Address())
    with serving(server.asgi) as port:
        yield Served(server, port, mine, other)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "tuner.lab", "Tuner.Lab:8421", "bucket.tuner.lab", "[::1]:8421"])
def test_a_name_of_ours_is_let_in(served: Served, host: str) -> None:
    assert served.status(host) == 200


@pytest.mark.parametrize("host", ["evil.example", "tuner.lab.evil.example", "xlab", ""])
def test_a_name_that_is_not_ours_is_not(served: Served, host: str) -> None:
    assert served.status(host) == 403


def test_only_named_origins_may_call(served: Served) -> None:
    assert served.status("localhost", Origin="https://pages.lab:8443") == 200
    assert served.status("localhost", Origin="http://localhost") == 200
    assert served.status("localhost", Origin="https://pages.lab") == 403


def test_a_bucket_under_a_name_of_ours(served: Served) -> None:
    s3 = served.client("s3", served.mine)
    s3.create_bucket(Bucket="under.names")
    s3.put_object(Bucket="under.names", Key="k", Body=b"found")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "under.names", "Key": "k"})
    query = url.partition("?")[2]
    assert "AWSAccessKeyId" in query
    assert served.status("under.names.tuner.lab:8421", f"/k?{query}") == 200
    assert served.status("names.tuner.lab:8421", f"/k?{query}") == 403


def test_two_accounts_see_only_their_own(served: Served) -> None:
    """The same training job's name in both, really run: each has its own record, its own log, its own buckets."""
    app = served.server.app
    for pair in (served.mine, served.other):
        spec = TrainingSpec(Algorithm(command=f"echo printed for {pair.account}"))
        job = TrainingJob("twin", Owner(pair.account), spec, hyperparameters={}, created_at=0.0)
        create_training_job(app.store, app.executor, app.clock, job)
    worker, owners = app.worker(), [Owner(served.mine.account), Owner(OTHER)]
    worker.run(lambda: not any(app.store.training_job(owner, "twin").is_running for owner in owners))

    group = {"logGroupName": "/aws/sagemaker/TrainingJobs"}
    for pair, stranger in ((served.mine, served.other), (served.other, served.mine)):
        sagemaker, logs, s3 = (served.client(name, pair) for name in ("sagemaker", "logs", "s3"))
        listed = sagemaker.list_training_jobs(NameContains="twin")["TrainingJobSummaries"]
        assert [j["TrainingJobName"] for j in listed] == ["twin"]
        shown = sagemaker.describe_training_job(TrainingJobName="twin")
        assert (shown["TrainingJobStatus"], shown["TrainingJobArn"].split(":")[4]) == ("Completed", pair.account)
        (stream,) = logs.describe_log_streams(**group, logStreamNamePrefix="twin/")["logStreams"]
        events = logs.get_log_events(**group, logStreamName=stream["logStreamName"], startFromHead=True)["events"]
        assert [e["message"] for e in events] == [f"printed for {pair.account}"]
        s3.create_bucket(Bucket=f"of-{pair.account}")
        s3.put_object(Bucket=f"of-{pair.account}", Key="k", Body=b"mine")
        assert f"of-{pair.account}" in [b["Name"] for b in s3.list_buckets()["Buckets"]]
        assert f"of-{stranger.account}" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]
        with pytest.raises(ClientError, match="AccessDenied"):
            served.client("s3", stranger).get_object(Bucket=f"of-{pair.account}", Key="k")
        elsewhere = served.client("sagemaker", pair, "eu-west-3")
        assert elsewhere.list_training_jobs()["TrainingJobSummaries"] == []
        assert served.client("sts", pair).get_caller_identity()["Account"] == pair.account


def test_the_largest_tuning_job_that_the_model_allows_is_read() -> None:
    request = tuning_request()
    objective = request["HyperParameterTuningJobConfig"].pop("HyperParameterTuningJobObjective")
    ranges = request["HyperParameterTuningJobConfig"].pop("ParameterRanges")
    statics = {f"{i:03}{'n' * 253}": "v" * 2500 for i in range(97)}
    whole = {**request.pop("TrainingJobDefinition"), "TuningObjective": objective, "HyperParameterRanges": ranges}
    definitions = [changed(whole, "StaticHyperParameters", statics) | {"DefinitionName": f"d{i}"} for i in range(10)]
    with wire() as service:
        name = service.create(request={**request, "TrainingJobDefinitions": definitions})
        described = service.describe(name)["TrainingJobDefinitions"]
        kept = [{k: v for k, v in d["StaticHyperParameters"].items() if k in statics} for d in described]
        assert kept == [statics] * 10
        tags = [{"Key": f"{i}" * 100, "Value": "v" * 200} for i in range(20_000)]
        assert status_of_tagging(service.client, tags) == 413


def status_of_tagging(client: Any, tags: list[dict[str, str]]) -> int:
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.add_tags(ResourceArn="arn:aws:sagemaker:us-east-1:111111111111:training-job/x", Tags=tags)
    return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])


def executor_with(served: Served, home: Path, secret: str) -> ProcessExecutor:
    """One whose environment holds keys of the object store."""
    keys = {"AWS_ACCESS_KEY_ID": served.mine.access_key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "us-east-1"}
    environment = {"PATH": os.environ["PATH"], "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{served.port}", **keys}
    transfer = (sys.executable, "-I", "-m", "rekindle.objects.transfer")
    return ProcessExecutor(Host(home, environment, grace_seconds=0.1, transfer=transfer), SystemClock())


def test_results_outlive_keys_that_are_changed_while_a_job_runs(served: Served, tmp_path: Path) -> None:
    s3 = served.client("s3", served.mine)
    s3.create_bucket(Bucket="rotated")
    before, after = (executor_with(served, tmp_path, secret) for secret in ("of yesterday", served.mine.secret_key))
    spec = TrainingSpec(Algorithm(command="touch ../model/weights"), output=Output("s3://rotated/out"))
    key = RunKey("rotated", 1)
    before.launch(Run(key, spec, {}))
    until(lambda: b"the object store refuses the keys; trying again." in before.read_log(key.owner, key.name)[0])
    assert before.report(key).state is RunState.RUNNING
    after.adopt(key)
    until(lambda: after.report(key).state is not RunState.RUNNING)
    assert after.report(key).state is RunState.COMPLETED
    assert s3.head_object(Bucket="rotated", Key="out/rotated/output/model.tar.gz")["ContentLength"] > 0


def test_who_stops_a_job_whose_results_wait_for_keys_gets_an_end_and_where_they_are(served: Served, tmp_path: Path) -> None:
    executor, key = executor_with(served, tmp_path, "of yesterday"), RunKey("given-up", 1)
    spec = TrainingSpec(Algorithm(command="touch ../model/weights"), output=Output("s3://rotated/out"))
    executor.launch(Run(key, spec, {}))
    until(lambda: b"the object store refuses the keys; trying again." in executor.read_log(key.owner, key.name)[0])
    # A rule of the search that stops it wants its results none the less.
    executor.stop(key)
    executor.wait([key], 3.0)
    assert executor.report(key).state is RunState.RUNNING
    executor.stop(key, give_up=True)
    until(lambda: executor.report(key).state is not RunState.RUNNING)
    report = executor.report(key)
    assert (report.state, report.model_uri) == (RunState.STOPPED, None)
    assert report.failure_reason.startswith("ClientError: Artifact upload failed: ")
    assert f"What was trained is kept in {tmp_path / '_' / key.name / 'model'}; remove the job only" in report.failure_reason
    assert (tmp_path / "_" / key.name / "model" / "weights").exists()
    assert f"rekindle: {report.failure_reason}\n".encode() in executor.read_log(key.owner, key.name)[0]


def test_a_silent_object_store_is_given_up_with_the_job_and_not_taken_for_one_that_refuses_the_keys(
    served: Served, tmp_path: Path
) -> None:
    silent = {"PATH": os.environ["PATH"], "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", **KEYS}
    transfer = (sys.executable, "-I", "-m", "rekindle.objects.transfer")
    executor = ProcessExecutor(Host(tmp_path, silent, grace_seconds=0.1, transfer=transfer), SystemClock())
    key = RunKey("silence", 1)
    executor.launch(Run(key, TrainingSpec(Algorithm(command="touch ../model/weights"), output=Output("s3://rotated/out")), {}))
    until(lambda: any(phase[0] is SecondaryStatus.UPLOADING for phase in executor.report(key).phases))
    executor.stop(key, give_up=True)
    until(lambda: executor.report(key).state is not RunState.RUNNING)
    report = executor.report(key)
    assert (report.state, report.model_uri) == (RunState.STOPPED, None)
    assert "the object store does not answer" in report.failure_reason
    assert f"What was trained is kept in {tmp_path / '_' / key.name / 'model'}" in report.failure_reason
    assert b"refuses the keys" not in executor.read_log(key.owner, key.name)[0]


def test_checkpoints_are_followed_with_the_keys_of_who_works_on_the_run_by_now(served: Served, tmp_path: Path) -> None:
    s3 = served.client("s3", served.mine)
    s3.create_bucket(Bucket="followed")
    # Whoever may not read the checkpoints at the start has no job: the keys are changed after that.
    work = "while [ ! -e ../checkpoints/go ]; do sleep 0.1; done; touch ../checkpoints/made; exec sleep 1000"
    spec = TrainingSpec(Algorithm(command=f"sh -c '{work}'"), checkpoints=Checkpoints("s3://followed/kept"))
    before, key = executor_with(served, tmp_path, served.mine.secret_key), RunKey("followed", 1)
    before.launch(Run(key, spec, {}))
    folder = tmp_path / "_" / key.name
    until(lambda: (folder / ".rekindle" / "checkpoints.json").exists())
    executor_with(served, tmp_path, "of tomorrow").adopt(key)
    follower = following(str(folder))
    follower.kill()
    until(lambda: following(str(folder)).pid != follower.pid)
    (folder / "checkpoints" / "go").touch()
    refused = following(str(folder))
    until(lambda: not refused.is_running())
    executor_with(served, tmp_path, served.mine.secret_key).adopt(key)
    until(lambda: s3.list_objects_v2(Bucket="followed", Prefix="kept/").get("KeyCount") == 2)
    before.stop(key)
    until(lambda: before.report(key).state is RunState.STOPPED)
    until(lambda: not followers(str(folder)))


def followers(folder: str) -> list[psutil.Process]:
    """What copies the checkpoints of a run."""
    return [p for p in psutil.process_iter(["cmdline"]) if {"follow", f"{folder}/checkpoints"} <= set(p.info["cmdline"] or ())]


def following(folder: str) -> psutil.Process:
    """The one that does so now; between one that ended and the next there is none for a moment."""
    seen: list[psutil.Process] = []
    until(lambda: bool(seen.extend(followers(folder)) or seen))
    return seen[0]


@pytest.mark.parametrize(
    ("files", "program", "words"),
    [
        (
            ("code/train.py", "README"),
            "train.py",
            "sagemaker_program: 'train.py': the code has no such file. It has: 'code/train.py',",
        ),
        ((), "train.sh", "sagemaker_program: 'train.sh': the code has no such file. It has no files at all."),
        (None, "train.py", "the archive cannot be unpacked: "),
        (("code/train.py",), "code/train.py", ""),
        (("./train.py",), "train.py", ""),
        (("setup.py",), "train.py", ""),
        (("README",), "package", ""),
    ],
)
def test_the_script_is_looked_for_in_its_archive_at_creation(
    served: Served, files: tuple[str, ...] | None, program: str, words: str
) -> None:
    s3, sagemaker = served.client("s3", served.mine), served.client("sagemaker", served.mine)
    s3.create_bucket(Bucket="scripts")
    s3.put_object(Bucket="scripts", Key="train/rows.csv", Body=b"1,2\n")
    s3.put_object(Bucket="scripts", Key="code/sourcedir.tar.gz", Body=b"none" if files is None else archive(*files))
    sent = {"sagemaker_program": program, "sagemaker_submit_directory": '"s3://scripts/code/sourcedir.tar.gz"'}
    name = f"looked-for-{uuid.uuid4().hex}"
    job = training_request(name, "scripts", HyperParameters=sent)
    tuning = script_tuning_request(name[:32], "scripts", 2, definition={"StaticHyperParameters": sent})
    if not words:
        sagemaker.create_training_job(**job)
        sagemaker.create_hyper_parameter_tuning_job(**tuning)
        return
    with pytest.raises(ClientError, match="ValidationException") as refused:
        sagemaker.create_training_job(**job)
    assert words in str(refused.value)
    assert ": hyperParameters.sagemaker_" in str(refused.value)
    with pytest.raises(ClientError, match=r"trainingJobDefinition\.staticHyperParameters\.sagemaker_") as refused:
        sagemaker.create_hyper_parameter_tuning_job(**tuning)
    assert words in str(refused.value)


def test_an_archive_is_asked_for_once_at_creation(served: Served) -> None:
    s3 = served.client("s3", served.mine)
    s3.create_bucket(Bucket="asked-once")
    s3.put_object(Bucket="asked-once", Key="code.tar.gz", Body=archive("train.py"))
    s3.put_object(Bucket="asked-once", Key="long.tar.gz", Body=bytes(MAX_BYTES + 1))
    keys = {"aws_access_key_id": served.mine.access_key, "aws_secret_access_key": served.mine.secret_key}
    objects, sent = S3Objects(endpoint_url=f"http://127.0.0.1:{served.port}", region_name="us-east-1", **keys), []
    objects._client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request.method))

    def check(name: str, bucket: str = "asked-once") -> None:
        uri = f"s3://{bucket}/{name}.tar.gz"
        check_code(objects, {"sagemaker_submit_directory": f'"{uri}"'}, "static", (uri, "train.py"))

    check("code")
    check("long")
    assert sent == ["GET", "GET"]
    for name, bucket in (("gone", "asked-once"), ("code", "never-made")):
        with pytest.raises(InvalidValue, match=r"static\.sagemaker_submit_directory: .*: there is no such object\. Upload the"):
            check(name, bucket)


def archive(*names: str) -> bytes:
    """A tar.gz of empty files."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as packed:
        for name in names:
            packed.addfile(tarfile.TarInfo(name))
    return whole.getvalue()


def test_an_object_store_that_refuses_the_keys_is_not_told_as_empty(served: Served) -> None:
    url = f"http://127.0.0.1:{served.port}"
    keys = {"aws_access_key_id": served.mine.access_key, "aws_secret_access_key": "wrong"}
    theirs = S3Objects(endpoint_url=url, region_name="us-east-1", **keys)
    with pytest.raises(InvalidValue, match="SignatureDoesNotMatch") as refused:
        check_inputs(theirs, TrainingSpec(Algorithm("c"), channels=(Channel("train", "s3://under.names/k"),)))
    assert (refused.value.field, refused.value.code) == ("channels.train", "")
    with pytest.raises(InvalidValue, match="Forbidden") as refused:
        check_code(theirs, {"sagemaker_submit_directory": "s3://under.names/k"}, "hyperparameters")
    assert refused.value.field == "hyperparameters.sagemaker_submit_directory"


@pytest.mark.parametrize("uri", ["s3://no-such-bucket/k", "s3://sagemaker-us-east-1-000000000000/none"])
def test_what_is_not_there_is_told_as_sagemaker_tells_it(served: Served, uri: str) -> None:
    url = f"http://127.0.0.1:{served.port}"
    keys = {"aws_access_key_id": served.mine.access_key, "aws_secret_access_key": served.mine.secret_key}
    theirs = S3Objects(endpoint_url=url, region_name="us-east-1", **keys)
    with pytest.raises(InvalidValue) as refused:
        check_inputs(theirs, TrainingSpec(Algorithm("c"), channels=(Channel("train", uri),)))
    assert refused.value.code == "no-input"


def test_without_signatures_the_callers_are_the_installations_own_account(tmp_path: Path) -> None:
    settings = Settings(tmp_path, f"sqlite:///{tmp_path / 'rekindle.db'}", account=OTHER, region="eu-central-1")
    with serving(build_server(settings, Address(), insecure=True).asgi) as port:
        unsigned = {"endpoint_url": f"http://127.0.0.1:{port}", "config": Config(signature_version=UNSIGNED)}
        s3 = boto3.session.Session().client("s3", region_name="eu-central-1", **unsigned)
        s3.put_object(Bucket=settings.bucket, Key="k", Body=b"mine")
        assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == [settings.bucket]
        sts = boto3.session.Session().client("sts", region_name="eu-central-1", **unsigned)
        assert sts.get_caller_identity()["Account"] == OTHER


# --- the fields of refusals ----------------------------------------------------------------------------------------------

_SCRIPT = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://refusals/code.tar.gz"}
_SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
_LOSS = {"Name": "loss", "Regex": "loss=(.*)"}
_MANY = "AugmentedManifestFile"


def _channel(name: str = "train", uri: str = "s3://refusals/code.tar.gz", kind: str = "S3Prefix") -> Json:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": uri}}}


def _statics(**changed: str) -> tuple[str, Json]:
    return "StaticHyperParameters", {**_SCRIPT, **changed}


#: A member of a definition, or of a training job, as it is refused; and the field that is to blame, in the wire's spelling.
REFUSED: list[tuple[tuple[str, Any], str]] = [
    (("AlgorithmSpecification.TrainingImage", "nobody/knows:1"), "algorithmSpecification.trainingImage"),
    (
        ("AlgorithmSpecification", {"AlgorithmName": "a", "TrainingInputMode": "File", "MetricDefinitions": [_LOSS]}),
        "algorithmSpecification.algorithmName",
    ),
    (("AlgorithmSpecification.MetricDefinitions.0.Regex", "x"), "algorithmSpecification.metricDefinitions.loss.regex"),
    (("AlgorithmSpecification.MetricDefinitions", [_LOSS, _LOSS]), "algorithmSpecification.metricDefinitions"),
    (("InputDataConfig", [_channel("a.uri", kind=_MANY)]), "inputDataConfig.a.uri.dataSource.s3DataSource.s3DataType"),
    (("InputDataConfig", [{**_channel(), "InputMode": "Pipe"}]), "inputDataConfig.train.inputMode"),
    (("InputDataConfig", [_channel(), {"ChannelName": "b", "DataSource": {}}]), "inputDataConfig.2.member.dataSource"),
    (("InputDataConfig", [_channel(), _channel()]), "inputDataConfig"),
    (("OutputDataConfig.S3OutputPath", "s3://nowhere/x"), "outputDataConfig.s3OutputPath"),
    (("CheckpointConfig", {"S3Uri": "s3://nowhere/x"}), "checkpointConfig.s3Uri"),
    (("ResourceConfig.InstanceCount", 0), "resourceConfig.instanceCount"),
    (_statics(sagemaker_program="1"), "staticHyperParameters.sagemaker_program"),
    (_statics(sagemaker_submit_directory="s3://refusals/no"), "staticHyperParameters.sagemaker_submit_directory"),
    (_statics(sagemaker_submit_directory="ftp://no"), "staticHyperParameters.sagemaker_submit_directory"),
    (("StaticHyperParameters", {}), "staticHyperParameters"),
]


def _refused_requests(member: tuple[str, Any], field: str) -> Iterator[tuple[str, Json, str]]:
    """The operation, the request and the field's path in it, for each place where a definition may stand."""
    request = tuning_request()
    right = changed(request.pop("TrainingJobDefinition"), "StaticHyperParameters", _SCRIPT)
    right = changed(right, "AlgorithmSpecification.TrainingImage", _SKLEARN)
    right = changed(right, "OutputDataConfig.S3OutputPath", "s3://refusals/out")
    wrong, config = changed(right, *member), request["HyperParameterTuningJobConfig"]
    yield "create_hyper_parameter_tuning_job", {**request, "TrainingJobDefinition": wrong}, f"trainingJobDefinition.{field}"
    own = {"TuningObjective": config["HyperParameterTuningJobObjective"], "HyperParameterRanges": config["ParameterRanges"]}
    bare = {name: config[name] for name in ("Strategy", "ResourceLimits")}
    several = [{**right, **own, "DefinitionName": "right"}, {**wrong, **own, "DefinitionName": "wrong"}]
    request = {**request, "HyperParameterTuningJobConfig": bare, "TrainingJobDefinitions": several}
    yield "create_hyper_parameter_tuning_job", request, f"trainingJobDefinitions.2.member.{field}"
    direct = {"TrainingJobName": "refused", **wrong, "HyperParameters": wrong["StaticHyperParameters"]}
    del direct["StaticHyperParameters"]
    yield "create_training_job", direct, field.replace("staticHyperParameters", "hyperParameters")


@pytest.mark.parametrize(("member", "field"), REFUSED)
def test_a_refusal_names_the_field_where_the_request_has_it(served: Served, member: tuple[str, Any], field: str) -> None:
    s3, sagemaker = (served.client(service, served.mine) for service in ("s3", "sagemaker"))
    s3.create_bucket(Bucket="refusals")
    s3.put_object(Bucket="refusals", Key="code.tar.gz", Body=archive("train.py"))
    for operation, request, path in _refused_requests(member, field):
        code, message = error_of(getattr(sagemaker, operation), **request)
        assert (code, message.partition(": ")[0]) == ("ValidationException", path)


#: A change of the configuration of a tuning job, or of a definition's own ranges, and the field that is to blame.
REFUSED_RANGES: list[tuple[str, Any, str]] = [
    ("ContinuousParameterRanges.0.MinValue", "tiny", "lr.minValue"),
    ("ContinuousParameterRanges.0.MinValue", "1", "lr"),
    ("ContinuousParameterRanges.0.Name", "layers", "layers"),
    ("ContinuousParameterRanges.0.Name", "_tuning_objective_metric", "_tuning_objective_metric"),
]


@pytest.mark.parametrize(("member", "value", "field"), REFUSED_RANGES)
def test_a_refused_range_is_named_where_it_stands(served: Served, member: str, value: Any, field: str) -> None:
    request = tuning_request()
    config = request["HyperParameterTuningJobConfig"]
    wrong = changed(config.pop("ParameterRanges"), member, value)
    objective = config.pop("HyperParameterTuningJobObjective")
    own = {**request["TrainingJobDefinition"], "HyperParameterRanges": wrong, "TuningObjective": objective}
    outside = {**config, "ParameterRanges": wrong, "HyperParameterTuningJobObjective": objective}
    for sent, path in (
        ({**request, "HyperParameterTuningJobConfig": outside}, "hyperParameterTuningJobConfig.parameterRanges"),
        ({**request, "TrainingJobDefinition": own}, "trainingJobDefinition.hyperParameterRanges"),
        (
            {k: v for k, v in request.items() if k != "TrainingJobDefinition"}
            | {"TrainingJobDefinitions": [{**own, "DefinitionName": "one"}]},
            "trainingJobDefinitions.1.member.hyperParameterRanges",
        ),
    ):
        sagemaker = served.client("sagemaker", served.mine)
        code, message = error_of(sagemaker.create_hyper_parameter_tuning_job, **sent)
        assert (code, message.partition(": ")[0]) == ("ValidationException", f"{path}.{field}")
