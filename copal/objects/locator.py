"""A locator: where an asset's bytes are, on this machine or in S3; never who the asset is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote_to_bytes

from copal.errors import RequestError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
LONGEST_KEY = 1024
"""Bytes of a key in UTF-8, as S3 has it."""


@dataclass(frozen=True, slots=True)
class FileLocator:
    """A file on this machine, by its absolute path."""

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_absolute() or "\0" in str(self.path):
            raise RequestError(f"{str(self.path)!r} is not an absolute path.")

    @property
    def name(self) -> str:
        """The file's name without its folders; bytes of it that are no UTF-8 show as U+FFFD."""
        return os.fsencode(self.path.name).decode(errors="replace")

    def __str__(self) -> str:
        return "file://" + quote(os.fsencode(self.path))


@dataclass(frozen=True, slots=True)
class S3Locator:
    """An object in S3, or in a server that speaks its language; an empty key is the whole bucket.

    A key stands in a locator as it is, without percent signs for anything: ``s3://media/a b.mp4``.
    """

    bucket: str
    key: str

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket) or ".." in self.bucket:
            raise RequestError(
                f"'{self.bucket}' cannot name a bucket: use 3 to 63 of a-z, 0-9, '-' and '.'."
            )
        wrong = None
        if len(self.key.encode("utf-8", "surrogatepass")) > LONGEST_KEY:
            wrong = f"longer than {LONGEST_KEY} bytes"
        elif _CONTROL.search(self.key) or re.search(r"[\ud800-\udfff]", self.key):
            wrong = "it has control characters"
        elif {".", ".."} & set(self.key.split("/")):
            wrong = "'.' and '..' are no folders there"
        if wrong:
            raise RequestError(f"{self.key[:80]!r} cannot be a key in S3: {wrong}.")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rstrip("/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The name's suffix with its dot, such as ``.mp4``; empty when there is none."""
        return PurePosixPath(self.name).suffix if self.name else ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


Locator = FileLocator | S3Locator


def parse_locator(text: str) -> Locator:
    """The locator that a text such as ``file:///media/a.mov`` or ``s3://media/a.mov`` is.

    Raises
    ------
    RequestError
        Another scheme, a host in a ``file:`` locator, or a bucket or key that cannot be.
    """
    scheme, _, rest = text.partition(":")
    if scheme == "s3" and rest.startswith("//"):
        bucket, _, key = rest[2:].partition("/")
        return S3Locator(bucket, key)
    if scheme == "file":
        if rest.startswith("//"):
            host, slash, path = rest[2:].partition("/")
            if host not in ("", "localhost"):
                raise RequestError(f"'{text}' is on '{host}'. Copal opens files of this machine.")
            rest = slash + path
        return FileLocator(Path(os.fsdecode(unquote_to_bytes(rest))))
    raise RequestError(f"'{text}' is no locator: need file:///path or s3://bucket/key.")
