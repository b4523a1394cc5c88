"""One pass over a source's packets: what each stream is, when its packets play, their digest."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3

from copal.errors import UnreadableMedia, UnsupportedMedia
from copal.media.ffmpeg import INPUT_OPTIONS, MOST_PIXELS

if TYPE_CHECKING:
    import numpy.typing as npt

NO_CODEC = "unknown"


@dataclass(frozen=True, slots=True)
class FirstPicture:
    """What only a decoded picture tells."""

    width: int
    height: int
    rotation: int
    """Degrees to turn it clockwise for display: 0, 90, 180 or 270."""
    mirrored: bool
    interlaced: bool
    pixel_format: str
    transfer: int
    """Colour transfer, primaries, matrix and range as numbered by ITU-T H.273 and libavutil."""
    primaries: int
    matrix: int
    full_range: bool


@dataclass(slots=True)
class StreamRecord:
    """One stream as its container describes it, and what its packets added up to."""

    index: int
    type: str
    codec: str
    default: bool
    attached_picture: bool
    language: str
    time_base: Fraction
    start: int | None
    """As the container declares it, in ticks of ``time_base``."""
    declared_frames: int
    declared_rate: Fraction | None
    """What the container claims; believed only where nothing can be measured."""
    extradata: bytes
    width: int = 0
    height: int = 0
    sample_aspect: Fraction = Fraction(1)
    pixel_format: str = ""
    field_order: str = ""
    sample_rate: int = 0
    channels: int = 0
    layout: str = ""
    first: FirstPicture | None = None
    packets: int = 0
    bytes: int = 0
    hidden: int = 0
    """Packets that are decoded but not shown: the lead-in of an edit list, an encoder's priming."""
    last_duration: int = 0
    """Ticks that the packet shown last lasts; 0 when the container does not say."""
    ticks: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Presentation times of the packets that are shown, sorted, in ticks."""
    every_tick: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """As ``ticks``, the hidden packets included."""
    digest: str = ""
    """Of the packets' bytes, each with its length; empty unless asked for."""


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One source as it was read."""

    container: str
    start_seconds: Fraction
    """Where ffmpeg sets time 0: the earliest start of any stream."""
    streams: tuple[StreamRecord, ...]


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
    try:
        # The prefix keeps a name such as 'concat:a|b' or 'http:…' from being taken for a protocol.
        container = av.open(
            f"file:{path.absolute()}", options=dict(INPUT_OPTIONS), metadata_errors="replace"
        )
    except PermissionError:
        raise UnreadableMedia(
            f"{name}: no permission to read it. Change its mode or owner."
        ) from None
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


def check_file(path: Path, name: str) -> None:
    """Refuse what is no file with something in it."""
    try:
        if path.is_dir():
            raise UnreadableMedia(f"{name}: a folder, not a media file. Name the files in it.")
        if path.stat().st_size == 0:
            raise UnreadableMedia(f"{name}: the file is empty. Was it still being copied?")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise UnreadableMedia(f"{name}: no such file. Was it moved?") from None
    except PermissionError:
        raise UnreadableMedia(
            f"{name}: no permission to read it. Change its mode or owner."
        ) from None


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
    with opened(path, name) as container:
        records = [_record(stream) for stream in container.streams]
        for record in records:
            if record.width * record.height > MOST_PIXELS:
                raise UnsupportedMedia(
                    f"{name}: {record.width} × {record.height} pixels, more than the "
                    f"{MOST_PIXELS // 1_000_000} million that Copal decodes. Scale it down."
                )
        tallies = [_Tally(record, hashing) for record in records]
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


class _PacketDigest:
    """BLAKE3 of packets, each preceded by its length.

    Small updates are slow (1.3 GB/s for packets of 11 KB, 8 GB/s for blocks of 256 KB), so packets
    are collected: a 267 MB mp4 took 1.6 times as long as a bare demux, against 2.9 without.
    """

    __slots__ = ("buffer", "filled", "hasher", "size")

    def __init__(self) -> None:
        self.hasher = blake3()
        self.size = 1 << 18
        self.buffer = memoryview(bytearray(self.size))
        self.filled = 0

    def add(self, packet: Any, size: int) -> None:
        at = self.filled
        if at + size + 8 > self.size:
            self.hasher.update(self.buffer[:at])
            at = 0
        self.buffer[at : at + 8] = size.to_bytes(8, "little")
        at += 8
        if size + 8 > self.size:
            self.hasher.update(self.buffer[:at])
            self.hasher.update(packet)
            at = 0
        else:
            self.buffer[at : at + size] = memoryview(packet)
            at += size
        self.filled = at

    def text(self) -> str:
        self.hasher.update(self.buffer[: self.filled])
        self.filled = 0
        return str(self.hasher.hexdigest())


class _Tally:
    """Adds up one stream's packets."""

    __slots__ = ("digest", "discarded", "record", "times", "tries")

    def __init__(self, record: StreamRecord, hashing: bool) -> None:
        self.record = record
        self.times = array("q")
        self.discarded = array("q")
        self.digest = _PacketDigest() if hashing else None
        self.tries = 64 if record.type == "video" and record.codec != NO_CODEC else 0

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
        """Decode until there is one picture; a stream that gives none in 64 packets has none."""
        import av

        self.tries -= 1
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return
        if frames:
            self.tries = 0
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
    return FirstPicture(
        width=frame.width,
        height=frame.height,
        rotation=-int(frame.rotation) % 360,
        mirrored=_mirrored(frame),
        interlaced=bool(frame.interlaced_frame),
        pixel_format=frame.format.name,
        transfer=int(frame.color_trc),
        primaries=int(frame.color_primaries),
        matrix=int(frame.colorspace),
        full_range=int(frame.color_range) == 2 or frame.format.name.startswith("yuvj"),
    )


def _mirrored(frame: Any) -> bool:
    """Whether the display matrix mirrors the picture."""
    try:
        kinds = {data.type.name: bytes(data) for data in frame.side_data}
    except ValueError:  # PyAV 18 knows no name for some kinds, such as a JPEG's Exif
        return False
    matrix = kinds.get("DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float)
    return bool(a * d - b * c < 0)
