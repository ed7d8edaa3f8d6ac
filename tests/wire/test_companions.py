"""STS, IAM, CloudWatch Logs and CloudWatch as boto3 sees them, through the gateway, over a real socket."""

# ruff: noqa: E501
from __future__ import annotations

import http.client
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest.mock import ANY

import boto3
import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials
from botocore.exceptions import ClientError
from structlog.testing import capture_logs

from rekindle.companions.identity import iam_app, sts_app
from rekindle.companions.logs import GROUP, logs_app
from rekindle.companions.metrics import cloudwatch_app
from rekindle.companions.ports import LogEvent, LogStream, Point
from rekindle.domain.training_job import Owner
from rekindle.engine.ports import StoreUnavailable
from rekindle.gateway.app import Gateway, GatewaySettings
from rekindle.gateway.credentials import KeyPair
from support.companions import WrittenLogs, WrittenMetrics
from support.gateway import ALICE, BOB, CREDENTIALS, echo_apps, serving

REGION = "eu-west-3"
ALICES, BOBS = Owner(ALICE.account, REGION), Owner(BOB.account, REGION)
LONG = [(1000 + n, f"line {n}") for n in range(25)]
LOGS = WrittenLogs(
    {
        (ALICES, "job-1/algo-1-7"): LONG,
        (ALICES, "job-10/algo-1-8"): [(5, "epoch 1 loss=0.5"), (6, "epoch 2 loss=0.25 ✓"), (7, "warning: <slow>")],
        (ALICES, "job-2/algo-1-9"): [],
        (BOBS, "job-1/algo-1-7"): [(1, "bob's secret")],
    }
)
T0 = 1_700_000_040.0
METRICS = WrittenMetrics(
    {
        (ALICES, "job-1", "loss"): [Point(T0, 1.0), Point(T0 + 30, 0.5), Point(T0 + 60, 0.25), Point(T0 + 70, float("nan")), Point(T0 + 185, 0.125)],
        (BOBS, "job-1", "loss"): [Point(T0, 9.0)],
    }
)  # fmt: skip

Clients = Callable[..., Any]


def companions(role: str | None) -> Gateway:
    apps = echo_apps(sts=sts_app(role), iam=iam_app(role), logs=logs_app(LOGS), monitoring=cloudwatch_app(METRICS))
    return Gateway(apps, CREDENTIALS, GatewaySettings(), time.time)


@pytest.fixture(scope="module")
def client() -> Iterator[Clients]:
    with serving(companions(None)) as port:
        yield making_clients(port)


@pytest.fixture(scope="module")
def client_with_role() -> Iterator[Clients]:
    with serving(companions("tuner")) as port:
        yield making_clients(port)


def making_clients(port: int) -> Clients:
    session = boto3.Session(region_name=REGION)
    made: dict[tuple[str, str], Any] = {}

    def make(service: str, pair: KeyPair = ALICE) -> Any:
        if (service, pair.access_key) not in made:
            made[service, pair.access_key] = session.client(
                service,
                endpoint_url=f"http://127.0.0.1:{port}",
                aws_access_key_id=pair.access_key,
                aws_secret_access_key=pair.secret_key,
                config=Config(retries={"max_attempts": 1}),
            )
        return made[service, pair.access_key]

    return make


def code_of(call: Callable[[], Any]) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    assert response["ResponseMetadata"]["RequestId"]
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def test_sts_says_who_is_calling(client):
    alice, bob = client("sts").get_caller_identity(), client("sts", BOB).get_caller_identity()
    assert (alice["Account"], bob["Account"]) == (ALICE.account, BOB.account)
    assert alice["Arn"] == f"arn:aws:iam::{ALICE.account}:user/{ALICE.access_key}"
    assert alice["UserId"] == ALICE.access_key
    assert alice["ResponseMetadata"]["RequestId"]


