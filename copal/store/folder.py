"""A folder of objects, on this machine or in S3: small documents and content-addressed files."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlparse

from copal.errors import RequestError
from copal.feature import File, LocalFile
from copal.objects.cache import plain_errors


@dataclass(frozen=True, slots=True)
class Found:
    """One object of a folder, as a listing shows it."""

    name: str
    """Its name in the folder, with ``/``."""
    bytes: int
    modified: datetime
    """When it was last written, in UTC."""


class Folder(Protocol):
    """Objects by name; names use ``/`` and never leave the folder."""

    @property
    def uri(self) -> str:
        """Where the folder is, as Lance opens it."""

    @property
    def storage_options(self) -> dict[str, str] | None:
        """What Lance must know to reach it."""

    def put(self, name: str, data: bytes) -> None:
        """Write a whole object; readers see the old one or the new one."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Write an object that is not there; False, and nothing is written, when it is.

        Of any number who try at once exactly one gets True.
        """

    def put_file(self, name: str, source: Path, *, again: bool = False) -> None:
        """Copy a file in; one that is there already, under its digest, is kept unless ``again``.

        Readers see the whole old one or the whole new one.
        """

    def get(self, name: str) -> bytes | None:
        """A whole object, or None."""

    def file(self, name: str) -> File:
        """A handle on an object; nothing is read until it is used."""

    def names(self, prefix: str) -> list[str]:
        """Names of the folders directly under ``prefix``."""

    def objects(self, prefix: str) -> Iterator[Found]:
        """Every object under ``prefix``, however deep, by name."""

    def first(self, prefix: str) -> Found | None:
        """The first object under ``prefix`` by name, None when there is nothing."""

    def remove(self, names: Iterable[str], before: datetime | None = None) -> None:
        """Delete objects, if given only those last written before a time.

        One that is not there is no error.
        """

    def remove_folder(self, prefix: str) -> None:
        """Delete everything under ``prefix``."""


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A directory."""

    root: Path

    @property
    def uri(self) -> str:
        """The path itself."""
        return str(self.root)

    @property
    def storage_options(self) -> dict[str, str] | None:
        """None: a path needs no more."""
        return None

    def put(self, name: str, data: bytes) -> None:
        """Write beside, then rename."""
        with plain_errors(self.uri), self._replacing(name) as temporary:
            temporary.write_bytes(data)

    def put_new(self, name: str, data: bytes) -> bool:
        """Write beside, then link, which fails where something is."""
        target = self.root / name
        with plain_errors(self.uri), self._beside(target) as temporary:
            temporary.write_bytes(data)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
            return True

    def put_file(self, name: str, source: Path, *, again: bool = False) -> None:
        """Copy beside, then rename."""
        if not again:
            with suppress(FileNotFoundError):
                os.utime(self.root / name)  # so that nobody takes it for an old one, not needed
                return
        with plain_errors(self.uri), self._replacing(name) as temporary:
            shutil.copyfile(source, temporary)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        target = self.root / name
        with self._beside(target) as temporary:
            yield temporary
            temporary.replace(target)

    @contextmanager
    def _beside(self, target: Path) -> Iterator[Path]:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def get(self, name: str) -> bytes | None:
        """The bytes, or None."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def file(self, name: str) -> File:
        """The file where it lies."""
        return LocalFile(self.root / name)

    def names(self, prefix: str) -> list[str]:
        """Directories under ``prefix``, sorted."""
        folder = self.root / prefix
        return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []

    def objects(self, prefix: str) -> Iterator[Found]:
        """Files under ``prefix``; one that goes away meanwhile is left out."""
        for folder, folders, files in os.walk(self.root / prefix):
            folders.sort()
            for name in sorted(files):
                path = Path(folder, name)
                try:
                    state = path.stat()
                except FileNotFoundError:
                    continue
                when = datetime.fromtimestamp(state.st_mtime, UTC)
                yield Found(path.relative_to(self.root).as_posix(), state.st_size, when)

    def first(self, prefix: str) -> Found | None:
        """The first name in a directory."""
        try:
            names = [path.name for path in (self.root / prefix).iterdir()]
            name = min((name for name in names if not name.startswith(".")), default=None)
            if name is None:
                return None
            state = (self.root / prefix / name).stat()
        except FileNotFoundError:  # it went away meanwhile, or never was
            return None
        when = datetime.fromtimestamp(state.st_mtime, UTC)
        return Found(f"{prefix}/{name}", state.st_size, when)

    def remove(self, names: Iterable[str], before: datetime | None = None) -> None:
        """Delete files; the directories stay."""
        with plain_errors(self.uri):
            for name in names:
                path = self.root / name
                with suppress(FileNotFoundError):
                    if before is None or path.stat().st_mtime < before.timestamp():
                        path.unlink()

    def remove_folder(self, prefix: str) -> None:
        """Delete a directory with all it holds."""
        with plain_errors(self.uri):
            if (self.root / prefix).exists():
                shutil.rmtree(self.root / prefix)


def open_folder(location: str, root: Path) -> Folder:
    """The folder at ``s3://bucket/prefix``, or at a path (taken from ``root`` when relative).

    Raises
    ------
    RequestError
        It is neither.
    """
    parsed = urlparse(location)
    if parsed.scheme == "s3":
        if not parsed.netloc:
            raise RequestError(f"store '{location}' names no bucket: s3://bucket/prefix")
        from copal.store.s3 import S3Folder  # it imports this module

        return S3Folder(parsed.netloc, parsed.path.strip("/"))
    if parsed.scheme not in ("", "file"):
        raise RequestError(f"store '{location}' is neither a folder nor s3://bucket/prefix.")
    path = Path(parsed.path if parsed.scheme == "file" else location).expanduser()
    return LocalFolder(path if path.is_absolute() else (root / path).resolve())
