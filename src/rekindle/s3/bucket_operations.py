"""Operations on buckets."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rekindle.s3 import xml
from rekindle.s3.errors import S3Error
from rekindle.s3.exchange import Answer, Call, Handler, Store

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d|EU")

#: What a bucket here is whether it is asked for or not, in lower case.
_PLAIN: Mapping[str, str] = {"x-amz-bucket-object-lock-enabled": "false", "x-amz-object-ownership": "bucketownerenforced"}
#: What a bucket answers that never got this configuration: a document, or an error.
UNSET: Mapping[str, bytes | str] = {
    "accelerate": xml.document("AccelerateConfiguration"),
    "cors": "NoSuchCORSConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "logging": xml.document("BucketLoggingStatus"),
    "notification": xml.document("NotificationConfiguration"),
    "object-lock": "ObjectLockConfigurationNotFoundError",
    "ownershipControls": xml.document(
        "OwnershipControls", xml.group("Rule", xml.leaf("ObjectOwnership", "BucketOwnerEnforced"))
    ),
    "policy": "NoSuchBucketPolicy",
    "policyStatus": "NoSuchBucketPolicy",
    "publicAccessBlock": xml.document(
        "PublicAccessBlockConfiguration",
        *(xml.leaf(n, "true") for n in ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")),
    ),
    "replication": "ReplicationConfigurationNotFoundError",
    "requestPayment": xml.document("RequestPaymentConfiguration", xml.leaf("Payer", "BucketOwner")),
    "tagging": "NoSuchTagSet",
    "versioning": xml.document("VersioningConfiguration"),
    "website": "NoSuchWebsiteConfiguration",
}


def owner(account: str) -> str:
    """The element that names an owner."""
    return xml.group("Owner", xml.leaf("ID", account), xml.leaf("DisplayName", account))


def list_buckets(store: Store, call: Call) -> Answer:
    """The account's buckets."""
    after, limit = call.query.get("continuation-token", ""), call.number("max-buckets", 10_000, least=1)
    prefix = call.query.get("prefix", "")
    found = [b for b in store.buckets.of(call.account) if b.name.startswith(prefix) and b.name > after]
    page = [
        xml.group(
            "Bucket",
            xml.leaf("Name", bucket.name),
            xml.leaf("CreationDate", xml.timestamp(bucket.created)),
            xml.leaf("BucketRegion", bucket.region),
        )
        for bucket in found[:limit]
    ]
    more = [xml.leaf("ContinuationToken", found[limit - 1].name)] if len(found) > limit else []
    shown = [xml.leaf("Prefix", prefix)] if prefix else []
    body = xml.document("ListAllMyBucketsResult", owner(call.account), xml.group("Buckets", *page), *more, *shown)
    return Answer(body=body)


def create_bucket(store: Store, call: Call) -> Answer:
    """Make a bucket. Its region is what the client says: one store serves all regions."""
    check_acl(call)
    for name, plain in _PLAIN.items():
        if call.headers.get(name, plain).lower() != plain:
            raise S3Error("NotImplemented", f"The header {name} is supported with {plain!r} alone by this store.", Header=name)
    region = store.region
    if call.body:
        wanted = xml.parse(call.body, "CreateBucketConfiguration")
        for element in wanted.children:
            if element.name != "LocationConstraint":
                raise S3Error("NotImplemented", f"The element {element.name} is not supported by this store.")
        region = wanted.get("LocationConstraint") or region
        if not _REGION.fullmatch(region):
            raise S3Error("InvalidLocationConstraint", LocationConstraint=region)
    store.buckets.create(call.bucket, call.account, region)
    return Answer(headers={"location": f"/{call.bucket}"})


def head_bucket(store: Store, call: Call) -> Answer:
    """Whether the bucket is there, and where."""
    store.folder(call)
    return Answer(headers={"x-amz-bucket-region": store.buckets.get(call.bucket, call.account).region})


def delete_bucket(store: Store, call: Call) -> Answer:
    """Remove an empty bucket."""
    store.folder(call)
    store.buckets.delete(call.bucket, call.account)
    return Answer(204)


def get_location(store: Store, call: Call) -> Answer:
    """The bucket's region; us-east-1 is told by an empty element."""
    store.folder(call)
    region = store.buckets.get(call.bucket, call.account).region
    return Answer(body=xml.document("LocationConstraint", "" if region == "us-east-1" else region))


def get_acl(store: Store, call: Call) -> Answer:
    """The one access list there is: everything to the owner."""
    folder = store.folder(call)
    if call.key and folder.find(call.key) is None:
        raise S3Error("NoSuchKey", Key=call.key)
    kind = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"'
    grantee = f"<Grantee {kind}>{xml.leaf('ID', call.account)}{xml.leaf('DisplayName', call.account)}</Grantee>"
    grant = xml.group("Grant", grantee, xml.leaf("Permission", "FULL_CONTROL"))
    body = xml.document("AccessControlPolicy", owner(call.account), xml.group("AccessControlList", grant))
    return Answer(body=body)


def unset(name: str) -> Handler:
    """The answer about a configuration that no bucket here can have."""
    answer = UNSET[name]

    def handler(store: Store, call: Call) -> Answer:
        store.folder(call)
        if isinstance(answer, str):
            raise S3Error(answer, BucketName=call.bucket)
        return Answer(body=answer)

    return handler


def check_acl(call: Call) -> None:
    """Take the access lists that change nothing; refuse those that would give others access, which nobody has here."""
    granted = [name for name in call.headers if name.startswith("x-amz-grant-")]
    private = ("private", "bucket-owner-full-control", "bucket-owner-read", "aws-exec-read", "")
    if granted or call.headers.get("x-amz-acl", "") not in private:
        raise S3Error("AccessControlListNotSupported")
