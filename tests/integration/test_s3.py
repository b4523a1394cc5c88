"""A store in S3 does what a folder does: the same verbs, the same values, read by range."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import copal
from copal.demo import sample_film
from copal.feature import Value
from tests.integration.repository import Contents, Repository, contents, make_repository

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def remote(tmp_path: Path, own_imports: None, films: Path, s3: dict[str, str]) -> Repository:
    """A repository of two features whose store is in S3, with films in its catalogue."""
    made = make_repository(tmp_path / "remote", ("levels", "cuts"), s3)
    assert set(made.add(films).values()) == {"new"}
    return made


def test_a_store_in_s3_is_filled_by_either_engine(
    remote: Repository, undisturbed: Callable[..., Contents]
) -> None:
    """
    Added, run as a flow, and found complete by the inline engine: equal to a store in a folder.
    """
    report = remote.run("--max-workers", "2", engine="metaflow")
    assert report["outcomes"] == {"levels": {"stored": 4}, "cuts": {"stored": 3, "empty": 1}}
    assert contents(remote.lake()) == undisturbed("levels", "cuts")
    assert remote.run()["already_stored"] == 8
    said = remote.copal("status").out.splitlines()
    assert [" ".join(line.split()) for line in said[2:]] == ["levels v1 4", "cuts v1 3 1"]
    assert not (remote.root / ".copal").exists()


def test_forcing_mends_a_damaged_object(remote: Repository) -> None:
    """
    An object of a value whose bytes changed is written again by a forced run, however new it is.
    """
    remote.run("levels")
    store = remote.lake().project.store
    name = next(each.name for each in store.folder.objects("features") if "/files/" in each.name)
    sound = store.folder.get(name)
    assert sound
    store.folder.put(name, sound[:-1] + bytes([sound[-1] ^ 1]))
    assert remote.copal("verify", "--files", "full", code=1).out.count("has other bytes") == 1
    remote.run("--force", "levels")
    assert store.folder.get(name) == sound
    remote.copal("verify", "--files", "full")


def test_a_version_bump_in_s3_carries_over(remote: Repository) -> None:
    """
    Files of values that are carried over are read where they are and stored anew.
    """
    remote.run()
    remote.raise_version("cuts")
    assert remote.run()["outcomes"] == {"cuts": {"stored": 3, "empty": 1}}
    assert len(contents(remote.lake())) == 3


def test_a_store_that_is_not_there_says_so(remote: Repository) -> None:
    """
    A bucket that does not exist, or a server that does not answer, is one sentence.
    """
    there = dict(remote.environment)
    remote.environment["COPAL_STORE"] = "s3://copal-nobody-made-this/lake"
    missing = remote.copal("status", code=1).err
    assert missing.startswith("copal: s3://copal-nobody-made-this/lake: ")
    assert "there is no such bucket" in missing
    remote.environment.update(there, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    silent = remote.copal("status", code=1).err
    assert silent.startswith(f"copal: {there['COPAL_STORE']}: ")
    assert "S3 cannot be reached. Is AWS_ENDPOINT_URL right (http://127.0.0.1:9)?" in silent
    assert len((missing + silent).splitlines()) == 2


@dataclasses.dataclass
class Reads:
    """GETs of one client, by the range they asked for."""

    ranges: list[str | None] = dataclasses.field(default_factory=list)

    def note(self, params: dict[str, Any], **_: Any) -> None:
        self.ranges.append(params.get("Range"))


def test_match_cuts_from_s3_read_pictures_by_range(
    tmp_path: Path, s3: dict[str, str], own_imports: None
) -> None:
    """
    With the project's own features in S3: match cuts and the contact sheet come out, and a still
    costs one ranged read of its few kilobytes, never the pack.
    """
    from copal.search.contact import contact_sheet
    from copal.store.s3 import s3_client

    media = tmp_path / "media"
    media.mkdir()
    for name, shots in {"one.mp4": (8, 8), "other.mp4": (10, 6)}.items():
        sample_film(media / name, shots)
    lake = copal.open(ROOT)
    assert str(lake.project.location).startswith("s3://")
    assert {arrival.decision for arrival in lake.add([media])} == {"new"}
    assert not lake.run(engine="inline").failed
    assert lake.plan().cells == 0
    answer = lake.match(top=3)
    assert answer.blocks_stored == answer.blocks == 3
    assert len(answer.cuts) > 0

    reads = Reads()
    s3_client().meta.events.register("provide-client-params.s3.GetObject", reads.note)
    stills: Value = lake.value("one", "shot_stills")
    (name,) = stills.files
    row = stills.rows.to_pylist()[1]
    reads.ranges.clear()
    picture = stills.files[name].read(row["offset"], row["length"])
    assert picture[:4] == b"RIFF"
    assert picture[8:12] == b"WEBP"
    assert reads.ranges == [f"bytes={row['offset']}-{row['offset'] + row['length'] - 1}"]

    reads.ranges.clear()
    page = contact_sheet(lake.project, (), [answer])
    assert page.count("data:image/webp") >= 2 * len(answer.cuts)
    assert len([r for r in reads.ranges if r is not None]) >= 2 * len(answer.cuts)

    sheet = tmp_path / "sheet.html"
    checkout = Repository(ROOT, s3, home=tmp_path / "home")
    said = checkout.copal("match", "--top", "3", "--html", sheet).out
    assert f"Contact sheet: {sheet}" in said
    assert sheet.read_text().count("data:image/webp") == page.count("data:image/webp")
