"""Which operation a request asks for: by method, by what it addresses, and by the query parameter that names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rekindle.s3 import bucket_operations as buckets
from rekindle.s3 import copy_operations as copies
from rekindle.s3 import list_operations as listings
from rekindle.s3 import multipart_operations as multipart
from rekindle.s3 import object_operations as objects
from rekindle.s3.errors import S3Error
from rekindle.s3.exchange import Call, Handler, Opener
from rekindle.s3.object_headers import KEPT

Target = Literal["service", "bucket", "object"]

#: Largest documents: a thousand keys to delete, ten thousand parts to join, and everything else.
MANY_KEYS_BYTES = 8 << 20
MANY_PARTS_BYTES = 4 << 20
DOCUMENT_BYTES = 1 << 20


@dataclass(frozen=True)
class Route:
    """One operation. The first route of the table that fits is taken."""

    method: str
    target: Target
    #: The query parameters, and the header, that must be there.
    query: tuple[str, ...] = ()
    header: str | None = None
    #: Works on a request whose body, if any, is a small document ...
    handler: Handler | None = None
    #: ... or takes a body of any size in pieces.
    opener: Opener | None = None
    body_limit: int = 0
    #: May take longer than a client waits for the first byte.
    slow: bool = False

    def fits(self, call: Call, target: Target) -> bool:
        """Whether this is the operation."""
        named = self.query and not all(name in call.query for name in self.query)
        headed = self.header is not None and self.header not in call.headers
        return self.method == call.method and self.target == target and not named and not headed


ROUTES: tuple[Route, ...] = (
    Route("GET", "service", handler=buckets.list_buckets),
    Route("PUT", "object", ("partNumber", "uploadId"), "x-amz-copy-source", handler=copies.upload_part_copy, slow=True),
    Route("PUT", "object", ("partNumber", "uploadId"), opener=multipart.PartSink),
    Route("PUT", "object", ("tagging",), handler=objects.put_tagging, body_limit=DOCUMENT_BYTES),
    Route("POST", "object", ("uploads",), handler=multipart.create_upload),
    Route("POST", "object", ("uploadId",), handler=multipart.complete_upload, body_limit=MANY_PARTS_BYTES, slow=True),
    Route("DELETE", "object", ("uploadId",), handler=multipart.abort_upload),
    Route("DELETE", "object", ("tagging",), handler=objects.delete_tagging),
    Route("GET", "object", ("uploadId",), handler=multipart.list_parts),
    Route("GET", "object", ("attributes",), handler=objects.get_attributes),
    Route("GET", "object", ("tagging",), handler=objects.get_tagging),
    Route("GET", "object", ("acl",), handler=buckets.get_acl),
    Route("GET", "bucket", ("uploads",), handler=multipart.list_uploads),
    Route("GET", "bucket", ("versions",), handler=listings.list_versions),
    Route("GET", "bucket", ("location",), handler=buckets.get_location),
    Route("GET", "bucket", ("acl",), handler=buckets.get_acl),
    *(Route("GET", "bucket", (name,), handler=buckets.unset(name)) for name in buckets.UNSET),
    Route("POST", "bucket", ("delete",), handler=objects.delete_objects, body_limit=MANY_KEYS_BYTES),
)

#: The operations that no query parameter names.
PLAIN: tuple[Route, ...] = (
    Route("PUT", "object", (), "x-amz-copy-source", handler=copies.copy_object, slow=True),
    Route("PUT", "object", opener=objects.ObjectSink),
    Route("GET", "object", handler=objects.get_object),
    Route("HEAD", "object", handler=objects.head_object),
    Route("DELETE", "object", handler=objects.delete_object),
    Route("GET", "bucket", ("list-type",), handler=listings.list_objects_v2),
    Route("GET", "bucket", handler=listings.list_objects),
    Route("PUT", "bucket", handler=buckets.create_bucket, body_limit=DOCUMENT_BYTES),
    Route("HEAD", "bucket", handler=buckets.head_bucket),
    Route("DELETE", "bucket", handler=buckets.delete_bucket),
)

#: Parameters that name operations of S3: with one of them, a request is never a plain one.
# fmt: off
SUBRESOURCES = frozenset([
    "abac", "accelerate", "acl", "analytics", "annotation", "attributes", "cors", "delete", "encryption",
    "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "location", "logging", "metadataAnnotationTable",
    "metadataConfiguration", "metadataInventoryTable", "metadataJournalTable", "metadataTable", "metrics",
    "notification", "object-lock", "ownershipControls", "policy", "policyStatus", "publicAccessBlock",
    "renameObject", "replication", "requestPayment", "restore", "retention", "select", "session", "tagging",
    "torrent", "uploadId", "uploads", "versioning", "versions", "website",
])
# fmt: on
#: What a plain write may say, in lower case, besides ``x-...``, of which S3 itself takes no notice where it does not know it:
#: who signed it, and the headers that makers of presigned URLs put there.
_OF_WRITES = frozenset(["awsaccesskeyid", "signature", "content-md5", "content-length", *KEPT])


def target_of(call: Call) -> Target:
    """What the request addresses."""
    return "object" if call.key else "bucket" if call.bucket else "service"


def route(call: Call) -> Route:
    """The operation that the request asks for; refuses what S3 has and this store does not, and what S3 does not have."""
    target = target_of(call)
    special = (SUBRESOURCES & call.query.keys()) | _unknown(call)
    for candidate in ROUTES if special or call.method in ("PUT", "POST") or target == "service" else ():
        if candidate.fits(call, target):
            return candidate
    if special:
        name = sorted(special)[0]
        raise S3Error("NotImplemented", f"{call.method} ?{name} is not supported by this store.", Resource=f"?{name}")
    for candidate in PLAIN:
        if candidate.fits(call, target):
            return candidate
    raise S3Error("MethodNotAllowed", Method=call.method, ResourceType=target.upper())


def _unknown(call: Call) -> set[str]:
    """Of a write, the parameters that may name an operation which AWS has since: taken for a plain one, what it says of an
    object would take the object's place, and what it removes would be the object."""
    if call.method in ("GET", "HEAD"):
        return set()
    known = _OF_WRITES | ({"versionid"} if call.method == "DELETE" else set())
    return {name for name in call.query if name.lower() not in known and not name.lower().startswith("x-")}
