"""What was found where somebody pointed: files in folders, objects under a key, not yet opened."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from copal.arrivals.titles import FILE_NAME, TitleWords, parse_titles, read_titles
from copal.errors import MissingValue, RequestError
from copal.objects import Cache, FileLocator, S3Locator, parse_locator
from copal.objects.s3 import RefusedKey, head, listed

_VIDEO = "3g2 3gp avi m2ts m4v mj2 mkv mov mp4 mpeg mpg mts mxf ts webm"
_SOUND = "aac ac3 flac m4a mka mp3 oga ogg opus wav"
_PICTURE = "jpeg jpg png tif tiff webp"
_TEXT = "ass dfxp srt ssa ttml vtt"
MEDIA_SUFFIXES = frozenset(f".{each}" for each in f"{_VIDEO} {_SOUND} {_PICTURE} {_TEXT}".split())
"""Files of a folder that are looked at. A file that is named itself is always looked at."""

LEADS_OUT = "a link that leads out of the folder; to add what it leads to, name the link itself"
LEADS_NOWHERE = "a link that leads back to itself; remove it, or let it lead to a file"


class Found(Protocol):
    """One file somewhere, to be looked at."""

    @property
    def locator(self) -> str:
        """Where it is."""

    @property
    def name(self) -> str:
        """Its name without folders."""

    @property
    def folder(self) -> str:
        """Where it lies; a titles.yaml may lie there too."""

    def look(self) -> tuple[int, str]:
        """Size in bytes, and a stamp that changes when the bytes may have.

        Raises
        ------
        OSError
            It cannot be looked at.
        """

    def fetched(self, stamp: str) -> AbstractContextManager[Path]:
        """The file on this machine, as it was when it had that stamp."""

    def titles(self) -> dict[str, TitleWords]:
        """What the titles.yaml beside it says."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file on this machine."""

    path: Path

    @property
    def locator(self) -> str:
        """``file:`` locator of its path, made absolute; symbolic links are followed."""
        return str(FileLocator(self.path.resolve()))

    @property
    def name(self) -> str:
        """Its name without folders; bytes of it that are no UTF-8 show as U+FFFD."""
        return _readable(self.path.name)

    @property
    def folder(self) -> str:
        """Its folder."""
        return str(self.path.parent)

    def look(self) -> tuple[int, str]:
        """Size, and time of modification; refuses what is no file, such as a pipe."""
        found = self.path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return found.st_size, f"{found.st_mtime_ns}"

    def fetched(self, stamp: str) -> AbstractContextManager[Path]:
        """The file itself."""
        return nullcontext(self.path)

    def titles(self) -> dict[str, TitleWords]:
        """The titles.yaml of its folder."""
        return read_titles(self.path.parent)