def test_sts_answers_a_presigned_question(client):
    url = client("sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    with urllib.request.urlopen(url) as answer:
        assert f"<Account>{ALICE.account}</Account>" in answer.read().decode()


def test_sts_with_a_wrong_key_is_refused_as_aws_does(client):
    wrong = KeyPair(ALICE.access_key, "not-the-secret-not-the-secret-not-the-se")
    fresh = making_clients(int(client("sts").meta.endpoint_url.rpartition(":")[2]))
    assert code_of(fresh("sts", wrong).get_caller_identity)[:2] == (403, "SignatureDoesNotMatch")
    stranger = KeyPair("REKINDLESTRANGER0001", "not-the-secret-not-the-secret-not-the-se")
    assert code_of(fresh("sts", stranger).get_caller_identity)[:2] == (403, "InvalidClientTokenId")
    assert code_of(lambda: fresh("logs", stranger).describe_log_groups())[:2] == (400, "UnrecognizedClientException")
    assert code_of(lambda: fresh("s3", stranger).list_buckets())[:2] == (403, "InvalidAccessKeyId")
    assert code_of(lambda: fresh("sagemaker", wrong).list_training_jobs())[:2] == (400, "InvalidSignatureException")


def test_what_sts_and_iam_do_not_do_they_say(client):
    status, code, message = code_of(client("sts").get_session_token)
    assert (status, code) == (400, "InvalidAction")
    assert "Rekindle supports: GetCallerIdentity" in message
    assert code_of(client("iam").list_users)[1] == "InvalidAction"
    assuming = partial(client("sts").assume_role, RoleArn=ROLE_ARN, RoleSessionName="notebook")
    assert "Use the keys that you have" in code_of(assuming)[2]


ROLE_ARN = f"arn:aws:iam::{ALICE.account}:role/tuner"


def test_without_a_role_iam_denies_access_which_the_sdks_tolerate(client):
    status, code, message = code_of(lambda: client("iam").get_role(RoleName="tuner"))
    assert (status, code) == (403, "AccessDenied")
    assert "not authorized to perform: iam:GetRole" in message
    status, code, _ = code_of(
        lambda: client("iam").simulate_principal_policy(PolicySourceArn=ROLE_ARN, ActionNames=["s3:PutObject"])
    )
    assert (status, code) == (403, "AccessDenied")


def test_a_configured_role_exists_may_be_assumed_and_may_do_everything(client_with_role):
    role = client_with_role("iam").get_role(RoleName="tuner")["Role"]
    assert role["Arn"] == ROLE_ARN
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    asked = {
        "PolicySourceArn": ROLE_ARN,
        "ActionNames": ["s3:PutObject", "logs:PutLogEvents"],
        "ResourceArns": ["*", "arn:aws:s3:::b"],
    }
    answer = client_with_role("iam").simulate_principal_policy(**asked)
    assert len(answer["EvaluationResults"]) == 4
    assert {result["EvalDecision"] for result in answer["EvaluationResults"]} == {"allowed"}
    assert client_with_role("sts").get_caller_identity()["Arn"].startswith(f"arn:aws:sts::{ALICE.account}:assumed-role/tuner/")


def test_a_question_of_too_many_pairs_is_refused(client_with_role):
    asked = {"PolicySourceArn": ROLE_ARN, "ActionNames": ["s3:PutObject"] * 101}
    iam = client_with_role("iam")
    assert len(iam.simulate_principal_policy(**asked, ResourceArns=["*"] * 99)["EvaluationResults"]) == 9999
    status, code, message = code_of(lambda: iam.simulate_principal_policy(**asked, ResourceArns=["*"] * 100))
    assert (status, code) == (400, "InvalidInput")
    assert "101 ActionNames with 100 ResourceArns: at most 10,000 pairs" in message


@pytest.mark.parametrize("path", ["", "service-role/"])
def test_the_role_that_a_script_was_written_with_exists_too(client_with_role, path):
    iam, name = client_with_role("iam"), "SageMaker-ExecutionRole-20200103T170367"
    assert iam.get_role(RoleName=name)["Role"]["Arn"] == f"arn:aws:iam::{ALICE.account}:role/{name}"
    source = f"arn:aws:iam::{BOB.account}:role/{path}{name}"
    judged = iam.simulate_principal_policy(PolicySourceArn=source, ActionNames=["s3:PutObject"])["EvaluationResults"]
    assert [result["EvalDecision"] for result in judged] == ["allowed"]


def test_what_is_no_role_is_refused(client_with_role):
    iam = client_with_role("iam")
    for name in ("role/tuner", "a" * 65, "<role>"):
        status, code, message = code_of(partial(iam.get_role, RoleName=name))
        assert (status, code) == (400, "ValidationError")
        assert name in message
    asked = partial(iam.simulate_principal_policy, PolicySourceArn="x" * 20, ActionNames=["s3:PutObject"])
    status, code, message = code_of(asked)
    assert (status, code) == (400, "InvalidInput")
    assert "not an ARN, such as arn:aws:iam::" in message


def names(answer: Any) -> list[str]:
    return [stream["logStreamName"] for stream in answer["logStreams"]]


def test_log_streams_are_found_by_the_jobs_name(client):
    logs = client("logs")
    assert names(logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="job-1/")) == ["job-1/algo-1-7"]
    assert names(logs.describe_log_streams(logGroupName=GROUP)) == ["job-1/algo-1-7", "job-10/algo-1-8", "job-2/algo-1-9"]
    assert names(logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="none")) == []
    pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=GROUP, PaginationConfig={"PageSize": 1})
    assert [names(page) for page in pages] == [["job-1/algo-1-7"], ["job-10/algo-1-8"], ["job-2/algo-1-9"]]
    stream = logs.describe_log_streams(logGroupName=GROUP)["logStreams"][0]
    assert (stream["creationTime"], stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (1000, 1000, 1024)


def test_log_streams_are_listed_backwards_and_by_time(client):
    logs = client("logs")
    backwards = {"logGroupName": GROUP, "descending": True}
    assert names(logs.describe_log_streams(**backwards)) == ["job-2/algo-1-9", "job-10/algo-1-8", "job-1/algo-1-7"]
    assert names(logs.describe_log_streams(**backwards, logStreamNamePrefix="job-1")) == ["job-10/algo-1-8", "job-1/algo-1-7"]
    by_time = {"logGroupName": GROUP, "orderBy": "LastEventTime"}
    oldest_first = logs.describe_log_streams(**by_time)["logStreams"]
    times = [stream.get("lastEventTimestamp", stream["creationTime"]) for stream in oldest_first]
    assert times == sorted(times) != times[::-1]
    pages = logs.get_paginator("describe_log_streams").paginate(**by_time, descending=True, PaginationConfig={"PageSize": 1})
    assert [names(page) for page in pages] == [[stream["logStreamName"]] for stream in reversed(oldest_first)]


@pytest.mark.parametrize("order", ["LogStreamName", "LastEventTime"])
@pytest.mark.parametrize("descending", [False, True])
def test_log_streams_are_listed_on_where_the_last_one_was_deleted(order: str, descending: bool) -> None:
    lines = {(ALICES, f"job-{n}/algo-1-7"): [(1000 + 10 * (n // 2), "line")] for n in range(6)}
    with serving_logs(WrittenLogs(lines)) as logs:
        asked = {"logGroupName": GROUP, "orderBy": order, "descending": descending, "limit": 2}
        first = logs.describe_log_streams(**asked)
        del lines[ALICES, names(first)[-1]]
        second = logs.describe_log_streams(**asked, nextToken=first["nextToken"])
        third = logs.describe_log_streams(**asked, nextToken=second["nextToken"])
        every = [f"job-{n}/algo-1-7" for n in range(6)]
        assert [*names(first), *names(second), *names(third)] == (every[::-1] if descending else every)


def test_each_account_and_region_reads_its_own_logs(client):
    asked = {"logGroupName": GROUP, "logStreamName": "job-1/algo-1-7", "startFromHead": True}
    assert [event["message"] for event in client("logs", BOB).get_log_events(**asked)["events"]] == ["bob's secret"]
    assert len(client("logs").get_log_events(**asked)["events"]) == 25


def messages(answer: Any) -> list[str]:
    return [event["message"] for event in answer["events"]]


def test_a_log_is_read_forward_to_its_end_where_the_token_stays(client):
    asked = {"logGroupName": GROUP, "logStreamName": "job-1/algo-1-7", "startFromHead": True, "limit": 10}
    read, token = [], None
    for _ in range(5):
        answer = client("logs").get_log_events(**asked, **({"nextToken": token} if token else {}))
        read += messages(answer)
        token, before = answer["nextForwardToken"], token
    assert read == [line for _, line in LONG]
    assert token == before
    assert answer["events"] == []


def test_a_log_is_read_from_its_end_and_backward(client):
    asked = {"logGroupName": GROUP, "logStreamName": "job-1/algo-1-7", "limit": 10}
    last = client("logs").get_log_events(**asked)
    assert messages(last) == [f"line {n}" for n in range(15, 25)]
    earlier = client("logs").get_log_events(**asked, nextToken=last["nextBackwardToken"])
    assert messages(earlier) == [f"line {n}" for n in range(5, 15)]
    assert messages(client("logs").get_log_events(**asked, nextToken=earlier["nextForwardToken"])) == messages(last)
    first = client("logs").get_log_events(**asked, nextToken=earlier["nextBackwardToken"])
    assert messages(first) == [f"line {n}" for n in range(5)]
    assert messages(client("logs").get_log_events(**asked, nextToken=first["nextBackwardToken"])) == []


def test_a_log_is_read_between_times(client):
    asked = {"logGroupName": GROUP, "logStreamName": "job-1/algo-1-7", "startFromHead": True}
    assert messages(client("logs").get_log_events(**asked, startTime=1003, endTime=1006)) == ["line 3", "line 4", "line 5"]
    assert client("logs").get_log_events(**{**asked, "logStreamName": "job-2/algo-1-9"})["events"] == []


def test_logs_are_filtered(client):
    logs = client("logs")
    by_prefix = {"logGroupName": GROUP, "logStreamNamePrefix": "job-10/"}
    assert messages(logs.filter_log_events(**by_prefix, filterPattern="loss epoch")) == [
        "epoch 1 loss=0.5",
        "epoch 2 loss=0.25 ✓",
    ]
    assert messages(logs.filter_log_events(**by_prefix, filterPattern='"epoch 2"')) == ["epoch 2 loss=0.25 ✓"]
    assert messages(logs.filter_log_events(**by_prefix, filterPattern="-epoch")) == ["warning: <slow>"]
    assert messages(logs.filter_log_events(**by_prefix, filterPattern="?warning ?0.25")) == [
        "epoch 2 loss=0.25 ✓",
        "warning: <slow>",
    ]
    pages = list(logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, PaginationConfig={"PageSize": 9}))
    assert [len(page["events"]) for page in pages] == [9, 9, 9, 1]
    assert [text for page in pages for text in messages(page)] == [line for _, line in LONG] + messages(
        logs.filter_log_events(**by_prefix)
    )
    only = logs.filter_log_events(logGroupName=GROUP, logStreamNames=["job-10/algo-1-8"], startTime=6)
    assert [event["logStreamName"] for event in only["events"]] == ["job-10/algo-1-8"] * 2
    for token in ("abc", "7", "7/", "x/job-10/algo-1-8"):
        # To begin anew would show a poller all events again.
        refused = code_of(lambda token=token: logs.filter_log_events(logGroupName=GROUP, nextToken=token))
        assert refused[:2] == (400, "InvalidParameterException")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [('"--lr"', [0]), ('"-0.5"', [0]), ('-"--lr"', [1, 2]), ("-lr", [2]), ('"?"', [2]), ('?"?" ?--', [0, 2])],
)
def test_a_sign_within_quotes_is_looked_for(pattern, found):
    lines = ["train.py --lr -0.5", "train.py lr 0.5", "why?"]
    written = WrittenLogs({(ALICES, "job/algo-1-7"): [(n, line) for n, line in enumerate(lines)]})
    with serving_logs(written) as logs:
        assert messages(logs.filter_log_events(logGroupName=GROUP, filterPattern=pattern)) == [lines[n] for n in found]


@contextmanager
def serving_logs(written: WrittenLogs) -> Iterator[Any]:
    """A client of CloudWatch Logs over these logs."""
    apps = echo_apps(sts=sts_app(None), iam=iam_app(None), logs=logs_app(written), monitoring=cloudwatch_app(METRICS))
    with serving(Gateway(apps, CREDENTIALS, GatewaySettings(), time.time)) as port:
        yield making_clients(port)("logs")


@dataclass(frozen=True)
class CountedLogs(WrittenLogs):
    """Counts the looks for streams, and the logs that are read."""

    looks: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)

    def streams(self, owner: Owner, prefix: str, after: str, limit: int) -> Sequence[LogStream]:
        self.looks.append(prefix)
        return super().streams(owner, prefix, after, limit)

    def events(self, owner: Owner, stream: str, position: int, limit: int) -> Sequence[LogEvent] | None:
        self.read.append(stream)
        return super().events(owner, stream, position, limit)


def test_a_search_looks_for_streams_once_and_reads_those_of_its_time():
    counted = CountedLogs({(ALICES, f"job-{n:03}/algo-1-7"): [(1000 + n, f"line {n}")] for n in range(130)})
    with serving_logs(counted) as logs:
        found = logs.filter_log_events(logGroupName=GROUP, startTime=1125, endTime=1128)["events"]
        # The end belongs to it, which is not so in GetLogEvents.
        assert [event["message"] for event in found] == ["line 125", "line 126", "line 127", "line 128"]
        assert set(counted.read) == {f"job-{n}/algo-1-7" for n in (125, 126, 127, 128)}
        assert len(counted.looks) == 1, "each look goes through all there are"


@pytest.mark.parametrize(
    ("operation", "asked", "code"),
    [
        ("describe_log_streams", {"logGroupName": "/aws/other"}, "ResourceNotFoundException"),
        ("get_log_events", {"logGroupName": GROUP, "logStreamName": "none"}, "ResourceNotFoundException"),
        ("get_log_events", {"logGroupName": GROUP, "logStreamName": "job-1/algo-1-7", "nextToken": "x"}, "InvalidParameterException"),
        ("get_log_events", {"logGroupName": GROUP, "logStreamName": "job-1/algo-1-7", "nextToken": "f/9999999999999999999"}, "InvalidParameterException"),
        ("filter_log_events", {"logGroupName": GROUP, "nextToken": "9999999999999999999/job-1/algo-1-7"}, "InvalidParameterException"),
        ("filter_log_events", {"logGroupName": GROUP, "logStreamNames": ["job-1/algo-1-7"], "logStreamNamePrefix": "job"}, "InvalidParameterException"),
        ("describe_log_groups", {"logGroupNamePrefix": "/aws", "logGroupNamePattern": "sage"}, "InvalidParameterException"),
        ("get_log_events", {"logGroupName": GROUP, "logStreamName": "job-1/algo-1-7", "limit": 10001}, "InvalidParameterException"),
        ("get_log_events", {"logStreamName": "job-1/algo-1-7"}, "InvalidParameterException"),
        ("describe_log_streams", {"logGroupName": GROUP, "orderBy": "LastEventTime", "logStreamNamePrefix": "job"}, "InvalidParameterException"),
        ("describe_log_streams", {"logGroupName": GROUP, "orderBy": "LastEventTime", "nextToken": "none"}, "InvalidParameterException"),
        ("describe_log_streams", {"logGroupName": GROUP, "orderBy": "Size"}, "InvalidParameterException"),
        ("filter_log_events", {"logGroupName": GROUP, "filterPattern": "{ $.a = 1 }"}, "InvalidParameterException"),
        ("filter_log_events", {"logGroupName": GROUP, "filterPattern": "x " * 513}, "InvalidParameterException"),
        ("put_log_events", {"logGroupName": GROUP, "logStreamName": "x", "logEvents": [{"timestamp": 1, "message": "m"}]}, "UnknownOperationException"),
    ],
)  # fmt: skip
def test_what_logs_cannot_answer_is_an_error_of_the_service(client, operation, asked, code):
    assert code_of(lambda: getattr(client("logs"), operation)(**asked))[:2] == (400, code)


def test_the_log_group_is_listed(client):
    assert [
        group["logGroupName"] for group in client("logs").describe_log_groups(logGroupNamePrefix="/aws/sage")["logGroups"]
    ] == [GROUP]
    assert client("logs").describe_log_groups(logGroupNamePrefix="/aws/ec2")["logGroups"] == []
    found = [client("logs").describe_log_groups(logGroupNamePattern=part)["logGroups"] for part in ("Training", "training")]
    assert [len(groups) for groups in found] == [1, 0]


def question(**others: Any) -> dict[str, Any]:
    start, end = (datetime.fromtimestamp(T0 + seconds, UTC) for seconds in (-60, 240))
    asked = {
        "Namespace": "/aws/sagemaker/TrainingJobs",
        "MetricName": "loss",
        "Dimensions": [{"Name": "TrainingJobName", "Value": "job-1"}],
    }
    return {**asked, "StartTime": start, "EndTime": end, "Period": 60, "Statistics": ["Average", "SampleCount"], **others}


def test_metrics_are_summed_up_by_period(client):
    answer = client("cloudwatch").get_metric_statistics(**question())
    assert answer["Label"] == "loss"
    shown = [(point["Timestamp"].timestamp() - T0, point["Average"], point["SampleCount"]) for point in answer["Datapoints"]]
    assert shown == [(0.0, 0.75, 2.0), (60.0, 0.25, 1.0), (180.0, 0.125, 1.0)]
    assert client("cloudwatch").get_metric_statistics(**question(Unit="None")) == {
        **answer,
        "ResponseMetadata": ANY,
    }
    every = client("cloudwatch").get_metric_statistics(**question(Period=300, Statistics=["Sum", "Minimum", "Maximum"]))[
        "Datapoints"
    ]
    assert [(point["Sum"], point["Minimum"], point["Maximum"]) for point in every] == [(1.5, 0.5, 1.0), (0.375, 0.125, 0.25)]
    assert client("cloudwatch", BOB).get_metric_statistics(**question())["Datapoints"][0]["Average"] == 9.0


@pytest.mark.parametrize("others", [{"MetricName": "none"}, {"Namespace": "AWS/EC2"}, {"Dimensions": []}, {"Unit": "Percent"}])
def test_a_metric_that_is_not_there_has_no_data_points(client, others):
    assert client("cloudwatch").get_metric_statistics(**question(**others))["Datapoints"] == []


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ({"Period": 61}, "InvalidParameterValue"),
        ({"EndTime": datetime(2001, 1, 1, tzinfo=UTC)}, "InvalidParameterValue"),
        ({"StartTime": datetime(2001, 1, 1, tzinfo=UTC)}, "InvalidParameterCombination"),
        ({"Statistics": ["Median"]}, "InvalidParameterValue"),
        ({"Unit": "Parsecs"}, "InvalidParameterValue"),
    ],
)
def test_what_cloudwatch_cannot_answer_is_an_error_of_the_service(client, others, code):
    assert code_of(lambda: client("cloudwatch").get_metric_statistics(**question(**others)))[:2] == (400, code)
    assert code_of(client("cloudwatch").list_dashboards)[1] == "UnknownOperationException"


