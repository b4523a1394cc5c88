"""Captions: the dialogue of an asset, by frames or by time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import pyarrow as pa

from copal.feature import Value
from copal.timeline import FrameRange


@dataclass(frozen=True, slots=True)
class CaptionLine:
    """One line of dialogue, as the feature ``captions`` keeps it."""

    line_index: int
    track: int
    start_ms: int
    end_ms: int
    range: FrameRange | None
    """Frames of the encode that it is shown on; None where there are no pictures."""
    text: str
    speaker: str | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Captions:
    """All dialogue of an asset, of every track and language, in the order of its time."""

    rows: pa.Table

    @classmethod
    def from_value(cls, value: Value) -> Self:
        """The captions that a value of feature ``captions`` holds."""
        return cls(value.rows)

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that tracks say they are in."""
        return tuple(sorted(set(self.rows["language"].drop_null().to_pylist())))

    def lines(
        self, range: FrameRange | None = None, *, language: str | None = None
    ) -> Iterator[CaptionLine]:
        """Lines shown on some frame of a range (all lines without one), in order.

        Parameters
        ----------
        language
            Only lines in it: ``en`` takes ``en-GB`` too.

        Raises
        ------
        ValueError
            There is a range, and the asset has no pictures.
        """
        if range is not None and self.rows.num_rows and not self.has_frames:
            raise ValueError("these captions belong to no pictures; ask for them by time")
        return (
            line
            for line in self._every(language)
            if range is None
            or (line.range and line.range.start < range.end and range.start < line.range.end)
        )

    def lines_at(
        self,
        start_seconds: Fraction | int,
        end_seconds: Fraction | int,
        *,
        language: str | None = None,
    ) -> Iterator[CaptionLine]:
        """Lines shown at some time in ``[start_seconds, end_seconds)`` of the source."""
        if isinstance(start_seconds, float) or isinstance(end_seconds, float):
            raise TypeError("a time is a fraction: Fraction(2, 3)")
        if not start_seconds < end_seconds:
            raise ValueError(f"[{start_seconds}, {end_seconds}) s is no range of time")
        start, end = start_seconds * 1000, end_seconds * 1000
        return (
            line
            for line in self._every(language)
            if line.start_ms < end and start < max(line.end_ms, line.start_ms + 1)
        )

    @property
    def has_frames(self) -> bool:
        """Whether the lines belong to pictures."""
        return bool(self.rows["start_frame"].null_count < self.rows.num_rows)

    def _every(self, language: str | None) -> Iterator[CaptionLine]:
        for row in self.rows.to_pylist():
            start, end = row.pop("start_frame"), row.pop("end_frame")
            spoken = row["language"] or ""
            if language in (None, spoken) or spoken.startswith(f"{language}-"):
                yield CaptionLine(**row, range=None if start is None else FrameRange(start, end))
