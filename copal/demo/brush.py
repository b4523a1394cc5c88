"""A brush: antialiased shapes, light and grain on one picture, seen through a moving camera.

Lengths are in frame heights: a 16:9 picture reaches from (0, 0) to (1.78, 1), y down. Colours are
``"#rrggbb"``. What has a smaller ``depth`` is farther away: it moves and grows less when the
camera does (1 is the subject, 0 never moves).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Points = Floats | Sequence[tuple[float, float]]

ASPECT = 16 / 9
CENTRE = (ASPECT / 2, 0.5)
_SUBPIXEL_BITS = 4
_GRAIN = 0.007
_VIGNETTE = 0.42
_BLACK = (5, 6, 11)  # what film calls black is a little blue, R, G, B


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the camera looks: shifted by ``x``, ``y``, nearer by ``zoom``, rolled in radians."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0
    roll: float = 0.0


class Canvas:
    """One picture being painted, from back to front."""

    def __init__(self, width: int, height: int, camera: Camera) -> None:
        self.width, self.height, self.camera = width, height, camera
        self.pixels: Floats = np.zeros((3, height, width), np.float32)  # R, G, B from 0 to 1

    def place(self, points: Points, depth: float = 1.0) -> Floats:
        """Pixel coordinates of points, (n, 2)."""
        camera, zoom = self.camera, 1 + (self.camera.zoom - 1) * depth
        offset = np.array(CENTRE, np.float32) + np.float32(depth) * np.array(
            [camera.x, camera.y], np.float32
        )
        moved = np.asarray(points, np.float32).reshape(-1, 2) - offset
        if camera.roll:
            sin, cos = np.sin(camera.roll), np.cos(camera.roll)
            moved = moved @ np.array([[cos, sin], [-sin, cos]], np.float32)
        placed = (moved * zoom + np.array(CENTRE, np.float32)) * self.height
        return cast(Floats, placed.astype(np.float32))

    def sky(self, *stops: tuple[float, str], depth: float = 0.1) -> None:
        """Fill the picture from top to bottom through ``(y, colour)`` stops."""
        zoom = 1 + (self.camera.zoom - 1) * depth
        self.pixels[:] = self._rows(stops, zoom, -depth * self.camera.y)[:, :, None]

    def glow(
        self, x: float, y: float, radius: float, colour: str, alpha: float = 1.0, depth: float = 1.0
    ) -> None:
        """Add light that falls off as a bell around a point."""
        (px, py), scale = self.place([(x, y)], depth)[0], self._scale(depth)
        across = _bell(np.arange(self.width, dtype=np.float32), px, radius * scale)
        down = _bell(np.arange(self.height, dtype=np.float32), py, radius * scale)
        lit, down = np.flatnonzero(across > 0.004), down * np.float32(alpha)
        rows = np.flatnonzero(down > 0.004)
        if len(lit) and len(rows):
            ys, xs = slice(rows[0], rows[-1] + 1), slice(lit[0], lit[-1] + 1)
            light = down[ys, None] * across[None, xs]
            for channel, value in enumerate(rgb(colour)):
                self.pixels[channel, ys, xs] += light * np.float32(value)

    def shape(
        self,
        points: Points,
        colour: str,
        foot: str | None = None,
        *,
        depth: float = 1.0,
        alpha: float = 1.0,
        soft: float = 0.0,
    ) -> None:
        """Fill a polygon, from ``colour`` at its top to ``foot`` at its bottom."""
        self.shapes([points], colour, foot, depth=depth, alpha=alpha, soft=soft)

    def shapes(
        self,
        polygons: Sequence[Points],
        colour: str,
        foot: str | None = None,
        *,
        depth: float = 1.0,
        alpha: float = 1.0,
        soft: float = 0.0,
    ) -> None:
        """Fill polygons alike; where they overlap they are one."""
        import cv2

        if not polygons:
            return
        placed = [self.place(points, depth) for points in polygons]
        blur = soft * self.height
        box = self._box(placed, 1 + 2.5 * blur)
        if box is None:
            return
        ys, xs = box
        mask = np.zeros((ys.stop - ys.start, xs.stop - xs.start), np.uint8)
        shift = 1 << _SUBPIXEL_BITS
        for points in placed:
            fixed = np.rint((points - np.array([xs.start, ys.start])) * shift).astype(np.int32)
            cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        if blur:
            mask = cv2.GaussianBlur(mask, (0, 0), blur)
        stacked = np.concatenate(placed)[:, 1]
        paint = _ramp(colour, foot, ys, float(stacked.min()), float(stacked.max()))
        self._blend(ys, xs, _weight(mask, alpha), paint)

    def disc(
        self,
        x: float,
        y: float,
        radius: float,
        colour: str,
        foot: str | None = None,
        *,
        depth: float = 1.0,
        alpha: float = 1.0,
        soft: float = 0.0,
    ) -> None:
        """Fill a circle."""
        angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        points = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)
        self.shape(points.astype(np.float32), colour, foot, depth=depth, alpha=alpha, soft=soft)

    def stroke(
        self,
        points: Points,
        width: float,
        colour: str,
        *,
        depth: float = 1.0,
        alpha: float = 1.0,
    ) -> None:
        """Draw a line through points."""
        import cv2

        placed, thick = self.place(points, depth), max(1, round(width * self._scale(depth)))
        box = self._box([placed], thick + 1)
        if box is None:
            return
        ys, xs = box
        mask = np.zeros((ys.stop - ys.start, xs.stop - xs.start), np.uint8)
        fixed = np.rint((placed - np.array([xs.start, ys.start])) * (1 << _SUBPIXEL_BITS))
        cv2.polylines(
            mask, [fixed.astype(np.int32)], False, 255, thick, cv2.LINE_AA, _SUBPIXEL_BITS
        )
        self._blend(ys, xs, _weight(mask, alpha), _ramp(colour, None, ys, 0, 1))

    def mist(self, y: float, spread: float, colour: str, alpha: float, depth: float = 1.0) -> None:
        """Lay a soft horizontal band over what is painted."""
        centre = self.place([(CENTRE[0], y)], depth)[0, 1]
        rows = np.arange(self.height, dtype=np.float32)
        weight = _bell(rows, centre, spread * self._scale(depth)) * np.float32(alpha)
        inside = np.flatnonzero(weight > 0.004)
        if len(inside):
            ys = slice(inside[0], inside[-1] + 1)
            self._blend(
                ys,
                slice(0, self.width),
                cast(Floats, weight[ys, None]),
                _ramp(colour, None, ys, 0, 1),
            )

    def cloud(
        self,
        colour: str,
        alpha: float,
        top: float,
        bottom: float,
        *,
        seed: int = 1,
        drift: float = 0.0,
        stretch: tuple[float, float] = (1.0, 1.0),
        depth: float = 0.3,
    ) -> None:
        """Drift a noise texture between two heights: cloud, water, wood, steam."""
        import cv2

        ends = self.place([(0, top), (0, bottom)], depth)[:, 1]
        y0, y1 = max(0, int(ends[0])), min(self.height, int(np.ceil(ends[1])))
        if y1 - y0 < 2:
            return
        grain, scale = _noise(seed), self._scale(depth) / self.height
        sx, sy = stretch[0] * scale * self.height / 360, stretch[1] * scale * self.height / 360
        shift_x = (drift + depth * self.camera.x) * 360 / stretch[0]
        matrix = np.array([[1 / sx, 0, shift_x + 160], [0, 1 / sy, 20]], np.float32)
        sampled = cv2.warpAffine(
            grain,
            matrix,
            (self.width, y1 - y0),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        rows = np.linspace(0, np.pi, y1 - y0, dtype=np.float32)
        sampled = sampled * np.sqrt(np.sin(rows).clip(0, 1))[:, None] * np.float32(alpha)
        ys = slice(y0, y1)
        self._blend(ys, slice(0, self.width), sampled, _ramp(colour, None, ys, 0, 1))

    def developed(self, frame: int, light: float = 1.0) -> NDArray[np.uint8]:
        """The picture with vignette and film grain, (3, height, width) in order G, B, R.

        ``light`` is the printer's light: 0 is black. ``frame`` chooses the grain.
        """
        grain = _grain(self.width, self.height)
        step = np.random.default_rng(frame).integers(0, 48, 2)
        ys, xs = slice(step[0], step[0] + self.height), slice(step[1], step[1] + self.width)
        exposed = self.pixels * (_vignette(self.width, self.height) * np.float32(255 * light))
        exposed += grain[ys, xs] * np.float32(255 * light)
        if light < 1:
            exposed += np.float32(1 - light) * np.array(_BLACK, np.float32)[:, None, None]
        np.clip(exposed, 0, 255, out=exposed)
        return cast(NDArray[np.uint8], exposed[[1, 2, 0]].astype(np.uint8))

    def _scale(self, depth: float) -> float:
        return self.height * (1 + (self.camera.zoom - 1) * depth)

    def _box(self, placed: Sequence[Floats], margin: float) -> tuple[slice, slice] | None:
        every = np.concatenate(placed)
        low, high = np.floor(every.min(0) - margin), np.ceil(every.max(0) + margin)
        x0, x1 = max(0, int(low[0])), min(self.width, int(high[0]) + 1)
        y0, y1 = max(0, int(low[1])), min(self.height, int(high[1]) + 1)
        return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None

    def _blend(self, ys: slice, xs: slice, weight: Floats, paint: Floats) -> None:
        under = self.pixels[:, ys, xs]
        under += weight * (paint - under)

    def _rows(self, stops: Sequence[tuple[float, str]], zoom: float, shift: float) -> Floats:
        y = (np.arange(self.height) / self.height - 0.5 - shift) / zoom + 0.5
        heights = [stop for stop, _ in stops]
        colours = np.array([rgb(colour) for _, colour in stops])
        return np.stack([np.interp(y, heights, colours[:, i]) for i in range(3)]).astype(np.float32)


@lru_cache(maxsize=512)
def rgb(colour: str) -> tuple[float, float, float]:
    """Red, green and blue from 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def _bell(position: Floats, centre: float, radius: float) -> Floats:
    return cast(Floats, np.exp(-(((position - np.float32(centre)) / np.float32(radius)) ** 2)))


