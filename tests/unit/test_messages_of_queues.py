"""What a queue's messages tell of: literal payloads of AWS, and what is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copal.arrivals.messages import Notice, parse_message
from copal.errors import RequestError

S3 = {
    "eventVersion": "2.6",
    "eventSource": "aws:s3",
    "awsRegion": "eu-west-1",
    "eventTime": "2026-01-01T12:00:00.000Z",
    "eventName": "ObjectCreated:CompleteMultipartUpload",
    "s3": {
        "s3SchemaVersion": "1.0",
        "configurationId": "arrivals",
        "bucket": {"name": "media", "arn": "arn:aws:s3:::media"},
        "object": {
            "key": "in/%C3%89pisode+1%2B2.mp4", "size": 9, "eTag": "d41d8cd9-2",
            "sequencer": "0055AED6DCD90281E5",
        },
    },
}  # fmt: skip
EVENTBRIDGE = {
    "version": "0",
    "id": "2ee9cc15-d022-99ea-1fb8-1b1bac4850f7",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "detail": {
        "version": "0",
        "bucket": {"name": "media"},
        "object": {"key": "in/Épisode 1+2 %41.mp4", "etag": "d41d", "size": 9},
        "reason": "PutObject",
    },
}


def test_records_of_s3():
    """
    Keys are URL-encoded, and ``+`` is a space; a message may hold several records.
    """
    found = parse_message(json.dumps({"Records": [S3, S3]}))
    key = "in/Épisode 1+2.mp4"
    assert found == [Notice("media", key, "ObjectCreated:CompleteMultipartUpload")] * 2


def test_events_of_eventbridge():
    """
    Keys are plain: a plus is a plus and a percent sign a percent sign.
    """
    assert parse_message(json.dumps(EVENTBRIDGE)) == [
        Notice("media", "in/Épisode 1+2 %41.mp4", "Object Created")
    ]


def test_envelopes_of_sns():
    """
    What a topic forwards is its ``Message``, whatever that came from.
    """
    for inner in ({"Records": [S3]}, EVENTBRIDGE):
        plain = json.dumps(inner)
        envelope = json.dumps({"Type": "Notification", "TopicArn": "arn", "Message": plain})
        assert parse_message(envelope) == parse_message(plain)


def test_the_test_event_tells_of_nothing():
    """
    S3 sends one message when notifications are set up, also through a topic.
    """
    event = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "media"})
    assert parse_message(event) == []
    assert parse_message(json.dumps({"Type": "Notification", "Message": event})) == []


def changed(**record: object) -> str:
    return json.dumps({"Records": [{**S3, **record}]})


NESTED = json.dumps({"Records": [S3]})
for _ in range(4):
    NESTED = json.dumps({"Type": "Notification", "Message": NESTED})


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "null", "[]", "7", '"text"', "{}", '{"Records": {}}', '{"Records": [3]}',
        '{"Records": [{}]}', "[" * 100_000, NESTED,
        json.dumps({"Type": "Notification"}), json.dumps({"Type": "Notification", "Message": "x"}),
        json.dumps({"source": "aws.s3"}), json.dumps({"source": "aws.ec2", "detail": {}}),
        json.dumps({"source": "aws.s3", "detail": {"bucket": {"name": 3}, "object": {"key": "k"}}}),
        changed(eventVersion="3.0"), changed(eventSource="aws:ses"),
        changed(s3={"bucket": {"name": "b"}, "object": {"key": "%ff%fe"}}),
        changed(s3={"bucket": {"name": ""}, "object": {"key": "k"}}),
        changed(s3={"bucket": {"name": "b"}, "object": {"key": None}}),
    ],
)  # fmt: skip
def test_what_is_no_event_of_s3(body: str):
    """
    Anything else is refused in one line that shows its beginning.
    """
    with pytest.raises(RequestError) as told:
        parse_message(body)
    assert "\n" not in str(told.value) and len(str(told.value)) < 400


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["Records", "s3", "bucket", "object", "key", "name", "Type", "Message",
                         "source", "detail", "Event", "eventVersion"]) | st.text(), inner,
        max_size=4,
    ),
))  # fmt: skip
def test_no_message_takes_the_watcher_down(data: object):
    """
    Whatever JSON comes, it is understood or refused.
    """
    try:
        found = parse_message(json.dumps(data))
    except RequestError:
        return
    assert all(isinstance(each, Notice) for each in found)
