"""A derivative's container: a file that Copal made, opened as carefully as one it did not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from copal.errors import UnreadableMedia


@contextmanager
def opened(path: Path, format: str) -> Iterator[Any]:
    """The PyAV container of a file of one format: ``mov`` or ``flac``.

    Raises
    ------
    UnreadableMedia
        It is missing, damaged, or of another format.
    """
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": format}
    try:
        container = av.open(f"file:{path}", options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnreadableMedia(f"{path}: cannot be opened ({error}). Encode again.") from error
    with container:
        yield container


def decoded(container: Any, stream: Any, path: Path) -> Iterator[Any]:
    """Frames of a stream, from where the container stands.

    Raises
    ------
    UnreadableMedia
        A packet cannot be decoded.
    """
    import av

    try:
        yield from container.decode(stream)
    except av.error.FFmpegError as error:
        raise UnreadableMedia(f"{path}: cannot be decoded ({error}). Encode again.") from error
