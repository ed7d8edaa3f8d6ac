"""Buckets, accounts and listings over the wire, with the real boto3."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from starlette.types import ASGIApp, Receive, Scope, Send

from rekindle.engine.clock import SystemClock
from rekindle.s3.app import create_app
from support.object_store import ACCOUNT, client, memory_folder, served, served_store


class ByAccessKey:
    """Stands where the gateway stands: tells the store whose request it is, here by the access key's name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        signature = dict(scope.get("headers", ())).get(b"authorization", b"").decode()
        account = signature.partition("Credential=")[2].partition("/")[0]
        await self._app({**scope, "state": {"account": account, "request_id": "THE-ID"}}, receive, send)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def s3(root: Path) -> Iterator[Any]:
    with served_store(root) as url, closing(client(url)) as s3:
        yield s3


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    name = "b" + hashlib.md5(request.node.nodeid.encode()).hexdigest()
    s3.create_bucket(Bucket=name)
    return name


def code(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    found: str = caught.value.response["Error"]["Code"]
    return found


def test_the_life_of_a_bucket(s3: Any, root: Path) -> None:
    assert s3.create_bucket(Bucket="life")["Location"] == "/life"
    assert "life" in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket="life")["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket="life")["LocationConstraint"] is None
    assert (root / "life").is_dir()
    s3.put_object(Bucket="life", Key="a/b/c")
    assert code(s3.delete_bucket, Bucket="life") == "BucketNotEmpty"
    s3.delete_object(Bucket="life", Key="a/b/c")
    s3.create_multipart_upload(Bucket="life", Key="k")
    s3.delete_bucket(Bucket="life")
    assert code(s3.head_bucket, Bucket="life") == "404"
    assert code(s3.delete_bucket, Bucket="life") == "NoSuchBucket"
    assert code(s3.list_objects_v2, Bucket="life") == "NoSuchBucket"
    with pytest.raises(s3.exceptions.NoSuchBucket, match=r"does not exist: life\. AWS's own are not here: make one"):
        s3.list_objects_v2(Bucket="life")
    s3.create_bucket(Bucket="life")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="life")


def test_pages_of_buckets(s3: Any) -> None:
    for number in range(3):
        s3.create_bucket(Bucket=f"paged-{number}")
    pages = s3.get_paginator("list_buckets").paginate(Prefix="paged-", PaginationConfig={"PageSize": 2})
    assert [[bucket["Name"] for bucket in page["Buckets"]] for page in pages] == [["paged-0", "paged-1"], ["paged-2"]]


def test_making_ones_bucket_again_is_as_on_aws() -> None:
    with memory_folder() as folder, served_store(folder, region="eu-west-1") as url, closing(client(url)) as s3:
        where = {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}
        s3.create_bucket(Bucket="mine", **where)
        assert code(s3.create_bucket, Bucket="mine", **where) == "BucketAlreadyOwnedByYou"
        assert s3.get_bucket_location(Bucket="mine")["LocationConstraint"] == "eu-central-1"
        bad = {"CreateBucketConfiguration": {"LocationConstraint": "nowhere"}}
        assert code(s3.create_bucket, Bucket="other", **bad) == "InvalidLocationConstraint"


def test_so_it_is_wherever_the_server_is(s3: Any) -> None:
    away = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    s3.create_bucket(Bucket="away", **away)
    assert code(s3.create_bucket, Bucket="away", **away) == "BucketAlreadyOwnedByYou"
    assert code(s3.create_bucket, Bucket="away") == "BucketAlreadyOwnedByYou"
    s3.create_bucket(Bucket="home")
    s3.create_bucket(Bucket="home")
    assert code(s3.create_bucket, Bucket="home", **away) == "BucketAlreadyOwnedByYou"


