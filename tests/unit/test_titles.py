"""What people say of their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from copal.arrivals.titles import TitleWords, read_titles
from copal.errors import RequestError

GOOD = """\
heist_s01e02.mov: {title: "The Vault", show: Heist, season: 1, episode: 2, year: 2021}
short.mov: A Short Film
"""


def test_titles_beside_the_media(tmp_path: Path) -> None:
    """
    A file is said to be a title by a word, or by a mapping of what is known of it.
    """
    (tmp_path / "titles.yaml").write_text(GOOD)
    said = read_titles(tmp_path)
    title = said["heist_s01e02.mov"].about(tmp_path / "heist_s01e02.mov")
    assert (title.id, title.name, title.kind) == (
        "heist-s01e02-the-vault", "The Vault", "episode",
    )  # fmt: skip
    assert (title.show, title.season, title.episode, title.year) == ("Heist", 1, 2, 2021)
    assert said["short.mov"].about(tmp_path / "short.mov").name == "A Short Film"


def test_a_file_that_nobody_spoke_of_is_called_by_its_name(tmp_path: Path) -> None:
    """
    Without a titles.yaml, or with an empty one, the file's name is the title.
    """
    assert read_titles(tmp_path) == {}
    (tmp_path / "titles.yaml").write_text("# later\n")
    assert read_titles(tmp_path) == {}
    title = TitleWords().about(Path("Tears of Steel.webm"))
    assert (title.id, title.name, title.kind) == ("tears-of-steel", "Tears of Steel", "film")


def test_episodes_of_one_name_are_two_titles() -> None:
    """
    A show, and a number where one is said, are part of an episode's id.
    """
    path = Path("pilot.mov")
    said = [
        TitleWords("Pilot", show="Heist"),
        TitleWords("Pilot", show="Harbour", season=1),
        TitleWords("Pilot", show="Heist", season=1, episode=1),
        TitleWords("Pilot"),
    ]
    assert [words.about(path).id for words in said] == [
        "heist-pilot", "harbour-s01-pilot", "heist-s01e01-pilot", "pilot",
    ]  # fmt: skip


def test_flags_go_before_the_file() -> None:
    """
    What is typed wins over what is written; what is not typed is taken from there.
    """
    typed, written = TitleWords(title="A", season=0), TitleWords(title="B", season=2, year=1999)
    assert typed.over(written) == TitleWords(title="A", season=0, year=1999)
    assert typed.said and not TitleWords().said


MISTAKES = {
    "no YAML": "a: [",
    "a list": "- a",
    "a number for a title": "a.mov: 3",
    "an unknown key": "a.mov: {titel: A}",
    "a word for a season": "a.mov: {title: A, season: one}",
    "true for a year": "a.mov: {title: A, year: true}",
    "a number for a title's name": "a.mov: {title: 300}",
    "no text": b"a.mov: \xff",
    "too much": "#" * ((1 << 20) + 1),
}


def test_the_words_of_each_mistake(tmp_path: Path, snapshot) -> None:
    """
    A damaged titles.yaml is a RequestError with the file, the entry and the key.
    """
    path = tmp_path / "titles.yaml"
    told = []
    for mistake, text in MISTAKES.items():
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(RequestError) as caught:
            read_titles(tmp_path)
        words = str(caught.value).replace(str(tmp_path), "MEDIA")
        told.append(f"{mistake}\n    {words}\n")
    snapshot("titles_errors", "\n".join(told))
