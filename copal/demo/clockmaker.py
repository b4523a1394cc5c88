"""The Clockmaker: a demo film of a workshop, between green evenings and parchment days."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from copal.demo.brush import Camera, Canvas
from copal.demo.film import Film, Shot
from copal.demo.form import ahead, arc, box, gear, roofs, scatter, turned

BRASS, DARK_BRASS, IVORY, UMBER = "#e0b050", "#7d5420", "#fbf1da", "#2a170f"


def hand(c: Canvas, x: float, y: float, turn: float, length: float, width: float) -> None:
    """A clock's hand; a whole turn is 1, and 0 points up."""
    angle = 2 * np.pi * turn
    tip = (x + length * np.sin(angle), y - length * np.cos(angle))
    tail = (x - 0.2 * length * np.sin(angle), y + 0.2 * length * np.cos(angle))
    c.stroke([tail, tip], width, "#1c1410")


def dial(c: Canvas, x: float, y: float, radius: float, moment: float) -> None:
    """A clock's face at a moment in seconds."""
    c.disc(x, y, radius * 1.09, BRASS, DARK_BRASS)
    c.disc(x, y, radius, "#fffaea", "#ead9b2")
    for k in range(12):
        way = np.array([np.sin(k * np.pi / 6), -np.cos(k * np.pi / 6)])
        inner = 0.74 if k % 3 == 0 else 0.82
        mark = [tuple(way * radius * r + (x, y)) for r in (inner, 0.9)]
        c.stroke(mark, radius * (0.07 if k % 3 == 0 else 0.03), "#2a1d14")
    hand(c, x, y, 0.14 + moment / 3600, radius * 0.5, radius * 0.075)
    hand(c, x, y, 0.72 + moment / 300, radius * 0.72, radius * 0.05)
    hand(c, x, y, np.floor(moment * 2) / 60, radius * 0.8, radius * 0.02)
    c.disc(x, y, radius * 0.06, DARK_BRASS)


def face(c: Canvas, t: float) -> None:
    """A great clock on a green wall: the round form."""
    c.sky((0, "#0c2a20"), (0.5, "#2c6a4c"), (0.68, "#3b7a56"), (1, "#3b7a56"))
    stripes = [box(0.11 * k - 0.5, -0.2, 0.11 * k - 0.455, 0.72) for k in range(28)]
    c.shapes(stripes, "#164534", depth=0.25, alpha=0.22)
    c.glow(1.12, 0.4, 0.44, "#8fae58", 0.5, depth=0.3)
    c.disc(1.135, 0.425, 0.225, "#071a12", depth=0.3, alpha=0.6, soft=0.02)
    c.camera = Camera(c.camera.x * 0.3, c.camera.y * 0.3, 1 + (c.camera.zoom - 1) * 0.3)
    dial(c, 1.12, 0.4, 0.186, t)
    c.shape(box(-1, 0.665, 3, 2), "#6a3f22", "#1c0f0a")
    c.cloud("#b97a40", 0.4, 0.66, 1.1, seed=3, stretch=(4.5, 0.18), depth=1)
    c.shape(box(-1, 0.665, 3, 0.678), "#c8884a", alpha=0.9)
    for x, y, w in ((0.34, 0.52, 0.034), (0.43, 0.46, 0.028), (0.53, 0.56, 0.04)):
        half = [(0.3 * w, y), (0.3 * w, y + 0.03), (w, y + 0.07), (w, 0.74)]
        bottle = [(x + dx, py) for dx, py in half] + [(x - dx, py) for dx, py in half[::-1]]
        c.shape(bottle, "#123f30", "#061a12")
        c.stroke([(x - 0.6 * w, y + 0.09), (x - 0.6 * w, 0.72)], 0.006, "#8fc8a0", alpha=0.5)


def shelf(c: Canvas, t: float) -> None:
    """A shelf of clocks in lamp light, passed slowly: the row."""
    c.sky((0, "#2a1409"), (0.4, "#8a4a1e"), (1, "#4a230e"))
    c.cloud("#c8803a", 0.35, -0.1, 1.1, seed=3, stretch=(5, 0.4), depth=0.9)
    c.glow(0.889, 0.4, 0.8, "#d88a30", 0.28, depth=0)
    for k in range(-2, 11):
        x = 0.3 * k - 0.01
        c.shape(box(x + 0.045, 0.265, x + 0.255, 0.66), "#6a3514", "#2c140a")
        c.shape([(x + 0.035, 0.267), (x + 0.15, 0.2), (x + 0.265, 0.267)], "#7d421a", "#4a240e")
        c.shape(
            box(x + 0.07, 0.3, x + 0.23, 0.6), "#fff0c8" if k % 4 != 2 else "#d89a4a", "#e8a850"
        )
        for part in (0.3 + 0.35 * k + t / 300, 0.1 * k + t / 40):
            length = 0.05 if part > 0.3 else 0.07
            hand(c, x + 0.15, 0.41, part, length, 0.009)
        swing = 0.3 * np.sin(3.1 * t + 1.3 * k)
        bob = (x + 0.15 + 0.09 * np.sin(swing), 0.48 + 0.09 * np.cos(swing))
        c.stroke([(x + 0.15, 0.48), bob], 0.005, DARK_BRASS)
        c.disc(*bob, 0.018, BRASS, DARK_BRASS)
    c.shape(box(-2, 0.66, 5, 0.72), "#8a4c1e", "#3a1a0a")
    c.shape(box(-2, 0.72, 5, 2), "#1f0e07", "#0d0603")


