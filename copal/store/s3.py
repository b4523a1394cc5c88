"""A folder of objects in S3, or in a server that speaks its language."""

from __future__ import annotations

import functools
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copal.errors import MissingValue, StoreUnavailable
from copal.feature import File
from copal.store.folder import plain_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


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
    def size_bytes(self) -> int:
        """Size in bytes, asked once."""
        if "size" not in self._sizes:
            head = s3_client().head_object(Bucket=self.bucket, Key=self.key)
            self._sizes["size"] = head["ContentLength"]
        return self._sizes["size"]

    def read(self, offset: int, length: int) -> bytes:
        """One ranged GET."""
        span = f"bytes={offset}-{offset + length - 1}"
        found = s3_client().get_object(Bucket=self.bucket, Key=self.key, Range=span)
        data = found["Body"].read()
        if len(data) != length:
            raise OSError(f"s3://{self.bucket}/{self.key}: {length} bytes asked, got {len(data)}")
        return data

    def path(self) -> Path:
        """A whole copy in the local cache, fetched first when it is not there."""
        target = cache_folder() / "objects" / self.bucket / self.key
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
        try:
            with plain_errors(str(target.parent)):
                s3_client().download_file(self.bucket, self.key, str(temporary))
                temporary.replace(target)
        except BaseException as exc:
            temporary.unlink(missing_ok=True)
            if "404" in str(exc):
                raise MissingValue(f"s3://{self.bucket}/{self.key} is not there.") from exc
            raise
        return target


def cache_folder() -> Path:
    """Where copies of remote objects are kept: ``$COPAL_CACHE``, or a folder of the user's."""
    given = os.environ.get("COPAL_CACHE")
    return Path(given) if given else Path(tempfile.gettempdir()) / f"copal-{os.getuid()}"


@functools.cache
def s3_client() -> S3Client:
    """One boto3 client a process; endpoint and credentials come from the environment."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 5}))


def s3_storage_options() -> dict[str, str]:
    """What boto3 resolved, in Lance's words."""
    import boto3

    session = boto3.Session()
    options: dict[str, Any] = {"region": session.region_name or "us-east-1"}
    credentials = session.get_credentials()
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()
        options["aws_access_key_id"] = frozen.access_key
        options["aws_secret_access_key"] = frozen.secret_key
        if frozen.token:
            options["aws_session_token"] = frozen.token
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        options["endpoint"] = endpoint
        if endpoint.startswith("http://"):
            options["allow_http"] = "true"
    return options
