# ruff: noqa: E501, PT017
"""The checks of requests: AWS's sentences for each class of constraint, and botocore's own validator as the oracle."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel as BotoServiceModel
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.api import service_model
from rekindle.api.errors import ApiError, Code, missing
from rekindle.api.operations import HANDLERS
from rekindle.api.patterns import UnsupportedPattern, compiled
from rekindle.api.service_model import ServiceModel

MODEL = ServiceModel()
BOTO = BotoServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
ROLE = "arn:aws:iam::123456789012:role/tuner"
TRAINING = {
    "TrainingJobName": "job",
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/"},
    "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "image:1"},
}


def training(**others: Any) -> dict[str, Any]:
    return {**TRAINING, **others}


def told(operation: str, parameters: dict[str, Any]) -> str:
    """The message of the ValidationException."""
    with pytest.raises(ApiError) as refused:
        MODEL.check(operation, parameters)
    assert refused.value.code is Code.VALIDATION
    return refused.value.message


def test_a_request_comes_through_as_it_was_sent():
    request = training(
        HyperParameters={"a": "1e-05", "b": '"x"', "": ""}, Tags=[{"Key": "k", "Value": "ü"}], EnableManagedSpotTraining=False
    )
    assert MODEL.check("CreateTrainingJob", request) == request


def test_unknown_members_and_nulls_are_dropped():
    request = training(Unheard="of", VpcConfig=None, StoppingCondition={"MaxRuntimeInSeconds": 5, "Extra": 1})
    assert MODEL.check("CreateTrainingJob", request) == training(StoppingCondition={"MaxRuntimeInSeconds": 5})


NAME_PATTERN = "Member must satisfy regular expression pattern: ^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
SENTENCES = [
    ({"TrainingJobName": "a_b"}, f"Value 'a_b' at 'trainingJobName' failed to satisfy constraint: {NAME_PATTERN}"),
    ({"TrainingJobName": "a" * 64}, f"2 validation errors detected: Value '{'a' * 64}' at 'trainingJobName' failed to satisfy constraint: Member must have length less than or equal to 63; Value '{'a' * 64}' at 'trainingJobName' failed to satisfy constraint: {NAME_PATTERN}"),
    ({"TrainingJobName": ""}, "Value '' at 'trainingJobName' failed to satisfy constraint: Member must have length greater than or equal to 1"),
    ({"TrainingJobName": "job\n"}, f"Value 'job\n' at 'trainingJobName' failed to satisfy constraint: {NAME_PATTERN}"),
    ({"TrainingJobName": None}, "1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null"),
    ({"RoleArn": "x" * 20}, r"at 'roleArn' failed to satisfy constraint: Member must satisfy regular expression pattern: ^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$"),
    ({"OutputDataConfig": {}}, "1 validation error detected: Value null at 'outputDataConfig.s3OutputPath' failed to satisfy constraint: Member must not be null"),
    ({"OutputDataConfig": {"S3OutputPath": "ftp://x"}}, "Value 'ftp://x' at 'outputDataConfig.s3OutputPath' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(https|s3)://([^/]+)/?(.*)$"),
    ({"OutputDataConfig": {"S3OutputPath": "s3://b", "CompressionType": "ZIP"}}, "Value 'ZIP' at 'outputDataConfig.compressionType' failed to satisfy constraint: Member must satisfy enum value set: [GZIP, NONE]"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 1"),
    ({"ResourceConfig": {"KeepAlivePeriodInSeconds": 21601}}, "Value '21601' at 'resourceConfig.keepAlivePeriodInSeconds' failed to satisfy constraint: Member must have value less than or equal to 21600"),
    ({"HyperParameters": {"k": "v" * 2501, "l": "v" * 2502}}, "1 validation error detected: Value '{k=vvv"),
    ({"HyperParameters": {"k": "a\nb"}}, "Value '{k=a\nb}' at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 2500, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: .*]"),
    ({"HyperParameters": {"k" * 257: "v"}}, "failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 256, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: .*]"),
    ({"HyperParameters": {str(n): "v" for n in range(101)}}, "at 'hyperParameters' failed to satisfy constraint: Member must have length less than or equal to 100"),
    ({"HyperParameters": {"k": None}}, "Value null at 'hyperParameters.k.member' failed to satisfy constraint: Member must not be null"),
    ({"Environment": {"1a": "v"}}, "Value '{1a=v}' at 'environment' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 512, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]"),
    ({"Tags": [{"Key": "a", "Value": ""}, {"Key": "", "Value": ""}]}, "1 validation error detected: Value '' at 'tags.2.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1"),
    ({"Tags": [{"Key": "a!", "Value": ""}]}, r"Value 'a!' at 'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: ^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$"),
    ({"Tags": [{"Key": "a"}]}, "1 validation error detected: Value null at 'tags.1.member.value' failed to satisfy constraint: Member must not be null"),
    ({"Tags": [None]}, "1 validation error detected: Value null at 'tags.1.member' failed to satisfy constraint: Member must not be null"),
    ({"Tags": [{"Key": "", "Value": ""}] * 51}, "1 validation error detected: Value '[{Key=, Value=}, {"),
    ({"InputDataConfig": []}, "Value '[]' at 'inputDataConfig' failed to satisfy constraint: Member must have length greater than or equal to 1"),
    ({"InputDataConfig": [{"ChannelName": "a b", "DataSource": {"S3DataSource": {"S3DataType": "X", "S3Uri": "s3://b"}}}]}, r"2 validation errors detected: Value 'a b' at 'inputDataConfig.1.member.channelName' failed to satisfy constraint: Member must satisfy regular expression pattern: [A-Za-z0-9\.\-_]+; Value 'X' at 'inputDataConfig.1.member.dataSource.s3DataSource.s3DataType' failed to satisfy constraint: Member must satisfy enum value set: ["),
    ({"VpcConfig": {"Subnets": ["a", "b!"], "SecurityGroupIds": ["s"]}}, "1 validation error detected: Value '[a, b!]' at 'vpcConfig.subnets' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 32, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]"),
    ({"AlgorithmSpecification": {"TrainingInputMode": "File", "AlgorithmName": "my-"}}, "Value 'my-' at 'algorithmSpecification.algorithmName' failed to satisfy constraint: Member must satisfy regular expression pattern: "),
    ({"AlgorithmSpecification": {"TrainingInputMode": "file", "MetricDefinitions": [{"Name": "m", "Regex": ""}]}}, "3 validation errors detected: "),
    ({"RetryStrategy": {"MaximumRetryAttempts": 31}}, "Value '31' at 'retryStrategy.maximumRetryAttempts' failed to satisfy constraint: Member must have value less than or equal to 30"),
]  # fmt: skip


@pytest.mark.parametrize(("others", "sentence"), SENTENCES)
def test_a_broken_constraint_is_told_in_the_words_of_aws(others, sentence):
    message = told("CreateTrainingJob", training(**others))
    assert sentence in message
    assert "validation error" in message.split(" detected: ")[0]


def test_several_are_told_in_the_order_of_the_model():
    message = told("ListHyperParameterTuningJobs", {"MaxResults": 101, "NameContains": "_", "SortBy": "X", "StatusEquals": "Y"})
    assert message.startswith("4 validation errors detected: ")
    paths = [part.split("'")[3] for part in message.split("; ")]
    assert paths == ["maxResults", "sortBy", "nameContains", "statusEquals"]


WRONG_TYPES = [
    ({"TrainingJobName": 5}, "NUMBER_VALUE can not be converted to a String (at 'trainingJobName')"),
    ({"TrainingJobName": True}, "TRUE_VALUE can not be converted to a String"),
    ({"TrainingJobName": ["a"]}, "Start of list found where not expected"),
    ({"TrainingJobName": {"a": 1}}, "Start of structure or map found where not expected."),
    ({"HyperParameters": {"lr": 0.1}}, "NUMBER_VALUE can not be converted to a String (at 'hyperParameters')"),
    ({"HyperParameters": []}, "Unexpected field type (at 'hyperParameters')"),
    ({"VpcConfig": "x"}, "Unexpected field type (at 'vpcConfig')"),
    ({"Tags": {"Key": "a"}}, "Expected list or null (at 'tags')"),
    ({"Tags": ["a"]}, "Unexpected field type (at 'tags.1.member')"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": "5"}}, "STRING_VALUE can not be converted to an Integer (at 'stoppingCondition.maxRuntimeInSeconds')"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": 5.5}}, "5.5 can not be converted to an Integer"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": 2**31}}, "2147483648 can not be converted to an Integer"),
    ({"StoppingCondition": {"MaxRuntimeInSeconds": False}}, "FALSE_VALUE can not be converted to an Integer"),
    ({"EnableManagedSpotTraining": "true"}, "STRING_VALUE can not be converted to a Boolean"),
    ({"EnableManagedSpotTraining": 1}, "NUMBER_VALUE can not be converted to a Boolean"),
]  # fmt: skip


@pytest.mark.parametrize(("others", "sentence"), WRONG_TYPES)
def test_a_value_of_another_type_is_a_serialization_error(others, sentence):
    with pytest.raises(ApiError) as refused:
        MODEL.check("CreateTrainingJob", training(**others))
    assert refused.value.code is Code.SERIALIZATION
    assert sentence in refused.value.message


def test_numbers_come_in_their_own_type():
    checked = MODEL.check("CreateTrainingJob", training(StoppingCondition={"MaxRuntimeInSeconds": 5.0}))
    assert type(checked["StoppingCondition"]["MaxRuntimeInSeconds"]) is int
    moment = datetime(2026, 1, 2, tzinfo=UTC).timestamp()
    for sent in (moment, int(moment), "2026-01-02T00:00:00Z", "2026-01-02", "2026-01-02T01:00:00+01:00"):
        assert MODEL.check("ListTrainingJobs", {"CreationTimeAfter": sent}) == {"CreationTimeAfter": moment}


@pytest.mark.parametrize("sent", ["yesterday", True, [], 1e300, -1e12, "0001-01-01T00:00:00+23:00", 10**400])
def test_a_time_that_is_none_is_a_serialization_error(sent):
    with pytest.raises(ApiError) as refused:
        MODEL.check("ListTrainingJobs", {"CreationTimeAfter": sent})
    assert refused.value.code is Code.SERIALIZATION


def test_lengths_count_utf16_units_as_java_does():
    assert MODEL.check("CreateTrainingJob", training(HyperParameters={"k": "\U0001f600" * 1250}))
    assert "2500" in told("CreateTrainingJob", training(HyperParameters={"k": "\U0001f600" * 1250 + "x"}))


def test_a_shape_that_holds_itself_is_checked_to_its_depth():
    leaf: dict[str, Any] = {"Filters": [{"Name": "", "Value": "x"}]}
    for _ in range(20):
        leaf = {"SubExpressions": [leaf]}
    message = told("Search", {"Resource": "TrainingJob", "SearchExpression": leaf})
    assert "searchExpression" + ".subExpressions.1.member" * 20 + ".filters.1.member.name" in message


def test_some_members_may_be_made_optional_and_some_enums_wider():
    relaxed = ServiceModel(
        optional={("HyperParameterTuningJobConfig", "Strategy")},
        further_values={"TrainingInstanceType": r"local(_gpu)?|ml\.[a-z0-9.-]+"},
    )
    tuning = {
        "HyperParameterTuningJobName": "t",
        "HyperParameterTuningJobConfig": {"ResourceLimits": {"MaxParallelTrainingJobs": 1}},
    }
    assert relaxed.check("CreateHyperParameterTuningJob", tuning) == tuning
    assert "hyperParameterTuningJobConfig.strategy" in told("CreateHyperParameterTuningJob", tuning)
    for instance in ("local", "ml.x99.metal"):
        request = training(ResourceConfig={"InstanceType": instance, "InstanceCount": 1, "VolumeSizeInGB": 1})
        assert relaxed.check("CreateTrainingJob", request) == request
        assert f"Value '{instance}' at 'resourceConfig.instanceType'" in told("CreateTrainingJob", request)
    with pytest.raises(ApiError):
        relaxed.check("CreateTrainingJob", training(ResourceConfig={"InstanceType": "localhost"}))


# --- the model as a whole ----------------------------------------------------------------------------------------------


def shapes_of_inputs() -> dict[str, Any]:
    found: dict[str, Any] = {}

    def walk(shape: Any) -> None:
        if shape.name in found:
            return
        found[shape.name] = shape
        inner = {
            "structure": lambda: shape.members.values(),
            "list": lambda: [shape.member],
            "map": lambda: [shape.key, shape.value],
        }
        for member in inner.get(shape.type_name, list)():
            walk(member)

    for operation in HANDLERS:
        walk(BOTO.operation_model(operation).input_shape)
    return found


SHAPES = shapes_of_inputs()


def test_every_pattern_of_our_operations_is_checked():
    patterns = {shape.metadata["pattern"] for shape in SHAPES.values() if "pattern" in shape.metadata}
    assert len(patterns) > 20
    for pattern in patterns:
        compiled(pattern)


def test_there_is_no_type_that_we_do_not_check():
    assert {shape.type_name for shape in SHAPES.values()} <= {"structure", "list", "map", "string", "integer", "long", "float", "double", "boolean", "timestamp"}  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (".*", ["", "a b", "é\t"], ["a\nb", "a\r", "\u2028", "x\u0085"]),
        (r"[\S\s]*", ["", "a\nb\r"], []),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", ["", "Größe 1/2", "日本"], ["a!", "a\n", "\U0001f600"]),
        (r"arn:[\p{Alnum}\-]+:lambda:[\p{Alnum}\-]+:[0-9]{12}:function:.*", ["arn:aws-cn:lambda:x1:123456789012:function:"], ["arn:a_b:lambda:x:123456789012:function:f"]),
        (r"(a/)?([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)", ["a", "a/b-c", "b-c"], ["b-", "-b", "", "a/"]),
        (r"model-package/[\S]{1,2048}", ["model-package/x", "model-package/" + "é" * 2048], ["model-package/", "model-package/" + "x" * 2049, "model-package/a b"]),
        (r"x{3,1500}", ["xxx", "x" * 1500], ["xx", "x" * 1501]),
        (r"x{1200}", ["x" * 1200], ["x" * 1199, "x" * 1201]),
        (r"[\u0020-\u00FF]+", ["aÿ"], ["\t", "Ā"]),
        (r"a.c", ["abc", "a.c"], ["ac", "a\nc"]),
        (r"a\.c[.\]]", ["a.c.", "a.c]"], ["abc."]),
        ("(a+)+b", ["aab"], ["a" * 5000]),
    ],
)  # fmt: skip
def test_patterns_match_as_in_java_in_linear_time(pattern, good, bad):
    assert [text for text in good if not compiled(pattern).matches(text)] == []
    assert [text for text in bad if compiled(pattern).matches(text)] == []


@pytest.mark.parametrize(
    "pattern", [r"(?=.{1,255}$)a", r"(?!x)a", r"a(?<=b)c", r"(ab){1,2000}", "x{2000,}", "[a", r"(a)\1", "a("]
)
def test_a_pattern_that_cannot_be_matched_in_linear_time_is_refused(pattern):
    with pytest.raises(UnsupportedPattern):
        compiled(pattern)


def test_a_pattern_that_a_newer_model_may_bring_stops_nothing():
    assert service_model._pattern("(?=x)y") is None


def test_the_model_is_loaded_when_first_used():
    code = "import sys; from rekindle.api.service_model import ServiceModel; ServiceModel(); print('botocore.loaders' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_threads_may_use_a_new_model_at_once():
    fresh = ServiceModel()
    results: list[object] = []
    barrier = threading.Barrier(8)

    def use(operation: str) -> None:
        barrier.wait()
        try:
            results.append(fresh.check(operation, {}))
        except ApiError as error:
            results.append(error.code)

    threads = [threading.Thread(target=use, args=(operation,)) for operation in ("Search", "ListTrainingJobs") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == ["ValidationException"] * 4 + ["{}"] * 4


# --- botocore's validator as the oracle --------------------------------------------------------------------------------


#: These tests run once for each operation: a smaller share of the examples for each.
SHARE = settings(max_examples=max(settings.default.max_examples // 4, 1))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@cache
def requests_of(operation: str) -> st.SearchStrategy[Any]:
    """Requests of one operation."""
    return values_of(BOTO.operation_model(operation).input_shape)


def values_of(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that have the right type, and often keep the constraints."""
    kind = shape.type_name
    if kind == "structure":
        if depth > 6:
            return st.just({})
        required = {name: values_of(shape.members[name], depth + 1) for name in shape.required_members}
        optional = {name: values_of(member, depth + 1) for name, member in shape.members.items() if name not in required}
        picked = st.lists(st.sampled_from(sorted(optional)), max_size=2, unique=True) if optional else st.just([])
        return picked.flatmap(lambda names: st.fixed_dictionaries({**required, **{name: optional[name] for name in names}}))
    if kind == "list":
        return st.lists(values_of(shape.member, depth + 1), max_size=2)
    if kind == "map":
        return st.dictionaries(values_of(shape.key), values_of(shape.value), max_size=2)
    if kind == "string":
        samples = [st.text(max_size=5), st.sampled_from([ROLE, "s3://bucket/key", "job-1"])]
        return st.one_of(*([st.sampled_from(shape.enum)] if shape.enum else samples))
    if kind in ("integer", "long"):
        return st.integers(-2, 100_000)
    return {"boolean": st.booleans(), "timestamp": st.integers(0, 2**32)}.get(kind, st.floats(-1e9, 1e9))