def gears(c: Canvas, t: float) -> None:
    """The movement of a clock, turning, by day: the turning form."""
    c.sky((0, "#efe3c6"), (0.6, "#d8bd8c"), (1, "#b8925c"))
    c.cloud("#fff8e2", 0.5, -0.1, 1.1, seed=2, stretch=(3, 1.2), depth=0.2)
    angle = 0.62 * t
    for x, y, radius, teeth, turn in (
        (0.3, 0.16, 0.24, 20, -angle * 1.6),
        (1.5, 0.86, 0.3, 24, -angle * 1.28),
    ):
        c.shape(
            turned(gear(teeth, 0.09), turn, x + 0.02, y + 0.03, radius),
            "#7d5a2c",
            alpha=0.3,
            soft=0.012,
        )
        c.shape(turned(gear(teeth, 0.09), turn, x, y, radius), "#c9a468", "#9a7238")
        c.disc(x, y, radius * 0.66, "#e0c48c", "#c09a5c")
        c.disc(x, y, radius * 0.14, "#8a6430")
    c.shape(turned(gear(32, 0.08), angle, 0.915, 0.54, 0.4), "#5a3c18", alpha=0.4, soft=0.016)
    c.shape(turned(gear(32, 0.08), angle, 0.889, 0.5, 0.4), "#b8812e", "#6a4416")
    c.stroke(arc(0.889, 0.5, 0.33), 0.012, "#f4d488")
    c.disc(0.889, 0.5, 0.285, "#ecd8ac", "#c8a468")
    for k in range(6):
        way = angle + k * np.pi / 3
        tip = np.array([np.cos(way), np.sin(way)])
        c.stroke([tuple(tip * r + (0.889, 0.5)) for r in (0.03, 0.31)], 0.04, "#94651f")
    c.disc(0.889, 0.5, 0.09, "#b8812e", "#6a4416")
    c.disc(0.889, 0.5, 0.035, "#c83a3a", "#6a1420")


def tall_clock(c: Canvas, t: float) -> None:
    """A grandfather clock in a dim hall: the upright form left of the centre."""
    c.sky((0, "#081a14"), (0.6, "#1c4a38"), (1, "#1a4434"))
    c.shape([(1.05, -0.1), (1.5, -0.1), (1.9, 0.9), (1.2, 0.9)], "#a8d0a0", alpha=0.2, soft=0.03)
    c.shapes(
        [box(0.25 * k - 0.6, -0.2, 0.25 * k - 0.592, 0.82) for k in range(14)], "#06140e", alpha=0.5
    )
    c.shape(box(-1, 0.8, 3, 2), "#10281e", "#040c08")
    c.glow(0.6, 0.3, 0.3, "#7a9a4a", 0.35)
    c.shape([(0.5, 0.24), (0.6, 0.17), (0.7, 0.24)], "#5a3014", "#3a1c0c")
    c.shape(box(0.51, 0.24, 0.69, 0.41), "#6a3a18", "#3f200d")
    c.shape(box(0.53, 0.41, 0.67, 0.76), "#54290f", "#260f06")
    c.shape(box(0.505, 0.76, 0.695, 0.87), "#4a230d", "#180a04")
    c.shape(box(0.555, 0.44, 0.645, 0.72), "#1c0d08", "#0a0503")
    dial(c, 0.6, 0.325, 0.065, t + 40)
    swing = 0.16 * np.sin(3.1 * t)
    bob = (0.6 + 0.22 * np.sin(swing), 0.44 + 0.22 * np.cos(swing))
    c.stroke([(0.6, 0.44), bob], 0.006, BRASS)
    c.disc(*bob, 0.03, "#ffe09a", "#9a6420")
    c.glow(*bob, 0.08, "#d8a040", 0.35)


