"""``copal watch`` as a process that is listened to, and queues that a bucket's notices come to."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.integration.repository import PATIENCE_SECONDS, Repository, until


@dataclass
class Watcher:
    """A watcher, and all that it said."""

    process: subprocess.Popen[str]
    told: list[dict[str, Any]] = field(default_factory=list)
    """Arrivals, as printed."""
    logged: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.threads = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in (
                (self.process.stdout, self.told),
                (self.process.stderr, self.logged),
            )
        ]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _read(stream: Any, lines: list[dict[str, Any]]) -> None:
        for line in stream:
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"event": line.rstrip()})

    def wait(self, sign: Callable[[], Any], what: str) -> Any:
        """Wait for a sign; what was logged is told when it does not come."""

        def sign_or_end() -> Any:
            found = sign()
            assert found or self.process.poll() is None, f"{what}: the watcher has ended"
            return found

        try:
            return until(sign_or_end, what)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.told}\n{self.logged[-30:]}") from None

    def decisions(self) -> dict[str, list[str]]:
        """File name → decisions, in order."""
        found: dict[str, list[str]] = {}
        for each in list(self.told):
            found.setdefault(each["locator"].rpartition("/")[2], []).append(each["decision"])
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log lines of one name."""
        return [each for each in list(self.logged) if each["event"] == name]

    def ready(self) -> Watcher:
        """Wait until the first run, of what was missing, is over."""
        self.wait(lambda: self.events("run.over"), "the watcher is ready")
        return self

    def stop(self) -> None:
        """End it in good order."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_SECONDS)
        self._close()
        assert code == 0, (code, self.logged[-10:])

    def kill(self) -> None:
        """End it as the system does when memory is short: the process alone, with no warning."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)
        self._close()

    def _close(self) -> None:
        for thread in self.threads:
            thread.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def watch(repository: Repository, *arguments: object) -> Watcher:
    """Start a watcher. moto waits for messages in a loop that takes a whole core: no waiting."""
    return Watcher(repository.start("watch", "--poll=0", *map(str, arguments), "--json"))


@contextmanager
def watching(repository: Repository, *arguments: object) -> Iterator[Watcher]:
    """A watcher that is stopped in the end, in good order, and must end well."""
    watcher = watch(repository, *arguments)
    try:
        yield watcher
        watcher.stop()
    finally:
        if watcher.process.poll() is None:
            os.killpg(watcher.process.pid, signal.SIGKILL)
            watcher.process.wait()


@dataclass(frozen=True)
class Queues:
    """A queue, with one for its dead letters, and clients for both and for S3."""

    sqs: Any
    s3: Any
    name: str
    url: str
    dead_url: str

    def send(self, *bodies: str) -> None:
        """Put messages into the queue."""
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def take(self, dead: bool = False) -> list[str]:
        """Take every message out that can be seen."""
        url, bodies = self.dead_url if dead else self.url, []
        while found := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for each in found:
                bodies.append(each["Body"])
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        return bodies

    def count(self, dead: bool = False) -> int:
        """Messages in the queue, those that somebody holds too."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(
            QueueUrl=self.dead_url if dead else self.url, AttributeNames=names
        )["Attributes"]
        return sum(int(found[name]) for name in names)

    def shuffle(self, times: int, dice: random.Random) -> None:
        """Every message so many times, in any order."""
        bodies = self.take() * times
        dice.shuffle(bodies)
        self.send(*bodies)


def make_queues(name: str, *, visibility: int = 4, receives: int = 3) -> Queues:
    """A queue whose messages are dead letters after so many receives."""
    import boto3

    sqs, s3 = boto3.client("sqs"), boto3.client("s3")
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = _arn(sqs, dead)
    url = sqs.create_queue(
        QueueName=name,
        Attributes={
            "VisibilityTimeout": str(visibility),
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives}),
        },
    )["QueueUrl"]
    return Queues(sqs, s3, name, url, dead)


def notify(queues: Queues, bucket: str) -> None:
    """Have a bucket tell the queue of objects that come and go."""
    arn = _arn(queues.sqs, queues.url)
    events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    queues.s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": events}]},
    )


def _arn(sqs: Any, url: str) -> str:
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(told["Attributes"]["QueueArn"])


def record(bucket: str, key: str, event: str = "ObjectCreated:Put") -> str:
    """S3's message about one object."""
    from urllib.parse import quote_plus

    found = {"bucket": {"name": bucket}, "object": {"key": quote_plus(key)}}
    one = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": event, "s3": found}
    return json.dumps({"Records": [one]})


def names(locators: Sequence[str]) -> set[str]:
    """Last parts of locators."""
    return {each.rpartition("/")[2] for each in locators}
