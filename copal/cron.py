"""A cron line: the minutes, in UTC, at which something is due.

Six fields are read as AWS and Quartz read them, which is what Metaflow's ``@schedule`` takes:
minute, hour, day of month, month, day of week (1 is Sunday), year; five as Unix reads them (0 and
7 are Sunday, and when both days are given either will do).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NoReturn

from copal.errors import RequestError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIRST_YEAR, LAST_YEAR = 1970, 2199
FARTHEST_DAYS = 366 * 41
"""Days after which nothing more is looked for: 29 February is on one weekday every 28 years, or 40
when a century without it comes between."""

Days = Callable[[date], bool]


@dataclass(frozen=True, slots=True)
class Cron:
    """When something is due."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    day_of_month: Days
    day_of_week: Days
    either: bool
    """Whether one of the two days will do, as in a line of five fields with both given."""

    def on(self, day: date) -> bool:
        """Whether it is due on a day."""
        if day.month not in self.months or day.year not in self.years:
            return False
        one, other = self.day_of_month(day), self.day_of_week(day)
        return (one or other) if self.either else (one and other)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first time it is due after a moment; None when it never is again."""
        moment = moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        year = min((year for year in self.years if year >= moment.year), default=LAST_YEAR)
        day = max(moment.date(), date(year, 1, 1))
        for _ in range(FARTHEST_DAYS):
            if self.on(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        due = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                        if due >= moment:
                            return due
            if day.year > max(self.years):
                return None
            day += timedelta(days=1)
        return None


def parse(line: str) -> Cron:
    """The cron line that a text is.

    Raises
    ------
    RequestError
        It is none; says which field is wrong.
    """
    fields = line.upper().split()
    if len(fields) not in (5, 6):
        raise RequestError(
            f"schedule '{line}': {len(fields)} fields; a cron line has five, or six with the year, "
            'such as "0 3 * * ? *".'
        )
    aws = len(fields) == 6
    minute, hour, of_month, month, of_week = (
        _Field(line, *each)
        for each in zip(
            fields, ("minute", "hour", "day of month", "month", "day of week"), strict=False
        )
    )
    any_month, any_week = of_month.text in ("*", "?"), of_week.text in ("*", "?")
    if aws and "?" not in (of_month.text, of_week.text):
        of_week.refuse("of day of month and day of week one must be '?' in a line of six fields")
    years = _Field(line, fields[5], "year").numbers(FIRST_YEAR, LAST_YEAR) if aws else None
    return Cron(
        text=line,
        minutes=tuple(sorted(minute.numbers(0, 59))),
        hours=tuple(sorted(hour.numbers(0, 23))),
        months=month.numbers(1, 12, MONTHS, 1),
        years=years or frozenset(range(FIRST_YEAR, LAST_YEAR + 1)),
        day_of_month=_always if any_month else _month_days(of_month),
        day_of_week=_always if any_week else _week_days(of_week, first=1 if aws else 0),
        either=not aws and not any_month and not any_week,
    )


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a line."""

    line: str
    text: str
    name: str

    def refuse(self, why: str) -> NoReturn:
        raise RequestError(f"schedule '{self.line}': {self.name} '{self.text}': {why}.")

    def numbers(
        self, low: int, high: int, names: tuple[str, ...] = (), first: int = 0
    ) -> frozenset[int]:
        """Numbers that ``*``, ``5``, ``1-5``, ``*/15``, ``MON-FRI`` and lists of them stand for."""
        found: set[int] = set()
        for part in self.text.split(","):
            span, slash, step = part.partition("/")
            if slash and (not step.isdigit() or int(step) < 1):
                self.refuse(f"step '{step}' is no number above 0")
            if span in ("*", "?"):
                start, end = low, high
            else:
                one, dash, other = span.partition("-")
                start = self.number(one, low, high, names, first)
                end = self.number(other, low, high, names, first) if dash else start
                if slash and not dash:
                    end = high
            if start > end:
                self.refuse(f"'{span}' runs backwards")
            found.update(range(start, end + 1, int(step) if slash else 1))
        return frozenset(found)

    def number(self, text: str, low: int, high: int, names: tuple[str, ...], first: int) -> int:
        if text in names:
            return names.index(text) + first
        if not re.fullmatch(r"\d{1,4}", text) or not low <= int(text) <= high:
            self.refuse(f"'{text}' is none of {low} to {high}")
        return int(text)


def _always(day: date) -> bool:
    return True


def _month_days(field: _Field) -> Days:
    """``L`` is the last day of the month."""
    if field.text == "L":
        return lambda day: day.day == calendar.monthrange(day.year, day.month)[1]
    if "W" in field.text or "#" in field.text:
        field.refuse("nearest weekdays are not known here; name the days")
    days = field.numbers(1, 31)
    return lambda day: day.day in days


def _week_days(field: _Field, first: int) -> Days:
    """``6L`` is the last Friday of a month, ``6#3`` the third; both of lines of six fields."""
    special = re.fullmatch(r"(\w+?)(?:(L)|#([1-5]))", field.text) if first else None
    high = 7  # Unix: Sunday again
    if special:
        weekday = field.number(special[1], first, high, DAYS, first) - first
        if special[2]:
            return lambda day: _weekday(day) == weekday and (day + timedelta(7)).month != day.month
        nth = int(special[3])
        return lambda day: _weekday(day) == weekday and (day.day - 1) // 7 + 1 == nth
    days = {(number - first) % 7 for number in field.numbers(first, high, DAYS, first)}
    return lambda day: _weekday(day) in days


def _weekday(day: date) -> int:
    """0 is Sunday."""
    return day.isoweekday() % 7
