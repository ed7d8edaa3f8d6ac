"""Search and its suggestions: every operator on every kind of property, nesting, limits, orders, pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rekindle.api import lookup
from rekindle.api.translate.search_order import Order, page
from rekindle.api.translate.search_properties import Kind, Property
from rekindle.api.translate.training_view import training_job_search_record
from rekindle.domain.training_job import TrainingJob
from rekindle.engine.ports import RunState
from support.engine import Engine
from support.simulated import Script
from support.wire import Json, Wire, error_of, training_request, tuning_request, wire


def program(hyperparameters: Mapping[str, str]) -> Script:
    if hyperparameters.get("lr") == "1":
        return Script((), 5.0, RunState.FAILED, "AlgorithmError: too steep")
    return Script((10 * float(hyperparameters["lr"]),), 5.0)


def channel(name: str, uri: str) -> Json:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}


#: Name -> what is particular about the training job; created a minute apart, at 2027-01-15T08:00:00Z and on.
JOBS: dict[str, Json] = {
    "one": {
        "HyperParameters": {"lr": "0.1", "note": "first, try"},
        "Tags": [{"Key": "team", "Value": "red"}],
        "InputDataConfig": [channel("train", "s3://bucket/a"), channel("test", "s3://bucket/b")],
    },
    "two": {
        "HyperParameters": {"lr": "0.25", "epochs": "10"},
        "Tags": [{"Key": "team", "Value": "blue"}, {"Key": "Value", "Value": "x"}],
        "InputDataConfig": [channel("train", "s3://bucket/b"), channel("test", "s3://bucket/a")],
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
    },
    "three": {"HyperParameters": {"lr": "1"}, "RetryStrategy": {"MaximumRetryAttempts": 3}},
    "four": {"HyperParameters": {"lr": "2.7"}},
}


@pytest.fixture(scope="module")
def found() -> Iterator[Wire]:
    """Four training jobs that have ended and one that is to run."""
    with wire(Engine(program)) as service:
        for name, particular in JOBS.items():
            service.client.create_training_job(**training_request(name, **particular))
            service.finish_training(name)
            service.engine.clock.at += 55
        service.client.create_training_job(**training_request("five", HyperParameters={}))
        yield service


def names(service: Wire, expression: Json | None, **options: Any) -> list[str]:
    arguments = {"SearchExpression": expression} if expression else {}
    results = service.client.search(Resource="TrainingJob", **arguments, **options)["Results"]
    return [r["TrainingJob"]["TrainingJobName"] for r in results]


def one(name: str, operator: str | None, value: str | None) -> Json:
    filter_ = {"Name": name, "Operator": operator, "Value": value}
    return {"Filters": [{key: part for key, part in filter_.items() if part is not None}]}


FILTERS = [
    ("TrainingJobName", None, "one", {"one"}),
    ("TrainingJobName", "Equals", "One", set()),
    ("TrainingJobName", "NotEquals", "one", {"two", "three", "four", "five"}),
    ("TrainingJobName", "Contains", "o", {"one", "two", "four"}),
    ("TrainingJobName", "In", "one, three,nobody", {"one", "three"}),
    ("TrainingJobStatus", "Equals", "Failed", {"three"}),
    ("FailureReason", "Exists", None, {"three"}),
    ("FailureReason", "NotExists", None, {"one", "two", "four", "five"}),
    ("FailureReason", "Contains", "steep", {"three"}),
    ("Metrics.loss", "GreaterThan", "1.0", {"two", "four"}),
    ("Metrics.loss", "GreaterThanOrEqualTo", "1.0", {"one", "two", "four"}),
    ("Metrics.loss", "LessThan", "2.5", {"one"}),
    ("Metrics.loss", "LessThanOrEqualTo", "2.5", {"one", "two"}),
    ("Metrics.loss", "Equals", "1", {"one"}),
    ("Metrics.loss", "Exists", None, {"one", "two", "four"}),
    ("Metrics.other", "Exists", None, set()),
    ("HyperParameters.lr", "LessThan", "0.5", {"one", "two"}),
    ("HyperParameters.lr", "GreaterThan", "2.5", {"four"}),
    ("HyperParameters.lr", "GreaterThan", "2", set()),
    ("HyperParameters.lr", "GreaterThanOrEqualTo", "2", {"four"}),
    ("HyperParameters.lr", "Equals", "2", {"four"}),
    ("HyperParameters.lr", "Equals", "1.0", {"three"}),
    ("HyperParameters.lr", "NotEquals", "1.0", {"one", "two", "four", "five"}),
    ("HyperParameters.note", "Contains", "try", {"one"}),
    ("HyperParameters.note", "Equals", "first, try", {"one"}),
    ("HyperParameters.epochs", "Exists", None, {"two"}),
    ("HyperParameters.epochs", "NotExists", None, {"one", "three", "four", "five"}),
    ("Tags.team", "Equals", "red", {"one"}),
    ("Tags.team", "In", "red,blue", {"one", "two"}),
    ("Tags.team", "NotExists", None, {"three", "four", "five"}),
    ("Tags.Value", "Equals", "x", {"two"}),
    ("Tags", "Exists", None, {"one", "two"}),
    ("InputDataConfig.ChannelName", "Equals", "train", {"one", "two"}),
    ("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", "bucket/a", {"one", "two"}),
    ("InputDataConfig", "NotExists", None, {"three", "four", "five"}),
    ("EnableManagedSpotTraining", "Equals", "true", {"two"}),
    ("EnableManagedSpotTraining", "NotEquals", "True", {"one", "three", "four", "five"}),
    ("RetryStrategy.MaximumRetryAttempts", "Equals", "3", {"three"}),
    ("RetryStrategy.MaximumRetryAttempts", "GreaterThan", "2", {"three"}),
    ("TrainingTimeInSeconds", "LessThan", "6", {"one", "two", "three", "four"}),
    ("CreationTime", "GreaterThan", "2027-01-15T08:01:30", {"three", "four", "five"}),
    ("CreationTime", "LessThanOrEqualTo", "2027-01-15T08:01:00Z", {"one", "two"}),
    ("CreationTime", "Equals", "2027-01-15T08:01:00", {"two"}),
    ("ResourceConfig.InstanceType", "Equals", "ml.m5.large", {"one", "two", "three", "four", "five"}),
    ("TrainingEndTime", "Exists", None, {"one", "two", "three", "four"}),
]


@pytest.mark.parametrize(("name", "operator", "value", "expected"), FILTERS)
def test_filters(found: Wire, name: str, operator: str | None, value: str | None, expected: set[str]) -> None:
    assert set(names(found, one(name, operator, value))) == expected


RED = {"Name": "Tags.team", "Value": "red"}
BLUE = {"Name": "Tags.team", "Value": "blue"}
QUARTER = {"Name": "HyperParameters.lr", "Value": "0.25"}
TRAIN = {"Name": "InputDataConfig.ChannelName", "Value": "train"}
ON_A = {"Name": "InputDataConfig.DataSource.S3DataSource.S3Uri", "Value": "s3://bucket/a"}
EXPRESSIONS = [
    ({"Filters": [RED, BLUE]}, set()),
    ({"Filters": [RED, BLUE], "Operator": "Or"}, {"one", "two"}),
    ({"Filters": [RED, BLUE], "Operator": "And"}, set()),
    ({"Filters": [TRAIN, ON_A]}, {"one", "two"}),
    ({"NestedFilters": [{"NestedPropertyName": "InputDataConfig", "Filters": [TRAIN, ON_A]}]}, {"one"}),
    ({"SubExpressions": [{"Filters": [RED]}, {"Filters": [BLUE]}], "Operator": "Or"}, {"one", "two"}),
    ({"SubExpressions": [{"Filters": [RED, BLUE], "Operator": "Or"}], "Filters": [QUARTER]}, {"two"}),
    ({"SubExpressions": [{"SubExpressions": [{"Filters": [RED]}]}]}, {"one"}),
    (None, {"one", "two", "three", "four", "five"}),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "expected"), EXPRESSIONS)
def test_expressions(found: Wire, expression: Json | None, expected: set[str]) -> None:
    assert set(names(found, expression)) == expected


MANY = [RED] * 20
REFUSALS = [
    ({"Filters": [{"Name": "Colour", "Value": "x"}]}, "Unknown property name: Colour"),
    ({"Filters": [{"Name": "InputDataConfig.Colour", "Value": "x"}]}, "Unknown property name: InputDataConfig.Colour"),
    ({"Filters": [{"Name": "TrainingJobName.x", "Value": "x"}]}, "Unknown property name: TrainingJobName.x"),
    ({}, "searchExpression: 0: an expression has 1 to 20 filters and expressions"),
    ({"SubExpressions": [{}]}, "searchExpression: 0: an expression has 1 to 20"),
    ({"Filters": MANY, "SubExpressions": [{"Filters": [RED]}]}, "searchExpression: 21: an expression has 1 to 20"),
    ({"SubExpressions": [{"Filters": MANY}] * 3}, "at most 50 filters and expressions in all"),
    ({"Filters": [{"Name": "TrainingJobName", "Operator": "Contains", "Value": "a"},
                  {"Name": "FailureReason", "Operator": "Contains", "Value": "b"}]},
     "'CONTAINS' operator usage limit of 1 exceeded."),
    (one("TrainingJobName", "GreaterThan", "x"), "GreaterThan is not supported for text properties"),
    (one("EnableManagedSpotTraining", "LessThan", "true"), "LessThan is not supported for Boolean properties"),
    (one("EnableManagedSpotTraining", "Equals", "maybe"), "true or false"),
    (one("Metrics.loss", "Contains", "1"), "Contains is supported for text properties only"),
    (one("CreationTime", "In", "2027-01-15T08:00:00"), "In is supported for text properties only"),
    (one("Metrics.loss", "GreaterThan", "much"), "must be a number"),
    (one("CreationTime", "GreaterThan", "yesterday"), "must be an ISO 8601 time such as 2026-01-31T12:00:00"),
    (one("HyperParameters.lr", "GreaterThan", "x"), "must be a number"),
    (one("TrainingJobName", "Exists", "x"), "Exists takes no Value"),
    (one("TrainingJobName", "Equals", None), "Equals needs a Value"),
    (one("InputDataConfig", "Equals", "x"), "cannot be used with a structure"),
    ({"NestedFilters": [{"NestedPropertyName": "TrainingJobName", "Filters": [RED]}]}, "not a list of structures"),
    ({"NestedFilters": [{"NestedPropertyName": "InputDataConfig", "Filters": [RED]}]}, "Unknown property name: Tags.team"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "told"), REFUSALS)
def test_what_cannot_be_searched_is_refused(found: Wire, expression: Json, told: str) -> None:
    code, message = error_of(found.client.search, Resource="TrainingJob", SearchExpression=expression)
    assert code == "ValidationException"
    assert told in message


ORDERS = [
    ({}, ["five", "four", "three", "two", "one"]),
    ({"SortOrder": "Ascending"}, ["one", "two", "three", "four", "five"]),
    ({"SortBy": "TrainingJobName", "SortOrder": "Ascending"}, ["five", "four", "one", "three", "two"]),
    ({"SortBy": "Metrics.loss", "SortOrder": "Ascending"}, ["one", "two", "four", "five", "three"]),
    ({"SortBy": "Metrics.loss"}, ["four", "two", "one", "three", "five"]),
    ({"SortBy": "HyperParameters.lr"}, ["four", "three", "two", "one", "five"]),
    ({"SortBy": "CreationTime", "SortOrder": "Ascending"}, ["one", "two", "three", "four", "five"]),
]


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(("options", "expected"), ORDERS)
def test_orders_and_pages(found: Wire, options: Json, expected: list[str], size: int) -> None:
    pages = found.client.get_paginator("search").paginate(
        Resource="TrainingJob", PaginationConfig={"PageSize": size}, **options
    )
    assert [r["TrainingJob"]["TrainingJobName"] for page in pages for r in page["Results"]] == expected


def test_orders_need_a_property_that_has_one(found: Wire) -> None:
    for name, told in (("Colour", "Unknown property name: Colour"), ("InputDataConfig", "cannot be sorted by a structure")):
        code, message = error_of(found.client.search, Resource="TrainingJob", SortBy=name)
        assert code == "ValidationException"
        assert told in message


def test_a_token_is_for_its_own_order(found: Wire) -> None:
    token = found.client.search(Resource="TrainingJob", MaxResults=1)["NextToken"]
    code, message = error_of(found.client.search, Resource="TrainingJob", SortOrder="Ascending", NextToken=token)
    assert code == "ValidationException"
    assert "another order" in message
    code, message = error_of(found.client.search, Resource="HyperParameterTuningJob", NextToken=token)
    assert code == "ValidationException"
    assert "another list or search" in message


def test_a_result_has_no_member_that_the_model_of_search_does_not_know() -> None:
    answers: list[Json] = []
    with wire(Engine(program)) as service:
        service.client.create_training_job(**training_request("debugged", RemoteDebugConfig={"EnableRemoteDebug": True}))
        service.client.meta.events.register(
            "after-call.sagemaker.Search", lambda http_response, **_: answers.append(json.loads(http_response.content))
        )
        service.client.search(Resource="TrainingJob")
        known = service.client.meta.service_model.shape_for("TrainingJob").members
    assert answers[0]["Results"][0]["TrainingJob"].keys() <= known.keys()


@pytest.mark.parametrize("character", ["漢", "\x01"])
def test_a_token_of_a_long_text_is_taken_back(character: str) -> None:
    with wire(Engine(program)) as service:
        for name in ("b", "a", "c"):
            long = {"lr": "1", "x": character * 2499 + name}
            service.client.create_training_job(**training_request(name, HyperParameters=long))
        pages = service.client.get_paginator("search").paginate(
            Resource="TrainingJob", SortBy="HyperParameters.x", SortOrder="Ascending", PaginationConfig={"PageSize": 1}
        )
        assert [r["TrainingJob"]["TrainingJobName"] for page in pages for r in page["Results"]] == ["a", "b", "c"]


def test_a_token_is_for_its_own_filter(found: Wire) -> None:
    token = found.client.search(Resource="TrainingJob", MaxResults=1)["NextToken"]
    expression = {"Filters": [{"Name": "TrainingJobStatus", "Operator": "Equals", "Value": "Completed"}]}
    code, message = error_of(found.client.search, Resource="TrainingJob", SearchExpression=expression, NextToken=token)
    assert code == "ValidationException"
    assert "another filter" in message
    assert found.client.search(Resource="TrainingJob", NextToken=token, MaxResults=5)["Results"]


def test_pages_hold_while_jobs_come(found: Wire) -> None:
    with wire(Engine(program)) as service:
        for name in ("b", "d", "f"):
            service.client.create_training_job(**training_request(name))
        options: Json = {"SortBy": "TrainingJobName", "SortOrder": "Ascending", "MaxResults": 2}
        first = service.client.search(Resource="TrainingJob", **options)
        for name in ("a", "e"):
            service.client.create_training_job(**training_request(name))
        second = service.client.search(Resource="TrainingJob", NextToken=first["NextToken"], **options)
        shown = [r["TrainingJob"]["TrainingJobName"] for page in (first, second) for r in page["Results"]]
        assert shown == ["b", "d", "e", "f"]


@pytest.mark.parametrize(
    ("sought", "expected", "read"),
    [
        ({"Name": "TrainingJobName", "Value": "two"}, {"two"}, 1),
        ({"Name": "TrainingJobName", "Operator": "Contains", "Value": "o"}, {"one", "two", "four"}, 3),
        ({"Name": "TrainingJobStatus", "Value": "InProgress"}, {"five"}, 1),
        ({"Name": "TrainingJobName", "Value": "TWO"}, set(), 1),
        ({"Name": "TrainingJobName", "Operator": "NotEquals", "Value": "two"}, {"one", "three", "four", "five"}, 5),
        ({"Name": "TrainingJobName", "Operator": "In", "Value": "two, ONE,five"}, {"two", "five"}, 3),
        ({"Name": "CreationTime", "Operator": "GreaterThan", "Value": "2027-01-15T08:02:00"}, {"four", "five"}, 3),
        ({"Name": "CreationTime", "Operator": "GreaterThanOrEqualTo", "Value": "2027-01-15T08:03:00"}, {"four", "five"}, 2),
        ({"Name": "CreationTime", "Operator": "LessThan", "Value": "2027-01-15T08:00:30"}, {"one"}, 1),
        ({"Name": "CreationTime", "Value": "2027-01-15T08:01:00"}, {"two"}, 1),
        ({"Name": "LastModifiedTime", "Operator": "LessThanOrEqualTo", "Value": "2027-01-15T08:01:05"}, {"one", "two"}, 2),
        ({"Name": "CreationTime", "Operator": "Exists"}, {"one", "two", "three", "four", "five"}, 5),
        ({"Name": "Tags.team", "Value": "red"}, {"one"}, 1),
        ({"Name": "Tags.Value", "Value": "x"}, {"two"}, 5),
    ],
)
def test_what_the_store_finds_is_all_that_is_read(
    found: Wire, monkeypatch: pytest.MonkeyPatch, sought: Json, expected: set[str], read: int
) -> None:
    seen: list[str] = []

    def record(job: TrainingJob) -> Json:
        seen.append(job.name)
        return training_job_search_record(job)

    monkeypatch.setattr(lookup, "training_job_search_record", record)
    assert set(names(found, {"Filters": [sought]})) == expected
    assert len(seen) == read
    either = {"Operator": "Or", "Filters": [sought, {"Name": "TrainingJobName", "Value": "five"}]}
    assert set(names(found, either)) == expected | {"five"}


class Held:
    """Something found; ``most`` of them were there at once."""

    now = most = 0

    def __init__(self) -> None:
        Held.now += 1
        Held.most = max(Held.most, Held.now)

    def __del__(self) -> None:
        Held.now -= 1


def test_a_page_is_all_that_a_search_holds() -> None:
    order = Order(Property("TrainingJobName", ("TrainingJobName",), Kind.TEXT), descending=True)
    Held.now = Held.most = 0
    found = (((1, 0.0, f"{n * 7919 % 1000:03}", ""), Held()) for n in range(1000))
    shown, after = page(found, order, 10, None)
    assert (len(shown), after is None, Held.most <= 13) == (10, False, True), Held.most


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"Tags.team": "red"}, {"one", "three"}),
        ({"Tags.team": "green"}, {"three"}),
        ({"Tags.team": "blue", "Tags.none": "x"}, {"two", "three"}),
    ],
)
def test_visibility_hides_what_has_the_tag_with_another_value(found: Wire, conditions: Json, expected: set[str]) -> None:
    sent = [{"Key": key, "Value": value} for key, value in conditions.items()]
    results = found.client.search(Resource="TrainingJob", VisibilityConditions=sent)["Results"]
    assert {r["TrainingJob"]["TrainingJobName"] for r in results} & {"one", "two", "three"} == expected


def test_visibility_goes_by_tags_only(found: Wire) -> None:
    sent = [{"Key": "team", "Value": "red"}]
    code, message = error_of(found.client.search, Resource="TrainingJob", VisibilityConditions=sent)
    assert code == "ValidationException"
    assert "visibilityConditions: 'team': a condition's Key is of the form Tags.<key>" in message


def test_a_training_job_is_found_as_it_is_described_with_its_tags(found: Wire) -> None:
    record = found.client.search(Resource="TrainingJob", SearchExpression=one("TrainingJobName", None, "one"))
    assert record["TotalHits"] == {"Value": 1, "Relation": "EqualTo"}
    assert record["Results"][0] == {"TrainingJob": {**found.describe_training("one"), "Tags": JOBS["one"]["Tags"]}}


def test_tuning_jobs_are_found_with_their_tags_and_counters() -> None:
    with wire() as service:
        tags = [{"Key": "team", "Value": "red"}]
        name = service.create(request=tuning_request("Tagged", jobs=2, Tags=tags))
        service.create(name="other")
        service.finish(name)
        expression = {
            "Filters": [RED, {"Name": "TrainingJobStatusCounters.Completed", "Operator": "GreaterThan", "Value": "1"}]
        }
        results = service.client.search(Resource="HyperParameterTuningJob", SearchExpression=expression)["Results"]
        assert results == [{"HyperParameterTuningJob": {**service.describe(name), "Tags": tags}}]
        for property_name, value in (
            ("BestTrainingJob.TrainingJobStatus", "Completed"),
            ("HyperParameterTuningJobConfig.HyperParameterTuningJobObjective.MetricName", "loss"),
            ("HyperParameterTuningJobStatus", "Completed"),
            ("TrainingJobDefinition.StaticHyperParameters._tuning_objective_metric", "loss"),
            ("ConsumedResources.RuntimeInSeconds", str(service.describe(name)["ConsumedResources"]["RuntimeInSeconds"])),
        ):
            wanted = {"Filters": [{"Name": property_name, "Value": value}, RED]}
            assert len(service.client.search(Resource="HyperParameterTuningJob", SearchExpression=wanted)["Results"]) == 1
        trials = names(service, one("TuningJobArn", None, service.describe(name)["HyperParameterTuningJobArn"]))
        assert len(trials) == 2
        assert set(trials) == set(names(service, one("Tags.team", None, "red")))


def test_there_are_no_resources_of_other_kinds_or_accounts(found: Wire) -> None:
    for arguments in ({"Resource": "Experiment"}, {"Resource": "TrainingJob", "CrossAccountFilterOption": "CrossAccount"}):
        answer = found.client.search(**arguments)
        assert (answer["Results"], answer["TotalHits"]["Value"]) == ([], 0)


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("hyperp", ["HyperParameters.epochs", "HyperParameters.lr", "HyperParameters.note"]),
        ("Metrics.", ["Metrics.loss"]),
        ("Tags.t", ["Tags.team"]),
        ("nothing", []),
    ],
)
def test_suggestions_are_names_in_use(found: Wire, hint: str, expected: list[str]) -> None:
    query = {"PropertyNameQuery": {"PropertyNameHint": hint}}
    answer = found.client.get_search_suggestions(Resource="TrainingJob", SuggestionQuery=query)
    assert [s["PropertyName"] for s in answer["PropertyNameSuggestions"]] == expected


def test_suggestions_without_a_hint_are_all_names(found: Wire) -> None:
    answer = found.client.get_search_suggestions(Resource="TrainingJob")
    assert len(answer["PropertyNameSuggestions"]) == 6
    assert found.client.get_search_suggestions(Resource="Experiment")["PropertyNameSuggestions"] == []
