"""A video: the frames of an encode, by index, in sequence or at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from copal.errors import UnreadableMedia
from copal.feature import File
from copal.media.derivative import decoded, opened
from copal.timeline import FrameRange, index_at

if TYPE_CHECKING:
    import numpy.typing as npt

    from copal.media.audio import Audio

    Picture = npt.NDArray[np.uint8]

PixelFormat = Literal["rgb24", "bgr24", "gray"]
FORMATS: tuple[PixelFormat, ...] = ("rgb24", "bgr24", "gray")


@dataclass(frozen=True, slots=True)
class Video:
    """One rendition of an encode: constant rate, closed one-second GOPs, frame 0 at time 0.

    Pictures arrive as uint8: (height, width, 3) in ``rgb24`` and ``bgr24``, and (height, width) in
    ``gray``, which is the luma as coded (16 is black, 235 white) and costs no conversion. Files
    are opened when the first picture is asked for and closed when the iterator ends or is dropped.
    """

    file: File
    frame_count: int
    frame_rate: Fraction
    width: int
    height: int

    def frames(
        self,
        range: FrameRange | None = None,
        *,
        step: int = 1,
        size: tuple[int, int] | None = None,
        format: PixelFormat = "rgb24",
    ) -> Iterator[Picture]:
        """Every ``step``-th picture of a range (all of the video without one), in order.

        Parameters
        ----------
        size
            (width, height) to scale to, in pixels; as encoded when left out.

        Raises
        ------
        ValueError
            The range reaches beyond the video, or ``step`` is no positive number.
        UnreadableMedia
            While iterating: a picture of the range cannot be decoded.
        """
        wanted = FrameRange(0, self.frame_count) if range is None else range
        if step < 1:
            raise ValueError(f"step {step}: need 1 or more")
        self._check(wanted.start, wanted.last, format)
        indices = list(iter(wanted))[::step]
        return (picture for _, picture in self._read(indices, size, format))

    def frames_at(
        self,
        indices: Sequence[int],
        *,
        size: tuple[int, int] | None = None,
        format: PixelFormat = "rgb24",
    ) -> Iterator[tuple[int, Picture]]:
        """The pictures at ascending, distinct indices, decoding only the GOPs that hold them."""
        wanted = [int(index) for index in indices]
        if any(b <= a for a, b in pairwise(wanted)):
            raise ValueError("frame indices must be ascending and distinct")
        if wanted:
            self._check(wanted[0], wanted[-1], format)
        return self._read(wanted, size, format)

    def frame(
        self, index: int, *, size: tuple[int, int] | None = None, format: PixelFormat = "rgb24"
    ) -> Picture:
        """The picture at one index."""
        (found,) = self.frames_at([index], size=size, format=format)
        return found[1]

    def index_at(self, seconds: Fraction | int) -> int:
        """Index of the picture that shows at a time, exactly.

        Raises
        ------
        TypeError
            The time is a float: 2/3 of a second has none.
        ValueError
            Nothing shows then.
        """
        index = index_at(seconds, self.frame_rate)
        if not 0 <= index < self.frame_count:
            raise ValueError(
                f"{seconds} s asked of a video of {self.frame_count / self.frame_rate} s"
            )
        return index

    def range_at(self, start_seconds: Fraction | int, end_seconds: Fraction | int) -> FrameRange:
        """The frames that show at some time in ``[start_seconds, end_seconds)``."""
        if not start_seconds < end_seconds <= self.frame_count / self.frame_rate:
            raise ValueError(
                f"[{start_seconds}, {end_seconds}) s asked of a video of "
                f"{self.frame_count / self.frame_rate} s"
            )
        return FrameRange(self.index_at(start_seconds), ceil(end_seconds * self.frame_rate))

    def clip(self, range: FrameRange, path: Path, *, audio: Audio | None = None) -> bool:
        """Write a range to an mp4 file, with exactly those frames; see ``copal.media.clip``.

        Parameters
        ----------
        audio
            The encode's sound: the part of it that belongs to the range goes into the file too.

        Returns
        -------
        Whether packets could be copied; if not, the frames were coded again.
        """
        from copal.media.clip import write_clip

        self._check(range.start, range.last, FORMATS[0])
        return write_clip(self, range, path, audio)

    def _check(self, first: int, last: int, format: str) -> None:
        if format not in FORMATS:
            raise ValueError(f"pixel format {format!r}: need one of {', '.join(FORMATS)}")
        if first < 0 or last >= self.frame_count:
            raise ValueError(
                f"frames {first} to {last} asked of a video with {self.frame_count} frames"
            )

    def _read(
        self, wanted: Sequence[int], size: tuple[int, int] | None, format: PixelFormat
    ) -> Iterator[tuple[int, Picture]]:
        """Pictures as arrays."""
        if not wanted:
            return
        convert = _converter(size or (self.width, self.height), self, format)
        for index, frame in self.decoded(wanted):
            yield index, convert(frame)

    def decoded(self, wanted: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """PyAV's frames at ascending indices, each to be used before the next is asked for.

        Decoding starts from the keyframe before an index, or goes on where that is nearer.
        """
        path = self.file.path()
        gop = max(1, round(self.frame_rate))
        with opened(path, "mov") as container:
            stream: Any = container.streams.video[0]
            # Frame threads start slowly: they pay for themselves over some GOPs.
            stream.thread_type = "AUTO" if len(wanted) > 4 * gop else "NONE"
            ticks = 1 / (self.frame_rate * stream.time_base)
            pictures = decoded(container, stream, path)
            position = -1  # index of the last decoded frame
            for index in wanted:
                if index - position > gop:
                    container.seek(index * ticks.numerator, stream=stream)
                    pictures = decoded(container, stream, path)
                for frame in pictures:
                    position = frame.pts // ticks.numerator
                    if position >= index:
                        break
                if position != index or ticks.denominator != 1:
                    raise UnreadableMedia(f"{path}: no frame {index} in it. Encode again.")
                yield index, frame


def _converter(
    size: tuple[int, int], video: Video, format: PixelFormat
) -> Callable[[Any], Picture]:
    """How a decoded frame becomes an array.

    One reformatter without threads serves all frames: ``frame.to_ndarray(format=…)`` makes one per
    frame, and 256 × 106 pictures then come at 1,800 per CPU-second instead of 10,000.
    """
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    width, height = size
    native = size == (video.width, video.height)
    shrinks = width <= video.width and height <= video.height
    interpolation = "AREA" if shrinks else "BICUBIC"

    def colour(frame: Any) -> Picture:
        made: Any = reformatter.reformat(
            frame, width, height, format, interpolation=interpolation, threads=1
        )
        return cast("Picture", made.to_ndarray())

    def luma(frame: Any) -> Picture:
        if not native:  # scaled as it is coded: to 'gray', libswscale would convert the colours too
            frame = reformatter.reformat(
                frame, width, height, "yuv420p", interpolation=interpolation, threads=1
            )
        plane = frame.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        return rows[:, :width].copy()  # the decoder will use its memory again

    return luma if format == "gray" else colour
