"""What the pictures of an encode show at a glance: nothing, no change, black bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from copal.media.video import Video

BLACK_LUMA = 20
"""Mean luma, as coded, below which a picture is black; 16 is black exactly, 235 white."""
FROZEN_DIFFERENCE = 0.02
"""Mean difference of luma between two pictures below which nothing moved."""
BAR_LUMA = 32
"""No sample of a bar is as bright, noise and the coder's ringing included."""
BAR_SHARE = 0.9
"""Of the pictures that are lit, in which a row must be dark to be one of a bar: letters may stand
in a bar now and then."""
LIT_LUMA = 60
"""A picture has bars, and does not only look so, when it holds something as bright."""
LOOKED_AT = 240
"""Pictures searched for bars, spread over all."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Rows and columns of the encode's small pictures that are always black, from each side."""

    above: int = 0
    below: int = 0
    left: int = 0
    right: int = 0


@dataclass(frozen=True, slots=True)
class Glance:
    """What was seen."""

    black: int
    """Pictures that are black."""
    frozen: int
    """Pictures that repeat the one before."""
    bars: Bars


def glance(small: Video) -> Glance:
    """Look at every picture of an encode's small rendition once.

    Notes
    -----
    1,691 pictures of 256 × 106 take 0.3 s, decoding included; of them 0.02 s go to the bars.
    """
    black = frozen = 0
    before = None
    step = max(1, small.frame_count // LOOKED_AT)
    rows, columns = [], []
    for index, picture in enumerate(small.frames(format="gray")):
        luma = picture[::4, ::4].astype(np.int16)
        black += bool(luma.mean() < BLACK_LUMA)
        frozen += before is not None and bool(np.abs(luma - before).mean() < FROZEN_DIFFERENCE)
        before = luma
        if index % step == 0 and picture.max() >= LIT_LUMA:
            rows.append(picture.max(axis=1))
            columns.append(picture.max(axis=0))
    bars = Bars(*_dark_ends(rows), *_dark_ends(columns)) if rows else Bars()
    return Glance(black, frozen, bars)


def _dark_ends(brightest: list[np.ndarray[tuple[int], np.dtype[np.uint8]]]) -> tuple[int, int]:
    """How many places at each end are dark, from the brightest sample of each place."""
    dark = np.quantile(np.stack(brightest), BAR_SHARE, axis=0) < BAR_LUMA
    if dark.all():
        return 0, 0
    return int(np.argmin(dark)), int(np.argmin(dark[::-1]))
