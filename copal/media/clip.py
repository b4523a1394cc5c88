"""A clip: a range of an encode written out as a file, with exactly those frames."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copal.errors import UnreadableMedia
from copal.media.derivative import opened
from copal.timeline import FrameRange

if TYPE_CHECKING:
    from copal.media.audio import Audio
    from copal.media.video import Video

X264 = {"preset": "superfast", "crf": "18", "tune": "fastdecode"}
"""Of frames that must be coded again, a little better than the encode that they come from."""
SOUND_BLOCK = 16000
"""Samples handed to the coder at once."""


def write_clip(video: Video, frames: FrameRange, path: Path, audio: Audio | None) -> bool:
    """Write frames of a video, and their sound when it is given, to an mp4 file.

    Packets are copied when the clip begins with a keyframe and the packets of its frames follow
    each other in the file, so that none of them refers to a frame outside; otherwise the frames
    are coded again. The sound is coded as FLAC, sample for sample.

    Returns
    -------
    Whether packets were copied.

    Raises
    ------
    ValueError
        The range reaches beyond the video.
    UnreadableMedia
        The encode cannot be read.
    """
    import av

    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
    try:
        with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as made:
            with opened(video.file.path(), "mov") as given:
                copied = _stands_alone(video, given, frames)
                if copied:
                    stream: Any = made.add_stream_from_template(given.streams.video[0])
                    packets: Iterator[Any] = islice(_packets(video, given, frames), len(frames))
                else:
                    stream = _coder(video, made)
                    packets = _coded(video, frames, stream)
                sound: Any = made.add_stream("flac", rate=audio.sample_rate) if audio else None
                if sound is not None:
                    sound.layout, sound.format = "mono", "s16"
                for packet in packets:
                    packet.stream = stream
                    made.mux(packet)
            if audio is not None:
                for packet in _heard(audio, frames, sound):
                    made.mux(packet)
        os.replace(temporary, path)  # noqa: PTH105 - path may be of another Path class
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return copied


def _packets(video: Video, container: Any, frames: FrameRange) -> Iterator[Any]:
    """Packets from the first frame's on, in the order of the file, counted in frames from it."""
    stream = container.streams.video[0]
    ticks = int(1 / (video.frame_rate * stream.time_base))
    container.seek(frames.start * ticks, stream=stream)
    started = False
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        started = started or packet.pts == frames.start * ticks
        if started:
            packet.pts -= frames.start * ticks
            packet.dts -= frames.start * ticks
            yield packet
    raise UnreadableMedia(f"{video.file.path()}: no frame {frames.last} in it. Encode again.")


def _stands_alone(video: Video, container: Any, frames: FrameRange) -> bool:
    """Whether the packets of the frames begin with a keyframe and follow each other."""
    step = int(1 / (video.frame_rate * container.streams.video[0].time_base))
    packets = islice(_packets(video, container, frames), len(frames))
    return all(
        0 <= packet.pts < len(frames) * step and (place or packet.is_keyframe)
        for place, packet in enumerate(packets)
    )


def _coder(video: Video, made: Any) -> Any:
    """A stream of H.264 like the encode's own."""
    stream = made.add_stream("libx264", rate=video.frame_rate, options=dict(X264))
    stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
    context = stream.codec_context
    context.time_base = 1 / video.frame_rate
    context.thread_count = 1  # the same bytes on every machine
    # Rec.709 in broadcast range, as numbered by ITU-T H.273 and libavutil.
    context.color_primaries = context.color_trc = context.colorspace = context.color_range = 1
    return stream


def _coded(video: Video, frames: FrameRange, stream: Any) -> Iterator[Any]:
    from av.video.frame import PictureType

    for place, (_, frame) in enumerate(video.decoded(list(frames))):
        frame.pts, frame.time_base = place, 1 / video.frame_rate
        frame.pict_type = PictureType.NONE
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _heard(audio: Audio, frames: FrameRange, stream: Any) -> Iterator[Any]:
    import av
    import numpy as np

    samples = np.rint(audio.samples(frames) * 32768).astype(np.int16)
    for start in range(0, len(samples), SOUND_BLOCK):
        block = samples[None, start : start + SOUND_BLOCK]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "s16", "mono")
        frame.sample_rate, frame.pts = audio.sample_rate, start
        frame.time_base = Fraction(1, audio.sample_rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)
