"""A folder that is watched: files are written, moved, changed and removed under a real watcher."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from copal.arrivals.folder import Folders
from copal.arrivals.found import FoundFile
from copal.arrivals.hints import Hint
from copal.arrivals.whole import holds_what_it_promises, is_open_for_writing, what_it_lacks
from copal.demo import sample_film
from tests.integration.repository import Repository, contents, is_alive
from tests.integration.watcher import watching
from tests.media import ffmpeg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "incoming"
    made.mkdir()
    return made


def test_files_are_taken_in_once_they_are_whole(
    repository: Repository, folder: Path, films: Path
) -> None:
    """
    A file counts once it is written to its end; what was there before is taken in too, names of
    unfinished downloads and hidden files are not, and each asset is computed once.
    """
    shutil.copy(films / "calm.mp4", folder / "before.mp4")
    data = (films / "busy.mp4").read_bytes()
    with watching(repository, folder) as watcher:
        watcher.wait(lambda: "before.mp4" in watcher.decisions(), "what was there is taken in")
        for name in ("a.mp4.part", "b.mp4.crdownload", ".hidden.mp4", "notes.txt"):
            (folder / name).write_bytes(data)
        with (folder / "slow.mp4").open("wb") as stream:
            for start in range(0, len(data), len(data) // 8):
                stream.write(data[start : start + len(data) // 8])
                stream.flush()
                time.sleep(0.4)
            time.sleep(1.5)
            assert "slow.mp4" not in watcher.decisions(), "it is still open"
        (folder / "deep").mkdir()
        shutil.copy(films / "brisk.mp4", folder / "deep" / "brisk.mp4")
        watcher.wait(lambda: len(watcher.decisions()) == 3, "all came")
        watcher.wait(lambda: repository.lake().plan().stored == 15, "all is computed")
    assert watcher.decisions() == {
        "before.mp4": ["new"], "slow.mp4": ["new"], "brisk.mp4": ["new"],
    }  # fmt: skip
    lake = repository.lake()
    stored = [a.unit for a in lake.project.table("levels").attempts(["stored"])]
    assert sorted(stored) == sorted(asset.id for asset in lake.assets())
    told = {str(row.asset): row.run_id for row in lake.arrivals()}
    assert {a.unit: a.run_id for a in lake.project.table("levels").attempts()} == told


def test_retagged_renamed_and_remuxed_files_compute_nothing(
    repository: Repository, folder: Path, films: Path
) -> None:
    """
    Other tags, another name, another container, the same file written over itself: rows that tell
    it, and no cell. A trimmed film under the same name is a new asset; the old one is superseded.
    """
    for name in ("calm.mp4", "brisk.mp4", "busy.mp4"):
        shutil.copy(films / name, folder)
    with watching(repository, folder) as watcher:
        watcher.wait(lambda: len(watcher.told) == 3, "they came")
        watcher.wait(lambda: repository.lake().plan().stored == 15, "all is computed")
        before = contents(repository.lake())
        tagged = folder / ".tagged.mp4"
        ffmpeg("-i", folder / "calm.mp4", "-c", "copy", "-metadata", "title=Other", tagged)
        tagged.replace(folder / "calm.mp4")
        (folder / "brisk.mp4").rename(folder / "renamed.mp4")
        ffmpeg("-i", folder / "busy.mp4", "-c", "copy", folder / "busy.mkv")
        (folder / "busy.mp4").unlink()
        watcher.wait(lambda: len(watcher.told) >= 6, "the changes came")
        time.sleep(2)
        assert [len(a) for a in watcher.decisions().values()].count(0) == 0
        assert repository.lake().plan().cells == 0
        assert contents(repository.lake()) == before
        trimmed = folder / ".trimmed.mp4"
        ffmpeg("-i", folder / "calm.mp4", "-c", "copy", "-t", "0.4", trimmed)
        trimmed.replace(folder / "calm.mp4")
        watcher.wait(lambda: watcher.told[-1]["decision"] == "replaced", "the trimmed one came")
        watcher.wait(lambda: repository.lake().plan().cells == 0, "it is computed")
        (folder / "renamed.mp4").unlink()
        watcher.wait(lambda: watcher.told[-1]["decision"] == "gone", "it is gone")
    found = watcher.decisions()
    assert found["calm.mp4"] == ["new", "revised", "replaced"]
    assert found["renamed.mp4"] == ["moved", "gone"]
    assert set(found["busy.mkv"]) <= {"moved", "known"} and len(found["busy.mkv"]) == 1
    lake = repository.lake()
    names = {asset.name: asset for asset in lake.assets()}
    (replaced,) = lake.arrivals(["replaced"])
    assert replaced.earlier is not None and replaced.asset != replaced.earlier
    (old,) = [asset for asset in lake.assets() if asset.id == replaced.earlier]
    assert old.superseded_by == replaced.asset and old.name == "calm.mp4"
    assert names["brisk.mp4"].superseded_by is None, "gone is not superseded"
    after = contents(lake)
    assert all(values.items() <= after[key].items() for key, values in before.items())


def test_a_file_that_never_stops_growing_is_told(
    repository: Repository, folder: Path, films: Path
) -> None:
    """
    A file that somebody goes on writing is told of now and then, and others are taken in.
    """
    ended = threading.Event()

    def grow() -> None:
        with (folder / "endless.mp4").open("wb") as stream:
            while not ended.wait(0.05):
                stream.write(b"x" * 1000)
                stream.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with watching(repository, folder, "--tell-after", "1", "--no-run") as watcher:
            watcher.wait(lambda: len(watcher.decisions().get("endless.mp4", [])) >= 2, "told twice")
            shutil.copy(films / "calm.mp4", folder)
            watcher.wait(lambda: "calm.mp4" in watcher.decisions(), "others come")
    finally:
        ended.set()
        writer.join()
    assert set(watcher.decisions()["endless.mp4"]) == {"waiting"}
    (note, *_) = [row.note for row in repository.lake().arrivals(["waiting"])]
    assert note.startswith("endless.mp4: still being written after ")


def test_a_killed_watcher_leaves_no_run_behind(
    repository: Repository, folder: Path, films: Path
) -> None:
    """
    When the watcher is killed its run ends with it, and the next watcher's first run does the rest.
    """
    sign = repository.hold("levels")
    with pytest.raises(AssertionError), watching(repository, folder) as watcher:
        shutil.copy(films / "calm.mp4", folder)
        (pid,) = watcher.wait(lambda: repository.waiting("levels"), "the run goes on")
        watcher.kill()
        watcher.process.returncode = 0
        end = time.monotonic() + 20
        while is_alive(pid):
            assert time.monotonic() < end, "the run lives on"
            time.sleep(0.05)
        raise AssertionError
    sign.unlink()
    with watching(repository, folder) as watcher:
        watcher.wait(lambda: repository.lake().plan().stored == 4, "the next one does it")
    assert watcher.told == [], "nothing arrived anew"


def test_metrics_are_served(repository: Repository, folder: Path, films: Path) -> None:
    """
    Arrivals and cells are counted at the port.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with watching(repository, folder, "--metrics-port", port) as watcher:
        shutil.copy(films / "calm.mp4", folder)
        watcher.wait(lambda: len(watcher.events("run.over")) == 2, "it is computed")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    assert 'copal_arrivals_total{decision="new"} 1.0' in text
    assert 'copal_cells_total{feature="levels",outcome="stored"} 1.0' in text


