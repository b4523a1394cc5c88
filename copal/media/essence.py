"""Essence: the digest of what a file's streams are, whatever container and tags they travel in.

What is measured (ffmpeg 9.0 remuxing H.264, HEVC, VP8, VP9, AV1, MPEG-2, MPEG-4 and ProRes with
AAC, Opus, Vorbis, AC-3, MP3, ALAC, FLAC and PCM among mp4, mov, mkv, faststart and fragments):
packets keep their bytes; the following changes, and is therefore brought to one form here.

- Clocks: Matroska counts milliseconds. Pictures at a constant rate are told by that rate and their
  places in it; other times are rounded to milliseconds as libavformat does.
- Starts: fragments without an edit list start late by the pictures' reordering delay, so starts
  count in quarters of a second.
- Sound: mp4 hides priming packets, Matroska names a delay, a fragment stretches the first packet,
  and single times differ by 1 ms. So only the offset and the length after the first packet count.
- HEVC configuration: a completeness bit is rewritten, so only the parameter sets count.
- ProRes and MP3 get a configuration in some containers that no decoder needs.
- MPEG layer 2 sound is called layer 3 by mp4; PCM in Matroska loses its layout's name.
- Sample aspect: Matroska stores the display size, so the displayed width counts.

MPEG transport streams carry H.264 and HEVC in another byte form: such a remux is another essence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from blake3 import blake3

from copal.fingerprint import AssetId, Json, fingerprint
from copal.media.cadence import KNOWN_RATES
from copal.media.demux import demux
from copal.media.probe import technical, text_record
from copal.media.stream import SourceRecord, StreamRecord
from copal.media.technical import Technical
from copal.media.text import read_text

if TYPE_CHECKING:
    import numpy.typing as npt

VERSION = "ess1"
"""Raised when the same stream may get another digest; it is part of every digest's text."""

EssenceKind = Literal["video", "audio", "image", "text"]

SOUND_STEP_MS = 20
LEAD_STEP_MS = 250
NO_LEAD_MS = 200
"""Leads of pictures are told apart in quarters of a second, and below 0.2 s there is none, as in
the encode."""
NO_OFFSET_MS = 170
"""Sound that starts up to this much before the pictures counts as starting with them: priming is
21 ms for AAC at 48 kHz and 128 ms at 8 kHz, and fragmenting adds the pictures' reordering delay."""
GRID_SPREAD_MS = 1.6
"""Times may lie this much off a constant rate. Rounding to milliseconds makes it less than 1."""

SELF_CONTAINED = frozenset(
    {
        *("prores", "vp8", "vp9", "mjpeg", "dnxhd", "dvvideo", "mpeg1video", "mpeg2video"),
        *("mpegaudio", "ac3", "eac3", "dts"),
    }
)
"""Codecs whose packets say everything, so that a container's configuration means nothing."""

_ALIASES = {"mp1": "mpegaudio", "mp2": "mpegaudio", "mp3": "mpegaudio"}


@dataclass(frozen=True, slots=True)
class StreamEssence:
    """One stream's essence."""

    kind: EssenceKind
    essence: str
    """``ess1:`` and 32 hexadecimal digits."""
    codec: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that one pass over a file tells about it."""

    technical: Technical
    essences: tuple[StreamEssence, ...]
    asset: AssetId
    """Digest of the essences; the order of the streams does not matter."""


def inspect(path: Path, *, name: str | None = None) -> Inspection:
    """Read a file once, and say what it is and which asset it is.

    Raises
    ------
    UnreadableMedia
        No such file, empty, damaged, or not media.
    UnsupportedMedia
        Media of a format that Copal does not read.
    """
    name = name or path.name
    text = read_text(path, name=name)
    if text is not None:
        content = blake3(text.content.encode()).hexdigest()
        found = [StreamEssence("text", _digest("text", text.format, content=content), text.format)]
        return Inspection(text_record(text), tuple(found), asset_id(found))
    record = demux(path, name=name, hashing=True)
    tech = technical(record, name)
    found = stream_essences(record, image=tech.kind == "image")
    return Inspection(tech, tuple(found), asset_id(found))


def asset_id(essences: Sequence[StreamEssence]) -> AssetId:
    """The asset that a set of streams is."""
    parts = sorted([e.kind, e.essence] for e in essences)
    return AssetId(fingerprint("asset", essences=parts))


def stream_essences(record: SourceRecord, *, image: bool = False) -> list[StreamEssence]:
    """Essences of the streams with content, in the file's order. Cover pictures have none."""
    streams = [
        s
        for s in record.streams
        if s.type in ("video", "audio", "subtitle") and s.packets and not s.attached_picture
    ]
    zero = round(record.start_seconds * 1000)
    origins = [_first_ms(s) for s in streams if s.type == "video"]
    picture = min((o for o in origins if o is not None), default=zero)
    found = []
    for stream in streams:
        if stream.type == "video":
            kind: EssenceKind = "image" if image else "video"
            parts = _video_parts(stream, zero)
        elif stream.type == "audio":
            kind, parts = "audio", _audio_parts(stream, picture)
        else:
            kind, parts = "text", _text_parts(stream, picture)
        codec = _codec(stream)
        essence = _digest(kind, codec, configuration=_configuration(stream), **parts)
        found.append(StreamEssence(kind, essence, stream.codec))
    return found


