"""Assets whose bytes are in S3: they arrive, are computed, and are told when they change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from copal.errors import RequestError
from copal.objects.s3 import s3_client
from tests.integration.repository import Repository


@pytest.fixture
def bucket(s3: dict[str, str], films: Path) -> str:
    """A bucket with two films under ``in/``, a titles.yaml, and things that are no media."""
    name = s3["COPAL_STORE"].split("/")[2]
    for key, file in (("in/calm film.mp4", "calm.mp4"), ("in/deep/brisk.mp4", "brisk.mp4")):
        s3_client().upload_file(str(films / file), name, key)
    for key, body in (
        ("in/titles.yaml", b"calm film.mp4: {title: The Calm, year: 1999}\n"),
        ("in/notes.txt", b"no media"), ("in/", b""), ("in/.hidden/x.mp4", b"x"),
        ("inside.mp4", b"x"),
    ):  # fmt: skip
        s3_client().put_object(Bucket=name, Key=key, Body=body)
    return name


def _add(repository: Repository, *places: str) -> dict[str, str]:
    return {
        arrival.locator: arrival.decision for arrival in repository.lake().add(places)
    }  # fmt: skip


def test_a_prefix_arrives_and_is_computed(
    bucket: str, repository: Repository, films: Path, s3: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """
    Objects under a key are listed, added with their titles, and computed as local files are.
    """
    monkeypatch.delenv("COPAL_STORE")
    here = f"s3://{bucket}/in"
    wanted = {f"{here}/calm film.mp4": "new", f"{here}/deep/brisk.mp4": "new"}
    assert _add(repository, here) == wanted
    lake = repository.lake()
    assert {title.name for title in lake.titles()} == {"The Calm", "brisk"}
    assert not lake.run(engine="inline").failed
    remote = {asset.name: lake.value(asset.id, "levels") for asset in lake.assets()}
    assert len(remote) == 2
    assert _add(repository, f"{here}/") == dict.fromkeys(wanted, "unchanged")
    # the same essence on this machine is the same asset, and nothing is computed again
    known = _add(repository, str(films / "calm.mp4"))
    assert list(known.values()) == ["known"]
    assert repository.lake().plan().cells == 0


def test_an_odd_key_is_refused_and_the_rest_come(
    bucket: str, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A key that cannot be in a locator is told, and stops no other object.
    """
    pages = s3_client().get_paginator("list_objects_v2")

    class Pages:
        def paginate(self, **asked: Any) -> Any:
            odd = {"Key": "in/deep/odd\n.mp4", "ETag": '"e"', "Size": 1}  # moto cannot keep it
            return [{"Contents": [odd]}, *pages.paginate(**asked)]

    monkeypatch.setattr(s3_client(), "get_paginator", lambda _: Pages())
    found = {a.locator: a for a in repository.lake().add([f"s3://{bucket}/in"])}
    odd = found.pop(f"s3://{bucket}/in/deep/odd\\x0a.mp4")
    assert odd.decision == "refused"
    assert odd.note is not None and "control characters" in odd.note and "\n" not in odd.note
    assert [arrival.decision for arrival in found.values()] == ["new", "new"]


def test_one_object_by_the_command(bucket: str, repository: Repository, s3: dict[str, str]) -> None:
    """
    ``copal add s3://bucket/key`` adds one object; a second time it is unchanged.
    """
    there = Repository(repository.root, {**s3, "COPAL_STORE": str(repository.root / ".copal")})
    place = f"s3://{bucket}/in/deep/brisk.mp4"
    said = there.copal("add", place, "--title", "Calm", "--json").objects
    assert [(each["locator"], each["decision"], each["title"]) for each in said] == [
        (place, "new", "Calm")
    ]
    assert there.copal("add", place, "--json").objects[0]["decision"] == "unchanged"
    gone = there.copal("add", f"s3://{bucket}/gone.mp4", code=2)
    assert f"s3://{bucket}/gone.mp4: no such object, and no media files under it" in gone.err


def test_objects_that_change_or_go(
    bucket: str, repository: Repository, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A replaced object is not computed as the asset that it was; adding it again says what it is.
    """
    monkeypatch.delenv("COPAL_STORE")
    place = f"s3://{bucket}/in/deep/brisk.mp4"
    assert _add(repository, place) == {place: "new"}
    s3_client().upload_file(str(films / "busy.mp4"), bucket, "in/deep/brisk.mp4")
    cache = Path(repository.root)  # nothing of the old object is left on this machine
    monkeypatch.setenv("COPAL_CACHE", str(cache / "other-cache"))
    lake = repository.lake()
    report = lake.run(engine="inline")
    (message,) = {text for errors in report.errors.values() for text in errors.values()}
    assert "was replaced: it is no longer the object with ETag" in message
    assert "'copal add' it" in message
    assert _add(repository, place) == {place: "replaced"}
    s3_client().copy_object(
        Bucket=bucket, Key="moved.mp4", CopySource={"Bucket": bucket, "Key": "in/deep/brisk.mp4"}
    )
    s3_client().delete_object(Bucket=bucket, Key="in/deep/brisk.mp4")
    moved = f"s3://{bucket}/moved.mp4"
    assert _add(repository, moved) == {moved: "moved"}
    assert [p.locator for p in repository.lake().project.catalog.places()] == [moved]


@pytest.mark.parametrize("place", ["http://example.com/a.mp4", "ftp://x/y.mp4"])
def test_other_addresses_are_refused(place: str, repository: Repository) -> None:
    """
    Nothing is fetched from anywhere but S3.
    """
    with pytest.raises(RequestError, match="Copal opens files, and s3://bucket/key"):
        repository.lake().add([place])


def test_a_bucket_that_is_not_there(s3: dict[str, str], repository: Repository) -> None:
    """
    A wrong bucket is the request's mistake, in one line.
    """
    with pytest.raises(RequestError, match=r"no such bucket|no such object"):
        repository.lake().add(["s3://copal-nowhere/in"])


def test_pictures_arrive(repository: Repository, tmp_path: Path) -> None:
    """
    Images in a folder are assets of kind image, and features of video skip them.
    """
    folder = tmp_path / "stills"
    folder.mkdir()
    for suffix in ("png", "jpg", "webp", "tif"):
        Image.new("RGB", (32, 24), "red").save(folder / f"a.{suffix}")
    found: list[Any] = list(repository.lake().add([folder]))
    assert [(each.decision, each.asset and each.asset.kind, each.note) for each in found] == [
        ("new", "image", "")
    ] * 4