JOB_1 = [{"Name": "TrainingJobName", "Value": "job-1"}]


def query(**others: Any) -> dict[str, Any]:
    metric = {"Namespace": "/aws/sagemaker/TrainingJobs", "MetricName": "loss", "Dimensions": JOB_1}
    return {"Id": "loss", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}, **others}


def test_the_metrics_of_a_training_job_are_listed(client):
    def names(**asked: Any) -> list[str]:
        return [m["MetricName"] for m in client("cloudwatch").list_metrics(**asked)["Metrics"]]

    [found] = client("cloudwatch").list_metrics(Namespace="/aws/sagemaker/TrainingJobs", Dimensions=JOB_1)["Metrics"]
    assert found == {"Namespace": "/aws/sagemaker/TrainingJobs", "MetricName": "loss", "Dimensions": JOB_1}
    assert names(Dimensions=JOB_1, MetricName="loss") == ["loss"]
    for others in (
        {"MetricName": "gain"},
        {"Namespace": "AWS/EC2"},
        {"Dimensions": [{"Name": "Host", "Value": "job-1/algo-1"}]},
    ):
        assert names(**{"Dimensions": JOB_1, **others}) == []
    assert "Name a training job" in code_of(client("cloudwatch").list_metrics)[2]


def test_several_metrics_are_asked_for_at_once(client):
    times = {"StartTime": datetime.fromtimestamp(T0 - 60, UTC), "EndTime": datetime.fromtimestamp(T0 + 40 * 86_400, UTC)}
    queries = [query(Id="a"), query(Id="b", Label="mine"), query(Id="c", ReturnData=False)]
    first, second = client("cloudwatch").get_metric_data(MetricDataQueries=queries, **times)["MetricDataResults"]
    assert [(t.timestamp() - T0, v) for t, v in zip(first["Timestamps"], first["Values"], strict=True)] == [
        (180.0, 0.125),
        (60.0, 0.25),
        (0.0, 0.75),
    ]
    assert (first["Id"], first["Label"], second["Id"], second["Label"]) == ("a", "loss", "b", "mine")
    asked = partial(client("cloudwatch").get_metric_data, **times)
    forwards = asked(MetricDataQueries=[query()], ScanBy="TimestampAscending")["MetricDataResults"][0]
    assert forwards["Values"] == [0.75, 0.25, 0.125]
    in_percent = query(MetricStat={**query()["MetricStat"], "Unit": "Percent"})
    assert asked(MetricDataQueries=[in_percent])["MetricDataResults"][0]["Values"] == []
    for wrong, words in (
        ({"Id": "x", "Expression": "a / 2"}, "Expressions over metrics are not computed here"),
        (query(MetricStat={**query()["MetricStat"], "Stat": "p90"}), "got ['p90']"),
    ):
        assert words in code_of(partial(asked, MetricDataQueries=[wrong]))[2]


