"""Bad input on the command line: each kind has its exit code and its message."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.repository import Ran, Repository, finished

Snapshot = Callable[[str, str], None]
Check = Callable[..., None]


@pytest.fixture
def told(snapshot: Snapshot, repository: Repository, tmp_path: Path) -> Check:
    """Compare what a command said, and its exit code, with what it should say."""

    def check(name: str, ran: Ran) -> None:
        text = f"exit {ran.code}\n{ran.out}{ran.err}"
        text = text.replace(str(repository.root), "<project>").replace(str(tmp_path), "<folder>")
        assert "Traceback" not in text
        snapshot(f"bad_input_{name}", text)

    return check


def status(repository: Repository) -> str:
    """What 'copal status' says under its table."""
    said = repository.copal("status").out.splitlines()
    return "\n".join(line for line in said if line.startswith("refused"))


def test_no_such_file(repository: Repository, tmp_path: Path, told: Check) -> None:
    """
    A path that is not there is a wrong request, and nothing is written.
    """
    told("no_such_file", repository.copal("add", tmp_path / "heist.mov", code=2))
    assert not (repository.root / ".copal").exists()


def test_a_folder_without_media(repository: Repository, tmp_path: Path, told: Check) -> None:
    """
    A folder in which nothing is media is a wrong request.
    """
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("no film")
    told("folder_without_media", repository.copal("add", tmp_path / "notes", code=2))
    assert not (repository.root / ".copal").exists()


def test_what_is_no_media(repository: Repository, tmp_path: Path, films: Path, told: Check) -> None:
    """
    Text, random bytes, a playlist and an empty file under a film's name are refused one by one;
    the film among them is not.
    """
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "essay.mp4").write_text("It was a dark and stormy night. " * 200)
    (folder / "noise.mp4").write_bytes(random.Random(0).randbytes(50_000))
    (folder / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n/etc/passwd\n")
    (folder / "nothing.mp4").touch()
    (folder / "captions.srt").write_text("no captions")
    shutil.copy(films / "calm.mp4", folder)
    told("no_media", repository.copal("add", folder, code=1))
    told("no_media_status", Ran(0, status(repository), ""))
    lake = repository.lake()
    assert [asset.name for asset in lake.assets()] == ["calm.mp4"]
    assert not lake.run(engine="inline").failed


WITHOUT_PRIVILEGES = """
import ctypes, os
drop_from_bounding_set, override, read_search = 24, 1, 2
for capability in (override, read_search):
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0):
        raise SystemExit(77)
"""
"""Root may no longer read what its permissions forbid."""


def test_a_file_that_may_not_be_read(
    repository: Repository, tmp_path: Path, films: Path, told: Check
) -> None:
    """
    A file without permission is refused with the system's reason; it is added once it may be read.
    """
    media = tmp_path / "secret.mp4"
    shutil.copy(films / "calm.mp4", media)
    media.chmod(0)
    ran = finished(repository.start("add", media, before=WITHOUT_PRIVILEGES), None)
    if ran.code == 77:
        pytest.skip("root without the right to give up its privileges reads every file")
    assert ran.code == 1
    told("not_permitted", ran)
    media.chmod(0o600)
    assert repository.add(media) == {"secret.mp4": "new"}


def test_a_pipe_is_not_waited_for(repository: Repository, tmp_path: Path, told: Check) -> None:
    """
    A named pipe with a film's name is refused, not read.
    """
    os.mkfifo(tmp_path / "pipe.mp4")
    told("pipe", repository.copal("add", tmp_path / "pipe.mp4", code=1))


def test_one_film_in_two_places(
    repository: Repository, tmp_path: Path, films: Path, told: Check
) -> None:
    """
    Two files with one essence are one asset with two places.
    """
    for name in ("one.mp4", "other.mp4"):
        shutil.copy(films / "calm.mp4", tmp_path / name)
    ran = repository.copal("add", tmp_path / "one.mp4", tmp_path / "other.mp4")
    told("one_film_in_two_places", ran)
    lake = repository.lake()
    (asset,) = lake.assets()
    places = lake.project.catalog.places()
    assert [place.asset for place in places] == [asset.id] * 2
    (tmp_path / "one.mp4").unlink()
    assert not repository.lake().run(engine="inline").failed


def test_a_store_from_a_newer_copal(filled: Repository, told: Check) -> None:
    """
    A store of a format of the future is not touched, whatever the verb.
    """
    mark = filled.root / ".copal" / "store.json"
    mark.write_text(json.dumps({"format": 99, "copal": "9.1.0"}))
    ran = filled.copal("run", code=1)
    told("newer_store", ran)
    for verb in (["status"], ["plan"], ["show", "cuts"], ["retry"]):
        assert filled.copal(*verb, code=1).err == ran.err
    mark.write_text('{"format": ')
    told("damaged_store", filled.copal("status", code=1))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("not_yaml", 'calm.mp4: {title: "The Calm\n'),
        ("unknown_key", "calm.mp4: {title: The Calm, yaer: 2026}\n"),
    ],
)
def test_a_damaged_titles_yaml(
    repository: Repository, tmp_path: Path, films: Path, told: Check, name: str, text: str
) -> None:
    """
    A mistake in titles.yaml is told with the file's name before anything is written.
    """
    folder = tmp_path / "media"
    shutil.copytree(films, folder)
    (folder / "titles.yaml").write_text(text)
    told(f"titles_{name}", repository.copal("add", folder, code=2))
    assert not (repository.root / ".copal").exists()


def test_names_that_nobody_knows(filled: Repository, told: Check) -> None:
    """
    An unknown title, feature, flavour or verb is a wrong request with the nearest known name.
    """
    said = [
        filled.copal(*arguments, code=2)
        for arguments in (
            ["run", "--title", "clam"],
            ["run", "cust"],
            ["plan", "--force", "span"],
            ["show", "level"],
            ["why", "nobody", "cuts"],
            ["match", "calm"],
            ["stauts"],
            ["run", "--max-workers", "0", "--engine", "inline", "--force", "cuts"],
        )
    ]
    told("unknown_names", Ran(2, "".join(ran.err for ran in said), ""))
