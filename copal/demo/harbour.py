"""Harbour: a demo film of a small port, from a hazy noon to dusk."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from copal.demo.brush import Camera, Canvas
from copal.demo.film import Film, Shot
from copal.demo.form import ahead, arc, box, ridge, scatter, swell, turned

INK, DEEP, SAND, LAMP = "#0d2230", "#10394a", "#f4e6c8", "#ffd58a"


def sun(c: Canvas, t: float) -> None:
    """The sun above the sea: the round form that the other films rhyme with."""
    c.sky((0, "#3f1a3a"), (0.3, "#8f2f3c"), (0.52, "#cf5a3c"), (0.66, "#f3a052"), (1, "#f3a052"))
    c.cloud("#f08a5a", 0.4, 0.02, 0.6, seed=3, drift=0.012 * t, stretch=(2.4, 0.5), depth=0.15)
    c.glow(1.12, 0.4, 0.4, "#e0663a", 0.42, depth=0.3)
    c.disc(1.12, 0.4, 0.2, "#fff8e0", "#ffd488", depth=0.3)
    c.shape(ridge(4, 0.672, 0.06, 0.55), "#6a2636", "#5a2034", depth=0.35)
    c.shape(box(-1, 0.665, 3, 2), "#9a3f3c", "#22142c", depth=0.5)
    c.cloud("#f09a62", 0.45, 0.655, 1.3, seed=5, drift=0.03 * t, stretch=(3.2, 0.22), depth=0.6)
    glints = [
        box(1.12 - w, y, 1.12 + w, y + 0.0045 + 0.004 * k / 14)
        for k in range(15)
        for y in [0.68 + 0.0014 * k * k + 0.008 * k]
        for w in [(0.19 - 0.007 * k) * (0.55 + 0.45 * np.sin(2.1 * k + (2.4 - 0.05 * k) * t))]
    ]
    c.shapes(glints, "#ffd8a0", depth=0.45, alpha=0.6)
    boat(c, 0.42 + 0.018 * t, 0.7 + 0.004 * np.sin(1.6 * t), 0.13, "#1c0a1c", 0.6)


def boat(c: Canvas, x: float, y: float, size: float, colour: str, depth: float) -> None:
    """A sailing boat from the side."""
    hull = [(-0.62, 0), (0.66, -0.02), (0.48, 0.2), (-0.46, 0.2)]
    main, jib = (
        [(-0.02, -1.5), (-0.02, -0.1), (-0.55, -0.1)],
        [(0.03, -1.35), (0.03, -0.1), (0.55, -0.06)],
    )
    parts = [[(x + size * px, y + size * py) for px, py in part] for part in (hull, main, jib)]
    c.shapes(parts, colour, depth=depth)
    c.stroke([(x, y), (x, y - 1.65 * size)], 0.004, colour, depth=depth)


def gulls(c: Canvas, t: float) -> None:
    """Gulls in an empty sky above a strip of sea."""
    c.sky((0, "#8fc3c8"), (0.6, "#e9efdf"), (1, "#f3ead2"))
    c.cloud("#ffffff", 0.75, 0.05, 0.7, seed=2, drift=0.02 * t, stretch=(1.8, 0.8), depth=0.25)
    c.shape(box(-1, 0.8, 3, 2), "#7db3b4", "#3f8189", depth=0.5)
    c.cloud("#e8fbf4", 0.5, 0.79, 1.2, seed=5, drift=0.05 * t, stretch=(3, 0.2), depth=0.6)
    for k, (a, b, s) in enumerate(scatter(11, 9)):
        x, y = 0.1 + 1.7 * a + 0.06 * t, 0.14 + 0.5 * b - 0.01 * t * (1 + s)
        span, beat = 0.035 + 0.05 * s, np.sin(5.5 * t + k * 1.7)
        wing = [(x - span, y - 0.55 * span * beat), (x - 0.4 * span, y - 0.28 * span), (x, y)]
        wing += [(x + 0.4 * span, y - 0.28 * span), (x + span, y - 0.55 * span * beat)]
        c.stroke(wing, 0.005 + 0.004 * s, "#24505c", depth=0.7 + 0.6 * s)


def lighthouse(c: Canvas, t: float) -> None:
    """A lighthouse at night, its beam going round: the upright form left of the centre."""
    c.sky((0, "#04121c"), (0.5, "#0e3345"), (0.85, "#2d6670"))
    stars = [box(x, y, x + 0.004, y + 0.004) for x, y in scatter(21, 70, 2) * (1.9, 0.62)]
    c.shapes(stars, "#cfe6ea", depth=0.05, alpha=0.65)
    turn = 0.9 * t + 0.4
    for side in (0.0, np.pi):
        facing, wide = float(np.cos(turn + side)), 0.05 + 0.2 * abs(float(np.sin(turn)))
        reach = 2.2 if facing > 0 else -2.2
        beam = [(0.6, 0.262), (0.6 + reach, 0.2 - wide), (0.6 + reach, 0.2 + wide), (0.6, 0.278)]
        c.shape(beam, "#ffe9b0", depth=0.8, alpha=0.46 * facing * facing, soft=0.012)
    c.shape(ridge(9, 0.9, 0.2, 0.4), "#08202c", "#04121a", depth=0.7)
    c.shape(box(-1, 0.84, 3, 2), "#0f3a49", "#04141d", depth=0.6)
    c.cloud("#5f99a0", 0.4, 0.83, 1.2, seed=5, drift=0.04 * t, stretch=(3, 0.22), depth=0.6)
    c.shape([(0.3, 0.92), (0.46, 0.79), (0.76, 0.79), (0.98, 0.95), (0.98, 2), (0.3, 2)], "#050f16")
    c.shape([(0.555, 0.3), (0.645, 0.3), (0.69, 0.8), (0.51, 0.8)], "#cbd5cf", "#5d777b")
    for y in (0.4, 0.57):
        top, low = 0.045 + 0.09 * (y - 0.3), 0.045 + 0.09 * (y - 0.22)
        band = [(0.6 - top, y), (0.6 + top, y), (0.6 + low, y + 0.08), (0.6 - low, y + 0.08)]
        c.shape(band, "#8e3b36", "#6a2c2f")
    c.shapes([box(0.545, 0.29, 0.655, 0.302), box(0.565, 0.235, 0.635, 0.292)], "#0a1c26")
    c.shape([(0.56, 0.237), (0.6, 0.19), (0.64, 0.237)], "#0a1c26")
    c.shape(box(0.575, 0.245, 0.625, 0.288), "#fff3cc")
    c.glow(0.6, 0.268, 0.1 + 0.05 * max(0.0, np.cos(2 * turn)), LAMP, 0.9)


def pier(c: Canvas, t: float) -> None:
    """Along a pier to the horizon."""
    eye, walked = (0.889, 0.44), (0.42 * t) % 1
    c.sky((0, "#a9cfcf"), (0.44, "#f6eeda"), (1, "#f6eeda"))
    c.glow(*eye, 0.35, "#fff2cf", 0.25, depth=0.2)
    c.shape(box(-2, 0.44, 4, 2), "#b9d6cf", "#4f8f95", depth=0.2)
    c.cloud("#ffffff", 0.45, 0.44, 1.1, seed=5, drift=0.04 * t, stretch=(3, 0.25), depth=0.3)
    wood = [ahead(x, 0.34, z, eye) for x, z in ((-0.5, 30), (0.5, 30), (0.5, 0.4), (-0.5, 0.4))]
    c.shape(wood, "#c9a981", "#7d5a40")
    z = 0.55 + np.arange(26) * 0.5 - walked * 0.5
    gaps = [[ahead(x, 0.34, d, eye) for x in (-0.5, 0.5)] for d in z]
    for near, line in zip(z, gaps, strict=True):
        c.stroke(line, 0.008 / near, "#553a2c", alpha=min(0.75, 1.2 / near))
    for k in range(6, -1, -1):
        far = 0.62 + k * 1.5 - (0.42 * t / 2) % 1.5
        for side in (-0.56, 0.56):
            if far > 0.4:
                (x, foot), (_, top) = ahead(side, 0.4, far, eye), ahead(side, -0.26, far, eye)
                c.stroke([(x, foot), (x, top)], 0.035 / far, "#3d4a4c")
                c.disc(x, top, 0.032 / far, "#fdf6e0", "#d9b98a")


def lantern(c: Canvas, t: float) -> None:
    """A lantern swings in a boat's cabin at night."""
    swing = 0.42 * np.sin(2.05 * t + 0.5)
    x, y = 0.889 + 0.66 * np.sin(swing), -0.12 + 0.66 * np.cos(swing)
    c.sky((0, "#081a24"), (0.6, "#12343f"), (1, "#0a1d26"))
    c.cloud("#1f4a52", 0.5, -0.1, 1.2, seed=4, stretch=(5, 0.9), depth=0.4)
    c.glow(x, y, 0.6, "#a8642c", 0.6)
    c.glow(x, y, 0.22, "#ffb65a", 0.6)
    for k in range(5):
        c.stroke([(-0.2, 0.08 + 0.235 * k), (2, 0.08 + 0.235 * k)], 0.007, "#06141c", alpha=0.8)
    c.stroke([(0.889, -0.12), (x, y - 0.1)], 0.008, "#05121a")
    glass = np.array([(-0.062, -0.08), (0.062, -0.08), (0.076, 0.08), (-0.076, 0.08)], np.float32)
    c.shape(turned(glass, -swing, x, y), "#fff1c2", "#ffb04a")
    ribs = [
        box(-0.085, 0.08, 0.085, 0.11),
        box(-0.07, -0.11, 0.07, -0.08),
        box(-0.006, -0.1, 0.006, 0.1),
    ]
    c.shapes([turned(np.array(rib, np.float32), -swing, x, y) for rib in ribs], "#0a1319")
    c.shape(ridge(2, 1.02, 0.12, 0.3), "#040d12", depth=1.2)


