"""Frames, ranges of frames, exact rates, and the labels that people read.

Frames are counted from 0 in presentation order, ranges are half-open, and rates are fractions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, order=True)
class FrameRange:
    """Frames from ``start`` up to, but not including, ``end``: ``[start, end)``."""

    start: int
    """Index of the first frame, counted from 0 in presentation order."""
    end: int
    """Index of the first frame after the range."""

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(
                f"[{self.start}, {self.end}) is not a frame range: need 0 <= start < end"
            )

    def __len__(self) -> int:
        return self.end - self.start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.end))

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and self.start <= frame < self.end

    @property
    def first(self) -> int:
        """Index of the first frame."""
        return self.start

    @property
    def middle(self) -> int:
        """Index of the middle frame; the later one of two."""
        return self.start + len(self) // 2

    @property
    def last(self) -> int:
        """Index of the last frame."""
        return self.end - 1

    def seconds(self, frame_rate: Fraction) -> float:
        """Duration for people to read; never for arithmetic."""
        return float(len(self) / frame_rate)


def frame_rate(text: str | int | Fraction) -> Fraction:
    """Exact rate in frames per second from ``"24000/1001"``, ``"25"`` or a whole number.

    Raises
    ------
    ValueError
        The text is no positive fraction. A float is refused: 23.976 is not a rate.
    """
    if isinstance(text, float):
        raise ValueError(f"{text} is a float; write a frame rate as a fraction: '24000/1001'")
    rate = Fraction(text)
    if rate <= 0:
        raise ValueError(f"{text} is not a frame rate: need a positive fraction")
    return rate


def index_at(seconds: Fraction | int, rate: Fraction) -> int:
    """Index of the frame that shows at a time, which is exact: a float is refused."""
    if isinstance(seconds, float):
        raise TypeError(f"{seconds} is a float; write a time as a fraction: Fraction(2, 3)")
    return math.floor(seconds * rate)


def timecode(frame: int, rate: Fraction, *, start: int = 0) -> str:
    """The SMPTE label of a frame: ``HH:MM:SS:FF``, ``HH:MM:SS;FF`` where frames are dropped.

    29.97 and 59.94 use drop-frame labels, as editors expect; 23.976 does not, since no
    drop-frame form of it exists. A rate that has no labels of its own (12.5, one picture in two
    seconds) counts the frames within each second of the clock. ``start`` is the label's frame
    number for frame 0.

    Notes
    -----
    Source: SMPTE ST 12-1. Two labels (four at 59.94) are left out at the start of every minute
    that is not a multiple of ten; no frame is.
    """
    if frame < 0:
        raise ValueError(f"{frame} is not a frame index: need 0 or more")
    base = round(rate)
    number = frame + start
    if rate.denominator not in (1, 1001) or base == 0:
        base = math.ceil(rate)
        seconds = math.floor(number / rate)
        frames = number - math.ceil(seconds * rate)
        return _label(seconds, frames, ":", base)
    drop = rate.denominator == 1001 and base in (30, 60)
    if drop:
        skipped = base // 15
        per_minute = base * 60 - skipped
        tens, rest = divmod(number, per_minute * 10 + skipped)
        minutes = 0 if rest < base * 60 else 1 + (rest - base * 60) // per_minute
        number += skipped * (9 * tens + minutes)
    seconds, frames = divmod(number, base)
    return _label(seconds, frames, ";" if drop else ":", base)


def _label(seconds: int, frames: int, separator: str, base: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    width = max(2, len(str(base - 1)))
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{separator}{frames:0{width}d}"
