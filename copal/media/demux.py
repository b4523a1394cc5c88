"""One pass over a source's packets: what each stream is, when its packets play, their digest."""

from __future__ import annotations

from array import array
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from copal.errors import UnreadableMedia, UnsupportedMedia
from copal.media.container import first_line, opened
from copal.media.ffmpeg import MOST_PIXELS, MOST_STREAMS
from copal.media.packets import PacketDigest
from copal.media.stream import NO_CODEC, FirstPicture, SourceRecord, StreamRecord


def demux(path: Path, *, name: str | None = None, hashing: bool = False) -> SourceRecord:
    """Read every packet of a source once, and decode one picture of each video stream.

    Parameters
    ----------
    hashing
        Whether to digest the packets' bytes.

    Raises
    ------
    UnreadableMedia, UnsupportedMedia
        See ``opened``; also when reading fails before the end.
    """
    import av

    name = name or path.name
    with opened(path, name) as container, ThreadPoolExecutor(1) as pool:
        if len(container.streams) > MOST_STREAMS:
            raise UnsupportedMedia(
                f"{name}: over {MOST_STREAMS} streams. Copy those that matter to another file."
            )
        records = [_record(stream) for stream in container.streams]
        for record in records:
            if record.width * record.height > MOST_PIXELS:
                raise UnsupportedMedia(
                    f"{name}: {record.width} × {record.height} pixels, more than the "
                    f"{MOST_PIXELS // 1_000_000} million that Copal decodes. Scale it down."
                )
        tallies = [_Tally(record, pool if hashing else None) for record in records]
        watched = [
            stream
            for stream, record in zip(container.streams, records, strict=True)
            if record.type in ("video", "audio", "subtitle") and not record.attached_picture
        ]
        try:
            for packet in container.demux(watched) if watched else ():
                tallies[packet.stream_index].add(packet)
        except av.error.FFmpegError as error:
            raise UnreadableMedia(
                f"{name}: reading it stopped half-way ({first_line(error)}). "
                "Is the copy complete? Supply it again."
            ) from error
        for tally in tallies:
            tally.close()
        used = [r for r in records if r.type in ("video", "audio") and not r.attached_picture]
        starts = [r.start * r.time_base for r in used if r.start is not None]
        start = Fraction(container.start_time or 0, av.time_base)
        if starts and container.format.flags & av.format.Flags.ts_discont.value:
            start = min(starts)  # ffmpeg too corrects it for the streams in use
        return SourceRecord(container.format.name, start, tuple(records))


class _Tally:
    """Adds up one stream's packets."""

    __slots__ = ("digest", "discarded", "record", "times", "tries")

    def __init__(self, record: StreamRecord, pool: ThreadPoolExecutor | None) -> None:
        self.record = record
        self.times = array("q")
        self.discarded = array("q")
        self.digest = PacketDigest(pool) if pool is not None else None
        self.tries = 64 if record.type in ("video", "audio") and record.codec != NO_CODEC else 0

    def add(self, packet: Any) -> None:
        size = packet.size
        if self.tries:
            self._look(packet)
        if not size:
            return
        record = self.record
        record.packets += 1
        record.bytes += size
        if self.digest is not None:
            self.digest.add(packet, size)
        pts = packet.pts
        if packet.is_discard:
            record.hidden += 1
            if pts is not None:
                self.discarded.append(pts)
        elif pts is not None:
            self.times.append(pts)
            record.last_duration = packet.duration or 0

    def _look(self, packet: Any) -> None:
        """Decode until there is a picture or a sound: in 64 packets, or not at all."""
        import av

        self.tries -= 1
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return
        if frames:
            self.tries = 0
            if self.record.type == "audio":
                self.record.heard = True
            else:
                self.record.first = _first(frames[0])

    def close(self) -> None:
        record = self.record
        record.ticks = np.sort(np.array(self.times, np.int64))
        record.every_tick = np.sort(np.array(self.times + self.discarded, np.int64))
        record.digest = self.digest.text() if self.digest is not None else ""


def _record(stream: Any) -> StreamRecord:
    import av

    context = stream.codec_context
    disposition = av.stream.Disposition
    record = StreamRecord(
        index=stream.index,
        type=stream.type,
        codec=NO_CODEC if context is None else context.codec.canonical_name,
        default=bool(stream.disposition & disposition.default),
        attached_picture=bool(
            stream.disposition & (disposition.attached_pic | disposition.timed_thumbnails)
        ),
        language=stream.language or "",
        time_base=Fraction(stream.time_base or 1),
        start=stream.start_time,
        declared_frames=stream.frames,
        declared_rate=None,
        extradata=b"" if context is None else bytes(context.extradata or b""),
    )
    if context is not None and stream.type == "video":
        context.thread_type = "NONE"  # one picture is wanted, at once
        context.options = {"max_pixels": str(MOST_PIXELS)}  # the container's do not reach it
        record.width, record.height = context.width, context.height
        record.declared_rate = Fraction(stream.average_rate) if stream.average_rate else None
        record.sample_aspect = Fraction(stream.sample_aspect_ratio or 1)
        record.pixel_format = context.pix_fmt or ""
    if context is not None and stream.type == "audio":
        record.sample_rate = context.sample_rate or 0
        record.channels = context.channels or 0
        record.layout = context.layout.name if context.layout else ""
    return record


def _first(frame: Any) -> FirstPicture:
    try:
        beside = {data.type.name: bytes(data) for data in frame.side_data}
    except ValueError:  # PyAV 18 knows no name for some kinds, such as a JPEG's Exif
        beside = {}
    return FirstPicture(
        width=frame.width,
        height=frame.height,
        rotation=-int(frame.rotation) % 360,
        mirrored=_mirrored(beside.get("DISPLAYMATRIX")),
        interlaced=bool(frame.interlaced_frame),
        pixel_format=frame.format.name,
        transfer=int(frame.color_trc),
        primaries=int(frame.color_primaries),
        matrix=int(frame.colorspace),
        full_range=int(frame.color_range) == 2 or frame.format.name.startswith("yuvj"),
        captioned="A53_CC" in beside,
    )


def _mirrored(matrix: bytes | None) -> bool:
    """Whether a display matrix mirrors the picture."""
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float)
    return bool(a * d - b * c < 0)
