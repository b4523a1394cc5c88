"""An encode whose frames are arrays, so that a feature's promises need no codec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pyarrow as pa

from copal.feature import Pair
from copal.media import Encode
from copal.timeline import FrameRange
from features.shots import Shots


@dataclass
class ArrayVideo:
    """Fits ``copal.media.Video`` where features use it; frames are RGB, (n, h, w, 3) uint8."""

    pictures: np.ndarray
    frame_rate: Fraction = Fraction(24)

    @property
    def frame_count(self) -> int:
        return len(self.pictures)

    @property
    def width(self) -> int:
        return self.pictures.shape[2]

    @property
    def height(self) -> int:
        return self.pictures.shape[1]

    def frames(self, range: FrameRange | None = None, **how: Any) -> Iterator[np.ndarray]:
        wanted = iter(range) if range else iter(FrameRange(0, self.frame_count))
        return (picture for _, picture in self.frames_at(list(wanted), **how))

    def frames_at(
        self, indices: Sequence[int], *, size: tuple[int, int] | None = None, format: str = "rgb24"
    ) -> Iterator[tuple[int, np.ndarray]]:
        import cv2

        for index in indices:
            picture = self.pictures[index]
            if size and size != (self.width, self.height):
                picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            if format == "gray":
                picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            yield index, picture[..., ::-1].copy() if format == "bgr24" else picture


def encode_of(pictures: np.ndarray, rate: Fraction = Fraction(24)) -> Encode:
    """An encode of which both renditions are these pictures."""
    video = ArrayVideo(np.ascontiguousarray(pictures), rate)
    return Encode(video=cast(Any, video), small=cast(Any, video), audio=None)


def plain(colours: Sequence[tuple[int, int, int]], frames: int = 20) -> np.ndarray:
    """One flat colour after the other, each for so many frames: (n, 64, 96, 3)."""
    rows = np.repeat(np.array(colours, np.uint8), frames, axis=0)
    return np.broadcast_to(rows[:, None, None], (len(rows), 64, 96, 3)).copy()


def noise(seed: int, frames: int = 20) -> np.ndarray:
    """A still picture full of corners, blobs of random grey: (frames, 96, 160, 3)."""
    import cv2

    small = np.random.default_rng(seed).integers(0, 255, (24, 40, 3), np.uint8)
    picture = cv2.resize(small, (160, 96), interpolation=cv2.INTER_CUBIC)
    return np.repeat(picture[None], frames, axis=0)


def shots_of(*ranges: tuple[int, int]) -> pa.Table:
    """Rows of ``shots`` without fades."""
    rows = [
        {
            "shot_index": index,
            "start_frame": start,
            "end_frame": end,
            "transition": "cut" if index else "start",
            "clear_start": start,
            "clear_end": end,
        }
        for index, (start, end) in enumerate(ranges)
    ]
    return pa.Table.from_pylist(rows, schema=Shots.columns)


def vectors_of(rows: dict[str, np.ndarray]) -> pa.Table:
    """A table of shots' vectors from (n, d) arrays."""
    columns = {
        name: pa.FixedSizeListArray.from_arrays(
            np.asarray(values, np.float32).ravel(), values.shape[1]
        )
        for name, values in rows.items()
    }
    count = len(next(iter(rows.values())))
    return pa.table({"shot_index": pa.array(range(count), pa.int32()), **columns})


def itself(table: pa.Table) -> Pair[pa.Table]:
    """An asset paired with itself."""
    return Pair(table, table)
