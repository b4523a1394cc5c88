"""A folder of objects in S3, or in a server that speaks its language."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from copal.errors import StoreUnavailable
from copal.feature import File
from copal.objects.cache import Cache, keep_recent
from copal.objects.locator import S3Locator
from copal.objects.s3 import head, read_range, s3_client, s3_storage_options

__all__ = ["S3File", "S3Folder", "s3_client", "s3_storage_options"]


@dataclass(frozen=True, slots=True)
class S3Folder:
    """A bucket and a prefix."""

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def storage_options(self) -> dict[str, str] | None:
        """Credentials, region and endpoint as boto3 resolves them."""
        return s3_storage_options()

    def key(self, name: str) -> str:
        """The object's key in the bucket."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def put(self, name: str, data: bytes) -> None:
        """One PUT."""
        with self._reaching():
            s3_client().put_object(Bucket=self.bucket, Key=self.key(name), Body=data)

    def put_file(self, name: str, source: Path) -> None:
        """Upload, in parts when it is large, unless it is there."""
        with self._reaching():
            if not self._exists(name):
                s3_client().upload_file(str(source), self.bucket, self.key(name))

    def _exists(self, name: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            s3_client().head_object(Bucket=self.bucket, Key=self.key(name))
        except ClientError as exc:
            if exc.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, S3UploadFailedError) as exc:
            raise StoreUnavailable(f"{self.uri}: {exc}") from exc

    def get(self, name: str) -> bytes | None:
        """The bytes, or None."""
        from botocore.exceptions import ClientError

        with self._reaching():
            try:
                found = s3_client().get_object(Bucket=self.bucket, Key=self.key(name))
            except ClientError as exc:
                if exc.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return None
                raise
            return found["Body"].read()

    def file(self, name: str) -> File:
        """A handle that reads ranges, and fetches the whole object when a path is wanted."""
        return S3File(self.bucket, self.key(name))

    def names(self, prefix: str) -> list[str]:
        """Common prefixes under ``prefix``, sorted."""
        start = self.key(prefix).rstrip("/") + "/"
        with self._reaching():
            pages = (
                s3_client()
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self.bucket, Prefix=start, Delimiter="/")
            )
            return sorted(
                found["Prefix"][len(start) :].rstrip("/")
                for page in pages
                for found in page.get("CommonPrefixes", [])
            )


@dataclass(frozen=True, slots=True)
class S3File:
    """An object in S3, addressed by its content, so that a fetched copy never goes stale."""

    bucket: str
    key: str
    _sizes: dict[str, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def locator(self) -> S3Locator:
        """Where it is."""
        return S3Locator(self.bucket, self.key)

    @property
    def size_bytes(self) -> int:
        """Size in bytes, asked once."""
        if "size" not in self._sizes:
            self._sizes["size"] = head(self.locator).size_bytes
        return self._sizes["size"]

    def read(self, offset: int, length: int) -> bytes:
        """One ranged GET."""
        return read_range(self.locator, offset, length)

    def path(self) -> Path:
        """A whole copy in the local cache, fetched first when it is not there.

        It stays there while it is read, and until the paths of a few others were asked for.
        """
        return keep_recent(Cache.of_user().fetch_lasting(self.locator))