def windows(c: Canvas, t: float) -> None:
    """Lit windows of the houses on the quay, passed slowly: the row that rhymes."""
    c.sky((0, "#b5503f"), (0.3, "#f0a35c"), (1, "#f0a35c"))
    fronts = ("#7c3a36", "#8f4a3a", "#6a3238", "#a0583f", "#74403c")
    for k in range(-2, 11):
        x, front = 0.3 * k - 0.01, fronts[k % 5]
        c.shape([(x, 0.2), (x + 0.15, 0.1 + 0.03 * (k % 2)), (x + 0.3, 0.2)], "#4d2330")
        c.shape(box(x, 0.2, x + 0.3, 0.86), front, "#40202c")
        c.shape(
            box(x + 0.07, 0.3, x + 0.23, 0.6), "#ffe3a0" if k % 4 != 1 else "#5a3a48", "#f7a84f"
        )
        bars = [box(x + 0.145, 0.3, x + 0.155, 0.6), box(x + 0.07, 0.425, x + 0.23, 0.433)]
        c.shapes([*bars, box(x + 0.06, 0.6, x + 0.24, 0.616)], "#37202b")
    c.shape(box(-2, 0.78, 5, 2), "#4a2a35", "#1f1722", depth=1.1)
    c.cloud("#f7b56a", 0.5, 0.79, 1.2, seed=5, drift=0.03 * t, stretch=(2.5, 0.2), depth=1.1)
    for k in range(5):
        x = 0.1 + 0.83 * k
        c.stroke([(x, 1.1), (x + 0.01 * np.sin(1.3 * t + k), -0.2)], 0.014, "#22141d", depth=1.7)


