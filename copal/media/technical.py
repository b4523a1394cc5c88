"""The technical record of a source: what its streams are, exactly, and what is odd about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, Literal, Self, cast

from copal.fingerprint import Json
from copal.media.stream import NO_CODEC

Kind = Literal["video", "audio", "image", "text"]

HDR_TRANSFERS = {16: "pq", 18: "hlg"}
"""Colour transfers of ITU-T H.273 that a plain player shows wrong."""


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
    captioned: bool = False
    """Whether its first picture carries CEA-608 or 708 captions, which Copal does not read."""


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
    heard: bool = True
    """Whether one of its first packets could be decoded."""

    @property
    def decodable(self) -> bool:
        """Whether there is a decoder for it, and something came out."""
        return self.heard and self.codec != NO_CODEC and min(self.sample_rate, self.channels) > 0


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
    """Kinds of the streams that Copal does not read: ``data``, ``attachment``, and of those that
    hold nothing."""

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
        total = Counter(counts) + Counter(self.others)
        return ", ".join(f"{n} {kind}" for kind, n in total.items() if n) or "nothing"

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
