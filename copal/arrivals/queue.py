"""A queue of SQS: messages are held while they are worked on, and deleted when that is done."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

import structlog

from copal.errors import RequestError, StoreUnavailable

log = structlog.get_logger("copal.arrivals")

AT_A_TIME = 10
"""Messages of one request, as many as SQS gives."""
LONGEST_HOLD_SECONDS = 11.5 * 3600
"""SQS takes a message back after 12 hours, whatever is asked for."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as it was received this time."""

    id: str
    receipt: str
    body: str
    sent_at: float
    """Seconds since 1970."""
    received: int
    """How often it was received, this time counted."""


class Queue:
    """A queue, by name or URL."""

    def __init__(self, place: str) -> None:
        """Find the queue.

        Raises
        ------
        RequestError
            There is no such queue, or that is no name of one.
        StoreUnavailable
            It may not be read, or SQS cannot be reached.
        """
        self.place = place
        if re.match(r"sqs://[^/]+\.[^/]+/", place):  # the URL, with sqs:// for https://
            place = "https://" + place.removeprefix("sqs://")
        name, region = place.removeprefix("sqs://"), None
        if place.startswith("sqs://") and not re.fullmatch(r"[A-Za-z0-9_-]{1,80}(\.fifo)?", name):
            raise RequestError(f"{place}: no name of a queue. Give sqs://NAME, or the queue's URL.")
        if found := re.match(r"sqs\.([a-z0-9-]+)\.amazonaws\.com", urlparse(place).netloc):
            region = found[1]
        self.client = _client(region)
        with reaching(place):
            self.url = name
            if place.startswith("sqs://"):
                self.url = self.client.get_queue_url(QueueName=name)["QueueUrl"]
            told = self.client.get_queue_attributes(
                QueueUrl=self.url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"]
            ).get("Attributes", {})
        self.visibility_seconds = max(int(told.get("VisibilityTimeout", 30)), 1)
        self.has_dead_letters = "RedrivePolicy" in told
        self._held: dict[str, tuple[Message, float]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._beat = threading.Thread(target=self._hold_on, name="heartbeat", daemon=True)
        self._beat.start()

    def receive(self, wait_seconds: int) -> list[Message]:
        """Up to ten messages, each held until ``delete`` or ``leave``."""
        with reaching(self.place):
            found = self.client.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=AT_A_TIME,
                WaitTimeSeconds=wait_seconds,
                MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
            ).get("Messages", [])
        messages = [_message(each) for each in found]
        with self._lock:
            for each in messages:
                self._held[each.id] = (each, time.monotonic())
        return messages

    def delete(self, messages: Sequence[Message]) -> None:
        """These are done with."""
        self.leave(messages)
        for some in _tens(messages):
            entries = [{"Id": str(n), "ReceiptHandle": m.receipt} for n, m in enumerate(some)]
            with reaching(self.place):
                told = self.client.delete_message_batch(QueueUrl=self.url, Entries=entries)
            for failed in told.get("Failed", []):  # it comes again, and is found unchanged
                log.warning("message.kept", queue=self.place, error=failed.get("Message"))

    def leave(self, messages: Sequence[Message]) -> None:
        """Hold these no longer: each comes again when its time is over, or is a dead letter."""
        with self._lock:
            for each in messages:
                self._held.pop(each.id, None)

    def close(self) -> None:
        """Give back what is held, so that others have it at once."""
        self._closed.set()
        self._beat.join()
        with self._lock:
            held = [message for message, _ in self._held.values()]
            self._held.clear()
        try:
            self._see_again_in(held, 0)
        except StoreUnavailable as exc:
            log.warning("messages.not_released", queue=self.place, error=str(exc))

    def _hold_on(self) -> None:
        while not self._closed.wait(self.visibility_seconds / 3):
            with self._lock:
                late = time.monotonic() - LONGEST_HOLD_SECONDS
                held = [message for message, since in self._held.values() if since > late]
            try:
                self._see_again_in(held, self.visibility_seconds)
            except (RequestError, StoreUnavailable) as exc:  # it may come twice, which harms nobody
                log.warning("messages.not_held", queue=self.place, error=str(exc))

    def _see_again_in(self, messages: Sequence[Message], seconds: int) -> None:
        for some in _tens(messages):
            entries = [
                {"Id": str(n), "ReceiptHandle": m.receipt, "VisibilityTimeout": seconds}
                for n, m in enumerate(some)
            ]
            with reaching(self.place):
                self.client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)


def is_queue(place: str) -> bool:
    """Whether a text names a queue rather than a folder."""
    return place.startswith(("sqs://", "https://", "http://"))


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """boto3's errors about a queue, in our words."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as exc:
        raise StoreUnavailable(
            f"{place}: no credentials for SQS. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "AWS_PROFILE, or give the machine a role."
        ) from exc
    except ClientError as exc:
        code = str(exc.response.get("Error", {}).get("Code", ""))
        if "NonExistentQueue" in code or "QueueDoesNotExist" in code:
            raise RequestError(
                f"{place}: there is no such queue. Check its name, the region and the account."
            ) from exc
        if "AccessDenied" in code or exc.response["ResponseMetadata"].get("HTTPStatusCode") == 403:
            raise StoreUnavailable(
                f"{place}: access denied ({code}). It takes sqs:GetQueueUrl, GetQueueAttributes, "
                "ReceiveMessage, DeleteMessage and ChangeMessageVisibility."
            ) from exc
        raise StoreUnavailable(f"{place}: {exc}") from exc
    except BotoCoreError as exc:
        raise StoreUnavailable(f"{place}: SQS cannot be reached: {exc}") from exc


def _client(region: str | None) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "max_attempts": 3}, connect_timeout=10, read_timeout=60
    )
    session = boto3.Session()
    # A queue's URL is enough to reach it, but boto3 wants a region all the same.
    known = region or session.region_name or "us-east-1"
    return session.client("sqs", region_name=known, config=config)


def _message(found: dict[str, Any]) -> Message:
    told = found.get("Attributes", {})
    return Message(
        id=found["MessageId"],
        receipt=found["ReceiptHandle"],
        body=found["Body"],
        sent_at=int(told.get("SentTimestamp", 0)) / 1000,
        received=int(told.get("ApproximateReceiveCount", 1)),
    )


def _tens(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    for start in range(0, len(messages), AT_A_TIME):
        yield messages[start : start + AT_A_TIME]