def helm(c: Canvas, t: float) -> None:
    """The ship's wheel turning before a bright sea: the turning form in the centre."""
    c.sky((0, "#b9dbd8"), (0.42, "#f1efe0"), (1, "#f1efe0"))
    level = 0.45 + 0.02 * np.sin(1.1 * t)
    c.shape(box(-1, level, 3, 2), "#6fb0b0", "#2f7480", depth=0.3)
    c.cloud("#f4fffa", 0.6, level, 1.1, seed=5, drift=0.12 * t, stretch=(3, 0.25), depth=0.3)
    wheel(c, 0.62 * t + 0.15, 8, "#6b4226", "#3a2417")
    c.shape(box(-1, 0.93, 3, 2), "#4a3020", "#2a1a12", depth=1.1)


def wheel(c: Canvas, angle: float, spokes: int, wood: str, shade: str) -> None:
    """A ship's wheel with handles."""
    for k in range(spokes):
        way = angle + k * 2 * np.pi / spokes
        tip = np.array([np.cos(way), np.sin(way)])
        c.stroke([tuple(tip * r + (0.889, 0.5)) for r in (0.06, 0.46)], 0.03, shade)
        c.stroke([tuple(tip * r + (0.889, 0.5)) for r in (0.4, 0.45)], 0.046, wood)
    c.stroke(arc(0.889, 0.5, 0.31), 0.062, shade)
    c.stroke(arc(0.889, 0.5, 0.315), 0.036, wood)
    c.disc(0.889, 0.5, 0.085, wood, shade)
    c.disc(0.889, 0.5, 0.035, "#d8b070", "#8a5a2c")


