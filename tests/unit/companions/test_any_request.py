# ruff: noqa: E501
"""Whatever a signed-in client sends to a companion, it gets an answer, and never a server's error."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message

from rekindle.companions.identity import iam_app, sts_app
from rekindle.companions.logs import GROUP, logs_app
from rekindle.companions.metrics import NAMESPACE, cloudwatch_app
from rekindle.companions.ports import Point
from rekindle.domain.training_job import Owner
from support.companions import WrittenLogs, WrittenMetrics

OWNER = Owner("111111111111", "eu-west-3")
LOGS = WrittenLogs({(OWNER, "job/algo-1-1"): [(n, f"line {n}") for n in range(3)]})
METRICS = WrittenMetrics({(OWNER, "job", "loss"): [Point(100.0, 1.0)]})
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from([GROUP, NAMESPACE, "job", "f/0", "b/9"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Name", "Value", "x"]), inner, max_size=2),
    max_leaves=6,
)
LOG_MEMBERS = [
    "logGroupName",
    "logStreamName",
    "logStreamNames",
    "logStreamNamePrefix",
    "nextToken",
    "limit",
    "startTime",
    "endTime",
    "startFromHead",
    "filterPattern",
    "orderBy",
]
METRIC_MEMBERS = ["Namespace", "MetricName", "Dimensions", "StartTime", "EndTime", "Period", "Statistics"]


def status_and_body(app: ASGIApp, body: bytes, target: str | None) -> tuple[int, bytes]:
    async def run() -> tuple[int, bytes]:
        answered: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            answered.append(message)

        headers = [(b"x-amz-target", target.encode())] if target else []
        state = {"account": OWNER.account, "region": OWNER.region, "access_key": "KEY", "request_id": "id"}
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers, "state": state}
        await app(scope, receive, send)
        return answered[0]["status"], b"".join(message.get("body", b"") for message in answered[1:])

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "status"), [("\x00", 400), ("\\\x00", 400), (r"\u0000", 200), (r"\\u0000", 200), ("\ud800", 400)]
)
def test_a_nul_is_refused_and_its_name_is_a_text(text, status):
    body = json.dumps({"logGroupNamePrefix": text}).encode()
    assert status_and_body(logs_app(LOGS), body, "Logs_20140328.DescribeLogGroups")[0] == status


@pytest.mark.parametrize("operation", ["DescribeLogGroups", "DescribeLogStreams", "GetLogEvents", "FilterLogEvents", "Other"])
@given(st.dictionaries(st.sampled_from(LOG_MEMBERS), JSON))
def test_logs_answer_anything(operation, parameters):
    named = {"logGroupName": GROUP, "logStreamName": "job/algo-1-1", **parameters}
    status, body = status_and_body(logs_app(LOGS), json.dumps(named).encode(), f"Logs_20140328.{operation}")
    assert status in (200, 400)
    assert isinstance(json.loads(body), dict)


def test_an_empty_name_is_a_stream_that_does_not_exist():
    asked = json.dumps({"logGroupName": GROUP, "logStreamNames": [""]}).encode()
    status, body = status_and_body(logs_app(LOGS), asked, "Logs_20140328.FilterLogEvents")
    assert (status, json.loads(body)["__type"]) == (400, "ResourceNotFoundException")


@pytest.mark.parametrize(("first", "status"), [(False, 400), (True, 200), (None, 200)])
def test_a_search_from_the_end_is_refused(first, status):
    """To answer with the oldest events would be wrong and look right."""
    asked = json.dumps({"logGroupName": GROUP, "startFromHead": first}).encode()
    found, body = status_and_body(logs_app(LOGS), asked, "Logs_20140328.FilterLogEvents")
    assert (found, b"startFromHead: false" in body) == (status, status == 400)


@given(st.dictionaries(st.sampled_from(METRIC_MEMBERS), JSON))
def test_cloudwatch_answers_anything(parameters):
    dimensions = [{"Name": "TrainingJobName", "Value": "job"}]
    good: dict[str, Any] = {
        "Namespace": NAMESPACE,
        "MetricName": "loss",
        "Dimensions": dimensions,
        "StartTime": 0,
        "EndTime": 1000,
    }
    named = {**good, "Period": 60, "Statistics": ["Sum"], **parameters}
    status, body = status_and_body(
        cloudwatch_app(METRICS), json.dumps(named).encode(), "GraniteServiceVersion20100801.GetMetricStatistics"
    )
    assert status in (200, 400)
    assert isinstance(json.loads(body), dict)


DATA_MEMBERS = ("Id", "Label", "ReturnData", "MetricStat", "Expression", "Metric", "Period", "Stat", "Dimensions", "MetricName")


@given(st.dictionaries(st.sampled_from(DATA_MEMBERS), JSON), JSON)
def test_cloudwatch_answers_any_question_of_several(parameters, dimensions):
    metric = {"Namespace": NAMESPACE, "MetricName": "loss", "Dimensions": dimensions, **parameters}
    stat = {"Metric": metric, "Period": 60, "Stat": "Sum", **parameters}
    data = {"StartTime": 0, "EndTime": 1000, "MetricDataQueries": [{"Id": "a", "MetricStat": stat, **parameters}]}
    asked = {"GetMetricData": data, "ListMetrics": {"Dimensions": dimensions, **parameters}}
    for name, body in ((n, b) for n, b in asked.items() for b in (b, parameters, {"MetricDataQueries": dimensions})):
        target = f"GraniteServiceVersion20100801.{name}"
        status, answer = status_and_body(cloudwatch_app(METRICS), json.dumps(body).encode(), target)
        assert status in (200, 400)
        assert isinstance(json.loads(answer), dict)


@pytest.mark.parametrize("label", [{"Timestamp": "x"}, {"a b": "x"}, [float("inf")], 5])
def test_a_label_is_text(label):
    """The answer repeats it: an object was taken for a part of the answer."""
    dimensions = [{"Name": "TrainingJobName", "Value": "job"}]
    metric = {"Namespace": NAMESPACE, "MetricName": "loss", "Dimensions": dimensions}
    query = {"Id": "a", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, "Label": label}
    data = {"StartTime": 0, "EndTime": 1000, "MetricDataQueries": [query]}
    target = "GraniteServiceVersion20100801.GetMetricData"
    status, answer = status_and_body(cloudwatch_app(METRICS), json.dumps(data).encode(), target)
    assert (status, b"The parameter Label must be text" in answer) == (400, True)


def test_a_label_in_parts_is_refused_in_the_query_protocol():
    stat = "MetricDataQueries.member.1.MetricStat"
    dimension = f"{stat}.Metric.Dimensions.member.1"
    form = {
        "Action": "GetMetricData",
        "StartTime": "1970-01-01T00:00:00Z",
        "EndTime": "1970-01-01T00:16:40Z",
        f"{stat}.Metric.Namespace": NAMESPACE,
        f"{stat}.Metric.MetricName": "loss",
        f"{dimension}.Name": "TrainingJobName",
        f"{dimension}.Value": "job",
        f"{stat}.Period": "60",
        f"{stat}.Stat": "Sum",
        "MetricDataQueries.member.1.Label.Timestamp": "x",
    }
    status, answer = status_and_body(cloudwatch_app(METRICS), urlencode(form).encode(), None)
    assert (status, b"The parameter Label must be text" in answer) == (400, True)


@pytest.mark.parametrize(("value", "count"), [(1.7e308, 0), (2.0**360, 2)])
def test_statistics_of_the_largest_values(value, count):
    """A loss that grows without end is a number as long as a double holds it; a sum of such may be none."""
    metrics = WrittenMetrics({(OWNER, "job", "loss"): [Point(100.0, value), Point(101.0, value)]})
    asked = {"Namespace": NAMESPACE, "MetricName": "loss", "Dimensions": [{"Name": "TrainingJobName", "Value": "job"}]}
    when = {"StartTime": 0, "EndTime": 1000, "Period": 60, "Statistics": ["SampleCount", "Sum", "Average"]}
    body = json.dumps({**asked, **when}).encode()
    status, answer = status_and_body(cloudwatch_app(metrics), body, "GraniteServiceVersion20100801.GetMetricStatistics")
    assert (status, [p["SampleCount"] for p in json.loads(answer)["Datapoints"]]) == (200, [float(count)] if count else [])


@given(st.binary(max_size=40))
def test_json_services_answer_any_bytes(body):
    assert status_and_body(logs_app(LOGS), body, "Logs_20140328.DescribeLogGroups")[0] in (200, 400)


@pytest.mark.parametrize("name", ["limit", "other"])
def test_json_services_answer_what_is_nested_deeply(name):
    for depth in [*range(1, 100), *range(900, 1100), 100_000]:
        body = f'{{"logGroupName": "{GROUP}", "{name}": {"[" * depth}{"]" * depth}}}'.encode()
        status, told = status_and_body(logs_app(LOGS), body, "Logs_20140328.DescribeLogStreams")
        assert status == (400 if name == "limit" or depth > 63 else 200)
        assert b"SerializationException" in told or status == 200


FORMS = st.dictionaries(
    st.sampled_from(["RoleName", "PolicySourceArn", "ActionNames.member.1", "ResourceArns.member.1", "Period", "StartTime", "EndTime", "MetricName", "Namespace", "Statistics.member.1", "Dimensions.member.1.Name", "Dimensions.member.x", f"Dimensions.member.{'9' * 5000}", "MetricDataQueries.member.1.MetricStat.Stat", "MetricDataQueries.member.1.MetricStat", "MetricDataQueries", "a" + ".b" * 200]),
    st.text(max_size=12),
)  # fmt: skip


@pytest.mark.parametrize(
    "action",
    ["GetCallerIdentity", "GetRole", "SimulatePrincipalPolicy", "GetMetricStatistics", "GetMetricData", "ListMetrics", None],
)
@given(form=FORMS, odd=st.text(max_size=5))
def test_query_services_answer_anything_in_xml(action, form, odd):
    sent = urlencode({**form, "Action": odd if action is None else action}).encode()
    for app in (sts_app(None), iam_app(None), iam_app("tuner"), cloudwatch_app(METRICS)):
        status, body = status_and_body(app, sent, None)
        assert status in (200, 400, 403, 404)
        assert ElementTree.fromstring(body) is not None