@pytest.mark.parametrize(
    "kind",
    [
        {"ObjectLockEnabledForBucket": True},
        {"ObjectOwnership": "ObjectWriter"},
        {"CreateBucketConfiguration": {"Bucket": {"Type": "Directory", "DataRedundancy": "SingleAvailabilityZone"}}},
    ],
)
def test_a_bucket_of_a_kind_that_is_not_here_is_not_made_as_another(s3: Any, kind: dict[str, Any]) -> None:
    assert code(s3.create_bucket, Bucket="kinds", **kind) == "NotImplemented"
    assert code(s3.head_bucket, Bucket="kinds") == "404"


def test_a_bucket_of_the_kind_that_is_here_may_be_asked_for(s3: Any, bucket: str) -> None:
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=False, ObjectOwnership="BucketOwnerEnforced")


def test_in_us_east_1_it_is_no_error(s3: Any, bucket: str) -> None:
    s3.create_bucket(Bucket=bucket)


@contextmanager
def two_accounts() -> Iterator[tuple[Any, Any]]:
    with ExitStack() as stack:
        app = create_app(stack.enter_context(memory_folder()), clock=SystemClock(), region="us-east-1", default_account=ACCOUNT)
        url = stack.enter_context(served(ByAccessKey(app)))
        one, two = (stack.enter_context(closing(client(url, account=number * 12))) for number in "12")
        yield one, two


def test_accounts_do_not_see_each_other() -> None:
    with two_accounts() as (one, two):
        one.create_bucket(Bucket="ours")
        one.put_object(Bucket="ours", Key="k", Body=b"secret")
        two.create_bucket(Bucket="theirs")
        assert code(two.create_bucket, Bucket="ours") == "BucketAlreadyExists"
        for call in (two.list_objects_v2, two.delete_bucket, two.get_bucket_location):
            assert code(call, Bucket="ours") == "AccessDenied"
        for call in (two.get_object, two.put_object, two.delete_object, two.create_multipart_upload):
            assert code(call, Bucket="ours", Key="k") == "AccessDenied"
        assert code(two.head_bucket, Bucket="ours") == "403"
        assert code(two.copy_object, Bucket="theirs", Key="k", CopySource="ours/k") == "AccessDenied"
        assert [bucket["Name"] for bucket in two.list_buckets()["Buckets"]] == ["theirs"]
        assert one.head_bucket(Bucket="ours", ExpectedBucketOwner="111111111111")
        assert code(one.head_bucket, Bucket="ours", ExpectedBucketOwner="222222222222") == "403"
        assert one.list_buckets()["ResponseMetadata"]["RequestId"] == "THE-ID"


