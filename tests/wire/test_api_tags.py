"""Tags over the wire."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from support.gateway import BOB
from support.wire import Json, Wire, error_of, training_request, tuning_request

GONE = ("ValidationException", "Requested resource not found.")


def arn_of(service: Wire, name: str) -> str:
    return str(service.describe(name)["HyperParameterTuningJobArn"])


def tags_of(service: Wire, arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in service.client.list_tags(ResourceArn=arn)["Tags"]}


def tags(**pairs: str) -> list[Json]:
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def test_tags_are_added_overwritten_and_deleted(sagemaker: Wire) -> None:
    name = sagemaker.create(request=tuning_request(Tags=tags(a="1", b="2")))
    arn = arn_of(sagemaker, name)
    assert "Tags" not in sagemaker.describe(name)
    assert tags_of(sagemaker, arn) == {"a": "1", "b": "2"}
    answer = sagemaker.client.add_tags(ResourceArn=arn, Tags=tags(b="3", c=""))
    assert answer["Tags"] == tags(a="1", b="3", c="")
    assert sagemaker.client.delete_tags(ResourceArn=arn, TagKeys=["a", "never"])["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert tags_of(sagemaker, arn) == {"b": "3", "c": ""}
    sagemaker.finish(name)


def test_an_arn_counts_in_any_case(sagemaker: Wire) -> None:
    name = sagemaker.create(request=tuning_request("Case-Of-Tags", Tags=tags(a="1")))
    arn = arn_of(sagemaker, name)
    assert arn.endswith("/case-of-tags")
    assert tags_of(sagemaker, arn.replace("case-of-tags", "CASE-of-Tags")) == {"a": "1"}
    sagemaker.finish(name)


def test_training_jobs_get_the_tags_of_the_moment_of_their_launch(sagemaker: Wire) -> None:
    name = sagemaker.create(request=tuning_request(jobs=2, parallel=1, Tags=tags(a="1")))
    arn = arn_of(sagemaker, name)
    sagemaker.tick()
    first = sagemaker.trials(name)[0]["TrainingJobArn"]
    sagemaker.client.add_tags(ResourceArn=arn, Tags=tags(b="2"))
    sagemaker.client.delete_tags(ResourceArn=arn, TagKeys=["a"])
    sagemaker.finish(name)
    second = sagemaker.trials(name)[1]["TrainingJobArn"]
    assert tags_of(sagemaker, first) == {"a": "1"}
    assert tags_of(sagemaker, second) == {"b": "2"}


def test_tags_of_a_training_job_of_its_own(sagemaker: Wire) -> None:
    arn = sagemaker.client.create_training_job(**training_request(Tags=tags(x="y")))["TrainingJobArn"]
    assert tags_of(sagemaker, arn) == {"x": "y"}
    sagemaker.client.add_tags(ResourceArn=arn, Tags=tags(x="z"))
    assert tags_of(sagemaker, arn) == {"x": "z"}


def test_a_job_has_fifty_tags_at_most(sagemaker: Wire) -> None:
    name = sagemaker.create(request=tuning_request(Tags=tags(**{f"k{i}": "v" for i in range(50)})))
    arn = arn_of(sagemaker, name)
    assert len(sagemaker.client.list_tags(ResourceArn=arn, MaxResults=50)["Tags"]) == 50
    code, message = error_of(sagemaker.client.list_tags, ResourceArn=arn, NextToken="abc")
    assert (code, message.partition(": not")[0]) == ("ValidationException", "nextToken: 'abc'")
    assert len(sagemaker.client.add_tags(ResourceArn=arn, Tags=tags(k0="again"))["Tags"]) == 50
    code, message = error_of(sagemaker.client.add_tags, ResourceArn=arn, Tags=tags(more="1"))
    assert code == "ResourceLimitExceeded"
    assert "'Number of tags' is 50 Tags" in message
    assert message.endswith("(In Rekindle: tags: 51; this limit is fixed.)")
    sagemaker.finish(name)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (tags(**{"aws:x": "1"}), "aws: prefixed tag key names are not allowed for external use."),
        ([{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}], "the key is there twice"),
        ([{"Key": "a*", "Value": "1"}], "at 'tags.1.member.key' failed to satisfy constraint"),
        ([{"Key": "", "Value": "1"}], "Member must have length greater than or equal to 1"),
        ([{"Key": "a"}], "at 'tags.1.member.value' failed to satisfy constraint: Member must not be null"),
    ],
)
def test_tags_have_rules(sagemaker: Wire, sent: list[Json], told: str) -> None:
    name = sagemaker.create()
    code, message = error_of(sagemaker.client.add_tags, ResourceArn=arn_of(sagemaker, name), Tags=sent)
    assert code == "ValidationException"
    assert told in message
    sagemaker.finish(name)


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:sagemaker:us-east-1:111111111111:hyper-parameter-tuning-job/nobody",
        "arn:aws:sagemaker:us-east-1:111111111111:training-job/nobody",
        "arn:aws:sagemaker:us-east-1:111111111111:model/nobody",
        "arn:aws:sagemaker:us-east-1:111111111111:nothing",
        "arn:aws:sagemaker:eu-west-1:111111111111:training-job/nobody",
    ],
)
@pytest.mark.parametrize(
    ("operation", "more"), [("list_tags", {}), ("add_tags", {"Tags": tags(a="1")}), ("delete_tags", {"TagKeys": ["a"]})]
)
def test_tags_of_nothing(sagemaker: Wire, operation: str, more: dict[str, Any], resource: str) -> None:
    code, message = error_of(getattr(sagemaker.client, operation), ResourceArn=resource, **more)
    assert (code, message) == GONE or message.endswith("not an ARN of a SageMaker resource")


def test_tags_of_other_accounts_are_not_to_be_seen(sagemaker: Wire) -> None:
    name = sagemaker.create(request=tuning_request(Tags=tags(a="1")))
    other = sagemaker.another_client(BOB)
    assert error_of(other.list_tags, ResourceArn=arn_of(sagemaker, name)) == GONE
    sagemaker.finish(name)


def test_tags_added_at_once_are_all_there(sagemaker: Wire) -> None:
    name = sagemaker.create()
    arn = arn_of(sagemaker, name)

    def add(number: int) -> None:
        for i in range(4):
            sagemaker.client.add_tags(ResourceArn=arn, Tags=tags(**{f"t{number}-{i}": "v"}))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tags_of(sagemaker, arn)) == 20
    sagemaker.finish(name)
