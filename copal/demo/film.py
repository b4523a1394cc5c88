"""A demo film: shots of painted scenes, each with a camera move, and its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from copal.demo.brush import Camera, Canvas
from copal.timeline import FrameRange

STILL = Camera()

Scene = Callable[[Canvas, float], None]
"""Paints a moment, in seconds since the set-up began, through the canvas's camera."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One shot: which set-up, for how long, how the camera moves, and what is heard."""

    setup: str
    """Name of the scene; shots with one name are one camera set-up that returns."""
    frames: int
    start: Camera = STILL
    end: Camera = STILL
    moment: float = 0.0
    """Seconds of the set-up's own time at which the shot begins."""
    chord: tuple[int, ...] = (57, 60, 64)
    """What is heard: MIDI note numbers."""
    air: str = "room"
    """What is heard behind the notes, see ``copal.demo.sound``."""


@dataclass(frozen=True, slots=True)
class Film:
    """One title of the demo catalogue: painted, not yet encoded."""

    file: str
    title: str
    year: int
    frame_rate: Fraction
    scenes: dict[str, Scene]
    shots: tuple[Shot, ...]
    fade_after: int | None = None
    """Index of the shot that fades to black, to let the next fade in."""
    fade_frames: int = 14
    """Length of each half of the fade."""

    def __len__(self) -> int:
        return sum(shot.frames for shot in self.shots)

    @property
    def ranges(self) -> tuple[FrameRange, ...]:
        """The frames of each shot; they tile the film, and a fade is split in its middle."""
        ends = np.cumsum([shot.frames for shot in self.shots]).tolist()
        return tuple(FrameRange(e - s.frames, e) for e, s in zip(ends, self.shots, strict=True))

    @property
    def fade(self) -> FrameRange | None:
        """The frames that are darker than their scene."""
        if self.fade_after is None:
            return None
        middle = self.ranges[self.fade_after].end
        return FrameRange(middle - self.fade_frames, middle + self.fade_frames)

    def frames(self, width: int, height: int) -> Iterator[NDArray[np.uint8]]:
        """Paint every frame, in order: (3, height, width) uint8, planes G, B, R."""
        fade, count = self.fade, 0
        for shot in self.shots:
            for index in range(shot.frames):
                canvas = Canvas(width, height, _between(shot, index / max(1, shot.frames - 1)))
                self.scenes[shot.setup](canvas, shot.moment + index / float(self.frame_rate))
                light = 1.0
                if fade is not None and count in fade:
                    # Frames either side of the middle are black: the film is dark for a moment.
                    away = abs(count + 0.5 - fade.start - self.fade_frames)
                    light = max(0.0, (away - 2) / (self.fade_frames - 2))
                yield canvas.developed(count, light)
                count += 1


def _between(shot: Shot, share: float) -> Camera:
    eased = 0.85 * share + 0.15 * share * share * (3 - 2 * share)
    start, end = shot.start, shot.end
    return Camera(
        start.x + (end.x - start.x) * eased,
        start.y + (end.y - start.y) * eased,
        start.zoom + (end.zoom - start.zoom) * eased,
        start.roll + (end.roll - start.roll) * eased,
    )