def test_older_clients_ask_cloudwatch_in_the_query_protocol(client):
    host = client("cloudwatch").meta.endpoint_url.removeprefix("http://")
    form = {
        "Action": "GetMetricStatistics",
        "Version": "2010-08-01",
        "Namespace": "/aws/sagemaker/TrainingJobs",
        "MetricName": "loss",
    }
    form |= {"Dimensions.member.1.Name": "TrainingJobName", "Dimensions.member.1.Value": "job-1", "Period": "60"}
    form |= {"StartTime": "2023-11-14T22:13:00Z", "EndTime": "2023-11-14T22:18:00Z", "Statistics.member.1": "Maximum"}
    status, answer = posted(host, form)
    assert status == 200
    assert re.findall("<Timestamp>(.*?)</Timestamp><Maximum>(.*?)</Maximum>", answer) == [
        ("2023-11-14T22:14:00Z", "1.0"),
        ("2023-11-14T22:15:00Z", "0.25"),
        ("2023-11-14T22:17:00Z", "0.125"),
    ]
    status, answer = posted(host, {**form, "Period": "61"})
    assert (status, "<Code>InvalidParameterValue</Code>" in answer) == (400, True)
    status, answer = posted(host, {"Action": "PutMetricData", "Version": "2010-08-01"})
    assert (status, "<Code>InvalidAction</Code>" in answer) == (400, True)
    status, answer = posted(host, {"Action": "GetMetricStatistics", "Version": "2010-08-01"})
    assert (status, "<Code>MissingParameter</Code>" in answer) == (400, True)
    for name, text, what in (("Period", "1m", "a number of seconds"), ("EndTime", "now", "a time")):
        status, answer = posted(host, {**form, name: text})
        assert status == 400
        assert f'The parameter {name} must be {what}, not "{text}".' in answer


