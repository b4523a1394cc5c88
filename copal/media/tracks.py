"""Text tracks: every timed text of a source, in a file of its own or beside pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from copal.errors import UnreadableMedia
from copal.media import ffmpeg, sandbox
from copal.media.dialogue import Line, read_lines
from copal.media.language import language_in_name, language_tag
from copal.media.source import Source
from copal.media.technical import Technical, TextStream
from copal.media.text import TimedText, read_text

log = structlog.get_logger("copal.media")

CODECS = {
    "subrip": ("srt", "copy"), "text": ("srt", "srt"), "mov_text": ("srt", "srt"),
    "webvtt": ("webvtt", "copy"), "ass": ("ass", "copy"), "ssa": ("ass", "copy"),
}  # fmt: skip
"""Codec → the format that its track is written in, and how."""
PICTURES = {
    "hdmv_pgs_subtitle": "PGS", "dvd_subtitle": "VobSub", "dvb_subtitle": "DVB subtitles",
    "xsub": "XSUB",
}  # fmt: skip
"""Tracks that are pictures of words: named, not read."""


@dataclass(frozen=True, slots=True)
class TextTrack:
    """One timed text of a source."""

    index: int
    """Of the stream in its file; 0 for a file that is nothing but text."""
    language: str | None
    lines: tuple[Line, ...]
    """Times count from the source's time 0."""


def text_tracks(source: Source, technical: Technical, workspace: Path) -> list[TextTrack]:
    """Read every text track of a source; ffmpeg takes those in containers out, in one pass.

    Raises
    ------
    UnreadableMedia
        The source is damaged.
    """
    if technical.kind == "text" and technical.container in ("srt", "vtt", "ass", "ttml"):
        found = read_text(source.path, name=source.name)
        if found is None:
            raise UnreadableMedia(f"{source.name}: no timed text in it any more.")
        lines = tuple(read_lines(found.content, found.format, source.name))
        return [TextTrack(0, _said(found, source.name) or language_in_name(source.name), lines)]
    wanted = []
    for stream in technical.texts:
        if stream.codec in CODECS:
            if stream.packet_count:
                wanted.append(stream)
        else:
            log.info(
                "text.not_read", name=source.name, stream=stream.index,
                codec=PICTURES.get(stream.codec, stream.codec), language=stream.language,
            )  # fmt: skip
    return [
        TextTrack(stream.index, language_tag(stream.language), _track(path, source.name))
        for stream, path in _taken_out(source, wanted, workspace)
    ]


def _said(text: TimedText, name: str) -> str | None:
    """The language that a text gives itself."""
    if text.format == "ttml":
        from copal.media.ttml import language_of

        return language_tag(language_of(text.content, name) or "")
    head = text.content.partition("\n\n")[0]
    said = re.search(r"^Language:[ \t]*(\S+)", head, re.MULTILINE) if text.format == "vtt" else None
    return language_tag(said[1]) if said else None


def _taken_out(
    source: Source, streams: Sequence[TextStream], workspace: Path
) -> list[tuple[TextStream, Path]]:
    """One file for each stream, its times as the source's."""
    if not streams:
        return []
    given = [part for key, value in ffmpeg.INPUT_OPTIONS.items() for part in (f"-{key}", value)]
    command = [
        str(ffmpeg.binary()), "-hide_banner", "-nostdin", "-y", "-v", "error", *given,
        "-i", f"file:{source.path.absolute()}",
    ]  # fmt: skip
    made = []
    for stream in streams:
        format, coder = CODECS[stream.codec]
        path = workspace / f"{stream.index}.{'vtt' if format == 'webvtt' else format}"
        command += ["-map", f"0:{stream.index}", "-c:s", coder, "-f", format, f"file:{path}"]
        made.append((stream, path))
    limits = ffmpeg.Limits(file_bytes=1 << 30)
    ffmpeg.run(command, name=source.name, limits=limits, jailed=(source.path, workspace))
    return made


def _track(path: Path, name: str) -> tuple[Line, ...]:
    """Lines of a file that ffmpeg wrote."""
    if not path.stat().st_size:
        return ()
    found = read_text(path, name=name)
    return tuple(read_lines(found.content, found.format, name)) if found else ()


def technical_of(source: Source) -> Technical:
    """The technical record of a source, read in the sandbox."""
    return sandbox.probe(source.path, name=source.name)
