"""A source's container, opened as a file that nobody trusts."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from copal.errors import UnreadableMedia, UnsupportedMedia
from copal.media.ffmpeg import INPUT_OPTIONS

STILLS = {
    b"\x89PNG": "png_pipe", b"\xff\xd8\xff": "jpeg_pipe", b"RIFF": "webp_pipe",
    b"II*\0": "tiff_pipe", b"MM\0*": "tiff_pipe", b"BM": "bmp_pipe",
}  # fmt: skip
"""First bytes of a picture file → the reader that takes one picture, and names for names."""

HEIF = (b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1")
"""Brands of files that are one picture in an MP4's clothes (ISO/IEC 23008-12)."""


def first_line(error: BaseException) -> str:
    """What libav said, without the path."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]


@contextmanager
def opened(path: Path, name: str) -> Iterator[Any]:
    """A PyAV container of a file that nobody trusts.

    Raises
    ------
    UnreadableMedia
        No such file, not readable, empty, or not media.
    UnsupportedMedia
        Media of a format that Copal does not read.
    """
    import av

    check_file(path, name)
    with path.open("rb") as stream:
        head = stream.read(32)
    foreign = _foreign(head)
    if foreign is not None:
        raise UnsupportedMedia(f"{name}: {foreign}.")
    format = _still(head)
    try:
        # The prefix keeps a name such as 'concat:a|b' or 'http:…' from being taken for a protocol.
        container = av.open(
            f"file:{path.absolute()}",
            format=format,
            options=dict(INPUT_OPTIONS),
            metadata_errors="replace",
        )
    except av.error.ArgumentError as error:
        raise UnsupportedMedia(
            f"{name}: its format is not among those that Copal reads. "
            "Convert it to MP4, MOV, MKV, WebM, MPEG-TS, AVI or MXF."
        ) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnreadableMedia(
            f"{name}: not media, or damaged beyond reading ({first_line(error)}). "
            "Check that the file plays, and supply it again."
        ) from error
    with container:
        yield container


def _still(head: bytes) -> str | None:
    """The reader of a picture file; None for all else.

    Left to itself, libavformat goes by the suffix and takes '%d' in a name for a pattern.
    """
    if head[:4] == b"RIFF" and head[8:12] != b"WEBP":
        return None
    return next((reader for first, reader in STILLS.items() if head.startswith(first)), None)


def _foreign(head: bytes) -> str | None:
    """What a file is that libavformat would read wrongly or in part, and what to do; else None."""
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20:21] > b"" and head[20] & 2:
        return "an animated WebP. Convert it to MP4 or GIF, or its first picture to PNG"
    if head[4:8] == b"ftyp" and head[8:12] in HEIF:
        return "a still picture in AVIF or HEIC. Convert it to PNG, JPEG, WebP or TIFF"
    if head[:2] == b"PG" and head[10:11] in (b"\x14", b"\x15", b"\x16", b"\x17"):
        return "subtitles that are pictures (PGS). Supply them as SRT, VTT, TTML or ASS"
    return None


def check_file(path: Path, name: str) -> None:
    """Refuse what is no file with something in it."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise UnreadableMedia(f"{name}: a folder, not a media file. Name the files in it.")
        if not stat.S_ISREG(found.st_mode):  # a pipe would block, and a device never ends
            raise UnreadableMedia(f"{name}: a device, pipe or socket, not a file. Copy it to one.")
        if found.st_size == 0:
            raise UnreadableMedia(f"{name}: the file is empty. Was it still being copied?")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise UnreadableMedia(f"{name}: no such file. Was it moved?") from None
    except PermissionError:
        raise UnreadableMedia(
            f"{name}: no permission to read it. Change its mode or owner."
        ) from None