@SHARE
@given(data=st.data())
@pytest.mark.parametrize("operation", HANDLERS)
def test_what_we_accept_botocore_accepts_and_every_request_has_an_answer(operation, data):
    shape = BOTO.operation_model(operation).input_shape
    request = data.draw(requests_of(operation))
    report = ParamValidator().validate(request, shape)
    try:
        checked = MODEL.check(operation, request)
    except ApiError as error:
        assert error.code in (Code.VALIDATION, Code.SERIALIZATION)
        return
    assert not report.has_errors(), report.generate_report()
    assert checked == request


@SHARE
@given(data=st.data())
@pytest.mark.parametrize("operation", ["CreateHyperParameterTuningJob", "CreateTrainingJob", "Search"])
def test_any_json_at_any_place_has_an_answer(operation, data):
    request = data.draw(requests_of(operation))
    place: Any = request
    while isinstance(place, dict) and place:
        name = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or not place[name] or data.draw(st.booleans()):
            place[name] = data.draw(JUNK)
            break
        place = place[name]
    try:
        MODEL.check(operation, request)
    except ApiError as error:
        assert error.code in (Code.VALIDATION, Code.SERIALIZATION)


@pytest.mark.parametrize("members", [{"Tags": [{}] * 1000}, {"Tags": [None] * 1000}])
def test_a_list_is_searched_for_what_is_wrong_as_far_as_it_may_go(monkeypatch, members):
    """A body of 4 MB has 1.4 million members of a list: for each that lacks something there was an error, of which none is told."""
    missed: list[str] = []
    monkeypatch.setattr(service_model, "missing", lambda path: missed.append(path) or missing(path))
    arn = "arn:aws:sagemaker:us-east-1:111111111111:training-job/x"
    assert told("AddTags", {"ResourceArn": arn, **members}).endswith("Member must have length less than or equal to 50")
    assert len(missed) <= 2 * 50


def test_a_map_is_searched_for_what_is_wrong_as_far_as_it_may_go(monkeypatch):
    missed: list[str] = []
    monkeypatch.setattr(service_model, "missing", lambda path: missed.append(path) or missing(path))
    sent = training(HyperParameters={f"p{n}": None for n in range(1000)})
    assert told("CreateTrainingJob", sent).endswith("Member must have length less than or equal to 100")
    assert len(missed) <= 100
