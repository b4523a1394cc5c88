"""Dialogue: the lines of a timed text, with when they are shown and who speaks, tags taken off.

SubRip and WebVTT are read here and TTML in ``ttml``; pysubs2 reads ASS and SSA. For the other
three pysubs2 1.8 was measured to lose what is needed: voices, TTML's ``dur``, frames and ticks and
its older namespaces; and to keep NOTE blocks in cues.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from copal.errors import UnreadableMedia

NAMES_MAKE_A_CONVENTION = 3
"""Lines of one text that begin like ``ANN: …`` before that is taken for a speaker's name."""

_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_ARROW = re.compile(rf"^[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}", re.MULTILINE)
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?(?:[ \t]+([^>]*))?>|</v>")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")
_CHEVRONS = re.compile(r"(?:^|\n|(?<=\s))>{2,3}[ \t]*")
_NAME = re.compile(r"(?:^|\n)([^\W\d_][^\n:<>]{0,38}[^\s:]):(?=\s)[ \t]*")


@dataclass(frozen=True, slots=True)
class Line:
    """Words on the screen for a time."""

    start_ms: int
    end_ms: int
    text: str
    """Without tags; its line breaks are kept, in logical order whatever the script."""
    speaker: str | None = None
    """As the text names them; None when it does not."""


def read_lines(content: str, format: str, name: str) -> list[Line]:
    """Lines of a text in the order of their time; those of one time in the text's order.

    Speakers come from ``<v Ann>`` (WebVTT), the Name field (ASS) and agents (TTML). ``>>`` is a
    change of speaker: it is taken off and divides a cue. ``ANN: …`` names a speaker after ``>>``,
    and elsewhere when the name is in capitals and three lines or more of the text begin like that:
    a single ``WARNING: …`` stays as it is.

    Raises
    ------
    UnreadableMedia
        It is damaged.
    """
    from copal.media.ttml import read_ttml

    readers: dict[str, Callable[[str, str], Iterable[Line]]] = {
        "srt": _srt, "vtt": _vtt, "ass": _ass, "ttml": read_ttml,
    }  # fmt: skip
    cues = [line for line in readers[format](content, name) if line.text]
    parts = [part for cue in cues for part in _changes(cue)]
    if sum(bool(_names(part.text)) for part in parts) >= NAMES_MAKE_A_CONVENTION:
        parts = [said for part in parts for said in _named(part)]
    return sorted(parts, key=lambda line: (line.start_ms, line.end_ms))


def tidy(text: str) -> str:
    """Lines without blanks at their ends, and no empty ones."""
    lines = (line.strip(" \t\xa0\ufeff") for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _srt(content: str, name: str) -> Iterator[Line]:
    found = list(_ARROW.finditer(content))
    for match, following in zip(found, [*found[1:], None], strict=True):
        stop = following.start() if following else len(content)
        body = content[content.find("\n", match.end()) + 1 or stop : stop]
        if following:  # the number of the next cue stands on the last line
            body = re.sub(r"(?:^|\n)[ \t]*\d+[ \t]*\n*$", "", body)
        yield _line(match, tidy(_TAG.sub("", body)))


def _vtt(content: str, name: str) -> Iterator[Line]:
    for block in re.split(r"\n[ \t]*\n", content):
        match = _ARROW.search(block)
        before = block[: match.start()].strip() if match else ""
        if match is None or re.match(r"(NOTE|STYLE|REGION)\b", before):
            continue
        body = block[match.end() :].partition("\n")[2]
        speaker, at = None, 0
        voices = [*_VOICE.finditer(body), None]
        for voice in voices:
            said = body[at : voice.start()] if voice else body[at:]
            yield replace(_line(match, tidy(html.unescape(_TAG.sub("", said)))), speaker=speaker)
            if voice:
                speaker = html.unescape(voice[1] or "").strip() or None
                at = voice.end()


def _ass(content: str, name: str) -> Iterator[Line]:
    import pysubs2

    try:
        found = pysubs2.SSAFile.from_string(content, "ass")
    except Exception as error:  # whatever a damaged file makes it stumble over
        raise UnreadableMedia(f"{name}: its subtitles cannot be read ({error}).") from error
    for event in found:
        if not event.is_comment and not event.is_drawing:
            speaker = event.name.strip() or None
            yield Line(event.start, max(event.start, event.end), tidy(event.plaintext), speaker)


def _line(match: re.Match[str], text: str) -> Line:
    start, end = _milliseconds(match.groups()[:4]), _milliseconds(match.groups()[4:])
    return Line(start, max(start, end), text)


def _milliseconds(parts: tuple[str | None, ...]) -> int:
    hours, minutes, seconds, part = (each or "0" for each in parts)
    whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole * 1000 + int(part.ljust(3, "0"))


def _changes(cue: Line) -> Iterator[Line]:
    """The cue, divided where the speaker changes."""
    pieces = _CHEVRONS.split(cue.text)
    if len(pieces) == 1:
        yield cue
        return
    for place, piece in enumerate(pieces):
        named = _NAME.match(piece) if place and cue.speaker is None else None
        if named and tidy(piece[named.end() :]):
            yield replace(cue, text=tidy(piece[named.end() :]), speaker=named[1].strip())
        elif tidy(piece):
            yield replace(cue, text=tidy(piece), speaker=None if place else cue.speaker)


def _names(text: str) -> list[re.Match[str]]:
    """Where lines of a text begin with a name in capitals."""
    return [
        match
        for match in _NAME.finditer(text)
        if match[1].upper() == match[1] != match[1].lower() and len(match[1].split()) <= 4
    ]


def _named(line: Line) -> Iterator[Line]:
    """The line, divided where names begin, which become its speakers."""
    speaker, at = line.speaker, 0
    for match in [*_names(line.text), None] if speaker is None else [None]:
        said = tidy(line.text[at : match.start()] if match else line.text[at:])
        if said:
            yield replace(line, text=said, speaker=speaker)
        if match:
            speaker, at = match[1].strip(), match.end()
