"""Forms that the demo films are painted from: outlines as points, nothing drawn yet."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from copal.demo.brush import Floats


def box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    """A rectangle by two corners."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def ahead(x: float, y: float, z: float, eye: tuple[float, float]) -> tuple[float, float]:
    """Where a point ``z`` away is seen that at distance 1 lies ``x``, ``y`` from the eye's line."""
    return eye[0] + x / z, eye[1] + y / z


def turned(points: Floats, angle: float, x: float, y: float, scale: float = 1.0) -> Floats:
    """Points turned around the origin by an angle in radians, scaled, moved to ``x``, ``y``."""
    sin, cos = np.sin(angle), np.cos(angle)
    spun = points @ np.array([[cos, sin], [-sin, cos]], np.float32)
    return cast(Floats, (spun * np.float32(scale) + np.array([x, y])).astype(np.float32))


def arc(
    x: float, y: float, radius: float, start: float = 0.0, end: float = 2 * np.pi, count: int = 64
) -> Floats:
    """Points along a circle; angles in radians, clockwise from the right."""
    angle = np.linspace(start, end, count)
    points = np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)
    return cast(Floats, points.astype(np.float32))


@lru_cache(maxsize=16)
def gear(teeth: int, depth: float) -> Floats:
    """A gear's outline of radius 1."""
    angle = np.arange(teeth * 4) * (2 * np.pi / (teeth * 4))
    radius = np.where(np.arange(teeth * 4) % 4 < 2, 1.0, 1.0 - depth)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)


@lru_cache(maxsize=32)
def ridge(seed: int, base: float, height: float, rough: float = 0.5) -> Floats:
    """Land seen from afar: a line of hills from x = -1.5 to 4.5, closed far below."""
    rng, x = np.random.default_rng(seed), np.linspace(-1.5, 4.5, 220)
    y = np.zeros_like(x)
    for octave in range(5):
        wave = np.sin(x * (1.7 * 2**octave) + rng.random() * 6.28)
        y += wave * rough**octave
    return _closed(x, base - height * (y / np.abs(y).max() + 1) / 2)


def swell(base: float, height: float, length: float, phase: float) -> Floats:
    """One line of waves, closed below: two trains of different length."""
    x = np.linspace(-1.0, 3.0, 130)
    y = np.sin(x * 6.28 / length + phase) + 0.45 * np.sin(x * 14.1 / length - phase * 1.3)
    return _closed(x, base + height * (y - 0.35 * np.abs(y)))


@lru_cache(maxsize=8)
def roofs(seed: int, base: float, height: float) -> Floats:
    """A town's line of gables and chimneys from x = -1 to 4, closed far below."""
    rng, x, points = np.random.default_rng(seed), -1.0, []
    while x < 4.0:
        wide, top = 0.14 + 0.2 * rng.random(), base - height * (0.35 + 0.65 * rng.random())
        eaves, stack = top + wide * 0.45, x + wide * (0.2 + 0.12 * rng.random())
        points += [(x, base), (x, eaves), (stack, eaves - 0.06), (stack, top - 0.05)]
        points += [(stack + 0.028, top - 0.05), (stack + 0.028, top + 0.12 * wide)]
        points += [(x + wide / 2, top), (x + wide, eaves), (x + wide, base)]
        x += wide + 0.05 * rng.random()
    return np.array([*points, (4.5, 2.5), (-1.5, 2.5)], np.float32)


@lru_cache(maxsize=16)
def scatter(seed: int, count: int, columns: int = 3) -> Floats:
    """Random numbers from 0 to 1 that are the same every time, (count, columns)."""
    return np.random.default_rng(seed).random((count, columns)).astype(np.float32)


def _closed(x: NDArray[np.float64], y: NDArray[np.float64]) -> Floats:
    line = np.stack([x, y], 1)
    return np.concatenate([line, [(x[-1], 2.5), (x[0], 2.5)]]).astype(np.float32)