def _weight(mask: NDArray[np.uint8], alpha: float) -> Floats:
    return cast(Floats, mask * np.float32(alpha / 255))


def _ramp(colour: str, foot: str | None, ys: slice, top: float, bottom: float) -> Floats:
    """(3, rows, 1) colours from one height to another."""
    head = np.array(rgb(colour), np.float32)[:, None, None]
    if foot is None:
        return head
    rows = (np.arange(ys.start, ys.stop, dtype=np.float32) - top) / max(bottom - top, 1)
    weight = rows.clip(0, 1)[None, :, None]
    return cast(Floats, head + weight * (np.array(rgb(foot), np.float32)[:, None, None] - head))


@lru_cache(maxsize=8)
def _noise(seed: int) -> Floats:
    """Fractal noise, (720, 1280) from 0 to 1, mostly dark with bright islands."""
    import cv2

    rng, total = np.random.default_rng(seed), np.zeros((720, 1280), np.float32)
    for octave in range(6):
        cells = rng.random((5 << octave, 9 << octave)).astype(np.float32)
        total += cv2.resize(cells, (1280, 720), interpolation=cv2.INTER_CUBIC) * 0.55**octave
    low, high = np.quantile(total, [0.35, 0.995])
    return cast(Floats, ((total - low) / (high - low)).clip(0, 1).astype(np.float32))


@lru_cache(maxsize=4)
def _grain(width: int, height: int) -> Floats:
    import cv2

    rng = np.random.default_rng(7)
    raw = rng.standard_normal((height + 48, width + 48)).astype(np.float32)
    soft = cv2.GaussianBlur(raw, (0, 0), 0.7)
    return cast(Floats, (soft * np.float32(_GRAIN / soft.std())).astype(np.float32))


@lru_cache(maxsize=4)
def _vignette(width: int, height: int) -> Floats:
    y = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None]
    x = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :]
    away = (x * x + y * y) / np.float32(0.5)
    return cast(Floats, (1 - np.float32(_VIGNETTE) * away**1.4).astype(np.float32))