def test_what_buckets_here_never_have(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert code(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    assert code(s3.get_bucket_cors, Bucket=bucket) == "NoSuchCORSConfiguration"
    assert code(s3.get_bucket_tagging, Bucket=bucket) == "NoSuchTagSet"
    assert code(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"
    assert code(s3.get_bucket_encryption, Bucket=bucket) == "ServerSideEncryptionConfigurationNotFoundError"
    assert code(s3.get_object_lock_configuration, Bucket=bucket) == "ObjectLockConfigurationNotFoundError"
    # As a bucket of AWS's that is made today: whoever checks that it is closed finds it so.
    ownership = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert ownership == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    assert block == dict.fromkeys(names, True)
    grants = s3.get_bucket_acl(Bucket=bucket)["Grants"]
    assert [(grant["Grantee"]["ID"], grant["Permission"]) for grant in grants] == [(ACCOUNT, "FULL_CONTROL")]
    versioning = {"VersioningConfiguration": {"Status": "Enabled"}}
    assert code(s3.put_bucket_versioning, Bucket=bucket, **versioning) == "NotImplemented"


KEYS = ["a", "a.txt", "a/1", "a/2", "a/b/3", "b/", "b/4", "c d/5", "ü/6"]


@pytest.fixture
def filled(s3: Any, bucket: str) -> str:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def listed(answer: Any) -> tuple[list[str], list[str]]:
    return [entry["Key"] for entry in answer.get("Contents", [])], [
        entry["Prefix"] for entry in answer.get("CommonPrefixes", [])
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (KEYS, [])),
        ({"Delimiter": "/"}, (["a", "a.txt"], ["a/", "b/", "c d/", "ü/"])),
        ({"Delimiter": "/", "Prefix": "a/"}, (["a/1", "a/2"], ["a/b/"])),
        ({"Delimiter": "/", "Prefix": "a"}, (["a", "a.txt"], ["a/"])),
        ({"Delimiter": "/", "Prefix": "b/"}, (["b/", "b/4"], [])),
        ({"Delimiter": "."}, ([key for key in KEYS if "." not in key], ["a."])),
        ({"Prefix": "c d"}, (["c d/5"], [])),
        ({"Prefix": "none"}, ([], [])),
        ({"MaxKeys": 0}, ([], [])),
    ],
)
def test_both_listings(s3: Any, filled: str, arguments: dict[str, Any], expected: Any) -> None:
    for call in (s3.list_objects, s3.list_objects_v2):
        answer = call(Bucket=filled, **arguments)
        assert listed(answer) == expected
        assert answer["IsTruncated"] is False
        assert answer["Name"] == filled
    versions = s3.list_object_versions(Bucket=filled, **arguments)
    assert [(entry["Key"], entry["VersionId"]) for entry in versions.get("Versions", [])] == [
        (key, "null") for key in expected[0]
    ]


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_paginators(s3: Any, filled: str, operation: str, delimiter: str) -> None:
    def gather(size: int) -> list[str]:
        pages = s3.get_paginator(operation).paginate(Bucket=filled, Delimiter=delimiter, PaginationConfig={"PageSize": size})
        found = [[*page.get("Contents", page.get("Versions", [])), *page.get("CommonPrefixes", [])] for page in pages]
        assert all(len(page) <= size for page in found)
        return [entry.get("Key", entry.get("Prefix")) for page in found for entry in page]

    whole = gather(1000)
    assert [sorted(gather(size)) for size in (1, 2, 3)] == [sorted(whole)] * 3
    assert len(set(whole)) == len(whole)


def test_where_a_listing_starts(s3: Any, filled: str) -> None:
    assert listed(s3.list_objects_v2(Bucket=filled, StartAfter="a/2"))[0] == KEYS[4:]
    assert listed(s3.list_objects(Bucket=filled, Marker="a/2"))[0] == KEYS[4:]
    answer = s3.list_objects_v2(Bucket=filled, MaxKeys=1, FetchOwner=True)
    assert (answer["KeyCount"], answer["IsTruncated"], answer["Contents"][0]["Owner"]["ID"]) == (1, True, ACCOUNT)
    entry = answer["Contents"][0]
    assert (entry["Size"], entry["ETag"], entry["StorageClass"]) == (1, f'"{hashlib.md5(b"a").hexdigest()}"', "STANDARD")


def test_lists_while_others_put_and_delete(s3: Any, bucket: str) -> None:
    stays = [f"stays/{number}" for number in range(5)]
    for key in stays:
        s3.put_object(Bucket=bucket, Key=key)

    def churn(number: int) -> None:
        for _ in range(5):
            for key in (f"stays/{number}/x", f"goes/{number}", f"goes/{number}/y"):
                s3.put_object(Bucket=bucket, Key=key)
            for key in (f"goes/{number}", f"stays/{number}/x", f"goes/{number}/y"):
                s3.delete_object(Bucket=bucket, Key=key)

    def look(_: int) -> None:
        for _ in range(10):
            assert set(stays) <= set(listed(s3.list_objects_v2(Bucket=bucket))[0])

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(churn, number) for number in range(2)] + [pool.submit(look, number) for number in range(2)]:
            future.result()
    assert listed(s3.list_objects_v2(Bucket=bucket))[0] == stays
