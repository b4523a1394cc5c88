"""A download: one object into one file, going on where it stopped, until all of it is there."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import structlog

from copal.errors import StoreUnavailable
from copal.objects.s3 import ObjectState, reaching, s3_client, status_of

log = structlog.get_logger("copal.objects")

BLOCK = 1 << 18
TRIES = 6
"""Failures in a row, without a byte in between, after which a download gives up."""
LONGEST_PAUSE_SECONDS = 20.0
FRESH_STARTS = 2
"""How often bytes that do not add up to the ETag are fetched again from the beginning."""


class ReplacedError(Exception):
    """The object is another one by now: what was read of it is worth nothing."""


class _DamagedError(Exception):
    """All bytes are there, and they are the wrong ones."""


def download(state: ObjectState, part: Path) -> None:
    """Bring a file up to the whole object; what it holds of it already is not read again.

    Every request names the ETag (``If-Match``), so that all ranges come from one object.

    Raises
    ------
    ReplacedError
        There is another object under that key now.
    MissingValue, StoreUnavailable
        It is gone; or reading kept failing, or gave other bytes than the ETag says.
    """
    for _ in range(FRESH_STARTS):
        try:
            _fill(state, part)
            return
        except _DamagedError as exc:
            part.unlink(missing_ok=True)
            log.warning("object.damaged", locator=str(state.locator), error=str(exc))
    raise StoreUnavailable(
        f"{state.locator}: its bytes arrived damaged {FRESH_STARTS} times (they are not those of "
        f"ETag {state.etag}). Check the network and the server."
    )


def _fill(state: ObjectState, part: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False) if state.is_md5 else None
    with part.open("a+b") as stream:
        if stream.tell() > state.size_bytes:
            raise _DamagedError(f"{stream.tell()} bytes of {state.size_bytes}")
        stream.seek(0)
        have = 0
        while digest is not None and (block := stream.read(BLOCK)):
            digest.update(block)
        have = stream.seek(0, 2)
        failures = 0
        while have < state.size_bytes:
            try:
                for block in _blocks(state, have):
                    _append(stream, block)
                    have += len(block)
                    failures = 0
                    if digest is not None:
                        digest.update(block)
            except Exception as exc:
                if not _may_pass(exc):
                    with reaching(state.locator):
                        raise
                failures += 1
                log.info(
                    "object.read_failed", locator=str(state.locator), bytes=have, error=str(exc)
                )
                if failures >= TRIES:
                    raise StoreUnavailable(
                        f"{state.locator}: reading it stopped at byte {have} of "
                        f"{state.size_bytes}, {failures} times in a row ({exc})."
                    ) from exc
                pause = min(LONGEST_PAUSE_SECONDS, 0.2 * 2**failures)
                time.sleep(pause * random.uniform(0.5, 1))
        os.fsync(stream.fileno())
    if have != state.size_bytes:
        raise _DamagedError(f"{have} bytes of {state.size_bytes}")
    if digest is not None and digest.hexdigest() != state.etag:
        raise _DamagedError(f"MD5 {digest.hexdigest()}")


def _append(stream: IO[bytes], block: bytes) -> None:
    stream.write(block)
    stream.flush()  # what a process that is killed has counted is in the file


def _blocks(state: ObjectState, start: int) -> Iterator[bytes]:
    """The object's bytes from ``start`` to its end; fewer come with an error."""
    from botocore.exceptions import ClientError, FlexibleChecksumError

    where: dict[str, Any] = {"Bucket": state.locator.bucket, "Key": state.locator.key}
    if start:
        where["Range"] = f"bytes={start}-"
    try:
        found = s3_client().get_object(IfMatch=f'"{state.etag}"', **where)
    except ClientError as exc:
        if status_of(exc) in (409, 412, 416):
            raise ReplacedError from exc
        raise
    body = found["Body"]
    try:
        if found["ETag"].strip('"') != state.etag:
            raise ReplacedError
        expected = f"bytes {start}-{state.size_bytes - 1}/{state.size_bytes}"
        if start and found.get("ContentRange") != expected:
            raise _DamagedError(f"asked from byte {start}, got {found.get('ContentRange')}")
        left = state.size_bytes - start
        try:
            while left and (block := body.read(min(BLOCK, left))):
                left -= len(block)
                yield block
            body.read(1)  # botocore compares lengths and checksums at the end
        except FlexibleChecksumError as exc:
            raise _DamagedError(str(exc)) from exc
        if left:
            raise ConnectionError(f"{left} bytes are missing")
    finally:
        body.close()


def _may_pass(exc: Exception) -> bool:
    """Whether asking again may help: the network or the server stumbled."""
    from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
    from urllib3.exceptions import HTTPError

    if isinstance(exc, ClientError):
        code = exc.response.get("Error", {}).get("Code")
        return status_of(exc) in (429, *range(500, 600)) or code in ("RequestTimeout", "SlowDown")
    passing = (HTTPClientError, IncompleteReadError, HTTPError, ConnectionError, TimeoutError)
    return isinstance(exc, passing)