def test_older_clients_ask_for_several_metrics_in_the_query_protocol(client):
    host = client("cloudwatch").meta.endpoint_url.removeprefix("http://")
    form = {"Action": "ListMetrics", "Dimensions.member.1.Name": "TrainingJobName", "Dimensions.member.1.Value": "job-1"}
    status, answer = posted(host, form)
    assert (status, "<Metrics><member><Namespace>/aws/sagemaker/TrainingJobs</Namespace><MetricName>loss<" in answer) == (
        200,
        True,
    )
    stat = "MetricDataQueries.member.1.MetricStat"
    form = {"Action": "GetMetricData", "StartTime": "2023-11-14T22:13:00Z", "EndTime": "2023-11-14T22:18:00Z"}
    form |= {"MetricDataQueries.member.1.Id": "a", f"{stat}.Period": "60", f"{stat}.Stat": "Average"}
    form |= {f"{stat}.Metric.Namespace": "/aws/sagemaker/TrainingJobs", f"{stat}.Metric.MetricName": "loss"}
    form |= {f"{stat}.Metric.Dimensions.member.1.{n}": v for n, v in JOB_1[0].items()}
    status, answer = posted(host, form)
    assert status == 200
    assert "<Timestamps><member>2023-11-14T22:17:00Z</member>" in answer
    assert "<Values><member>0.125</member><member>0.25</member><member>0.75</member></Values>" in answer
    for strange in ({"Action": "GetMetricData"}, {**form, stat: "x"}, {**form, f"{stat}.Metric": "x"}):
        status, answer = posted(host, strange)
        assert (status, "<Code>" in answer) == (400, True)


