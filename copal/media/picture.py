"""A picture: an image asset, decoded within bounds and the right way up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from copal.media import sandbox
from copal.media.ffmpeg import MOST_PIXELS
from copal.media.source import Source

if TYPE_CHECKING:
    import numpy.typing as npt

    from copal.media.video import PixelFormat


@dataclass(frozen=True, slots=True)
class Picture:
    """One image file. It is read, in the sandbox, when its size or its pixels are asked for."""

    path: Path
    name: str

    @classmethod
    def of(cls, source: Source) -> Self:
        """The picture of an image asset."""
        return cls(source.path, source.name)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, the right way up."""
        return sandbox.measure(self.path, name=self.name)

    def pixels(
        self, size: tuple[int, int] | None = None, format: PixelFormat = "rgb24"
    ) -> npt.NDArray[np.uint8]:
        """The picture as an array; of an animation or of several pages, the first.

        Parameters
        ----------
        size
            (width, height) to scale to, in pixels; as it is when left out.
        format
            ``rgb24`` or ``bgr24``, or ``gray``: luma by Rec.601, 0 is black and 255 white.

        Returns
        -------
        (height, width, 3) or (height, width) uint8. What is transparent is laid over black, and
        16 bits a sample are brought to 8.

        Raises
        ------
        ValueError
            No such format, or a size that no picture has.
        UnreadableMedia, UnsupportedMedia
            The file is damaged; it has too many pixels, or is of another kind.
        """
        if format not in ("rgb24", "bgr24", "gray"):
            raise ValueError(f"pixel format {format!r}: need one of rgb24, bgr24, gray")
        if size is not None and not (min(size) > 0 and size[0] * size[1] <= MOST_PIXELS):
            raise ValueError(f"size {size}: need 1 pixel or more, and {MOST_PIXELS:,} at most")
        return sandbox.pixels(self.path, name=self.name, size=size, format=format)
