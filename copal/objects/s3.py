"""S3 as Copal speaks to it: one client, its errors in our words, what an object is right now."""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from copal.errors import MissingValue, RequestError, StoreUnavailable
from copal.objects.locator import S3Locator

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RANGE_TRIES = 4


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One object as it is at one moment."""

    locator: S3Locator
    etag: str
    """As S3 gives it, without its quotes. It changes whenever the bytes do."""
    size_bytes: int
    is_md5: bool = False
    """Whether the ETag is the MD5 of the bytes: sent in one part, not encrypted with a key."""

    @property
    def key(self) -> str:
        """The object's key."""
        return self.locator.key


@dataclass(frozen=True, slots=True)
class RefusedKey:
    """A key that S3 listed, and that cannot be in a locator."""

    bucket: str
    key: str
    why: str

    @property
    def shown(self) -> str:
        """The key with its control characters as escapes."""
        return re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", self.key)


@functools.cache
def s3_client() -> S3Client:
    """One boto3 client a process; endpoint and credentials come from the environment."""
    from botocore.config import Config

    tries = int(os.environ.get("AWS_MAX_ATTEMPTS") or 5)
    return _session().client(  # type: ignore[no-any-return]  # sessions are of no type here
        "s3",
        config=Config(
            retries={"mode": "standard", "max_attempts": tries},
            connect_timeout=10,
            read_timeout=60,
        ),
    )


def s3_endpoint() -> str | None:
    """The address of an S3-compatible server, or None for Amazon's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def s3_storage_options() -> dict[str, str]:
    """What boto3 resolved, in Lance's words."""
    session = _session()
    options: dict[str, Any] = {"region": session.region_name or "us-east-1"}
    credentials = session.get_credentials()
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()
        options["aws_access_key_id"] = frozen.access_key
        options["aws_secret_access_key"] = frozen.secret_key
        if frozen.token:
            options["aws_session_token"] = frozen.token
    endpoint = s3_endpoint()
    if endpoint:
        options["endpoint"] = endpoint
        if endpoint.startswith("http://"):
            options["allow_http"] = "true"
    return options


def _session() -> Any:
    """boto3's own, one for what the environment says now."""
    return _session_of(frozenset(each for each in os.environ.items() if each[0][:4] == "AWS_"))


@functools.lru_cache(maxsize=4)
def _session_of(environment: frozenset[tuple[str, str]]) -> Any:
    """Made once: that takes a while, and a machine's role is asked for its credentials."""
    import boto3

    return boto3.Session()


@contextmanager
def reaching(what: object) -> Iterator[None]:
    """boto3's errors about an object or a bucket, in our words.

    Raises
    ------
    MissingValue
        It is not there.
    StoreUnavailable
        It cannot be reached, or not with these credentials. Nothing is wrong with the object.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as exc:
        raise StoreUnavailable(
            f"{what}: no credentials for S3. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "AWS_PROFILE, or give the machine a role."
        ) from exc
    except EndpointConnectionError as exc:
        endpoint = s3_endpoint()
        hint = f"Is AWS_ENDPOINT_URL right ({endpoint})?" if endpoint else "Is there a network?"
        raise StoreUnavailable(f"{what}: S3 cannot be reached. {hint}") from exc
    except ClientError as exc:
        raise _explained(str(what), exc) from exc
    except (BotoCoreError, Boto3Error, ValueError) as exc:
        raise StoreUnavailable(f"{what}: {exc}") from exc


def _explained(what: str, exc: Any) -> MissingValue | StoreUnavailable:
    status = status_of(exc)
    code = str(exc.response.get("Error", {}).get("Code", ""))
    if code == "NoSuchBucket":
        return MissingValue(f"{what}: there is no such bucket. Check its name and the region.")
    if status == 404:
        return MissingValue(f"{what} is not there. Was it moved or deleted?")
    if status in (401, 403):
        return StoreUnavailable(
            f"{what}: access denied ({code}). These credentials may not read it, "
            "or it is not there and they may not list."
        )
    if status in (301, 307, 400):
        return StoreUnavailable(f"{what}: {code}. Check AWS_DEFAULT_REGION. ({exc})")
    return StoreUnavailable(f"{what}: {exc}")


def status_of(exc: Any) -> int:
    """HTTP status of a botocore ``ClientError``."""
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def head(locator: S3Locator) -> ObjectState:
    """What an object is right now.

    Raises
    ------
    MissingValue, StoreUnavailable
        See ``reaching``.
    """
    with reaching(locator):
        found: Any = s3_client().head_object(Bucket=locator.bucket, Key=locator.key)
    etag = found["ETag"].strip('"')
    # Objects encrypted with a key have ETags that look like an MD5 and are none.
    plain = found.get("ServerSideEncryption", "AES256") == "AES256"
    is_md5 = plain and "SSECustomerAlgorithm" not in found
    return ObjectState(
        locator,
        etag,
        found["ContentLength"],
        is_md5=is_md5 and re.fullmatch("[0-9a-f]{32}", etag) is not None,
    )


def listed(folder: S3Locator) -> Iterator[ObjectState | RefusedKey]:
    """Every object under a key taken as a folder (the whole bucket when it is empty), by key."""
    start = folder.key.rstrip("/") + "/" if folder.key.rstrip("/") else ""
    with reaching(folder):
        pages = s3_client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=folder.bucket, Prefix=start):
            for each in page.get("Contents", []):
                if not each["Key"].endswith("/"):  # consoles make folders of empty objects
                    try:
                        locator = S3Locator(folder.bucket, each["Key"])
                    except RequestError as exc:
                        yield RefusedKey(folder.bucket, each["Key"], str(exc))
                        continue
                    yield ObjectState(locator, each["ETag"].strip('"'), each["Size"])


def read_range(locator: S3Locator, offset: int, length: int) -> bytes:
    """Exactly ``length`` bytes from ``offset``; a connection that breaks is tried again.

    Raises
    ------
    MissingValue, StoreUnavailable
        See ``reaching``.
    """
    from botocore.exceptions import HTTPClientError, IncompleteReadError
    from urllib3.exceptions import HTTPError

    if length == 0:
        return b""
    span = f"bytes={offset}-{offset + length - 1}"
    told: Exception | None = None
    for attempt in range(RANGE_TRIES):
        time.sleep(0.2 * 2**attempt if attempt else 0)
        with reaching(locator):
            found = s3_client().get_object(Bucket=locator.bucket, Key=locator.key, Range=span)
        try:
            data = found["Body"].read()
        except (HTTPClientError, IncompleteReadError, HTTPError, ConnectionError) as exc:
            told = exc
            continue
        if len(data) == length:
            return data
        told = OSError(f"{length} bytes asked at {offset}, got {len(data)}")
    raise StoreUnavailable(f"{locator}: {told}") from told