def posted(host: str, form: dict[str, str]) -> tuple[int, str]:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest("POST", f"http://{host}/", headers, form)
    botocore.auth.SigV4Auth(BotoCredentials(ALICE.access_key, ALICE.secret_key), "monitoring", REGION).add_auth(request)
    prepared = request.prepare()
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request("POST", "/", prepared.body, dict(prepared.headers))
    response = connection.getresponse()
    answer = response.read().decode()
    connection.close()
    return response.status, answer


class _Away:
    """Logs and metrics of a store that cannot be reached."""

    def streams(self, *_: Any) -> Any:
        raise StoreUnavailable("the database is away.", "Start it.")

    events = points = streams


def test_a_store_that_is_away_is_no_defect_and_the_log_says_why():
    apps = echo_apps(logs=logs_app(_Away()), monitoring=cloudwatch_app(_Away()))
    with serving(Gateway(apps, CREDENTIALS, GatewaySettings(), time.time)) as port, capture_logs() as logged:
        client = making_clients(port)
        told = code_of(lambda: client("logs").describe_log_streams(logGroupName=GROUP))
        assert told == (503, "ServiceUnavailableException", "The service is not available at the moment. Please try again.")
        assert code_of(lambda: client("cloudwatch").get_metric_statistics(**question()))[0] == 503
    reasons = [(line["operation"], line["reason"]) for line in logged if line["event"] == "not available"]
    assert {("DescribeLogStreams", "the database is away."), ("GetMetricStatistics", "the database is away.")} == set(reasons)


