"""Locators: what can be opened, and how it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from copal.errors import RequestError
from copal.objects import FileLocator, S3Locator, parse_locator


@pytest.mark.parametrize(
    ("text", "locator"),
    [
        ("file:///media/a%20b.mov", FileLocator(Path("/media/a b.mov"))),
        ("file://localhost/media/a.mov", FileLocator(Path("/media/a.mov"))),
        ("file:/media/a.mov", FileLocator(Path("/media/a.mov"))),
        ("s3://media/in/Épisode 1+2?.mp4#x", S3Locator("media", "in/Épisode 1+2?.mp4#x")),
        ("s3://media", S3Locator("media", "")),
        ("s3://media/100%25.mp4", S3Locator("media", "100%25.mp4")),
    ],
)
def test_locators_are_read_and_written(text: str, locator: FileLocator | S3Locator) -> None:
    """
    A locator that is written reads back as itself; a key stands as it is, a path is quoted.
    """
    assert parse_locator(text) == locator
    assert parse_locator(str(locator)) == locator


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com/a.mp4", "https://169.254.169.254/latest", "concat:a|b", "a.mp4",
        "file://example.com/a.mp4", "file:relative.mp4", "file:///a%00b", "s3:/media/a.mp4",
        "s3:///a.mp4", "s3://Media/a.mp4", "s3://ab/a.mp4", "s3://a..b/a.mp4",
        "s3://user:pw@host/a.mp4", "s3://media/../other/a.mp4", "s3://media/a\nb.mp4",
        "s3://media/" + "x" * 1025,
    ],
)  # fmt: skip
def test_other_places_are_refused(text: str) -> None:
    """
    No other scheme, no host, no bucket that cannot be, no key that climbs.
    """
    with pytest.raises(RequestError):
        parse_locator(text)


def test_a_file_name_that_is_not_utf8_is_written_byte_by_byte() -> None:
    """
    Linux names are bytes: the locator holds them all, the name shows what can be shown.
    """
    place = FileLocator(Path("/media/caf\udce9.mov"))
    assert str(place) == "file:///media/caf%E9.mov"
    assert parse_locator(str(place)) == place
    assert place.name == "caf\ufffd.mov"


def test_names_and_suffixes() -> None:
    """
    The name of an object is the last part of its key.
    """
    place = S3Locator("media", "in/heist.en.vtt")
    assert (place.name, place.suffix) == ("heist.en.vtt", ".vtt")
    assert S3Locator("media", "in/folder/").name == "folder"
    assert S3Locator("media", "").name == S3Locator("media", "a").suffix == ""
