"""A queue that is watched: S3 and SQS as servers over HTTP, the watcher as a process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from copal.arrivals.queue import Queue, reaching
from copal.errors import StoreUnavailable
from copal.objects.s3 import s3_client
from tests.integration.repository import Repository, contents
from tests.integration.watcher import Queues, Watcher, make_queues, notify, record, watching


@pytest.fixture
def there(
    s3: dict[str, str], repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> Repository:
    """The small repository with a store on this machine and its media in S3."""
    monkeypatch.delenv("COPAL_STORE")
    variables = {name: value for name, value in s3.items() if name != "COPAL_STORE"}
    return Repository(repository.root, variables)


@pytest.fixture
def bucket(s3: dict[str, str]) -> str:
    return s3["COPAL_STORE"].split("/")[2]


@pytest.fixture
def queues(s3: dict[str, str], bucket: str) -> Iterator[Queues]:
    made = make_queues(f"{bucket[:60]}-q")
    yield made
    made.sqs.close()
    made.s3.close()


def settled(watcher: Watcher, queues: Queues) -> None:
    """Wait until the queue is empty and no run goes on."""
    watcher.wait(lambda: queues.count() == 0, "the queue is empty")


def test_objects_arrive_and_are_computed(
    there: Repository, bucket: str, queues: Queues, films: Path
) -> None:
    """
    Objects put into a bucket are brought in and computed, with their titles; tests, duplicates and
    copies onto themselves compute nothing; what is deleted is gone, and its asset stays.
    """
    body = b'calm film.mp4: {title: "The Calm"}\n'
    queues.s3.put_object(Bucket=bucket, Key="in/titles.yaml", Body=body)
    notify(queues, bucket)
    with watching(there, f"sqs://{queues.name}", "--allow", f"s3://{bucket}/in/") as watcher:
        watcher.ready()
        odd = "in/a+b %41 七人 é.mp4"
        for name, key in (("calm.mp4", "in/calm film.mp4"), ("brisk.mp4", odd)):
            s3_client().upload_file(str(films / name), bucket, key)
        watcher.wait(lambda: len(watcher.decisions()) >= 3, "both arrived")
        watcher.wait(lambda: there.lake().plan().stored == 9, "both are computed")
        queues.send(*[record(bucket, odd)] * 5)
        source = {"Bucket": bucket, "Key": odd}
        queues.s3.copy_object(
            Bucket=bucket, Key=odd, CopySource=source, MetadataDirective="REPLACE",
            Metadata={"note": "another"},
        )  # fmt: skip
        settled(watcher, queues)
        queues.s3.delete_object(Bucket=bucket, Key=odd)
        watcher.wait(lambda: watcher.told[-1]["decision"] == "gone", "it is gone")
    found = watcher.decisions()
    assert found["calm film.mp4"][0] == "new"
    assert found[odd.rpartition("/")[2]] == ["new", *["unchanged"] * 6, "gone"]
    lake = there.lake()
    assert {title.name for title in lake.titles()} == {"The Calm", "a+b %41 七人 é"}
    assert lake.plan().cells == 0 and len(lake.assets()) == 2
    rows = [row for row in lake.arrivals() if row.locator == f"s3://{bucket}/{odd}"]
    assert [row.decision for row in rows] == ["new", *["unchanged"] * 6, "gone"]
    assert all(row.message_id and row.source == "sqs" for row in rows)
    told = {row.run_id for row in lake.arrivals(["new"])}
    assert {attempt.run_id for attempt in lake.project.table("levels").attempts()} <= told
    assert queues.count(dead=True) == 0


def test_what_means_nothing_is_a_row_and_a_dead_letter(
    there: Repository, bucket: str, queues: Queues, films: Path
) -> None:
    """
    Malformed messages, objects that are not media, buckets that are not allowed and impossible keys
    are rows with a reason and become dead letters; vanished objects and names that are no media are
    rows; what is whole is computed meanwhile.
    """
    s3_client().upload_file(str(films / "calm.mp4"), bucket, "in/calm.mp4")
    queues.s3.put_object(Bucket=bucket, Key="in/broken.mp4", Body=b"no film at all")
    detail = {"bucket": {"name": bucket}, "object": {"key": "in/half \ud800.mp4"}}
    halved = json.dumps({"source": "aws.s3", "detail": detail})
    queues.send(
        "{not json",
        json.dumps({"hello": "world"}),
        json.dumps({"Event": "s3:TestEvent", "Service": "Amazon S3", "Bucket": bucket}),
        record("secrets", "in/calm.mp4"),
        record(bucket, "elsewhere/calm.mp4"),
        record(bucket, "in/../in/calm.mp4"),
        record(bucket, "in/new\nline.mp4"),
        record(bucket, "in/vanished.mp4"),
        halved,
        record(bucket, "in/broken.mp4"),
        record(bucket, "in/notes.txt"),
        record(bucket, "in/calm.mp4", "ObjectRemoved:Delete"),
    )
    with watching(there, f"sqs://{queues.name}", "--allow", f"s3://{bucket}/in") as watcher:
        watcher.wait(lambda: there.lake().plan().stored == 4, "the good one is computed")
        watcher.wait(lambda: queues.count(dead=True) == 8, "eight are dead letters")
        assert queues.count() == 0
    dead = queues.take(dead=True)
    assert sorted(dead) == sorted(
        [
            "{not json", json.dumps({"hello": "world"}), record("secrets", "in/calm.mp4"),
            record(bucket, "elsewhere/calm.mp4"), record(bucket, "in/../in/calm.mp4"),
            record(bucket, "in/new\nline.mp4"), record(bucket, "in/broken.mp4"), halved,
        ]
    )  # fmt: skip
    rows = there.lake().arrivals()
    told = {(row.decision, row.locator.partition(f"{bucket}/")[2]): row.note for row in rows}
    assert {row.locator for row in rows if row.decision == "malformed"} == {f"sqs://{queues.name}"}
    assert {decision for decision, _ in told} == {
        "malformed", "ignored", "refused", "gone", "new",
    }  # fmt: skip
    assert "not among the places that are allowed" in told["refused", "elsewhere/calm.mp4"]
    assert "no folders there" in told["refused", "in/../in/calm.mp4"]
    assert "control characters" in told["refused", "in/new\\x0aline.mp4"]
    assert told["gone", "in/vanished.mp4"] == "nothing is there, and nothing was known of it"
    assert told["ignored", "in/notes.txt"] == "no media by its name"


def test_envelopes_of_sns_and_eventbridge(
    there: Repository, bucket: str, queues: Queues, films: Path
) -> None:
    """
    Messages that came through SNS or EventBridge tell of the same objects.
    """
    for name in ("calm.mp4", "brisk.mp4"):
        s3_client().upload_file(str(films / name), bucket, f"in/a b+{name}")
    envelope = {"Type": "Notification", "Message": record(bucket, "in/a b+calm.mp4")}
    detail = {"bucket": {"name": bucket}, "object": {"key": "in/a b+brisk.mp4"}}
    event = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    queues.send(json.dumps(envelope), json.dumps(event))
    with watching(
        there, f"sqs://{queues.name}", "--allow", f"s3://{bucket}", "--no-run"
    ) as watcher:
        watcher.wait(lambda: len(watcher.told) == 2, "both came")
        settled(watcher, queues)
    assert watcher.decisions() == {"a b+calm.mp4": ["new"], "a b+brisk.mp4": ["new"]}
    assert contents(there.lake()) == {}


def test_a_message_is_held_while_it_is_worked_on(queues: Queues) -> None:
    """
    A message stays hidden beyond its time while it is held; given back, it is seen at once.
    """
    queues.send("one", "two")
    queue = Queue(f"sqs://{queues.name}")
    one, two = sorted(queue.receive(0), key=lambda message: message.body)
    time.sleep(1.5 * queue.visibility_seconds)
    assert queue.receive(0) == [], "the heartbeat holds both"
    queue.delete([one])
    queue.close()
    assert [each.body for each in Queue(queues.url).receive(0)] == ["two"]
    assert (one.received, two.received) == (1, 1)


def test_what_lands_during_a_run_is_not_held_up(
    there: Repository, bucket: str, queues: Queues, films: Path
) -> None:
    """
    While a run goes on, messages are written down and another run is started; no cell is
    computed twice.
    """
    sign = there.hold("levels")
    s3_client().upload_file(str(films / "calm.mp4"), bucket, "in/calm.mp4")
    queues.send(record(bucket, "in/calm.mp4"))
    with watching(there, f"sqs://{queues.name}", "--allow", f"s3://{bucket}") as watcher:
        watcher.wait(lambda: there.waiting("levels"), "the run goes on")
        assert queues.count() == 0, "what was written down is no message any more"
        s3_client().upload_file(str(films / "brisk.mp4"), bucket, "in/brisk.mp4")
        queues.send(record(bucket, "in/brisk.mp4"))
        watcher.wait(lambda: len(set(there.waiting("levels"))) == 2, "the next begins meanwhile")
        sign.unlink()
        watcher.wait(lambda: there.lake().plan().stored == 9, "all is computed")
    stored = [a.unit for a in there.lake().project.table("levels").attempts(["stored"])]
    assert len(stored) == len(set(stored)) == 2, "each was computed once"


def test_a_watcher_without_work_ends_at_once(
    there: Repository, bucket: str, queues: Queues
) -> None:
    """
    A watcher that waits for a message is stopped without waiting the wait out.
    """
    where = (f"sqs://{queues.name}", "--allow", f"s3://{bucket}", "--poll=20")
    with watching(there, *where) as watcher:
        watcher.ready()
        started = time.monotonic()
    assert time.monotonic() - started < 10


def test_queues_that_cannot_be_watched(there: Repository, bucket: str, queues: Queues) -> None:
    """
    A queue that is not there, one that may not be read, a watcher that allows nothing: one line.
    """
    allow = ("--allow", f"s3://{bucket}/in")
    assert there.copal("watch", "sqs://nowhere", *allow, code=2).err == (
        "copal: sqs://nowhere: there is no such queue. Check its name, the region and the "
        "account.\n"
    )
    silent = there.copal("watch", f"sqs://{queues.name}", code=2)
    assert "say where its objects may lie: --allow s3://bucket/prefix" in silent.err
    assert "give s3://bucket" in there.copal(
        "watch", f"sqs://{queues.name}", "--allow", "file:///x", code=2
    ).err  # fmt: skip
    assert "no name of a queue" in there.copal("watch", "sqs://a/b", *allow, code=2).err
    assert "folders and sqs://QUEUE can be watched" in there.copal(
        "watch", f"s3://{bucket}", *allow, code=2
    ).err  # fmt: skip
    away = Repository(there.root, {**there.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert "SQS cannot be reached" in away.copal("watch", "sqs://q", *allow, code=1).err


def test_a_queue_that_goes_away_and_comes_back(
    there: Repository, bucket: str, queues: Queues, films: Path
) -> None:
    """
    A queue that is deleted while it is watched is told of, and read again once it is back.
    """
    with watching(
        there, f"sqs://{queues.name}", "--allow", f"s3://{bucket}", "--no-run"
    ) as watcher:
        queues.send(record(bucket, "vanished.mp4"))
        watcher.wait(lambda: watcher.told, "it watches")
        queues.sqs.delete_queue(QueueUrl=queues.url)
        watcher.wait(lambda: watcher.events("queue.not_read"), "it is told")
        s3_client().upload_file(str(films / "calm.mp4"), bucket, "calm.mp4")
        queues.sqs.create_queue(QueueName=queues.name)
        queues.send(record(bucket, "calm.mp4"))
        watcher.wait(lambda: len(watcher.told) == 2, "it is read again")
    assert watcher.decisions() == {"vanished.mp4": ["gone"], "calm.mp4": ["new"]}


def test_a_queue_that_may_not_be_read_says_what_is_needed() -> None:
    """
    SQS's refusal names the permissions that a watcher takes.
    """
    from botocore.exceptions import ClientError

    said = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    with (
        pytest.raises(StoreUnavailable, match=r"access denied .* sqs:GetQueueUrl, .*Visibility"),
        reaching("sqs://q"),
    ):
        raise ClientError(said, "ReceiveMessage")  # type: ignore[arg-type]


def test_an_object_that_cannot_be_asked_for_comes_again(
    there: Repository, bucket: str, queues: Queues, films: Path
) -> None:
    """
    While S3 does not answer, an arrival is told as failed and its message stays; then it is taken.
    """
    s3_client().upload_file(str(films / "calm.mp4"), bucket, "calm.mp4")
    away = {**there.environment, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
            "AWS_MAX_ATTEMPTS": "1"}  # fmt: skip
    queues.send(record(bucket, "calm.mp4"))
    where = (f"sqs://{queues.name}", "--allow", f"s3://{bucket}", "--no-run")
    with watching(Repository(there.root, away), *where) as watcher:
        watcher.wait(lambda: watcher.told, "it is told")
    assert {each["decision"] for each in watcher.told} == {"failed"}
    with watching(there, *where) as watcher:
        watcher.wait(lambda: watcher.told, "it comes again")
    assert watcher.decisions() == {"calm.mp4": ["new"]}
