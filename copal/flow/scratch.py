"""The scratch folder of a run on this machine: removed with the run, or by the next one.

What tasks write while they compute lies in it too, since it is their ``$TMPDIR``.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "copal-run-"
LOCK = "lock"
"""Locked by the process that drives the run, for as long as that lives."""


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for one run; folders of runs whose driver was killed are removed first."""
    remove_left()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (folder / "unlocked").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / "unlocked").rename(folder / LOCK)  # never seen without being locked
            (folder / "tmp").mkdir()
            yield folder


def remove_left() -> None:
    """Remove the folders that nobody holds any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
