"""Stream records: what one pass over a source's packets leaves of each of its streams."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

NO_CODEC = "unknown"


@dataclass(frozen=True, slots=True)
class FirstPicture:
    """What only a decoded picture tells."""

    width: int
    height: int
    rotation: int
    """Degrees to turn it clockwise for display: 0, 90, 180 or 270."""
    mirrored: bool
    interlaced: bool
    pixel_format: str
    transfer: int
    """Colour transfer, primaries, matrix and range as numbered by ITU-T H.273 and libavutil."""
    primaries: int
    matrix: int
    full_range: bool
    captioned: bool = False
    """Whether it carries CEA-608 or 708 captions (ATSC A/53)."""


@dataclass(slots=True)
class StreamRecord:
    """One stream as its container describes it, and what its packets added up to."""

    index: int
    type: str
    codec: str
    default: bool
    attached_picture: bool
    language: str
    time_base: Fraction
    start: int | None
    """As the container declares it, in ticks of ``time_base``."""
    declared_frames: int
    declared_rate: Fraction | None
    """What the container claims; believed only where nothing can be measured."""
    extradata: bytes
    width: int = 0
    height: int = 0
    sample_aspect: Fraction = Fraction(1)
    pixel_format: str = ""
    field_order: str = ""
    sample_rate: int = 0
    channels: int = 0
    layout: str = ""
    first: FirstPicture | None = None
    heard: bool = False
    """Whether one of the first packets of sound could be decoded."""
    packets: int = 0
    bytes: int = 0
    hidden: int = 0
    """Packets that are decoded but not shown: the lead-in of an edit list, an encoder's priming."""
    last_duration: int = 0
    """Ticks that the packet shown last lasts; 0 when the container does not say."""
    ticks: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Presentation times of the packets that are shown, sorted, in ticks."""
    every_tick: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """As ``ticks``, the hidden packets included."""
    digest: str = ""
    """Of the packets' bytes, each with its length; empty unless asked for."""


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One source as it was read."""

    container: str
    start_seconds: Fraction
    """Where ffmpeg sets time 0: the earliest start of any stream."""
    streams: tuple[StreamRecord, ...]