def _digest(kind: str, codec: str, **parts: Json) -> str:
    return f"{VERSION}:{fingerprint('essence', version=VERSION, stream=kind, codec=codec, **parts)}"


def _video_parts(stream: StreamRecord, zero: int) -> dict[str, Json]:
    first = stream.first
    width, height = (first.width, first.height) if first else (stream.width, stream.height)
    return {
        "packets": stream.digest,
        "size": [width, height, round(width * stream.sample_aspect)],
        "display": [first.rotation, first.mirrored] if first else None,
        "colour": [first.transfer, first.primaries, first.matrix, first.full_range]
        if first
        else None,
        "times": _times(stream),
        "lead": _step((_first_ms(stream) or 0) - zero + LEAD_STEP_MS - NO_LEAD_MS, LEAD_STEP_MS),
    }


def _audio_parts(stream: StreamRecord, picture: int) -> dict[str, Json]:
    times = _milliseconds(stream.every_tick, stream.time_base)
    offset = int(times[0]) - picture if times.size else 0
    length = int(times[-1] - times[1]) if times.size > 2 else 0
    return {
        "packets": stream.digest,
        "rate": stream.sample_rate,
        "channels": stream.channels,
        "offset": _step(offset + NO_OFFSET_MS, LEAD_STEP_MS),
        "length": _step(length + SOUND_STEP_MS // 2, SOUND_STEP_MS),
    }


def _text_parts(stream: StreamRecord, picture: int) -> dict[str, Json]:
    times = _milliseconds(stream.ticks, stream.time_base) - picture
    return {"packets": stream.digest, "times": _array_digest(times)}


def _times(stream: StreamRecord) -> Json:
    """When the shown pictures show, counted from the first: by rate and place, or by clock."""
    ticks = stream.ticks
    if ticks.size < 2:
        return ["count", int(ticks.size)]
    seconds = (ticks - ticks[0]) * float(stream.time_base)
    places = np.arange(ticks.size)
    for _ in range(2):  # a hole moves the places after it, and with them the slope
        slope = float(np.polyfit(places, seconds, 1)[0])
        if slope <= 0:
            break
        rate = min(KNOWN_RATES, key=lambda known: abs(float(known) * slope - 1))
        places = np.rint(seconds * float(rate)).astype(np.int64)
        off = seconds - places / float(rate)
        if np.ptp(off) * 1000 <= GRID_SPREAD_MS and np.all(np.diff(places) > 0):
            # Under a second, 24 and 23.976 cannot be told apart in milliseconds.
            label = str(rate) if places[-1] >= rate else str(round(rate))
            return ["grid", label, _array_digest(places)]
    times = _milliseconds(ticks, stream.time_base)
    return ["clock", _array_digest(times - times[0])]


def _array_digest(values: npt.NDArray[np.int64]) -> str:
    return blake3(values.astype("<i8").tobytes()).hexdigest(length=16)


def _step(value: int, step: int) -> int:
    """The step that a value lies in."""
    return value // step


def _codec(stream: StreamRecord) -> str:
    return _ALIASES.get(stream.codec, stream.codec)


def _configuration(stream: StreamRecord) -> str:
    """Digest of what a decoder is told before the first packet."""
    codec = _codec(stream)
    data = stream.extradata
    if codec in SELF_CONTAINED or codec.startswith("pcm_"):
        return ""
    if codec == "hevc" and data[:1] == b"\x01":
        data = b"".join(len(unit).to_bytes(4, "big") + unit for unit in _parameter_sets(data))
    return blake3(data).hexdigest(length=16)


def _parameter_sets(configuration: bytes) -> list[bytes]:
    """Video, sequence and picture parameter sets of an ``hvcC`` record (ISO/IEC 14496-15)."""
    units: list[bytes] = []
    at = 23
    for _ in range(configuration[22] if len(configuration) > 22 else 0):
        kind = configuration[at] & 0x3F
        count = int.from_bytes(configuration[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(configuration[at : at + 2], "big")
            if kind in (32, 33, 34):
                units.append(configuration[at + 2 : at + 2 + size])
            at += 2 + size
        if at >= len(configuration):
            break
    return units


def _first_ms(stream: StreamRecord) -> int | None:
    """When the stream's first shown packet plays, in milliseconds."""
    if not stream.ticks.size:
        return None
    return int(_milliseconds(stream.ticks[:1], stream.time_base)[0])


def _milliseconds(ticks: npt.NDArray[np.int64], time_base: Fraction) -> npt.NDArray[np.int64]:
    """Times rounded to milliseconds, halves away from 0, as libavformat does when it remuxes."""
    doubled = np.abs(ticks) * (2000 * time_base.numerator)
    rounded = (doubled + time_base.denominator) // (2 * time_base.denominator)
    return np.asarray(np.sign(ticks) * rounded, np.int64)
