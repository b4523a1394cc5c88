"""A full disk while publishing: an error that says so, nothing half-written, and a later run."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from copal.errors import StoreUnavailable
from copal.store.lance_store import local_store
from tests.integration import publisher
from tests.integration.repository import Contents, Repository, contents, values_of

DISK_KIB = 2048


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two MiB; needs the right to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KIB}k", "copal-tests", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def fill(disk: Path, leave_kib: int) -> Path:
    """A file that leaves only so much room."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    room = os.statvfs(disk)
    size = room.f_bavail * room.f_frsize - leave_kib * 1024
    with filler.open("wb") as stream:
        try:
            stream.write(bytes(max(0, size)))
        except OSError as exc:
            assert exc.errno == errno.ENOSPC
    return filler


def test_a_run_on_a_full_disk_stores_whole_values_or_none(
    repository: Repository, films: Path, disk: Path, undisturbed: Callable[..., Contents]
) -> None:
    """
    With ever more room left, a run stops ever later: each time with one sentence and exit code 1,
    and with whole values only in the store. With room enough, the last one completes it.
    """
    repository.environment["COPAL_STORE"] = str(disk / "store")
    repository.add(films)
    everything = undisturbed()
    stopped = 0
    for leave in (0, 8, 24, 48, 72, 100, 140):
        filler = fill(disk, leave)
        ran = repository.copal("run", "--engine", "inline", code=None)
        filler.unlink()
        found = contents(repository.lake())
        for key, values in found.items():
            assert values.items() <= everything[key].items()
        if ran.code == 0:
            break
        stopped += 1
        assert ran.code == 1, ran.err
        complaint = ran.err.splitlines()[-1]
        assert complaint.startswith("copal: ")
        assert complaint.endswith(
            "Nothing of this value was published; make room and run again."
        ), complaint
        assert "no space left" in complaint.lower()
        assert "Traceback" not in ran.err
    assert stopped >= 3
    repository.run()
    assert contents(repository.lake()) == everything


def test_a_catalogue_on_a_full_disk_says_so(
    repository: Repository, films: Path, disk: Path
) -> None:
    """
    Adding files to a store without room ends with the same sentence; later they are added.
    """
    repository.environment["COPAL_STORE"] = str(disk / "store")
    filler = fill(disk, 8)
    ran = repository.copal("add", films, code=1)
    assert "no space left" in ran.err.lower()
    assert "Traceback" not in ran.err
    filler.unlink()
    repository.copal("add", films)
    assert len(repository.lake().assets()) == 4


def test_a_publisher_without_room_publishes_nothing(disk: Path, tmp_path: Path) -> None:
    """
    In one process: a publication without room raises 'StoreUnavailable', the ones before it stay
    readable, and the same publication succeeds once there is room.
    """
    store = local_store(disk / "store")
    table = store.table(publisher.RECIPE)
    first = [publisher.value(n, "first", tmp_path) for n in range(10)]
    second = [publisher.value(n, "second", tmp_path) for n in range(10, 30)]
    assert len(table.publish(first).won) == 10
    for leave in (0, 16, 60):
        filler = fill(disk, leave)
        with pytest.raises(StoreUnavailable, match=r"(?i)no space left.* make room and run again"):
            table.publish(second)
        assert sorted(values_of(store, publisher.RECIPE)) == sorted(v.unit for v in first)
        filler.unlink()
        assert sorted(values_of(store, publisher.RECIPE)) == sorted(v.unit for v in first)
    assert len(table.publish(second).won) == 20
    assert len(values_of(store, publisher.RECIPE)) == 30


LIMITED = """
import resource, sys, tempfile
from pathlib import Path
from copal.store.lance_store import local_store
from tests.integration import publisher
store, limit, files = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "with files"
with tempfile.TemporaryDirectory() as folder:
    values = [publisher.value(n, "limited", Path(folder)) for n in range(60) if files or n % 7 == 0]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    local_store(Path(store)).table(publisher.RECIPE).publish(values)
"""


@pytest.mark.parametrize(
    ("limit", "files"), [(10_000, "with files"), (1_000, "without"), (100, "without")]
)
def test_a_file_that_may_not_grow_is_not_published(tmp_path: Path, limit: int, files: str) -> None:
    """
    Where files are limited in size (a quota, an old file system), the error is the same, and a
    publisher without the limit completes the store.
    """
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "store"), str(limit), files],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert ran.returncode == 1
    complaint = ran.stderr.splitlines()[-1]
    assert complaint.startswith("copal.errors.StoreUnavailable: ")
    assert "file too large. nothing of this value was published" in complaint.lower()
    store = local_store(tmp_path / "store")
    assert values_of(store, publisher.RECIPE) == {}
    table = store.table(publisher.RECIPE)
    done = table.publish([publisher.value(n, "later", tmp_path) for n in range(60)])
    assert len(done.won) == 60
    assert len(values_of(store, publisher.RECIPE)) == 60