def town(c: Canvas, t: float) -> None:
    """Roofs of the town at noon, one street behind the other: the layers."""
    c.sky((0, "#f1e2bd"), (0.4, "#fbf3dc"), (1, "#fbf3dc"))
    c.cloud("#ffffff", 0.7, 0.0, 0.45, seed=2, stretch=(2.2, 0.6), depth=0.1)
    tones = ("#e6cfa6", "#d2ae80", "#b78a5e", "#946644", "#6f4630", "#492c20")
    for k, tone in enumerate(tones):
        base, depth = 0.5 + 0.125 * k, 0.1 + 0.16 * k
        c.shape(roofs(70 + k, base, 0.17), tone, tones[min(k + 1, 5)], depth=depth)
        c.mist(base + 0.03, 0.04, "#fbeccb", 0.3, depth=depth)


def pendulum(c: Canvas, t: float) -> None:
    """A pendulum before the works: the swinging form."""
    swing = 0.42 * np.sin(2.05 * t + 0.2)
    x, y = 0.889 + 0.66 * np.sin(swing), -0.12 + 0.66 * np.cos(swing)
    c.sky((0, "#2c120a"), (0.6, "#6a2f14"), (1, "#2a1008"))
    c.cloud("#a85a24", 0.4, -0.1, 1.2, seed=3, stretch=(0.8, 5), depth=0.4)
    for side in (0.18, 1.6):
        c.shape(turned(gear(26, 0.1), 0.2 * np.floor(2 * t), side, 0.3, 0.32), "#4a2210", "#2a1008")
    c.glow(x, y, 0.5, "#c86a20", 0.5)
    c.stroke([(0.889, -0.12), (x, y)], 0.014, "#d8a040")
    c.disc(x + 0.012, y + 0.02, 0.105, "#140804", alpha=0.6, soft=0.012)
    c.disc(x, y, 0.1, "#fff0b8", "#b8761f")
    c.disc(x, y, 0.064, "#ffe496", "#d89a34")
    c.shape(box(-1, 0.92, 3, 2), "#1a0a05")


def corridor(c: Canvas, t: float) -> None:
    """Down a bright corridor to a door."""
    eye = (0.889, 0.44)
    c.sky((0, "#fbf3dd"), (1, "#e6d2a8"))
    for side in (-0.62, 0.62):
        wall = [
            ahead(side, y, z, eye) for y, z in ((-0.5, 0.3), (-0.5, 12), (0.34, 12), (0.34, 0.3))
        ]
        c.shape(wall, "#f3e4c0", "#d9bd8c")
    floor = [
        ahead(x, 0.34, z, eye) for x, z in ((-0.62, 12), (0.62, 12), (0.62, 0.3), (-0.62, 0.3))
    ]
    c.shape(floor, "#c9a06c", "#7d5230")
    runner = [ahead(x, 0.34, z, eye) for x, z in ((-0.3, 12), (0.3, 12), (0.3, 0.3), (-0.3, 0.3))]
    c.shape(runner, "#a8553f", "#7a2c28")
    z = 0.55 + np.arange(18) * 0.5 - (0.42 * t % 1) * 0.5
    for near in z:
        ends = [ahead(x, 0.34, near, eye) for x in (-0.3, 0.3)]
        c.stroke(ends, 0.01 / near, "#f0cf8c", alpha=min(0.75, 1.4 / near))
    for k in range(6, -1, -1):
        far = 0.62 + k * 1.5 - (0.21 * t) % 1.5
        for side in (-0.62, 0.62):
            if far > 0.32:
                door = [
                    ahead(side, y, far + d, eye)
                    for y, d in ((-0.26, 0), (-0.26, 0.4), (0.34, 0.4), (0.34, 0))
                ]
                c.shape(door, "#8a5a34", "#6a3f24")
        if far > 0.4:
            x, y = ahead(0, -0.4, far, eye)
            c.disc(x, y, 0.045 / far, "#fffdf0", "#f4d890")
    c.shape(box(0.845, 0.4, 0.933, 0.468), "#fffdf2", depth=1)
    c.glow(*eye, 0.16, "#fff3cf", 0.5)


