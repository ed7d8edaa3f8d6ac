# ruff: noqa: PT017
from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st

from rekindle.api.errors import ApiError, Code, Violation, internal_failure, shown_value, unknown_operation, validation
from rekindle.api.protocol import MAX_DEPTH, decode, encode, failure, operation_name, success

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT, JSON, max_size=5), st.booleans())
def test_every_json_object_is_decoded_as_it_is(content, ascii_only):
    assert decode(json.dumps(content, ensure_ascii=ascii_only).encode()) == content


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_serialization_error(body):
    try:
        assert isinstance(decode(body), dict)
    except ApiError as error:
        assert error.code is Code.SERIALIZATION


@given(st.text('[]{}":,\\u0d89aNfity1e9-. ', max_size=40))
def test_anything_like_json_is_an_object_or_a_serialization_error(text):
    try:
        assert isinstance(decode(text.encode()), dict)
    except ApiError as error:
        assert error.code is Code.SERIALIZATION


DEEP = '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'"{}"', "is not a JSON object"),
        (b"{", "is not JSON"),
        (b"{}{}", "is not JSON"),
        (b"{'a': 1}", "is not JSON"),
        (b'{"a": 01}', "is not JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": [-Infinity]}', "-Infinity is not a JSON number"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number that is too long"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' twice"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "is not"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\udfff": 1}', "half of a surrogate pair"),
        (b'{"\\udfff": 1, "\\udfff": 2}', "half of a surrogate pair"),
        (b'{"a": ["x\\u0000y"]}', "the character NUL"),
        (b'{"a": "x\0y"}', "is not JSON"),
        (f'{{"a":{DEEP}}}'.encode(), "more than 64 levels"),
        (b'{"a":' + b"[" * 100_000, "more than 64 levels"),
    ],
)
def test_what_is_not_a_request_is_refused_by_name(body, sentence):
    with pytest.raises(ApiError) as refused:
        decode(body)
    assert refused.value.code is Code.SERIALIZATION
    assert sentence in refused.value.message


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"a": "' + b'\\"' * 2**21, "Unterminated string"),
        (("{" + ",".join(f'"{n:x}":1' for n in range(400_000)) + ',"61a7f":2}').encode(), "the key '61a7f' twice"),
    ],
    ids=["a text without an end", "a key twice among many"],
)
def test_the_largest_body_is_refused_as_fast_as_a_small_one(body, sentence):
    """Where the time grew with the square of the length, these took hours, in which nobody else was answered."""
    with pytest.raises(ApiError, match=sentence):
        decode(body)


def test_what_looks_bad_and_is_not():
    assert decode(b"") == {}
    assert decode(b" {} ") == {}
    assert decode(DEEP.encode())
    assert decode(('{"a": "' + "[" * 200 + '\\"{"}').encode()) == {"a": "[" * 200 + '"{'}
    assert decode(b'{"a": "\\ud83d\\ude00", "b": "\\\\u0000"}') == {"a": "\U0001f600", "b": "\\u0000"}
    assert decode(b'{"a": 1, "b": {"a": 2}}') == {"a": 1, "b": {"a": 2}}


def test_an_answer_has_no_nulls_and_times_are_numbers():
    moment = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
    answer = {
        "a": None,
        "b": [{"c": None, "d": moment}],
        "e": {"f": 0, "g": "", "h": []},
        "i": moment.astimezone(UTC).replace(tzinfo=None),
    }
    seconds = 1795345200.123
    assert json.loads(encode(answer)) == {"b": [{"d": seconds}], "e": {"f": 0, "g": "", "h": []}, "i": seconds}


def test_numbers_that_are_none_are_words_as_in_aws():
    assert json.loads(encode({"a": [math.nan, math.inf, -math.inf, 1.5]})) == {"a": ["NaN", "Infinity", "-Infinity", 1.5]}


def test_success_and_failure_are_what_botocore_reads():
    parser = create_parser("json")
    good = success({"TrainingJobArn": "é"}, "id-1")
    assert (good.status_code, good.body, good.headers["x-amzn-requestid"]) == (200, '{"TrainingJobArn":"é"}'.encode(), "id-1")
    assert good.headers["content-type"] == "application/x-amz-json-1.1"
    assert success(None, "id-2").body == b""
    bad = failure(ApiError(Code.IN_USE, "A name is taken."), "id-3")
    read = parser.parse({"status_code": bad.status_code, "headers": dict(bad.headers), "body": bad.body}, None)
    assert read["Error"] == {"Code": "ResourceInUse", "Message": "A name is taken."}
    assert read["ResponseMetadata"]["RequestId"] == "id-3"
    assert failure(internal_failure(), "id-4").status_code == 500


@pytest.mark.parametrize(
    ("method", "path", "target", "name"),
    [
        ("POST", "/", "SageMaker.Search", "Search"),
        ("GET", "/", "SageMaker.Search", "SageMaker.Search"),
        ("POST", "/", "Other.Search", "Other.Search"),
        ("POST", "/", "SageMaker", ""),
        ("POST", "/endpoints/x/invocations", None, "POST /endpoints/x/invocations"),
    ],
)
def test_the_operation_is_named_by_the_target(method, path, target, name):
    assert operation_name(method, path, target) == name


def test_an_unknown_operation_is_told_what_there_is():
    error = unknown_operation("CreateDomain", {"Search", "AddTags"})
    assert error.code.status == 400
    assert error.message == "The operation 'CreateDomain' is not supported. Rekindle supports: AddTags, Search."


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CreatePipeline", "with a Session in place of a PipelineSession, fit, tune and train start them. Rekindle supports:"),
        ("CreateProcessingJob", "There are no processing jobs here: run the script itself. Rekindle supports:"),
        ("CreateExperiment", "leave the Run out."),
        ("BatchPutTrialMetrics", "leave the Run out."),
        ("CreateTransformJob", "load the model from the training job's ModelArtifacts.S3ModelArtifacts."),
        ("CreateModel", "load the model from the training job's ModelArtifacts.S3ModelArtifacts."),
        ("DescribeEndpoint", "load the model from the training job's ModelArtifacts.S3ModelArtifacts."),
    ],
)
def test_what_is_not_here_says_what_to_do_instead(name, words):
    assert words in unknown_operation(name, {"Search"}).message


def test_a_value_is_shown_as_java_would():
    assert shown_value({"a": [1, "b", True, None], "c": {"d": 1.5}}) == "{a=[1, b, true, null], c={d=1.5}}"
    assert len(shown_value("x" * 10_000)) == 4099


def test_violations_are_counted_and_joined():
    one = Violation("trainingJobName", "a_b", "Member must satisfy regular expression pattern: x")
    assert validation([one]).message == (
        "1 validation error detected: Value 'a_b' at 'trainingJobName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: x"
    )
    two = validation([one, Violation("roleArn", None, "Member must not be null")]).message
    assert two.startswith("2 validation errors detected: Value 'a_b'")
    assert two.endswith("; Value null at 'roleArn' failed to satisfy constraint: Member must not be null")


def test_every_code_is_one_that_aws_knows():
    from botocore.loaders import Loader

    shapes = Loader().load_service_model("sagemaker", "service-2")["shapes"]
    modelled = {name for name, shape in shapes.items() if shape.get("exception")}
    common = {"ValidationException", "AccessDeniedException", "ThrottlingException", "SerializationException", "UnknownOperationException", "InternalFailure", "ServiceUnavailable"}  # fmt: skip  # noqa: E501
    assert {code.value for code in Code} <= modelled | common
