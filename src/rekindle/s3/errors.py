"""What an S3 client may be told when a request cannot be done.

S3Error       one of S3's own codes, with its HTTP status
NotModified   the answer 304, which S3 sends without a body
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: S3's error codes: HTTP status and the sentence AWS sends when we have nothing more exact to say.
CODES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "AccessControlListNotSupported": (400, "The bucket does not allow ACLs"),
        "AccessDenied": (403, "Access Denied"),
        "BadDigest": (400, "The Content-MD5 or checksum value that you specified did not match what the server received."),
        "BucketAlreadyExists": (
            409,
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
            "Please select a different name and try again.",
        ),
        "BucketAlreadyOwnedByYou": (409, "Your previous request to create the named bucket succeeded and you already own it."),
        "BucketNotEmpty": (409, "The bucket you tried to delete is not empty"),
        "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed size"),
        "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size"),
        "IncompleteBody": (400, "The request body terminated unexpectedly"),
        "InternalError": (500, "We encountered an internal error. Please try again."),
        "InvalidArgument": (400, "Invalid Argument"),
        "InvalidBucketName": (400, "The specified bucket is not valid."),
        "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
        "InvalidLocationConstraint": (400, "The specified location-constraint is not valid"),
        "InvalidPart": (
            400,
            "One or more of the specified parts could not be found.  The part may not have been uploaded, "
            "or the specified entity tag may not match the part's entity tag.",
        ),
        "InvalidPartOrder": (400, "The list of parts was not in ascending order. Parts must be ordered by part number."),
        "InvalidRange": (416, "The requested range is not satisfiable"),
        "InvalidRequest": (400, "Invalid Request"),
        "InvalidStorageClass": (400, "The storage class you specified is not valid"),
        "InvalidTag": (400, "The tag provided was not a valid tag."),
        "InvalidURI": (400, "Couldn't parse the specified URI."),
        "KeyTooLongError": (400, "Your key is too long"),
        "MalformedXML": (400, "The XML you provided was not well-formed or did not validate against our published schema"),
        "MaxMessageLengthExceeded": (400, "Your request was too big."),
        "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size"),
        "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
        "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
        "NoSuchBucket": (404, "The specified bucket does not exist"),
        "NoSuchBucketPolicy": (404, "The bucket policy does not exist"),
        "NoSuchCORSConfiguration": (404, "The CORS configuration does not exist"),
        "NoSuchKey": (404, "The specified key does not exist."),
        "NoSuchLifecycleConfiguration": (404, "The lifecycle configuration does not exist"),
        "NoSuchTagSet": (404, "The TagSet does not exist"),
        "NoSuchUpload": (
            404,
            "The specified upload does not exist. The upload ID may be invalid, "
            "or the upload may have been aborted or completed.",
        ),
        "NoSuchVersion": (404, "The specified version does not exist."),
        "NoSuchWebsiteConfiguration": (404, "The specified bucket does not have a website configuration"),
        "NotImplemented": (501, "A header or query you provided implies functionality that is not implemented."),
        "ObjectLockConfigurationNotFoundError": (404, "Object Lock configuration does not exist for this bucket"),
        "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
        "ReplicationConfigurationNotFoundError": (404, "The replication configuration was not found"),
        "ServerSideEncryptionConfigurationNotFoundError": (404, "The server side encryption configuration was not found"),
        "SignatureDoesNotMatch": (
            403,
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
        ),
    }
)


class S3Error(Exception):
    """A refusal with one of S3's codes; `details` become further elements of the error document."""

    def __init__(self, code: str, message: str | None = None, **details: str) -> None:
        self.code = code
        self.status, default = CODES[code]
        self.message = message or default
        self.details = details
        super().__init__(f"{code}: {self.message}")


class NotModified(Exception):
    """The client's copy is current: status 304 with these headers and no body."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers
        super().__init__("not modified")
