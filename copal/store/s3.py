"""A folder of objects in S3, or in a server that speaks its language."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from copal.errors import StoreUnavailable
from copal.feature import File
from copal.objects.cache import Cache, keep_recent
from copal.objects.locator import S3Locator
from copal.objects.s3 import (
    head,
    reaching,
    read_range,
    s3_client,
    s3_storage_options,
    status_of,
)
from copal.store.folder import Found

__all__ = ["S3File", "S3Folder", "s3_client", "s3_storage_options"]

FRESH = timedelta(minutes=30)
"""A file older than this is sent again, so that nobody takes it for one that is not needed."""
CONFLICT_TRIES = 6
"""Conditional PUTs of one key that meet each other are told 409, and try again."""


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

    def _start(self, prefix: str) -> str:
        """How the keys of all that is under a name begin."""
        start = self.key(prefix).rstrip("/")
        return f"{start}/" if start else ""

    def put(self, name: str, data: bytes) -> None:
        """One PUT."""
        with reaching(self.uri):
            s3_client().put_object(Bucket=self.bucket, Key=self.key(name), Body=data)

    def put_new(self, name: str, data: bytes) -> bool:
        """One PUT that holds only where nothing is."""
        from botocore.exceptions import ClientError

        with reaching(self.uri):
            for attempt in range(CONFLICT_TRIES):
                try:
                    s3_client().put_object(
                        Bucket=self.bucket, Key=self.key(name), Body=data, IfNoneMatch="*"
                    )
                except ClientError as exc:
                    status = status_of(exc)
                    if status == 412:
                        return False
                    if status != 409 or attempt + 1 == CONFLICT_TRIES:
                        raise
                    time.sleep(0.1 * 2**attempt)  # two at once: S3 asks to try again
                else:
                    return True
        raise AssertionError("the last try returned or raised")

    def put_file(self, name: str, source: Path, *, again: bool = False) -> None:
        """Upload, in parts when it is large, unless it was put there lately."""
        with reaching(self.uri):
            written = None if again else self._written(name)
            if written is None or datetime.now(UTC) - written > FRESH:
                s3_client().upload_file(str(source), self.bucket, self.key(name))

    def _written(self, name: str) -> datetime | None:
        """When an object was last written; None when it is not there."""
        from botocore.exceptions import ClientError

        try:
            return s3_client().head_object(Bucket=self.bucket, Key=self.key(name))["LastModified"]
        except ClientError as exc:
            if _absent(exc):
                return None
            raise

    def get(self, name: str) -> bytes | None:
        """The bytes, or None."""
        from botocore.exceptions import ClientError

        with reaching(self.uri):
            try:
                found = s3_client().get_object(Bucket=self.bucket, Key=self.key(name))
            except ClientError as exc:
                if _absent(exc):
                    return None
                raise
            return found["Body"].read()

    def file(self, name: str) -> File:
        """A handle that reads ranges, and fetches the whole object when a path is wanted."""
        return S3File(self.bucket, self.key(name))

    def names(self, prefix: str) -> list[str]:
        """Common prefixes under ``prefix``, sorted."""
        start = self._start(prefix)
        with reaching(self.uri):
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

    def objects(self, prefix: str) -> Iterator[Found]:
        """Objects under ``prefix``, by pages of a thousand."""
        start = self._start(prefix)
        skip = len(self.key(""))
        with reaching(self.uri):
            pages = s3_client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=start):
                for each in page.get("Contents", []):
                    yield Found(each["Key"][skip:], each["Size"], each["LastModified"])

    def first(self, prefix: str) -> Found | None:
        """One LIST of one key."""
        with reaching(self.uri):
            found = s3_client().list_objects_v2(
                Bucket=self.bucket, Prefix=self._start(prefix), MaxKeys=1
            )
        for each in found.get("Contents", []):
            return Found(each["Key"][len(self.key("")) :], each["Size"], each["LastModified"])
        return None

    def remove_folder(self, prefix: str) -> None:
        """Delete every object under it."""
        self.remove([found.name for found in self.objects(prefix)])

    def remove(self, names: Iterable[str], before: datetime | None = None) -> None:
        """Delete objects, a thousand a request."""
        with reaching(self.uri):
            keys = [
                self.key(name)
                for name in names
                if before is None or ((when := self._written(name)) and when < before)
            ]
            for start in range(0, len(keys), 1000):
                some: Any = [{"Key": key} for key in keys[start : start + 1000]]
                found: Any = s3_client().delete_objects(
                    Bucket=self.bucket, Delete={"Objects": some, "Quiet": True}
                )
                for error in found.get("Errors", []):
                    raise StoreUnavailable(f"{self.uri}/{error['Key']}: {error['Message']}")


def _absent(exc: Any) -> bool:
    """Whether S3 said that the object is not there; a bucket that is not is something else."""
    code = exc.response.get("Error", {}).get("Code")
    return status_of(exc) == 404 and code != "NoSuchBucket"


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