def waves(c: Canvas, t: float) -> None:
    """Waves, one behind the other: the layers that rhyme."""
    c.sky((0, "#dcebe2"), (0.4, "#f7f0dc"), (1, "#f7f0dc"))
    tones = ("#a9d2cc", "#7fbab8", "#549da1", "#337c86", "#1c5966", "#0f3b49")
    for k, tone in enumerate(tones):
        base, foot = 0.34 + 0.125 * k, tones[min(k + 1, 5)]
        phase = (0.9 + 0.16 * k) * t + 1.9 * k
        c.shape(
            swell(base, 0.016 + 0.008 * k, 0.5 + 0.16 * k, phase), tone, foot, depth=0.4 + 0.2 * k
        )
        c.mist(base + 0.1, 0.03, "#eaf6ee", 0.12, depth=0.4 + 0.2 * k)


def low_sun(c: Canvas, t: float) -> None:
    """The sun's last edge, small and to the left, and boats at anchor."""
    c.sky((0, "#311b3f"), (0.4, "#b3413f"), (0.66, "#ffae4f"), (1, "#ffae4f"))
    c.glow(0.45, 0.62, 0.5, "#ff6f3a", 0.4, depth=0.3)
    c.disc(0.45, 0.62, 0.095, "#fff3c8", "#ffc35c", depth=0.3)
    c.shape(box(-1, 0.65, 3, 2), "#b9503f", "#1a1026", depth=0.5)
    c.cloud("#ffb46a", 0.5, 0.65, 1.3, seed=5, drift=0.03 * t, stretch=(3.2, 0.22), depth=0.6)
    for k, (x, size) in enumerate(((0.98, 0.14), (1.3, 0.24), (0.72, 0.08))):
        y = 0.7 + 0.35 * (size - 0.1) + 0.005 * np.sin(1.7 * t + k)
        boat(c, x + 0.006 * np.sin(0.9 * t + k), y, size, "#1d0f20", 0.55 + size)


FILM = Film(
    file="harbour.mp4",
    title="Harbour",
    year=2019,
    frame_rate=Fraction(24),
    scenes={
        scene.__name__: scene
        for scene in (sun, gulls, lighthouse, pier, lantern, windows, helm, waves, low_sun)
    },
    shots=(
        Shot("sun", 80, Camera(zoom=1), Camera(zoom=1.09), chord=(45, 57, 64, 69), air="waves"),
        Shot("gulls", 66, Camera(x=-0.05), Camera(x=0.1, y=-0.03), chord=(52, 59, 66), air="wind"),
        Shot("lighthouse", 76, Camera(y=0.07), Camera(y=-0.02), chord=(40, 52, 59), air="waves"),
        Shot("pier", 78, chord=(50, 57, 62, 66), air="waves"),
        Shot(
            "lantern", 72, Camera(roll=-0.015), Camera(roll=0.015), chord=(38, 50, 57), air="creak"
        ),
        Shot("helm", 74, chord=(55, 59, 62), air="wind"),
        Shot("windows", 80, Camera(), Camera(x=0.62), chord=(48, 55, 64), air="waves"),
        Shot("waves", 70, Camera(x=0.1), Camera(x=-0.12), chord=(43, 50, 62), air="waves"),
        Shot("lighthouse", 66, Camera(y=-0.02), Camera(y=0.01), 7.4, (40, 52, 55), "waves"),
        Shot("pier", 70, Camera(y=-0.01), Camera(y=-0.01), 9.6, (50, 57, 62, 69), "waves"),
        Shot("sun", 74, Camera(zoom=1.07), Camera(zoom=1.12), 4.2, (45, 57, 64, 71), "waves"),
        Shot("gulls", 60, Camera(x=0.02), Camera(x=-0.1), 8.0, (52, 59, 68), "wind"),
        Shot("low_sun", 94, Camera(zoom=1.1), Camera(zoom=1), chord=(45, 52, 57, 64), air="waves"),
    ),
)
