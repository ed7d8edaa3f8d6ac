# ruff: noqa: E501
"""boto3's own clients against everything composed: the gateway, the SageMaker API, the object store, the companions."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from rekindle.api.app import create_app as api_app
from rekindle.companions.identity import iam_app, sts_app
from rekindle.companions.logs import logs_app
from rekindle.companions.metrics import cloudwatch_app
from rekindle.domain.tuning_rules import RELAXED
from rekindle.gateway.app import Gateway, GatewaySettings
from rekindle.gateway.credentials import KeyPair
from rekindle.gateway.routing import Apps
from rekindle.s3.app import create_app as s3_app
from rekindle.storage.store import open_store
from support.companions import WrittenLogs, WrittenMetrics
from support.engine import by_learning_rate
from support.gateway import ALICE, BOB, CREDENTIALS, serving
from support.object_store import ACCOUNT
from support.simulated import SimulatedClock, SimulatedExecutor

REGION = "eu-west-3"
SESSION = boto3.Session(region_name=REGION)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    clock, buckets = SimulatedClock(), tmp_path_factory.mktemp("buckets")
    apps = Apps(
        sagemaker=api_app(open_store("sqlite://"), SimulatedExecutor(clock, by_learning_rate), clock, RELAXED),
        s3=s3_app(buckets, clock=clock, region=REGION, default_account=ACCOUNT, domains=("localhost",)),
        sts=sts_app(None),
        iam=iam_app(None),
        logs=logs_app(WrittenLogs({})),
        monitoring=cloudwatch_app(WrittenMetrics({})),
    )
    with serving(Gateway(apps, CREDENTIALS, GatewaySettings(), time.time)) as port:
        yield port


def client(port: int, service: str, pair: KeyPair = ALICE, host: str = "127.0.0.1", **config: Any) -> Any:
    return SESSION.client(
        service,
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id=pair.access_key,
        aws_secret_access_key=pair.secret_key,
        config=Config(retries={"max_attempts": 1}, **config),
    )


@pytest.fixture(scope="module")
def sagemaker(port: int) -> Any:
    return client(port, "sagemaker")


@pytest.fixture(scope="module")
def s3(port: int) -> Any:
    made = client(port, "s3")
    made.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    return made


def refused(call: Any, **asked: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call(**asked)
    response: dict[str, Any] = caught.value.response
    return response


def test_an_answer_of_the_service_reaches_boto3(sagemaker):
    answer = sagemaker.list_hyper_parameter_tuning_jobs()
    assert answer["HyperParameterTuningJobSummaries"] == []
    assert len(answer["ResponseMetadata"]["RequestId"]) == 36


def test_an_error_of_the_service_reaches_boto3(sagemaker):
    asked = {"HyperParameterTuningJobName": "not-there"}
    response = refused(sagemaker.describe_hyper_parameter_tuning_job, **asked)
    assert response["Error"]["Code"] == "ResourceNotFound"
    assert response["Error"]["Message"] == "Amazon SageMaker can't find a tuning job called not-there. Type another name."
    with pytest.raises(sagemaker.exceptions.ResourceNotFound):
        sagemaker.describe_hyper_parameter_tuning_job(**asked)


def test_what_boto3_does_not_check_the_service_does(sagemaker):
    error = refused(sagemaker.list_training_jobs, MaxResults=1000, SortBy="Nothing")["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"] == (
        "2 validation errors detected: Value '1000' at 'maxResults' failed to satisfy constraint: Member must have value less "
        "than or equal to 100; Value 'Nothing' at 'sortBy' failed to satisfy constraint: Member must satisfy enum value set: "
        "[Name, CreationTime, Status]"
    )


def test_an_operation_that_is_not_ours_says_what_is(sagemaker):
    response = refused(sagemaker.create_model, ModelName="m", ExecutionRoleArn="arn:aws:iam::111111111111:role/role")
    assert response["Error"]["Code"] == "UnknownOperationException"
    assert "'CreateModel' is not supported." in response["Error"]["Message"]
    assert "Rekindle supports: AddTags, CreateHyperParameterTuningJob" in response["Error"]["Message"]
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_pipeline_is_refused_with_what_to_do_instead(sagemaker):
    response = refused(
        sagemaker.create_pipeline,
        PipelineName="p",
        PipelineDefinition="{}",
        ClientRequestToken="t" * 32,
        RoleArn="arn:aws:iam::111111111111:role/role",
    )
    assert "with a Session in place of a PipelineSession, fit, tune and train start them" in response["Error"]["Message"]


@pytest.mark.parametrize("service", ["sagemaker-runtime", "sagemaker-metrics", "sagemaker-featurestore-runtime"])
def test_sagemakers_other_interfaces_are_refused_by_name(port, service):
    calls = {
        "sagemaker-runtime": lambda made: refused(made.invoke_endpoint, EndpointName="e", Body=b"x"),
        "sagemaker-metrics": lambda made: refused(made.batch_put_metrics, TrialComponentName="t", MetricData=[{"MetricName": "m", "Timestamp": datetime(2026, 1, 1, tzinfo=UTC), "Value": 1.0}]),
        "sagemaker-featurestore-runtime": lambda made: refused(made.get_record, FeatureGroupName="f", RecordIdentifierValueAsString="1"),
    }  # fmt: skip
    response = calls[service](client(port, service))
    assert response["Error"]["Code"] == "UnknownOperationException"
    assert "Rekindle supports" in response["Error"]["Message"]


def test_a_service_that_is_not_there_is_refused_by_name(port):
    response = refused(client(port, "kms").list_keys)
    assert response["Error"]["Code"] == "UnknownOperationException"
    assert "does not serve 'kms'" in response["Error"]["Message"]
    assert "does not serve 'ec2'" in refused(client(port, "ec2").describe_regions)["Error"]["Message"]
    assert "does not serve 'lambda'" in refused(client(port, "lambda").list_functions)["Error"]["Message"]
    assert "told by webhooks and files: docs/events.md" in refused(client(port, "events").list_rules)["Error"]["Message"]
    assert "images.yaml says: docs/settings.md" in refused(client(port, "ecr").describe_repositories)["Error"]["Message"]


@pytest.mark.parametrize(
    "key",
    [
        "plain",
        "a/b/c",
        "spaces and + and %",
        "Grüße/日本語",
        "dots/../x",
        "~tilde!*'()",
        "a//b",
        "q?x=1&y=#z",
        "percent%2Fslash",
    ],
)
def test_objects_with_every_kind_of_key_come_back(s3, key):
    s3.put_object(Bucket="bucket", Key=key, Body=b"data of " + key.encode(), Metadata={"a-b": "c  d"})
    got = s3.get_object(Bucket="bucket", Key=key)
    assert got["Body"].read() == b"data of " + key.encode()
    assert [found["Key"] for found in s3.list_objects_v2(Bucket="bucket", Prefix=key)["Contents"]] == [key]
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": key, "ResponseContentType": "text/x y+z"})
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"data of " + key.encode()
        assert answer.headers["content-type"] == "text/x y+z"


@pytest.mark.parametrize(
    "config",
    [
        {"s3": {"payload_signing_enabled": False}},
        {"s3": {"payload_signing_enabled": True}},
        {"request_checksum_calculation": "when_required"},
    ],
)
def test_bodies_bound_in_every_way_are_stored(port, s3, config):
    made = client(port, "s3", **config)
    for algorithm in ("CRC32", "SHA256"):
        made.put_object(Bucket="bucket", Key="bound", Body=b"bound in a way", ChecksumAlgorithm=algorithm)
        assert s3.get_object(Bucket="bucket", Key="bound")["Body"].read() == b"bound in a way"


def test_a_large_object_goes_up_and_down_in_parts(s3, tmp_path):
    data = bytes(range(256)) * 4096 * 20
    (tmp_path / "up").write_bytes(data)
    config = TransferConfig(multipart_threshold=2**20, multipart_chunksize=5 * 2**20, max_concurrency=3)
    s3.upload_file(str(tmp_path / "up"), "bucket", "large", Config=config)
    s3.download_file("bucket", "large", str(tmp_path / "down"), Config=config)
    assert (tmp_path / "down").read_bytes() == data


def test_virtual_host_style_is_understood(port, s3):
    s3.put_object(Bucket="bucket", Key="virtual/key", Body=b"v")
    made = client(port, "s3", host="localhost", s3={"addressing_style": "virtual"})
    url = made.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "virtual/key"})
    assert url.startswith(f"http://bucket.localhost:{port}/virtual/key?")
    # Resolving bucket.localhost is left to the system, which may not; the request is what matters here.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", url.partition(f":{port}")[2], headers={"Host": f"bucket.localhost:{port}"})
    assert connection.getresponse().read() == b"v"
    connection.close()


def test_a_presigned_upload_is_stored_and_only_as_it_was_signed(s3):
    url = s3.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "by-url", "ContentType": "text/plain"})
    put = urllib.request.Request(url, b"by url", {"Content-Type": "text/plain"}, method="PUT")
    with urllib.request.urlopen(put) as answer:
        assert answer.status == 200
    assert s3.get_object(Bucket="bucket", Key="by-url")["ContentType"] == "text/plain"
    other = urllib.request.Request(url, b"by url", {"Content-Type": "text/html"}, method="PUT")
    with pytest.raises(urllib.error.HTTPError) as refused_put:
        urllib.request.urlopen(other)
    assert refused_put.value.code == 403
    refused_put.value.close()


def test_who_asks_without_a_signature_as_for_public_data_is_told_so(port, s3):
    s3.put_object(Bucket="bucket", Key="sample.csv", Body=b"1")
    with pytest.raises(urllib.error.HTTPError) as refused_get:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/bucket/sample.csv")
    with refused_get.value as answer:
        assert b"<Code>AccessDenied</Code><Message>Access Denied. The request is not signed, and no bucket" in answer.read()


def test_accounts_see_their_own_only(port, s3, sagemaker):
    s3.put_object(Bucket="bucket", Key="mine", Body=b"x")
    theirs = client(port, "s3", BOB)
    assert theirs.list_buckets()["Buckets"] == []
    assert refused(theirs.get_object, Bucket="bucket", Key="mine")["ResponseMetadata"]["HTTPStatusCode"] in (403, 404)


def test_an_error_to_a_head_request_has_no_body(port, s3):
    stranger = client(port, "s3", KeyPair("REKINDLESTRANGER0001", "a-secret-that-nobody-here-knows-at-all-00"))
    response = refused(stranger.head_object, Bucket="bucket", Key="mine")
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == (403, "403")
    assert response["ResponseMetadata"]["RequestId"]


def test_an_upload_without_a_right_signature_is_refused_before_it_is_sent(port, s3):
    """The client waits for 100 Continue, and hears 403 instead."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("PUT", "/bucket/never")
    for name, value in {"Content-Length": str(5 << 30), "Expect": "100-continue"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, b"<Code>AccessDenied</Code>" in answer.read()) == (403, True)
    connection.close()


def test_the_call_after_a_refused_upload_is_answered(port):
    """boto3 does not send the body of what is refused, and would use the connection again."""
    stranger = client(port, "s3", KeyPair("REKINDLETESTNOBODY01", "secret", "333333333333"), read_timeout=20)
    for _ in range(2):
        assert (
            refused(stranger.put_object, Bucket="bucket", Key="k", Body=BytesIO(b"abc"))["Error"]["Code"]
            == "InvalidAccessKeyId"
        )
        assert refused(stranger.list_buckets)["Error"]["Code"] == "InvalidAccessKeyId"
