"""Titles as people name them, made safe for commands."""

from __future__ import annotations

import pytest

from copal.asset import title_id
from tests.builders import asset_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Heist: S01E02", "heist-s01e02"),
        ("  The   Vault!! ", "the-vault"),
        ("bbb_0_30", "bbb_0_30"),
        ("Größe", "grösse"),
        ("Amélie", "amélie"),
        ("Ame\u0301lie", "amélie"),  # the accent by itself
        ("ＦＵＬＬ　Ｗｉｄｔｈ", "full-width"),
        ("七人の侍", "七人の侍"),
        ("Броненосец «Потёмкин»", "броненосец-потёмкин"),
        ("../../etc/passwd", "etc-passwd"),
        ("???", "untitled"),
    ],
)
def test_a_name_becomes_a_word_for_commands(name, expected):
    """
    Case, spaces and marks go; letters of any script stay.
    """
    assert title_id(name) == expected


def test_vowel_signs_are_letters():
    """
    Scripts that write vowels as marks keep them: two Hindi titles do not become one.
    """
    assert title_id("दिल") != title_id("दाल")


def test_an_id_is_its_own_id():
    """
    What the command line prints can be typed again.
    """
    for name in ("Heist: S01E02", "दिल चाहता है", "İstanbul", "Ame\u0301lie"):
        assert title_id(title_id(name)) == title_id(name)


def test_people_see_eight_digits():
    """
    An asset is shown by the start of its id.
    """
    assert asset_of("7f3a9c21ffff").short == "7f3a9c21"
