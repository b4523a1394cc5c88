"""The technical record of a source: what its streams are, exactly, and what is odd about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np

from copal.errors import UnreadableMedia
from copal.fingerprint import Json
from copal.media.demux import NO_CODEC, SourceRecord, StreamRecord, demux
from copal.media.text import TimedText, read_text

if TYPE_CHECKING:
    import numpy.typing as npt

Kind = Literal["video", "audio", "image", "text"]

HDR_TRANSFERS = {16: "pq", 18: "hlg"}
"""Colour transfers of ITU-T H.273 that a plain player shows wrong."""

_NTSC = [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240)]
_WHOLE = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20, 24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 144]
KNOWN_RATES = sorted([*_NTSC, Fraction(25, 2), *map(Fraction, (*_WHOLE, 200, 240))])
"""Frame rates that cameras, editors and standards use."""


@dataclass(frozen=True, slots=True)
class VideoStream:
    """One stream of pictures."""

    index: int
    codec: str
    width: int
    """As coded, in pixels; before rotation and sample aspect."""
    height: int
    sample_aspect: Fraction
    """Width of a sample over its height; 1 for square pixels."""
    rotation: int
    """Degrees to turn it clockwise for display."""
    mirrored: bool
    pixel_format: str
    transfer: int
    """Colour transfer, primaries and matrix as ITU-T H.273 numbers them; 2 is unspecified."""
    primaries: int
    matrix: int
    full_range: bool
    hdr: str | None
    """``pq``, ``hlg``, or None."""
    interlaced: bool
    """Whether its first picture is two fields."""
    decodable: bool
    """Whether a first picture could be decoded."""
    frame_rate: Fraction
    """Measured from presentation times; one of ``KNOWN_RATES`` when within 0.2 % of it."""
    constant_rate: bool
    frame_count: int
    """Pictures with a presentation time of their own."""
    declared_frames: int | None
    hidden_packets: int
    """Packets decoded but not shown, such as the lead-in of an edit list."""
    packet_count: int
    start_seconds: Fraction
    """When the first picture shows, counted from the source's time 0."""
    duration_seconds: Fraction
    """From the first picture to the end of the last."""
    longest_gap_seconds: Fraction
    """Longest time between two pictures."""
    default: bool
    language: str


@dataclass(frozen=True, slots=True)
class AudioStream:
    """One stream of sound."""

    index: int
    codec: str
    sample_rate: int
    channels: int
    layout: str
    start_seconds: Fraction
    duration_seconds: Fraction
    default: bool
    language: str

    @property
    def decodable(self) -> bool:
        """Whether there is a decoder for it."""
        return self.codec != NO_CODEC and self.sample_rate > 0 and self.channels > 0


@dataclass(frozen=True, slots=True)
class TextStream:
    """One stream of subtitles or captions."""

    index: int
    codec: str
    packet_count: int
    default: bool
    language: str


