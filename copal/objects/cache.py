"""The cache: copies of remote objects on this machine, bounded, shared by its processes.

Each copy has a folder named by a digest of what it is a copy of. In it ``lock`` is held alone by
whoever fills or removes the copy and together by whoever uses it; ``part`` is what has arrived,
with ``about.json`` saying of what; ``content`` is the whole object and appears at once. The system
lets go of a lock when its process ends in whatever way, so a filler that was killed leaves a
``part`` that the next one goes on from.
"""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from copal.errors import MissingValue, RequestError, StoreUnavailable
from copal.fingerprint import fingerprint
from copal.objects.download import ReplacedError, download
from copal.objects.locator import S3Locator
from copal.objects.lock import Lock
from copal.objects.s3 import ObjectState, head, s3_endpoint

log = structlog.get_logger("copal.objects")

GIB = 1 << 30
DEFAULT_GIB = 16.0
RESTARTS = 5
"""How often an object may be replaced while it is read before that is an error."""
RECENT = 8
"""Copies that a process keeps in use after handing out their paths: three files an encode, and
two encodes."""


@contextmanager
def plain_errors(where: str) -> Iterator[None]:
    """The operating system's errors about a full or read-only disk, in our words."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            raise StoreUnavailable(
                f"{where}: {os.strerror(exc.errno)}. Nothing of this value was published; "
                "make room and run again."
            ) from exc
        raise


@dataclass(slots=True)
class Held:
    """A whole local copy that stays where it is until it is released or dropped."""

    path: Path
    state: ObjectState
    """What it is a copy of."""
    lock: Lock

    def release(self) -> None:
        """Give it up for removal."""
        self.lock.release()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of copies, together no larger than a limit unless those in use are.

    Room is made by removing the copies that were used longest ago. One larger than the limit is
    fetched all the same, since without it nothing could be done, and goes when it is not in use.
    """

    folder: Path
    limit_bytes: int

    @classmethod
    def of_user(cls) -> Self:
        """``$COPAL_CACHE`` (or a folder of the user's) and ``$COPAL_CACHE_GIB`` (or 16).

        Raises
        ------
        RequestError
            The limit is no number of GiB.
        StoreUnavailable
            The folder belongs to somebody else, who could put anything into it.
        """
        given = os.environ.get("COPAL_CACHE_GIB") or DEFAULT_GIB
        try:
            limit = float(given)
        except ValueError:
            limit = -1.0
        if not 0 <= limit < float("inf"):
            raise RequestError(f"$COPAL_CACHE_GIB is '{given}'; need a number of GiB, such as 16.")
        folder = cache_folder()
        if not os.environ.get("COPAL_CACHE"):
            with suppress(FileNotFoundError):
                if folder.stat().st_uid != os.getuid():
                    raise StoreUnavailable(
                        f"{folder} belongs to another user. Set $COPAL_CACHE to a folder of yours."
                    )
        return cls(folder / "objects", round(limit * GIB))

    def fetch(self, locator: S3Locator, etag: str | None = None) -> Held:
        """A copy of an object: as it is now, or as it was when it had an ETag.

        With an ETag, a copy that is here already is used without asking S3 anything. Processes
        that want one object at once wait for the first of them to fetch it.

        Raises
        ------
        MissingValue
            It is not there, or no longer with that ETag.
        StoreUnavailable
            It cannot be read, or there is no room for it on the disk.
        """
        for _ in range(RESTARTS):
            state = head(locator) if etag is None else None
            wanted = etag if state is None else state.etag
            try:
                return self._hold(self._entry(locator, wanted), locator, wanted, state)
            except ReplacedError:
                if etag is not None:
                    raise MissingValue(
                        f"{locator} was replaced: it is no longer the object with ETag {etag}. "
                        "'copal add' it again."
                    ) from None
        raise StoreUnavailable(f"{locator} was replaced {RESTARTS} times while it was read.")

    def fetch_lasting(self, locator: S3Locator) -> Held:
        """A copy of an object whose key never gets other bytes, such as one named by its digest."""
        for _ in range(RESTARTS):
            with suppress(ReplacedError):
                return self._hold(self._entry(locator, None), locator, None, None)
        raise StoreUnavailable(f"{locator} was replaced {RESTARTS} times while it was read.")

    def _entry(self, locator: S3Locator, etag: str | None) -> _Entry:
        name = fingerprint(
            "copy", endpoint=s3_endpoint(), bucket=locator.bucket, key=locator.key, etag=etag
        )
        # Readers tell some formats by the suffix, so the copy keeps it.
        kept = locator.suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,10}", locator.suffix) else ""
        return _Entry(self.folder / name, f"content{kept}")

    def _hold(
        self, entry: _Entry, locator: S3Locator, etag: str | None, state: ObjectState | None
    ) -> Held:
        with plain_errors(str(self.folder)):
            lock = Lock.take(entry.lock, alone=False)
            try:
                while not entry.content.exists():
                    lock.release()  # two that hold it together could not both go on alone
                    lock = Lock.take(entry.lock, alone=True)
                    if not entry.content.exists():
                        self._fill(entry, state or _expected(locator, etag))
                    lock.share()
                os.utime(entry.content)
                return Held(entry.content, state or entry.about(locator), lock)
            except BaseException:
                lock.release()
                if not entry.part.exists():
                    entry.remove()
                raise

    def _fill(self, entry: _Entry, state: ObjectState) -> None:
        """Fetch a copy, going on where an earlier try stopped; its lock is held alone."""
        about = {
            "locator": str(state.locator), "etag": state.etag, "size_bytes": state.size_bytes,
            "boot": _boot(),
        }  # fmt: skip
        if entry.read_about() != about:
            entry.part.unlink(missing_ok=True)
        self._make_room(entry, state.size_bytes)
        entry.about_file.write_text(json.dumps(about))
        try:
            download(state, entry.part)
        except (ReplacedError, OSError):  # of no use, or there is no room for it
            entry.part.unlink(missing_ok=True)
            entry.about_file.unlink(missing_ok=True)
            raise
        entry.part.replace(entry.content)
        log.info("object.fetched", locator=str(state.locator), bytes=state.size_bytes)

    def _make_room(self, entry: _Entry, size: int) -> None:
        """Remove copies that nobody uses, the longest unused first, until ``size`` bytes fit."""
        with Lock.take(self.folder / "room.lock", alone=True):
            others = [
                _Entry.of(path)
                for path in self.folder.iterdir()
                if path.is_dir() and path != entry.folder
            ]
            found = sorted((*each.weight(), each) for each in others)
            used = sum(weight for _, weight, _ in found)
            for _, weight, each in found:
                if used + size <= self.limit_bytes:
                    return
                if each.remove():
                    used -= weight
                    log.info("object.evicted", bytes=weight)
            if used + size > self.limit_bytes:
                log.warning(
                    "cache.over_limit", folder=str(self.folder), bytes=used + size,
                    limit_bytes=self.limit_bytes,
                )  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    """The folder of one copy."""

    folder: Path
    name: str

    @classmethod
    def of(cls, folder: Path) -> _Entry:
        names = sorted(path.name for path in folder.glob("content*"))
        return cls(folder, names[0] if names else "content")

    @property
    def content(self) -> Path:
        return self.folder / self.name

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def part(self) -> Path:
        return self.folder / "part"

    @property
    def about_file(self) -> Path:
        return self.folder / "about.json"

    def read_about(self) -> object:
        try:
            return json.loads(self.about_file.read_text())
        except (OSError, ValueError):
            return None

    def about(self, locator: S3Locator) -> ObjectState:
        about = self.read_about()
        etag = str(about.get("etag", "")) if isinstance(about, dict) else ""
        return ObjectState(locator, etag, self.content.stat().st_size)

    def weight(self) -> tuple[float, int]:
        """When it was last used, and bytes that it takes or will take."""
        for path in (self.content, self.part, self.about_file):
            try:
                stat = path.stat()
            except OSError:
                continue
            about = self.read_about()
            promised = about.get("size_bytes", 0) if isinstance(about, dict) else 0
            whole = path == self.content
            return stat.st_mtime, stat.st_size if whole else max(stat.st_size, int(promised))
        return 0.0, 0

    def remove(self) -> bool:
        """Remove it unless somebody is filling or using it."""
        with suppress(OSError), Lock.take(self.lock, alone=True, wait=False):
            for path in (self.content, self.part, self.about_file, self.lock):
                path.unlink(missing_ok=True)
            self.folder.rmdir()
            return True
        return False


def _expected(locator: S3Locator, etag: str | None) -> ObjectState:
    """The object as it is now, which must be the one with that ETag."""
    state = head(locator)
    if etag is not None and state.etag != etag:
        raise ReplacedError
    return state


def _boot() -> str:
    """Which start of the machine this is: a part may have lost its end when the power failed."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


_recent: OrderedDict[Path, Held] = OrderedDict()


def keep_recent(held: Held) -> Path:
    """The path of a copy that this process goes on using until ``RECENT`` others were asked for."""
    _recent.pop(held.path, None)
    _recent[held.path] = held
    while len(_recent) > RECENT:
        _recent.popitem(last=False)[1].release()
    return held.path


def cache_folder() -> Path:
    """Where copies of remote objects are kept: ``$COPAL_CACHE``, or a folder of the user's."""
    given = os.environ.get("COPAL_CACHE")
    return Path(given) if given else Path(tempfile.gettempdir()) / f"copal-{os.getuid()}"
