"""A video: the frames of an encode, by index, in sequence or at random."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from copal.errors import UnreadableMedia
from copal.feature import File
from copal.media.derivative import decoded, opened
from copal.timeline import FrameRange

if TYPE_CHECKING:
    import numpy.typing as npt

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
        """Decode from the keyframe before each wanted index, going on where that is nearer."""
        if not wanted:
            return
        path = self.file.path()
        convert = _converter(size or (self.width, self.height), self, format)
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
                yield index, convert(frame)


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