def test_folders_that_cannot_be_watched(repository: Repository, tmp_path: Path) -> None:
    """
    A folder that is not there is told in one line.
    """
    assert "nowhere: no such folder." in repository.copal("watch", "nowhere", code=2).err


def test_the_folder_of_a_watcher_may_go(repository: Repository, folder: Path, films: Path) -> None:
    """
    A folder that is moved away and back again while it is watched ends nothing.
    """
    with watching(repository, folder, "--no-run") as watcher:
        shutil.copy(films / "calm.mp4", folder)
        watcher.wait(lambda: watcher.told, "it came")
        deep = folder / "deep"
        shutil.copytree(films, deep)
        watcher.wait(lambda: len(watcher.decisions()) >= 4, "a folder came")
        deep.rename(folder.parent / "away")
        watcher.wait(
            lambda: sum(d["decision"] == "gone" for d in watcher.told) >= 3, "a folder went"
        )
    assert len(repository.lake().assets()) == 4


def test_a_file_is_known_to_be_open(tmp_path: Path) -> None:
    """
    Linux says whether somebody has a file open to write to it, however long it has rested.
    """
    path = tmp_path / "a.bin"
    with path.open("wb") as stream:
        stream.write(b"x")
        stream.flush()
        if is_open_for_writing(path) is None:
            pytest.skip("no leases on this file system")
        assert is_open_for_writing(path) is True
    assert is_open_for_writing(path) is False
    assert is_open_for_writing(tmp_path / "none") is None


def test_a_file_of_boxes_holds_what_it_promises(tmp_path: Path) -> None:
    """
    An MP4 cut short at any of many places is not whole; one that is whole is.
    """
    film = sample_film(tmp_path / "film.mp4", (8, 6))
    path = film if isinstance(film, Path) else tmp_path / "film.mp4"
    data = path.read_bytes()
    assert holds_what_it_promises(path)
    for size in range(0, len(data) - 1, 97):
        path.write_bytes(data[:size])
        assert not holds_what_it_promises(path), size
    (tmp_path / "a.mkv").write_bytes(b"")
    assert holds_what_it_promises(tmp_path / "a.mkv"), "only a decoder could tell"


