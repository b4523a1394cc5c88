"""Sweeps: what was lost is found, in folders and in S3, by the same decisions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from copal.objects.s3 import s3_client
from tests.integration.repository import Repository, contents
from tests.media import ffmpeg


@pytest.fixture
def media(tmp_path: Path, films: Path) -> Path:
    return Path(shutil.copytree(films, tmp_path / "media"))


def differences(repository: Repository, place: object) -> dict[str, str]:
    said = repository.copal("sweep", str(place), "--dry-run", "--json").objects
    return {each["locator"].rpartition("/")[2]: each["differs"] for each in said}


def test_a_sweep_finds_what_was_lost(repository: Repository, media: Path, films: Path) -> None:
    """
    New, changed and removed files are found and computed; what looks as it did is not opened.
    """
    swept = repository.copal("sweep", media, "--engine", "inline")
    assert "4 unknown, 0 changed, 0 gone, 0 unchanged." in swept.out
    assert differences(repository, media) == {}
    (media / "calm.mp4").rename(media / "renamed.mp4")
    (media / "brisk.mp4").unlink()
    ffmpeg("-i", films / "busy.mp4", "-c", "copy", "-t", "0.4", "-y", media / "busy.mp4")
    assert differences(repository, media) == {
        "renamed.mp4": "unknown", "busy.mp4": "changed", "brisk.mp4": "gone", "calm.mp4": "gone",
    }  # fmt: skip
    before = contents(repository.lake())
    said = repository.copal("sweep", media, "--no-run", "--json").objects
    assert {each["locator"].rpartition("/")[2]: each["decision"] for each in said} == {
        "renamed.mp4": "moved", "busy.mp4": "replaced", "brisk.mp4": "gone",
    }  # fmt: skip
    assert contents(repository.lake()) == before
    report = repository.copal("sweep", media, "--engine", "inline", "--json").objects[-1]
    assert report["outcomes"]["levels"] == {"stored": 1}
    shutil.copy(films / "brisk.mp4", media)
    (back,) = repository.copal("sweep", media, "--no-run", "--json").objects
    assert back["decision"] == "known"
    assert repository.lake().plan().cells == 0
    told = repository.copal("arrivals", "--decision", "gone").out
    assert "sweep" in told and "brisk.mp4" in told and "1 arrival." in told


def test_a_folder_that_is_not_there_is_not_empty(repository: Repository, media: Path) -> None:
    """
    A folder that is not mounted is told, and nothing in it is taken to be gone; an empty one is.
    """
    repository.copal("sweep", media, "--no-run")
    away = media.rename(media.parent / "away")
    assert "What the catalogue knows of it is kept." in repository.copal("sweep", media, code=2).err
    assert all(place.gone_at is None for place in repository.lake().project.catalog.places())
    media.mkdir()
    repository.copal("sweep", media, "--no-run")
    assert all(place.gone_at for place in repository.lake().project.catalog.places())
    assert len(repository.lake().assets()) == 4
    media.rmdir()
    away.rename(media)
    said = repository.copal("sweep", media, "--no-run", "--json").objects
    assert {each["decision"] for each in said} == {"known"}


def test_a_bucket_is_swept(
    s3: dict[str, str], repository: Repository, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Objects are found as files are; a retag, a copy onto itself, a rename and a remux compute
    nothing, and a trimmed film under the same key is a new asset that supersedes the old one.
    """
    monkeypatch.delenv("COPAL_STORE")
    bucket = s3["COPAL_STORE"].split("/")[2]
    there = Repository(repository.root, {k: v for k, v in s3.items() if k != "COPAL_STORE"})
    where = f"s3://{bucket}/in"

    def put(path: Path, key: str) -> None:
        s3_client().upload_file(str(path), bucket, f"in/{key}")

    for name in ("calm.mp4", "brisk.mp4", "busy.mp4"):
        put(films / name, name)
    there.copal("sweep", where, "--engine", "inline")
    before = contents(there.lake())
    tagged, remuxed = repository.root / "t.mp4", repository.root / "r.mkv"
    ffmpeg("-i", films / "calm.mp4", "-c", "copy", "-metadata", "title=Other", tagged)
    ffmpeg("-i", films / "busy.mp4", "-c", "copy", remuxed)
    put(tagged, "calm.mp4")
    put(remuxed, "busy.mkv")
    s3_client().delete_object(Bucket=bucket, Key="in/busy.mp4")
    source = {"Bucket": bucket, "Key": "in/brisk.mp4"}
    s3_client().copy_object(
        Bucket=bucket, Key="in/brisk.mp4", CopySource=source, MetadataDirective="REPLACE",
        Metadata={"a": "b"},
    )  # fmt: skip
    said = there.copal("sweep", where, "--no-run", "--json").objects
    assert {each["locator"].rpartition("/")[2]: each["decision"] for each in said} == {
        "calm.mp4": "revised", "busy.mkv": "moved",
    }  # fmt: skip
    assert there.lake().plan().cells == 0
    assert contents(there.lake()) == before
    ffmpeg("-y", "-i", films / "calm.mp4", "-c", "copy", "-t", "0.4", tagged)
    put(tagged, "calm.mp4")
    (said,) = there.copal("sweep", where, "--no-run", "--json").objects
    assert said["decision"] == "replaced"
    old = [asset for asset in there.lake().assets() if asset.superseded_by]
    assert [(asset.name, asset.superseded_by) for asset in old] == [("calm.mp4", said["asset"])]
    assert "no such bucket" in there.copal("sweep", "s3://copal-nowhere/in", code=2).err


def test_a_catalogue_of_before_is_widened(repository: Repository, media: Path) -> None:
    """
    A store whose tables lack the newer columns is read, and written, as if it had them.
    """
    repository.copal("add", media / "calm.mp4")
    catalog = repository.lake().project.catalog
    late = {"assets": ["added_at", "superseded_by"], "places": ["gone_at"]}
    for name, columns in late.items():
        catalog.table(name).open().drop_columns(columns)  # type: ignore[arg-type,union-attr]
    (asset,) = repository.lake().assets()
    assert (asset.added_at, asset.superseded_by) == (None, None)
    assert [place.gone_at for place in catalog.places()] == [None]
    ffmpeg("-i", media / "brisk.mp4", "-c", "copy", "-y", media / "calm.mp4")
    assert repository.add(media / "calm.mp4") == {"calm.mp4": "replaced"}
    old, new = sorted(repository.lake().assets(), key=lambda each: each.added_at is not None)
    assert old.superseded_by == new.id and old.added_at is None and new.added_at is not None
