"""A folder of objects, on this machine or in S3: small documents and content-addressed files."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlparse

from copal.errors import RequestError
from copal.feature import File, LocalFile
from copal.objects.cache import plain_errors


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

    def put_file(self, name: str, source: Path) -> None:
        """Copy a file in; one that is there already, under its digest, is kept."""

    def get(self, name: str) -> bytes | None:
        """A whole object, or None."""

    def file(self, name: str) -> File:
        """A handle on an object; nothing is read until it is used."""

    def names(self, prefix: str) -> list[str]:
        """Names of the folders directly under ``prefix``."""


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

    def put_file(self, name: str, source: Path) -> None:
        """Copy beside, then rename."""
        if (self.root / name).exists():
            return
        with plain_errors(self.uri), self._replacing(name) as temporary:
            shutil.copyfile(source, temporary)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
        try:
            yield temporary
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

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
