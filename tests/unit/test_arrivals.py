"""What a file turns out to be: small texts stand for films, to the catalogue both are media."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from copal.arrivals import Arrival, add
from copal.arrivals.titles import TitleWords
from copal.errors import RequestError
from copal.project import Project


def script(line: str) -> str:
    return f"1\n00:00:01,000 --> 00:00:02,000\n{line}\n"


class House:
    """A project and a folder of media."""

    def __init__(self, root: Path) -> None:
        (root / "registry.yaml").write_text(
            "project: test\nfeatures:\n  words: {version: 1, compute: gone:Gone, of: text}\n"
        )
        self.project = Project(root, store=str(root / "store"))
        self.media = root / "media"
        self.media.mkdir()

    def put(self, name: str, line: str) -> Path:
        path = self.media / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script(line))
        return path

    def add(self, *paths: Path, **words: object) -> list[Arrival]:
        return list(add(self.project, paths or [self.media], TitleWords(**words)))  # type: ignore[arg-type]

    def decisions(self) -> dict[str, str]:
        return {Path(each.locator).name: each.decision for each in self.add()}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_new_file_is_a_new_asset_and_then_unchanged(house):
    """
    What was never seen is new; looked at again, it is unchanged and nothing is written.
    """
    house.put("a.srt", "one")
    assert house.decisions() == {"a.srt": "new"}
    assert house.decisions() == {"a.srt": "unchanged"}
    (asset,) = house.project.catalog.assets(technical=True)
    assert (asset.kind, asset.title, asset.name) == ("text", "a", "a.srt")
    assert asset.technical["kind"] == "text"


def test_equal_content_is_one_asset_in_two_places(house):
    """
    A copy is no second asset: it is one more place of the same one.
    """
    house.put("a.srt", "one")
    house.put("b.srt", "one")
    assert house.decisions() == {"a.srt": "new", "b.srt": "known"}
    assert len(house.project.catalog.assets()) == 1
    assert len(house.project.catalog.places()) == 2


def test_a_moved_file_stays_the_asset(house):
    """
    A file that left one place for another keeps its id and its title; the old place is forgotten.
    """
    path = house.put("a.srt", "one")
    (before,) = house.add()
    path.rename(house.media / "b.srt")
    (after,) = house.add()
    assert after.decision == "moved"
    assert (after.asset, after.title) == (before.asset, before.title)
    (place,) = house.project.catalog.places()
    assert place.locator.endswith("/b.srt")


def test_other_content_in_a_known_place_is_another_asset(house):
    """
    A file that was overwritten is told as replaced; the asset that was there is still known.
    """
    path = house.put("a.srt", "one")
    house.add()
    path.write_text(script("something else"))
    assert house.decisions() == {"a.srt": "replaced"}
    assert len(house.project.catalog.assets()) == 2
    assert len(house.project.catalog.places()) == 1


def test_a_touched_file_is_revised(house):
    """
    Another time stamp on the same bytes changes the place and nothing else.
    """
    path = house.put("a.srt", "one")
    (before,) = house.add()
    os.utime(path, (1, 1))
    (after,) = house.add()
    assert (after.decision, after.asset) == ("revised", before.asset)


def test_titles_can_be_told_later(house):
    """
    A titles.yaml that arrives after the file changes its title, not the asset.
    """
    house.put("a.srt", "one")
    (before,) = house.add()
    (house.media / "titles.yaml").write_text('a.srt: {title: "The Vault", show: Heist}')
    (after,) = house.add()
    assert (after.decision, after.asset.id) == ("retitled", before.asset.id)
    assert (after.title.id, after.asset.show) == ("heist-the-vault", "Heist")
    assert house.decisions() == {"a.srt": "unchanged"}


def test_another_title_of_one_id_is_refused(house):
    """
    A title is never written over with another one: the later file is refused, with both titles.
    """
    house.put("a.srt", "one")
    house.put("b.srt", "two")
    words = house.media / "titles.yaml"
    words.write_text("a.srt: {title: Heist, year: 1974}\nb.srt: {title: Heist, year: 2001}")
    first, second = house.add()
    assert (first.decision, second.decision) == ("new", "refused")
    assert second.note == (
        "b.srt: its title 'Heist' (film, year 2001) would have the id 'heist' of 'Heist' (film, "
        "year 1974) (a.srt). Give one of them another title or show in titles.yaml."
    )
    assert [title.year for title in house.project.catalog.titles()] == [1974]
    words.write_text("a.srt: {title: Heist, year: 1974}\nb.srt: {title: Heist 2, year: 2001}")
    assert house.decisions() == {"a.srt": "unchanged", "b.srt": "new"}
    words.write_text("a.srt: {title: Heist, year: 1974}\nb.srt: {title: Heist, year: 2001}")
    assert house.decisions() == {"a.srt": "unchanged", "b.srt": "refused"}
    assert all(place.asset for place in house.project.catalog.places())


def test_two_files_of_one_title(house):
    """
    A title of two files stays one: what only one entry says is kept, and both can be corrected.
    """
    house.put("a.srt", "one")
    house.put("b.srt", "two")
    words = house.media / "titles.yaml"
    words.write_text("a.srt: {title: Heist, year: 1974}\nb.srt: Heist")
    assert house.decisions() == {"a.srt": "new", "b.srt": "new"}
    assert house.decisions() == {"a.srt": "unchanged", "b.srt": "unchanged"}
    words.write_text("a.srt: {title: Heist, year: 1975}\nb.srt: {title: Heist, year: 1975}")
    assert "refused" not in house.decisions().values()
    (title,) = house.project.catalog.titles()
    assert title.year == 1975


def test_one_bad_file_stops_no_other(house):
    """
    Files that cannot be used are refused with a reason and kept as such; the rest come in.
    """
    house.put("a.srt", "one")
    (house.media / "b.srt").write_bytes(b"")
    (house.media / "c.srt").write_bytes(b"no cues here")
    house.put("d.srt", "two")
    assert house.decisions() == {
        "a.srt": "new", "b.srt": "refused", "c.srt": "refused", "d.srt": "new",
    }  # fmt: skip
    refused = [place for place in house.project.catalog.places() if place.asset is None]
    assert [bool(place.error) for place in refused] == [True, True]
    assert len(house.project.catalog.assets()) == 2


def test_a_refused_file_is_looked_at_again_when_it_changed(house):
    """
    What was being copied when it was first seen comes in once it is whole.
    """
    (house.media / "a.srt").write_bytes(b"")
    assert house.decisions() == {"a.srt": "refused"}
    assert house.decisions() == {"a.srt": "refused"}
    house.put("a.srt", "one")
    assert house.decisions() == {"a.srt": "new"}
    (place,) = house.project.catalog.places()
    assert place.error is None


def test_a_folder_gives_its_media(house):
    """
    Folders are walked; hidden files, and files that are no media by name, are left out.
    """
    house.put("deep/a.SRT", "one")
    house.put(".hidden.srt", "two")
    house.put(".git/b.srt", "three")
    house.put("notes.txt", "four")
    assert house.decisions() == {"a.SRT": "new"}


def test_a_file_is_looked_at_once(house):
    """
    A file that is named, and stands in a folder that is named too, arrives once.
    """
    path = house.put("a.srt", "one")
    assert len(house.add(path, house.media, path)) == 1


def test_wrong_paths_are_told_before_anything_is_written(house):
    """
    A path that is not there, or a folder without media, is a RequestError, and nothing came in.
    """
    path = house.put("a.srt", "one")
    (house.media / "empty").mkdir()
    for wrong in (house.media / "gone.srt", house.media / "empty"):
        with pytest.raises(RequestError):
            house.add(path, wrong)
    with pytest.raises(RequestError, match="one title for 2 files"):
        house.put("b.srt", "two")
        house.add(title="One")
    assert house.project.catalog.places() == []


def test_a_file_name_that_is_not_utf8_arrives(house):
    """
    A name whose bytes are no UTF-8 is a place like any other; what shows of it can be stored.
    """
    try:
        house.put("caf\udce9.srt", "one")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    (arrival,) = house.add()
    assert arrival.decision == "new" and arrival.locator.endswith("/caf%E9.srt")
    assert arrival.asset.name == "caf\ufffd.srt"
    assert [each.decision for each in house.add()] == ["unchanged"]


def test_strange_file_names_are_places(house):
    """
    Spaces, signs and any script in a name make a locator that leads back to the file.
    """
    for name in ("a b.srt", "50% #1?.srt", "七人の侍.srt", "it's.srt"):
        house.put(name, name)
    assert set(house.decisions()) and all(
        each == "unchanged" for each in house.decisions().values()
    )
    for place in house.project.catalog.places():
        assert "\n" not in place.locator
        assert "#" not in place.locator and " " not in place.locator
