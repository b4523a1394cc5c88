"""Probing: the technical record of a file, made from one pass over its packets."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from copal.errors import UnreadableMedia
from copal.media.cadence import cadence, shown
from copal.media.demux import demux
from copal.media.ffmpeg import MOST_PIXELS
from copal.media.stream import SourceRecord, StreamRecord
from copal.media.technical import (
    HDR_TRANSFERS,
    AudioStream,
    Kind,
    Technical,
    TextStream,
    VideoStream,
)
from copal.media.text import TimedText, read_text


def probe(path: Path, *, name: str | None = None) -> Technical:
    """The technical record of a file, from one pass over its packets.

    Raises
    ------
    UnreadableMedia
        No such file, empty, damaged, or not media.
    UnsupportedMedia
        Media of a format that Copal does not read.
    """
    text = read_text(path, name=name or path.name)
    if text is not None:
        return text_record(text)
    return technical(demux(path, name=name), name or path.name)


def text_record(text: TimedText) -> Technical:
    """The record of a file that is nothing but timed text."""
    stream = TextStream(0, text.format, text.cues, default=True, language="")
    return Technical("text", text.format, text.end_seconds, Fraction(0), texts=(stream,))


def technical(record: SourceRecord, name: str) -> Technical:
    """The technical record of a source that was read."""
    seen = [s for s in record.streams if not s.attached_picture]
    zero = record.start_seconds
    videos = tuple(_video(s, zero) for s in seen if s.type == "video" and s.packets)
    audios = tuple(_audio(s, zero) for s in seen if s.type == "audio" and s.packets)
    texts = tuple(
        TextStream(s.index, s.codec, s.packets, s.default, s.language)
        for s in seen
        if s.type == "subtitle"
    )
    others = tuple(
        s.type
        for s in seen
        if s.type not in ("video", "audio", "subtitle")
        or (s.type in ("video", "audio") and not s.packets)
    )
    kind: Kind
    if videos:
        still = record.container.endswith("_pipe") or record.container in ("gif", "image2")
        kind = "image" if still and all(v.packet_count == 1 for v in videos) else "video"
    elif audios:
        kind = "audio"
    elif texts:
        kind = "text"
    else:
        raise UnreadableMedia(
            f"{name}: no video, sound, picture or text in it "
            f"(found: {Technical('text', '', zero, zero, others=others).found}). "
            "Check that the file plays."
        )
    if kind == "image" and not videos[0].decodable:
        raise UnreadableMedia(
            f"{name}: the picture cannot be decoded. It is damaged, or has more than "
            f"{MOST_PIXELS // 1_000_000} million pixels."
        )
    ends = [v.start_seconds + v.duration_seconds for v in videos]
    ends += [a.start_seconds + a.duration_seconds for a in audios]
    duration = Fraction(0) if kind == "image" else max([*ends, Fraction(0)])
    return Technical(kind, record.container, duration, zero, videos, audios, texts, others)


def _video(stream: StreamRecord, zero: Fraction) -> VideoStream:
    ticks = shown(stream.ticks, stream.time_base)
    pace = cadence(ticks, stream.time_base, single=stream.declared_rate or Fraction(25))
    first = stream.first
    span = int(ticks[-1] - ticks[0]) * stream.time_base if ticks.size else Fraction(0)
    start = int(ticks[0]) * stream.time_base - zero if ticks.size else Fraction(0)
    transfer = first.transfer if first else 2
    return VideoStream(
        index=stream.index,
        codec=stream.codec,
        width=first.width if first else stream.width,
        height=first.height if first else stream.height,
        sample_aspect=stream.sample_aspect,
        rotation=first.rotation if first else 0,
        mirrored=bool(first and first.mirrored),
        pixel_format=first.pixel_format if first else stream.pixel_format,
        transfer=transfer,
        primaries=first.primaries if first else 2,
        matrix=first.matrix if first else 2,
        full_range=bool(first and first.full_range),
        hdr=HDR_TRANSFERS.get(transfer),
        interlaced=bool(first and first.interlaced),
        decodable=first is not None,
        frame_rate=pace.frame_rate,
        constant_rate=pace.constant,
        frame_count=int(ticks.size),
        declared_frames=stream.declared_frames or None,
        hidden_packets=stream.hidden,
        packet_count=stream.packets,
        start_seconds=start,
        duration_seconds=span + 1 / pace.frame_rate if ticks.size else Fraction(0),
        longest_gap_seconds=pace.longest_gap_seconds,
        default=stream.default,
        language=stream.language,
        captioned=bool(first and first.captioned),
    )


def _audio(stream: StreamRecord, zero: Fraction) -> AudioStream:
    ticks = stream.ticks
    start = int(ticks[0]) * stream.time_base - zero if ticks.size else Fraction(0)
    span = int(ticks[-1] - ticks[0]) + stream.last_duration if ticks.size else 0
    return AudioStream(
        index=stream.index,
        codec=stream.codec,
        sample_rate=stream.sample_rate,
        channels=stream.channels,
        layout=stream.layout,
        start_seconds=start,
        duration_seconds=span * stream.time_base,
        default=stream.default,
        language=stream.language,
        heard=stream.heard,
    )
