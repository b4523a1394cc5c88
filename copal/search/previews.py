"""Previews: what is seen just before and just after a cut, as strips of small pictures."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from copal.media import Encode
from copal.project import Project
from copal.search.cuts import ENCODE, Side
from copal.sheet import SheetStrip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PICTURES, PER_SECOND = 12, 12
"""On either side of a cut, at most; and how many a second, near enough."""
SHORT_SIDE = 216
QUALITY, METHOD = 58, 2
"""Of WebP. A strip takes some 30 kB of the demo's films and 70 kB of a grainy battle, and 0.05
CPU-seconds to make."""


class Previews:
    """Strips of the sides of cuts, from the encodes of their assets."""

    def __init__(self, encodes: Mapping[str, Encode]) -> None:
        self.encodes = encodes
        self.made: dict[tuple[str, tuple[int, ...]], SheetStrip] = {}

    @staticmethod
    def of(project: Project, assets: Sequence[str]) -> Previews:
        """Strips from the stored encodes of assets."""
        found = project.table(ENCODE).read(assets)
        return Previews({unit: Encode.from_value(value.value()) for unit, value in found.items()})

    def before(self, side: Side) -> SheetStrip:
        """The end of the shot that a cut leaves; its last picture is the last before the cut."""
        step = _step(side)
        first = max(side.clear.first, side.clear.last - (PICTURES - 1) * step)
        return self._strip(side, range(side.clear.last, first - 1, -step)[::-1], step)

    def after(self, side: Side) -> SheetStrip:
        """The beginning of the shot that a cut goes to; its first picture is the first after."""
        step = _step(side)
        end = min(side.clear.end, side.clear.first + PICTURES * step)
        return self._strip(side, range(side.clear.first, end, step), step)

    def _strip(self, side: Side, frames: Sequence[int], step: int) -> SheetStrip:
        """The pictures at some frames, one below the other in one WebP."""
        from PIL import Image

        key = side.asset.id, tuple(frames)
        if key in self.made:
            return self.made[key]
        encode = self.encodes[side.asset.id]
        short = min(SHORT_SIDE, encode.width, encode.height)
        scale = short / min(encode.width, encode.height)
        width, height = round(encode.width * scale), round(encode.height * scale)
        sheet = Image.new("RGB", (width, height * len(frames)))
        pictures = encode.video.frames_at(list(frames), size=(width, height))
        for place, (_, picture) in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (0, place * height))
        stream = BytesIO()
        sheet.save(stream, "WEBP", quality=QUALITY, method=METHOD)
        self.made[key] = SheetStrip(
            picture=stream.getvalue(),
            frames=tuple(frames),
            width=width,
            height=height,
            per_second=float(side.frame_rate / step),
        )
        return self.made[key]


def _step(side: Side) -> int:
    """Frames from one picture to the next."""
    return max(1, round(side.frame_rate / PER_SECOND))
