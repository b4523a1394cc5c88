"""Cron lines, in AWS's six fields and in Unix's five."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copal.cron import parse
from copal.errors import RequestError


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "after", "due"),
    [
        ("0 3 * * ? *", "2026-11-21 02:59", "2026-11-21 03:00"),
        ("0 3 * * ? *", "2026-11-21 03:00", "2026-11-22 03:00"),
        ("*/15 * * * ? *", "2026-11-21 23:50", "2026-11-22 00:00"),
        ("5/20 8-10 * * ? *", "2026-11-21 10:46", "2026-11-22 08:05"),
        ("0 0 29 2 ? *", "2026-03-01 00:00", "2028-02-29 00:00"),
        ("0 0 L * ? *", "2026-02-03 00:00", "2026-02-28 00:00"),
        ("0 6 ? * 2 *", "2026-11-21 00:00", "2026-11-23 06:00"),  # a Monday
        ("0 6 ? * MON-FRI *", "2026-11-21 00:00", "2026-11-23 06:00"),
        ("0 6 ? * 6L *", "2026-11-01 00:00", "2026-11-27 06:00"),  # the last Friday
        ("0 6 ? * 6#3 *", "2026-11-01 00:00", "2026-11-20 06:00"),  # the third Friday
        ("30 1 1 1 ? 2190", "2026-11-21 00:00", "2190-01-01 01:30"),
        ("0 6 * * 1", "2026-11-21 00:00", "2026-11-23 06:00"),  # Unix: a Monday too
        ("0 6 * * 7", "2026-11-21 00:00", "2026-11-22 06:00"),
        ("0 6 13 * FRI", "2026-11-21 00:00", "2026-11-27 06:00"),  # either will do
        ("0 6 13 * FRI", "2026-12-12 00:00", "2026-12-13 06:00"),
        ("0 0 1 JAN,jul ? *", "2026-11-21 00:00", "2027-01-01 00:00"),
    ],
)
def test_when_it_is_due_next(line, after, due):
    """
    The first minute after a moment, with numbers of weekdays as each kind of line counts them.
    """
    assert parse(line).next_after(at(after)) == at(due)


def test_what_is_never_due():
    """
    The 30th of February, and a year that has passed.
    """
    assert parse("0 0 30 2 ? *").next_after(at("2026-01-01")) is None
    assert parse("0 0 1 1 ? 2020").next_after(at("2026-01-01")) is None


FIELD = st.sampled_from(["*", "0", "7", "*/4", "1-5", "2,3,6", "3-6/2"])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["0", "*/30", "15,45"]), FIELD, FIELD.filter(lambda f: "0" not in f),
    st.sampled_from(["*", "2", "11,12", "1-6"]), st.datetimes(datetime(2024, 1, 1),
                                                              datetime(2026, 12, 1)),
)  # fmt: skip
def test_it_agrees_with_looking_at_every_minute(minute, hour, day, month, moment):
    """
    Nothing due lies between a moment and what it says is due next.
    """

    def holds(field: str, value: int, low: int) -> bool:
        for part in field.split(","):
            span, _, step = part.partition("/")
            start, _, end = span.partition("-")
            first = low if span == "*" else int(start)
            last = 99 if span == "*" else int(end or start)
            if first <= value <= last and (value - first) % int(step or 1) == 0:
                return True
        return False

    cron = parse(f"{minute} {hour} {day} {month} ? *")
    moment = moment.replace(tzinfo=UTC)
    due = cron.next_after(moment)
    assert due is not None and due > moment
    step = (moment + timedelta(minutes=1)).replace(second=0, microsecond=0)
    for _ in range(4000):
        ours = (holds(minute, step.minute, 0) and holds(hour, step.hour, 0)
                and holds(day, step.day, 1) and holds(month, step.month, 1))  # fmt: skip
        assert ours == (step == due) or step > due
        if step >= due:
            return
        step += timedelta(minutes=1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 3 * *", "4 fields; a cron line has five, or six with the year"),
        ("61 3 * * ? *", "minute '61': '61' is none of 0 to 59"),
        ("0 3 * * * *", "one must be '?'"),
        ("0 3 ? * 0 *", "day of week '0': '0' is none of 1 to 7"),
        ("0 5-3 * * ? *", "hour '5-3': '5-3' runs backwards"),
        ("*/0 3 * * ? *", "minute '*/0': step '0' is no number above 0"),
        ("0 3 15W * ? *", "nearest weekdays are not known here"),
        ("0 3 1 FOO ? *", "month 'FOO': 'FOO' is none of 1 to 12"),
    ],
)
def test_a_line_that_is_none(line, words):
    """
    The message names the line, the field and what is wrong with it.
    """
    with pytest.raises(RequestError) as caught:
        parse(line)
    assert str(caught.value).startswith(f"schedule '{line}'")
    assert words in str(caught.value)