def test_a_file_whose_writer_stalls_waits(tmp_path: Path, films: Path) -> None:
    """
    Half a film that nobody has open any more is not whole; its other half makes it so.
    """
    stop = threading.Event()
    source = Folders([tmp_path], stop, settle_seconds=0.2)
    data = (films / "calm.mp4").read_bytes()
    try:
        (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert source.hints() == []
        with (tmp_path / "a.mp4").open("ab") as stream:
            stream.write(data[len(data) // 2 :])
        until = time.monotonic() + 20
        while not (found := source.hints()):
            assert time.monotonic() < until
        assert [hint.place for hint in found] == [tmp_path / "a.mp4"]
    finally:
        source.close()


def test_only_files_are_opened(repository: Repository, folder: Path, films: Path) -> None:
    """
    A pipe and a socket with names of films are told as ignored, once; the next film comes in.
    """
    with watching(repository, folder, "--no-run") as watcher:
        shutil.copy(films / "brisk.mp4", folder)
        watcher.wait(lambda: "brisk.mp4" in watcher.decisions(), "it watches")
        os.mkfifo(folder / "pipe.mp4")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(folder / "socket.mp4"))
        (folder / "link.mp4").symlink_to("pipe.mp4")
        (folder / "notes.txt").write_text("no film")
        (folder / "lost.mp4").symlink_to("nothing.mp4")
        watcher.wait(lambda: len(watcher.told) >= 4, "they are told")
        os.utime(folder / "pipe.mp4")
        (folder / "notes.txt").write_text("still no film")
        watcher.wait(lambda: len(watcher.events("arrival.ignored")) >= 5, "the others are logged")
        shutil.copy(films / "calm.mp4", folder)
        watcher.wait(lambda: "calm.mp4" in watcher.decisions(), "a film comes")
    assert watcher.decisions() == {
        "brisk.mp4": ["new"], "pipe.mp4": ["ignored"], "socket.mp4": ["ignored"],
        "link.mp4": ["ignored"], "calm.mp4": ["new"],
    }  # fmt: skip
    notes = {row.locator.rpartition("/")[2]: row.note for row in repository.lake().arrivals()}
    assert notes["pipe.mp4"] == "pipe.mp4: a named pipe, not a file."
    assert notes["socket.mp4"] == "socket.mp4: a socket, not a file."
    logged = [each["locator"].rpartition("/")[2] for each in watcher.events("arrival.ignored")]
    assert sorted(logged) == ["link.mp4", "lost.mp4", "notes.txt", "pipe.mp4", "socket.mp4"]


def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    """
    Asked whether it is whole or open, or what it is, a pipe is not opened.
    """
    pipe = tmp_path / "a.mp4"
    os.mkfifo(pipe)
    asked = threading.Thread(target=what_it_lacks, args=(pipe,), daemon=True)
    asked.start()
    asked.join(10)
    assert not asked.is_alive()
    assert what_it_lacks(pipe) == "it is a named pipe"
    assert is_open_for_writing(pipe) is None
    with pytest.raises(OSError, match="no regular file"):
        FoundFile(pipe).look()


def first_hint(source: Folders) -> Hint:
    """What a source hints at first."""
    until = time.monotonic() + 15
    while not (found := source.hints()):
        assert time.monotonic() < until, "it is hinted at soon"
    return found[0]


def test_a_file_cut_short_is_called_incomplete(tmp_path: Path, films: Path) -> None:
    """
    Half a film that nobody writes to is told as incomplete; one that was left so long ago is
    looked at without waiting for its other half.
    """
    data = (films / "calm.mp4").read_bytes()
    path = tmp_path / "a.mp4"
    path.write_bytes(data[: len(data) // 2])
    if is_open_for_writing(path) is None:
        pytest.skip("no leases on this file system")
    source = Folders([tmp_path], threading.Event(), settle_seconds=0.2, tell_seconds=1)
    try:
        source.expect([path])
        told = first_hint(source).decided
        assert told is not None and told.decision == "waiting"
        assert "a.mp4: incomplete (it is shorter than its head promises), and nobody" in told.note
    finally:
        source.close()
    old = time.time() - 3600
    os.utime(path, (old, old))
    source = Folders([tmp_path], threading.Event(), settle_seconds=0.2, tell_seconds=5)
    try:
        source.expect([path])
        hint = first_hint(source)
        assert hint.decided is None and hint.found is not None
    finally:
        source.close()


def test_a_damaged_request_keeps_no_arrival_waiting(
    repository: Repository, folder: Path, films: Path
) -> None:
    """
    When what was requested cannot be read, that is told, and what arrived is computed.
    """
    lake = repository.lake()
    lake.project.store.introduce()
    root = Path(lake.project.folder.root)  # type: ignore[attr-defined]
    (root / "requests" / "damaged" / "ticket.json").mkdir(parents=True)
    with watching(repository, folder) as watcher:
        shutil.copy(films / "calm.mp4", folder)
        watcher.wait(lambda: repository.lake().plan().stored == 4, "it is computed")
    assert watcher.events("requests.not_served")
