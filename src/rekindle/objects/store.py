"""Objects by URI, whatever the scheme."""

from __future__ import annotations

from collections.abc import Sequence

from rekindle.domain.errors import Unsupported
from rekindle.engine.ports import ObjectStore
from rekindle.objects.files import FileObjects
from rekindle.objects.s3 import S3Objects


class Objects(ObjectStore):
    """The ObjectStore of this installation: ``s3://`` goes to ``s3`` (an endpoint, by boto3's own rules, unless given), paths
    and ``file://`` to this machine's files."""

    def __init__(self, s3: ObjectStore | None = None) -> None:
        self._s3 = s3 or S3Objects()
        self._files = FileObjects()

    def check(self, uri: str) -> None:
        """See ObjectStore."""
        self._for(uri).check(uri)

    def check_target(self, uri: str) -> None:
        """See ObjectStore."""
        self._for(uri).check_target(uri)

    def list(self, uri: str) -> Sequence[tuple[str, int]]:
        """See ObjectStore."""
        return self._for(uri).list(uri)

    def download(self, uri: str, folder: str) -> None:
        """See ObjectStore."""
        self._for(uri).download(uri, folder)

    def has(self, uri: str) -> bool:
        """See ObjectStore."""
        return self._for(uri).has(uri)

    def read(self, uri: str, limit: int) -> bytes:
        """See ObjectStore."""
        return self._for(uri).read(uri, limit)

    def fetch(self, uri: str, path: str) -> None:
        """See ObjectStore."""
        self._for(uri).fetch(uri, path)

    def upload(self, path: str, uri: str) -> None:
        """See ObjectStore."""
        self._for(uri).upload(path, uri)

    def remove(self, uri: str) -> None:
        """See ObjectStore."""
        self._for(uri).remove(uri)

    def _for(self, uri: str) -> ObjectStore:
        if uri.startswith("s3://"):
            return self._s3
        if "://" in uri and not uri.startswith("file://"):
            raise Unsupported(f"uri: {uri!r}: objects can be at file:// and s3:// only.")
        return self._files
