"""An encode: the constant-rate derivative of an asset that all features read."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

from copal.feature import Value
from copal.media.audio import Audio
from copal.media.video import Video
from copal.timeline import FrameRange

VIDEO, SMALL, AUDIO = "video.mp4", "small.mp4", "audio.flac"


@dataclass(frozen=True, slots=True)
class Encode:
    """One constant-rate timeline in two sizes, and its sound."""

    video: Video
    """Short side 360 pixels: for people, stills and models."""
    small: Video
    """The same frames, index for index, long side 256 pixels: for analysis."""
    audio: Audio | None
    """16 kHz mono, or None when the source has no sound."""

    @property
    def frame_count(self) -> int:
        """Frames of the encode, the same in both sizes."""
        return self.video.frame_count

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second."""
        return self.video.frame_rate

    @property
    def width(self) -> int:
        """Width of ``video`` in pixels."""
        return self.video.width

    @property
    def height(self) -> int:
        """Height of ``video`` in pixels."""
        return self.video.height

    def clip(self, range: FrameRange, path: Path, *, sound: bool = False) -> bool:
        """Write a range of ``video`` to an mp4 file, with its sound when that is wanted.

        See ``Video.clip``. An encode without sound gives a clip without sound.
        """
        return self.video.clip(range, path, audio=self.audio if sound else None)

    @classmethod
    def from_value(cls, value: Value) -> Self:
        """The encode that a value of feature ``standard_encode`` describes; opens nothing."""
        (row,) = value.rows.to_pylist()
        rate = Fraction(row["rate_numerator"], row["rate_denominator"])
        count = row["frame_count"]
        sound = row["audio_samples"]
        return cls(
            video=Video(value.files[VIDEO], count, rate, row["width"], row["height"]),
            small=Video(value.files[SMALL], count, rate, row["small_width"], row["small_height"]),
            audio=None if sound is None else Audio(value.files[AUDIO], sound, frame_rate=rate),
        )