@dataclass(frozen=True, slots=True)
class Technical:
    """What one file is. Times are exact; seconds are fractions."""

    kind: Kind
    container: str
    """Format as libavformat names it, or of a text file: ``srt``, ``vtt``, ``ass``, ``ttml``."""
    duration_seconds: Fraction
    """From the earliest start of any stream to the latest end; 0 for a picture."""
    start_seconds: Fraction
    """The time that the container gives its beginning. Streams' starts are counted from it."""
    videos: tuple[VideoStream, ...] = ()
    audios: tuple[AudioStream, ...] = ()
    texts: tuple[TextStream, ...] = ()
    others: tuple[str, ...] = ()
    """Kinds of the streams that Copal does not read, such as ``data`` or ``attachment``."""

    @property
    def video(self) -> VideoStream | None:
        """The stream to encode: the first default one, else the first."""
        return next((v for v in self.videos if v.default), next(iter(self.videos), None))

    @property
    def audio(self) -> AudioStream | None:
        """The sound to encode: the first default one that can be decoded, else the first such."""
        usable = [a for a in self.audios if a.decodable]
        return next((a for a in usable if a.default), next(iter(usable), None))

    @property
    def found(self) -> str:
        """The streams in words: ``1 video, 2 audio``."""
        counts = {"video": len(self.videos), "audio": len(self.audios), "text": len(self.texts)}
        counts.update(Counter(self.others))
        return ", ".join(f"{n} {kind}" for kind, n in counts.items() if n) or "nothing"

    def to_json(self) -> dict[str, Json]:
        """Plain values; fractions as ``"24000/1001"``."""
        return cast("dict[str, Json]", _plain(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The record that ``to_json`` wrote; keys it does not know are left out."""
        made = _made(cls, data)
        for name, kind in (("videos", VideoStream), ("audios", AudioStream), ("texts", TextStream)):
            made[name] = tuple(kind(**_made(kind, item)) for item in data.get(name, ()))
        made["others"] = tuple(data.get("others", ()))
        return cls(**made)


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
    shown = [s for s in record.streams if not s.attached_picture]
    zero = record.start_seconds
    videos = tuple(_video(s, zero) for s in shown if s.type == "video" and s.packets)
    audios = tuple(_audio(s, zero) for s in shown if s.type == "audio")
    texts = tuple(
        TextStream(s.index, s.codec, s.packets, s.default, s.language)
        for s in shown
        if s.type == "subtitle"
    )
    others = tuple(
        s.type
        for s in shown
        if s.type not in ("video", "audio", "subtitle") or (s.type == "video" and not s.packets)
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
    ends = [v.start_seconds + v.duration_seconds for v in videos]
    ends += [a.start_seconds + a.duration_seconds for a in audios]
    duration = Fraction(0) if kind == "image" else max([*ends, Fraction(0)])
    return Technical(kind, record.container, duration, zero, videos, audios, texts, others)


@dataclass(frozen=True, slots=True)
class Cadence:
    """How the pictures of a stream follow each other."""

    frame_rate: Fraction
    constant: bool
    longest_gap_seconds: Fraction


def cadence(ticks: npt.NDArray[np.int64], time_base: Fraction, *, single: Fraction) -> Cadence:
    """Rate of a stream by its presentation times, never by what the container claims.

    Containers are not to be believed: Matroska files that play at 30 declare 1000 or 60.

    Parameters
    ----------
    ticks
        (pictures,) sorted and distinct, in ticks of ``time_base``.
    single
        The rate to assume where there are not two pictures to measure.
    """
    gaps = np.diff(ticks)
    if not gaps.size:
        return Cadence(_snap(single) or single, True, Fraction(0))
    # A hole or a pause must not bend the rate, so only gaps near the usual one are averaged:
    # in Matroska's clock of 1 ms the usual gap at 30 frames is 33, and the average 33.33.
    usual = float(np.median(gaps))
    near = gaps[(gaps >= 0.5 * usual) & (gaps <= 1.5 * usual)]
    interval = Fraction(int(near.sum()), near.size) * time_base
    slack = max(1.01 * float(time_base), 0.0011)
    steady = np.abs(gaps * float(time_base) - float(interval)) <= slack
    constant = bool(steady.mean() > 0.999)
    measured = 1 / interval
    rate = _snap(measured)
    if rate is None:  # a rate of its own: the next known one above shows every picture
        rate = next((r for r in KNOWN_RATES if r >= measured * Fraction(99, 100)), KNOWN_RATES[-1])
    return Cadence(rate, constant, int(gaps.max()) * time_base)


def _snap(rate: Fraction) -> Fraction | None:
    near = min(KNOWN_RATES, key=lambda known: abs(known - rate) / known)
    return near if abs(near - rate) / near < Fraction(2, 1000) else None


def _shown(ticks: npt.NDArray[np.int64], time_base: Fraction) -> npt.NDArray[np.int64]:
    """Times at which a new picture shows, sorted.

    A packet less than 2 ms before the next is a picture that others refer to and nobody sees:
    VP8 and VP9 put these a tick before the picture that follows, or on it.
    """
    later = np.diff(ticks) * float(time_base) >= 0.002
    return ticks[np.append(later, True)] if ticks.size else ticks


def _video(stream: StreamRecord, zero: Fraction) -> VideoStream:
    ticks = _shown(stream.ticks, stream.time_base)
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
    )


def _plain(value: object) -> Json:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(cast(Any, value))}
    return cast(Json, value)


def _made(kind: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """The known fields, with fractions read back."""
    known = {f.name: str(f.type) for f in fields(kind)}
    return {
        key: Fraction(item) if known[key] == "Fraction" else item
        for key, item in data.items()
        if key in known
    }