@dataclass(frozen=True, slots=True)
class FoundLink:
    """A symbolic link out of the folder it was found in, or in a circle: told, not followed."""

    path: Path
    why: str = LEADS_OUT

    @property
    def locator(self) -> str:
        """``file:`` locator of the link itself."""
        return str(FileLocator(self.path.absolute()))

    @property
    def name(self) -> str:
        """Its name without folders; bytes of it that are no UTF-8 show as U+FFFD."""
        return _readable(self.path.name)

    @property
    def folder(self) -> str:
        """Its folder."""
        return str(self.path.parent)

    def look(self) -> tuple[int, str]:
        """Refuse."""
        raise OSError(errno.EPERM, self.why)

    def fetched(self, stamp: str) -> AbstractContextManager[Path]:
        """Refuse."""
        self.look()
        raise AssertionError

    def titles(self) -> dict[str, TitleWords]:
        """The titles.yaml of its folder."""
        return read_titles(self.path.parent)


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object in S3, as it was listed."""

    place: S3Locator
    etag: str
    size_bytes: int

    @property
    def locator(self) -> str:
        """``s3:`` locator."""
        return str(self.place)

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.place.name

    @property
    def folder(self) -> str:
        """Its key without the last part, as a locator."""
        return self.locator[: -len(self.name)]

    def look(self) -> tuple[int, str]:
        """Size, and ETag."""
        return self.size_bytes, self.etag

    def fetched(self, stamp: str) -> AbstractContextManager[Path]:
        """A copy in the cache, of exactly the object that was listed."""
        return Cache.of_user().fetch(self.place, stamp)

    def titles(self) -> dict[str, TitleWords]:
        """The titles.yaml under the same prefix."""
        beside = parse_locator(self.folder + FILE_NAME)
        assert isinstance(beside, S3Locator)
        try:
            with Cache.of_user().fetch(beside) as path:
                return parse_titles(path, str(beside))
        except MissingValue:
            return {}


@dataclass(frozen=True, slots=True)
class FoundKey:
    """An object whose key cannot be a locator. It is told, not opened."""

    key: RefusedKey

    @property
    def locator(self) -> str:
        """What its locator would be, with control characters as escapes."""
        return f"s3://{self.key.bucket}/{self.key.shown}"

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.key.shown.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """A folder of its own: what lies beside it cannot be asked for."""
        return self.locator

    def look(self) -> tuple[int, str]:
        """Refuse."""
        raise OSError(errno.EINVAL, self.key.why.rstrip("."))

    def fetched(self, stamp: str) -> AbstractContextManager[Path]:
        """Refuse."""
        self.look()
        raise AssertionError

    def titles(self) -> dict[str, TitleWords]:
        """None."""
        return {}


def find(places: Iterable[Path | str]) -> Iterator[Found]:
    """Files named by path or locator, and the media files of folders.

    Raises
    ------
    RequestError
        A path is not there, or a folder holds no media.
    StoreUnavailable
        S3 cannot be reached.
    """
    for place in places:
        if isinstance(place, str) and place.partition(":")[0] in ("s3", "file"):
            locator = parse_locator(place)
            if isinstance(locator, S3Locator):
                yield from _objects(locator)
                continue
            place = locator.path
        elif isinstance(place, str) and "://" in place:
            raise RequestError(f"{place}: Copal opens files, and s3://bucket/key.")
        yield from _files(Path(place))


def _files(path: Path) -> Iterator[FoundFile | FoundLink]:
    if path.is_dir():
        found = list(files_in(path))
        if not found:
            raise RequestError(f"{path}: no media files in this folder.")
        yield from found
    elif path.exists():
        yield FoundFile(path)
    else:
        raise RequestError(f"{path}: no such file or folder.")


def files_in(folder: Path) -> Iterator[FoundFile | FoundLink]:
    """The media files of a folder and of those in it, by name; none is no error."""
    root = folder.resolve()
    for each in sorted(folder.rglob("*")):
        if (found := file_in(folder, root, each)) is not None:
            yield found


def file_in(folder: Path, root: Path, path: Path) -> FoundFile | FoundLink | None:
    """What a path in a folder is to those who look for media; ``root`` is the folder resolved."""
    if any(part.startswith(".") for part in path.relative_to(folder).parts):
        return None
    by_name = path.suffix.lower() in MEDIA_SUFFIXES
    try:
        wanted = by_name and path.is_file()
        inside = not path.is_symlink() or path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # Python below 3.13 calls a circle a RuntimeError
        return FoundLink(path, LEADS_NOWHERE) if by_name else None
    if not inside:
        return FoundLink(path) if wanted or path.is_dir() else None
    return FoundFile(path) if wanted else None


def is_media_name(name: str) -> bool:
    """Whether a path or key is media by its name: its suffix, and no part that is hidden."""
    return PurePosixPath(name).suffix.lower() in MEDIA_SUFFIXES and not _hidden(name)


def _objects(place: S3Locator) -> Iterator[FoundObject | FoundKey]:
    if place.key and not place.key.endswith("/"):
        try:
            state = head(place)
        except MissingValue:
            pass
        else:
            yield FoundObject(place, state.etag, state.size_bytes)
            return
    try:
        found = list(objects_in(place))
    except MissingValue as exc:
        raise RequestError(str(exc)) from exc
    if not found:
        raise RequestError(f"{place}: no such object, and no media files under it.")
    yield from found


def objects_in(place: S3Locator) -> Iterator[FoundObject | FoundKey]:
    """The media objects under a key; none is no error."""
    for each in listed(place):
        by_name = PurePosixPath(each.key).suffix.lower() in MEDIA_SUFFIXES
        if not by_name or _hidden(each.key[len(place.key) :]):
            continue
        if isinstance(each, RefusedKey):
            yield FoundKey(each)
        else:
            yield FoundObject(each.locator, each.etag, each.size_bytes)


def _hidden(rest: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in rest.split("/"))


def _readable(name: str) -> str:
    """A file's name as text that can be stored and shown, whatever its bytes are."""
    return os.fsencode(name).decode(errors="replace")
