"""What a queue's message tells of: objects in S3, however the message was wrapped on its way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from copal.errors import RequestError

KNOWN_MAJOR = 2
"""Version of S3's records that this was written for; a higher minor version only adds fields."""
DEEPEST = 3
"""Envelopes inside each other; a topic that forwards to a topic has two."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An object that something happened to. What it is now, only S3 can tell."""

    bucket: str
    key: str
    event: str
    """As it was called, such as ``ObjectCreated:Put``; for people only."""


def parse_message(body: str) -> list[Notice]:
    """The objects that a message tells of; none for the test event that S3 sends once.

    S3's own records, also inside SNS's envelope, and events of EventBridge are understood. Keys
    are URL-encoded in the former (``+`` is a space) and plain in the latter.

    Raises
    ------
    RequestError
        It is none of these.
    """
    try:
        return list(_notices(json.loads(body), DEEPEST))
    except (json.JSONDecodeError, RecursionError) as exc:
        raise RequestError(f"a message that is no JSON: {_short(body)!r}.") from exc
    except (LookupError, TypeError, AttributeError, ValueError) as exc:
        raise RequestError(f"a message that tells of no object: {_short(body)!r}.") from exc


def _notices(data: Any, depth: int) -> Iterator[Notice]:
    if not isinstance(data, dict) or depth == 0:
        raise RequestError(f"a message that is no event of S3: {_short(json.dumps(data))!r}.")
    if data.get("Event") == "s3:TestEvent":
        return
    if data.get("Type") == "Notification":  # SNS; its text is the message that was published
        yield from _notices(json.loads(data["Message"]), depth - 1)
    elif data.get("source") == "aws.s3":  # EventBridge
        detail = data["detail"]
        yield _notice(
            detail["bucket"]["name"], detail["object"]["key"], data.get("detail-type", "")
        )
    elif isinstance(data.get("Records"), list):
        for record in data["Records"]:
            yield _record(record)
    else:
        raise RequestError(f"a message that is no event of S3: {_short(json.dumps(data))!r}.")


def _record(record: Mapping[str, Any]) -> Notice:
    version = str(record.get("eventVersion", KNOWN_MAJOR))
    if version.partition(".")[0] != str(KNOWN_MAJOR):
        raise RequestError(f"a record of version {version}; this Copal reads {KNOWN_MAJOR}.x.")
    if record.get("eventSource", "aws:s3") not in ("aws:s3", "minio:s3"):
        raise RequestError(f"a record of {record['eventSource']!r}, which is not S3.")
    found = record["s3"]
    key = unquote_plus(found["object"]["key"], errors="strict")
    return _notice(found["bucket"]["name"], key, record.get("eventName", ""))


def _notice(bucket: object, key: object, event: object) -> Notice:
    if not isinstance(bucket, str) or not isinstance(key, str) or not bucket or not key:
        raise RequestError(f"a message that tells of no object: bucket {bucket!r}, key {key!r}.")
    return Notice(bucket, key, str(event))


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "…"
