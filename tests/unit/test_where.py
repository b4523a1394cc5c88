"""Filters on titles: what they say, and what they refuse."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copal.asset import Title
from copal.errors import RequestError
from copal.fingerprint import TitleId
from copal.search.where import parse

HEIST = Title(TitleId("heist-s01e02"), "Heist S01E02", "episode", "Heist", 1, 2, 1994)
FILM = Title(TitleId("harbour"), "Harbour", "film", year=1958)


@pytest.mark.parametrize(
    ("text", "heist", "film"),
    [
        ("year >= 1990", True, False),
        ("year >= 1990 and show = 'Heist'", True, False),
        ("show = heist", True, False),
        ("show != 'Heist'", False, True),
        ("season = 1", True, False),
        ("season != 1", False, True),
        ("season < 9", True, False),
        ("kind = film or episode = 2", True, True),
        ("not kind = film", True, False),
        ("not (kind = film or year > 1990)", False, False),
        ("year in (1958, 1960)", False, True),
        ("title in ('Harbour', \"Night Train\")", False, True),
        ("kind = film and year < 1950 or year = 1994", True, False),
        ("YEAR > 1950 AND Kind = 'FILM'", False, True),
        ("title = 'O''Brien'", False, False),
        ("year > -1", True, True),
    ],
)
def test_a_filter_holds_for_those_it_describes(text: str, heist: bool, film: bool) -> None:
    """
    Comparisons join as they read, 'and' closer than 'or'; what was not said is unlike anything.
    """
    assert (parse(text).holds(HEIST), parse(text).holds(FILM)) == (heist, film)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("yaer > 3", "no field 'yaer'.*Did you mean 'year'"),
        ("year > 'x'", "year needs a whole number before ''x''"),
        ("year > 1990.5", "year needs a whole number"),
        ("show > 'A'", "show is a text"),
        ("year", "expected =.*at its end"),
        ("year = 1 year = 2", "expected 'and' or 'or' before 'year = 2'"),
        ("(year = 1", r"expected '\)' at its end"),
        ("year in 3", r"expected '\('"),
        ("show = ", "show needs a text"),
        ("show = 'open", "show needs a text"),
        ("year = 1; drop", "expected 'and' or 'or' before '; drop'"),
        ("__import__('os') = 1", "no field '__import__'"),
        ("and", "no field 'and'"),
        ("not " * 30 + "year = 1", "more than 20 levels"),
        ("year = 1 or " * 300 + "year = 1", "characters"),
    ],
)
def test_a_filter_that_says_nothing_is_refused(text: str, complaint: str) -> None:
    """
    What cannot be understood is told with its place; nothing of it is run.
    """
    with pytest.raises(RequestError, match=complaint):
        parse(text)


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    """
    Any text is a filter or a request error, never another error.
    """
    with contextlib.suppress(RequestError):
        assert parse(text).holds(HEIST) in (True, False)