def test_a_search_through_very_many_streams_is_answered_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    # One answer for all of them would take longer than clients wait for, and be asked for again from the beginning.
    monkeypatch.setattr("rekindle.companions.logs._LOOKED_UP", 50)
    lines = {(ALICES, f"job-{n:03}/algo-1-7"): [(1000 + n, f"line {n}"), (1000 + n, "end")] for n in range(130)}
    counted = CountedLogs(lines)
    with serving_logs(counted) as logs:
        first = logs.filter_log_events(logGroupName=GROUP, filterPattern='"line 129"')
        assert (first["events"], len(counted.read)) == ([], 100), "two looks for events in each of 50"
        pages = logs.get_paginator("filter_log_events")
        for asked, found in (
            ({"filterPattern": "line"}, [f"line {n}" for n in range(130)]),
            ({"filterPattern": "line", "logStreamNamePrefix": "job-1"}, [f"line {n}" for n in range(100, 130)]),
            ({"filterPattern": "line", "startTime": 1125}, [f"line {n}" for n in range(125, 130)]),
            ({"filterPattern": "none"}, []),
        ):
            for size in (7, 50, 10_000):
                read = pages.paginate(logGroupName=GROUP, **asked, PaginationConfig={"PageSize": size})
                assert [event["message"] for page in read for event in page["events"]] == found
        # The stream with which it is to go on may have been deleted since.
        del lines[ALICES, "job-050/algo-1-7"]
        further = logs.filter_log_events(logGroupName=GROUP, nextToken=first["nextToken"], filterPattern="line", limit=1)
        assert messages(further) == ["line 51"]