def dust(c: Canvas, t: float) -> None:
    """Dust in a shaft of light over the bench."""
    c.sky((0, "#241008"), (0.7, "#6a3618"), (1, "#3a1a0c"))
    c.shape(
        [(0.1, -0.1), (0.5, -0.1), (1.75, 0.95), (0.95, 0.95)], "#ffc878", alpha=0.42, soft=0.03
    )
    c.shape(
        [(0.24, -0.1), (0.36, -0.1), (1.4, 0.95), (1.15, 0.95)], "#ffe2a8", alpha=0.3, soft=0.03
    )
    for a, b, s in scatter(81, 130):
        x, y = 0.15 + 1.45 * a + 0.03 * np.sin(0.7 * t + 9 * s), (b - 0.02 * t * (0.4 + s)) % 1
        lit = abs(x - 0.3 - 1.02 * y) < 0.26
        c.disc(x, y, 0.002 + 0.004 * s, "#fff0c8" if lit else "#8a5a34", alpha=0.85 if lit else 0.4)
    c.shape(box(-1, 0.82, 3, 2), "#7a4420", "#1c0c06", depth=1.1)
    c.cloud("#d8934c", 0.45, 0.82, 1.2, seed=3, stretch=(4.5, 0.2), depth=1.1)
    c.shapes([box(0.3, 0.66, 0.42, 0.86), box(0.27, 0.64, 0.45, 0.665)], "#1a0b06", depth=1.1)
    c.stroke([(0.36, 0.64), (0.34, 0.42), (0.46, 0.34)], 0.014, "#1a0b06", depth=1.1)
    c.stroke(arc(1.28, 0.72, 0.085), 0.018, DARK_BRASS, depth=1.1)
    c.disc(1.28, 0.72, 0.078, "#ffe6b0", "#b07a3a", depth=1.1, alpha=0.5)


def loupe(c: Canvas, t: float) -> None:
    """A watch on the bench, small and to the left, beside the tools."""
    c.sky((0, "#f0dfb6"), (0.62, "#e2c892"), (1, "#e2c892"))
    c.cloud("#fff6dc", 0.5, 0.0, 0.66, seed=2, stretch=(3, 1), depth=0.2)
    c.shape(box(-1, 0.66, 3, 2), "#a8743c", "#5a3418", depth=0.5)
    c.cloud("#e8bc78", 0.45, 0.66, 1.1, seed=3, stretch=(4.5, 0.18), depth=0.6)
    c.disc(0.46, 0.6, 0.11, "#5a3818", alpha=0.4, soft=0.012)
    dial(c, 0.45, 0.57, 0.095, t + 12)
    c.stroke(arc(0.45, 0.44, 0.03), 0.01, DARK_BRASS)
    for x, top, lean in ((1.1, 0.34, 0.02), (1.22, 0.24, -0.015), (1.34, 0.3, 0.025)):
        c.stroke([(x, 0.72), (x + lean, top + 0.14)], 0.014, "#4a3422")
        c.stroke([(x + lean, top + 0.16), (x + 1.4 * lean, top)], 0.034, "#8a2f28")
    c.shape(box(1.03, 0.62, 1.42, 0.86), "#6a3f20", "#3a2010", depth=1.05)


FILM = Film(
    file="the_clockmaker.mp4",
    title="The Clockmaker",
    year=2023,
    frame_rate=Fraction(24000, 1001),
    scenes={
        scene.__name__: scene
        for scene in (
            *(face, shelf, gears, tall_clock, town),
            *(pendulum, corridor, dust, loupe),
        )
    },
    shots=(
        Shot("town", 76, Camera(x=-0.1), Camera(x=0.75), chord=(55, 62, 67), air="wind"),
        Shot("tall_clock", 72, Camera(y=0.05), Camera(y=-0.03), chord=(43, 50, 59), air="ticks"),
        Shot("gears", 74, chord=(50, 57, 66), air="ticks"),
        Shot("shelf", 80, Camera(), Camera(x=0.62), chord=(46, 53, 62), air="ticks"),
        Shot("corridor", 76, chord=(48, 55, 64, 72), air="room"),
        Shot("face", 78, Camera(zoom=1), Camera(zoom=1.09), chord=(40, 52, 59, 67), air="ticks"),
        Shot("dust", 68, Camera(zoom=1.04), Camera(zoom=1), chord=(45, 52, 64), air="room"),
        Shot("gears", 66, moment=7.2, chord=(50, 57, 69), air="ticks"),
        Shot("tall_clock", 66, Camera(y=-0.02), Camera(y=0.01), 8.2, (43, 50, 62), "ticks"),
        Shot("town", 70, Camera(x=0.3), Camera(x=0.98), 4.0, (55, 62, 69), "wind"),
        Shot("pendulum", 74, chord=(41, 48, 57), air="ticks"),
        Shot("corridor", 68, Camera(y=-0.01), Camera(y=-0.01), 9.6, (48, 55, 64, 74), "room"),
        Shot("face", 70, Camera(zoom=1.07), Camera(zoom=1.12), 5.0, (40, 52, 59, 69), "ticks"),
        Shot("loupe", 84, Camera(zoom=1.1), Camera(zoom=1), chord=(45, 52, 57, 60), air="ticks"),
    ),
)
