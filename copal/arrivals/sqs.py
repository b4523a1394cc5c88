"""Hints from S3's notifications in a queue."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence

import structlog

from copal import metrics
from copal.arrivals.found import is_media_name
from copal.arrivals.hints import Hint
from copal.arrivals.messages import Notice, parse_message
from copal.arrivals.queue import Message, Queue
from copal.arrivals.reconcile import Arrival
from copal.errors import RequestError, StoreUnavailable
from copal.objects import S3Locator, parse_locator

log = structlog.get_logger("copal.arrivals")

POLL_SECONDS = 20
"""How long a request waits at the queue, the most that SQS allows."""
PAUSE_SECONDS = 0.33
GATHER_SECONDS = 0.5
GATHER_MESSAGES = 50
"""Messages are written down, and deleted, so many at a time."""
LONGEST_BACKOFF_SECONDS = 60.0


class Messages:
    """A queue that S3's notifications come to, as a source of hints."""

    name = "sqs"

    def __init__(
        self,
        place: str,
        allow: Sequence[str],
        stop: threading.Event,
        poll_seconds: int = POLL_SECONDS,
    ) -> None:
        """Open the queue.

        Parameters
        ----------
        allow
            ``s3://bucket`` or ``s3://bucket/prefix/``: where objects may lie. A message about any
            other is refused: whoever can write to a queue cannot point Copal at what they like.
        poll_seconds
            How long a request waits for a message; 0 where a server cannot wait.
        """
        if not allow:
            raise RequestError(
                f"{place}: say where its objects may lie: --allow s3://bucket/prefix, "
                "or $COPAL_ALLOW."
            )
        self.allowed = [_allowed(each) for each in allow]
        self.stop = stop
        self.poll_seconds = poll_seconds
        self.queue = Queue(place)
        self.waiting = False
        """Whether nothing is held and nothing under way, so that leaving at once loses nothing."""
        self.backoff = 0.0
        self.hinted: dict[str, Message] = {}
        if not self.queue.has_dead_letters:
            log.warning(
                "queue.has_no_dead_letters", queue=place,
                note="messages that mean nothing come again until they expire",
            )  # fmt: skip

    def hints(self) -> list[Hint]:
        """The next messages, as hints; waits for the first one."""
        messages = self._receive(self.poll_seconds, alone=True)
        if not messages and not self.poll_seconds:
            self.stop.wait(PAUSE_SECONDS)
        until = time.monotonic() + GATHER_SECONDS
        while messages and len(messages) < GATHER_MESSAGES and time.monotonic() < until:
            more = self._receive(0)
            if not more:
                break
            messages += more
        now = time.time()
        metrics.set_queue_lag(max((now - each.sent_at for each in messages), default=0.0))
        return [hint for message in messages for hint in self._of(message)]

    def _receive(self, wait_seconds: int, alone: bool = False) -> list[Message]:
        try:
            self.waiting = alone
            found = self.queue.receive(wait_seconds)
        except (RequestError, StoreUnavailable) as exc:
            self.waiting = False
            self.backoff = min(max(1.0, self.backoff * 2), LONGEST_BACKOFF_SECONDS)
            log.warning(
                "queue.not_read", queue=self.queue.place, error=str(exc),
                again_in_seconds=self.backoff,
            )  # fmt: skip
            if alone:
                self.stop.wait(self.backoff)
            return []
        finally:
            self.waiting = False
        self.backoff = 0.0
        return found

    def _of(self, message: Message) -> list[Hint]:
        self.hinted[message.id] = message
        try:
            notices = parse_message(message.body)
        except RequestError as exc:
            again = f" Received {message.received} times." if message.received > 1 else ""
            told = Arrival(self.queue.place, "malformed", note=f"{exc}{again}")
            return [Hint(message_id=message.id, decided=told)]
        if not notices:
            told = Arrival(self.queue.place, "ignored", note="S3's test event")
            return [Hint(message_id=message.id, decided=told)]
        return [self._hint(notice, message) for notice in notices]

    def _hint(self, notice: Notice, message: Message) -> Hint:
        shown = re.sub(r"[\x00-\x1f\x7f]", lambda c: f"\\x{ord(c[0]):02x}", notice.key)
        where = f"s3://{notice.bucket}/{shown}"

        def told(decision: str, note: str) -> Hint:
            return Hint(message_id=message.id, decided=Arrival(where, decision, note=note))

        if not any(_is_under(notice, each) for each in self.allowed):
            places = ", ".join(str(each) for each in self.allowed)
            return told("refused", f"{where}: not among the places that are allowed ({places}).")
        try:
            place = S3Locator(notice.bucket, notice.key)
        except RequestError as exc:
            return told("refused", str(exc))
        if not is_media_name(notice.key):
            return told("ignored", "no media by its name")
        return Hint(place, message_id=message.id)

    def settle(self, done: Sequence[Hint], undone: Sequence[Hint]) -> None:
        """Delete messages of which all is done; the others come again, or are dead letters."""
        left = {hint.message_id for hint in undone}
        messages = [self.hinted.pop(name) for name in {h.message_id: 0 for h in [*done, *undone]}
                    if name is not None and name in self.hinted]  # fmt: skip
        self.queue.leave([each for each in messages if each.id in left])
        try:
            self.queue.delete([each for each in messages if each.id not in left])
        except (RequestError, StoreUnavailable) as exc:  # they come again, and change nothing
            log.warning("messages.not_deleted", queue=self.queue.place, error=str(exc))

    def close(self) -> None:
        """Give back what was received and not settled."""
        self.queue.close()


def _is_under(notice: Notice, place: S3Locator) -> bool:
    folder = place.key.rstrip("/")
    inside = not folder or notice.key == folder or notice.key.startswith(f"{folder}/")
    return notice.bucket == place.bucket and inside


def _allowed(text: str) -> S3Locator:
    place = parse_locator(text)
    if not isinstance(place, S3Locator):
        raise RequestError(f"--allow {text}: give s3://bucket or s3://bucket/prefix/.")
    return place
