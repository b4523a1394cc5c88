"""Timed text: a file of subtitles or captions, recognised by what is in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from copal.errors import UnreadableMedia
from copal.media.container import check_file

SUFFIXES = {
    ".srt": "srt", ".vtt": "vtt", ".ass": "ass", ".ssa": "ass", ".ttml": "ttml", ".dfxp": "ttml",
}  # fmt: skip
LARGEST_BYTES = 64 << 20

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_ARROW = re.compile(rf"^{_TIME}[ \t]*-->[ \t]*{_TIME}", re.MULTILINE)
_DIALOGUE = re.compile(rf"^Dialogue:[^,]*,[ \t]*{_TIME},[ \t]*{_TIME},", re.MULTILINE)
_PARAGRAPH = re.compile(r"<(?:\w+:)?p[\s>]")


@dataclass(frozen=True, slots=True)
class TimedText:
    """A text file's format and its content in one encoding, with one kind of line end."""

    format: str
    """``srt``, ``vtt``, ``ass`` or ``ttml``."""
    content: str
    cues: int
    end_seconds: Fraction
    """When the last cue ends; 0 for TTML, whose clock needs the whole document."""


def read_text(path: Path, *, name: str) -> TimedText | None:
    """The file as timed text; None when it is something else.

    The suffix says that it may be text, and the content that it is: a film called
    ``film.srt`` is a film.

    Raises
    ------
    UnreadableMedia
        No such file, empty, or a text suffix with no timed text behind it.
    """
    expected = SUFFIXES.get(path.suffix.lower())
    check_file(path, name)
    with path.open("rb") as stream:
        head = stream.read(4096)
        if expected is None and _format(decoded(head)) is None:
            return None
        if b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            return None
        data = head + stream.read(LARGEST_BYTES)
    if len(data) > LARGEST_BYTES:
        raise UnreadableMedia(f"{name}: over {LARGEST_BYTES >> 20} MiB, too large for timed text.")
    content = decoded(data)
    format = _format(content)
    if format is None:
        raise UnreadableMedia(
            f"{name}: no timed text in it, though it is named as such (expected {expected}). "
            "Check that it is the right file."
        )
    pattern = {"ass": _DIALOGUE, "ttml": _PARAGRAPH}.get(format, _ARROW)
    found = list(pattern.finditer(content))
    ends = [] if format == "ttml" else [_seconds(match.groups()[4:8]) for match in found]
    return TimedText(format, content, len(found), max(ends, default=Fraction(0)))


def decoded(data: bytes) -> str:
    """Text of a subtitle file: UTF-8 or UTF-16 by its mark, UTF-8, else Windows-1252."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            # the head of a file may end inside a character
            whole = error.start >= len(data) - 3
            text = (
                data[: error.start].decode("utf-8-sig")
                if whole
                else data.decode("cp1252", "replace")
            )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _format(content: str) -> str | None:
    head = content.lstrip()[:4096]
    if head.startswith("WEBVTT"):
        return "vtt"
    if head.lower().startswith("[script info]"):
        return "ass"
    if head.startswith("<") and re.search(r"<(?:\w+:)?tt[\s>]", head):
        return "ttml"
    if re.match(r"\d+[ \t]*\n", head) and _ARROW.search(head):
        return "srt"
    return None


def _seconds(parts: tuple[str | None, ...]) -> Fraction:
    hours, minutes, seconds, part = (p or "0" for p in parts)
    return (
        int(hours) * 3600 + int(minutes) * 60 + int(seconds) + Fraction(int(part), 10 ** len(part))
    )