def test_a_search_goes_on_past_a_stream_that_is_deleted_while_it_reads() -> None:
    lines = {(ALICES, f"job-{n}/algo-1-7"): [(1000, f"line {n}")] for n in range(3)}

    class Cleared(WrittenLogs):
        def streams(self, owner: Owner, prefix: str, after: str, limit: int) -> Sequence[LogStream]:
            found = super().streams(owner, prefix, after, limit)
            lines.pop((ALICES, "job-1/algo-1-7"), None)
            return found

    with serving_logs(Cleared(lines)) as logs:
        assert messages(logs.filter_log_events(logGroupName=GROUP)) == ["line 0", "line 2"]
        # One that is asked for by its name is missed.
        asked = partial(logs.filter_log_events, logGroupName=GROUP, logStreamNames=["job-1/algo-1-7"])
        assert code_of(asked)[1] == "ResourceNotFoundException"


def test_a_search_through_very_long_logs_is_answered_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rekindle.companions.logs._GONE_THROUGH", 100)
    monkeypatch.setattr("rekindle.companions.logs._MANY", 30)
    with serving_logs(
        WrittenLogs({(ALICES, f"job-{n}/algo-1-7"): [(1000, f"line {m} of {n}") for m in range(130)] for n in range(3)})
    ) as logs:
        first = logs.filter_log_events(logGroupName=GROUP, filterPattern='"line 129 of 2"')
        assert (first["events"], first["nextToken"]) == ([], "1000/job-0/algo-1-7")
        for pattern, found in (
            ("129", [f"line 129 of {n}" for n in range(3)]),
            ("line", [f"line {m} of {n}" for n in range(3) for m in range(130)]),
        ):
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, filterPattern=pattern)
            assert [event["message"] for page in pages for event in page["events"]] == found
