"""Night Train: a demo film of a journey from a violet dawn back into the night."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from copal.demo.brush import Camera, Canvas
from copal.demo.film import Film, Shot
from copal.demo.form import ahead, arc, box, ridge, scatter

NIGHT = ((0.0, "#060a20"), (0.45, "#17275a"), (0.8, "#3f5a9c"), (1.0, "#3f5a9c"))
AMBER, INK = "#ffc766", "#05071a"


def moon(c: Canvas, t: float) -> None:
    """The moon behind a ridge, a lit train below it: the round form."""
    c.sky(*NIGHT)
    stars = [box(x, y, x + 0.004, y + 0.004) for x, y in scatter(31, 90, 2) * (1.9, 0.6)]
    c.shapes(stars, "#dfe6ff", depth=0.04, alpha=0.7)
    c.glow(1.12, 0.4, 0.46, "#5f7fd0", 0.5, depth=0.3)
    c.disc(1.12, 0.4, 0.2, "#fbfcff", "#c3cdf0", depth=0.3)
    for x, y, r in ((1.06, 0.34, 0.05), (1.19, 0.43, 0.036), (1.1, 0.49, 0.028), (1.2, 0.31, 0.02)):
        c.disc(x, y, r, "#b4c0e6", depth=0.3, alpha=0.5, soft=0.008)
    c.cloud("#7f97d8", 0.55, 0.3, 0.68, seed=3, drift=0.015 * t, stretch=(2.6, 0.45), depth=0.25)
    c.shape(ridge(14, 0.7, 0.11, 0.55), "#1a2a5e", "#101a44", depth=0.4)
    c.mist(0.69, 0.05, "#6f8ad0", 0.5, depth=0.5)
    c.shape(ridge(17, 0.84, 0.1, 0.4), "#0a1236", "#060a22", depth=0.6)
    head = -0.2 + 0.19 * t
    cars = [box(head - 0.25 * k, 0.775, head - 0.25 * k + 0.24, 0.815) for k in range(5)]
    lit = [
        box(head - 0.25 * k + 0.02 + 0.036 * w, 0.783, head - 0.25 * k + 0.044 + 0.036 * w, 0.797)
        for k in range(5)
        for w in range(6)
    ]
    c.shapes(cars, "#040617", depth=0.7)
    c.shapes(lit, AMBER, depth=0.7)
    c.glow(head + 0.24, 0.79, 0.07, AMBER, 0.7, depth=0.7)
    c.shape(ridge(12, 1.05, 0.24, 0.5), "#03051a", depth=1.0)


def hills(c: Canvas, t: float) -> None:
    """Hills passing the carriage's window at dawn: the layers."""
    c.sky((0, "#7d6bb0"), (0.3, "#eb9aa0"), (0.55, "#fbd8b4"), (1, "#fbd8b4"))
    c.cloud("#ffe6d2", 0.6, 0.02, 0.42, seed=2, stretch=(2.6, 0.5), depth=0.1)
    tones = ("#d9a0b4", "#b97fa6", "#8f6299", "#664a86", "#433470", "#2a2154")
    for k, tone in enumerate(tones):
        base, depth = 0.46 + 0.125 * k, 0.1 + 0.16 * k
        c.shape(ridge(40 + k, base, 0.14, 0.42), tone, tones[min(k + 1, 5)], depth=depth)
        c.mist(base + 0.07, 0.035, "#fbd0c0", 0.22, depth=depth)


def figure(c: Canvas, t: float) -> None:
    """Somebody waits under a lamp: the upright form left of the centre."""
    c.sky((0, "#070a1e"), (0.6, "#1a2350"), (1, "#243064"))
    c.glow(0.6, 0.02, 0.62, "#5f6bb8", 0.45)
    c.shape(
        [(0.52, -0.05), (0.68, -0.05), (1.12, 0.86), (0.1, 0.86)],
        "#98a4f0",
        "#2c3878",
        alpha=0.4,
        soft=0.02,
    )
    c.shape(box(-1, 0.8, 3, 2), "#151c46", "#070a20", depth=0.9)
    c.shape(arc(0.6, 0.86, 0.34) * (1, 0.16) + (0, 0.722), "#7683d8", alpha=0.5, soft=0.012)
    c.shape([(0.57, 0.86), (0.63, 0.86), (0.98, 1.1), (0.8, 1.1)], "#03040f", alpha=0.7, soft=0.01)
    sway = 0.004 * np.sin(1.2 * t)
    c.shape(
        [(0.545, 0.4), (0.6, 0.37), (0.655, 0.4), (0.69, 0.77), (0.51, 0.77)], "#0c0f28", "#04050f"
    )
    c.shapes([box(0.565, 0.75, 0.593, 0.87), box(0.607, 0.75, 0.635, 0.87)], "#03040d")
    c.disc(0.6 + sway, 0.325, 0.04, "#12163a", "#080a1c")
    c.shapes(
        [
            box(0.535 + sway, 0.29, 0.665 + sway, 0.304),
            box(0.562 + sway, 0.225, 0.638 + sway, 0.295),
        ],
        "#04050f",
    )
    c.shapes([box(0.7, 0.66, 0.79, 0.82), box(0.72, 0.64, 0.77, 0.66)], "#04050f")
    c.cloud("#8f9be8", 0.32, 0.2, 1.0, seed=4, drift=0.05 * t, stretch=(2.4, 0.8), depth=1.2)
    for a, b, s in scatter(51, 60):
        y = (b + (0.05 + 0.06 * s) * t) % 1
        c.disc(0.1 + 1.2 * a + 0.02 * np.sin(t + 6 * s), y, 0.003 + 0.003 * s, "#dfe4ff", alpha=0.6)


def rails(c: Canvas, t: float) -> None:
    """Along the track through snow, to the vanishing point."""
    eye = (0.889, 0.44)
    c.sky((0, "#a9b8e2"), (0.44, "#f3e9f2"), (1, "#f3e9f2"))
    c.glow(*eye, 0.3, "#fff0e2", 0.25, depth=0.2)
    c.shape(ridge(23, 0.45, 0.07, 0.5), "#b9c2e4", "#e6e4f2", depth=0.15)
    c.shape(box(-2, 0.44, 4, 2), "#eef0fa", "#b9c5e8", depth=0.2)
    bed = [ahead(x, 0.34, z, eye) for x, z in ((-0.5, 30), (0.5, 30), (0.5, 0.4), (-0.5, 0.4))]
    c.shape(bed, "#c9cce4", "#7f86b4")
    z = 0.55 + np.arange(26) * 0.5 - (1.1 * t % 1) * 0.5
    for near in z:
        ends = [ahead(x, 0.34, near, eye) for x in (-0.42, 0.42)]
        c.stroke(ends, 0.07 / near, "#4a4a78", alpha=min(0.85, 2.0 / near))
    for side in (-0.25, 0.25):
        c.stroke([ahead(side, 0.32, 0.4, eye), ahead(side, 0.32, 40, eye)], 0.012, "#3a3b66")
    for k in range(6, -1, -1):
        far = 0.62 + k * 1.5 - (0.55 * t) % 1.5
        for side in (-0.66, 0.66):
            if far > 0.4:
                (x, foot), (_, top) = ahead(side, 0.4, far, eye), ahead(side, -0.3, far, eye)
                c.stroke([(x, foot), (x, top)], 0.03 / far, "#34345e")
                c.stroke([(x - 0.1 / far, top), (x + 0.1 / far, top)], 0.02 / far, "#34345e")
    c.disc(eye[0], eye[1] - 0.035, 0.014, "#ff5a4a", alpha=0.95)
    c.glow(eye[0], eye[1] - 0.035, 0.06, "#ff7a5a", 0.4)


def coach(c: Canvas, t: float) -> None:
    """Lit windows of a sleeping car going by: the row."""
    c.sky((0, "#040719"), (0.5, "#0d1640"), (1, "#0a1030"))
    c.shape(box(-2, 0.13, 6, 0.84), "#20306e", "#0a1134")
    c.shapes([box(-2, 0.16, 6, 0.175), box(-2, 0.7, 6, 0.715)], "#c79a4e", alpha=0.8)
    for k in range(-2, 12):
        x = 0.3 * k - 0.01
        c.shape(box(x + 0.06, 0.28, x + 0.24, 0.62), "#050923")
        lit = ("#ffe2a0", "#f0983c") if k % 5 != 3 else ("#22346e", "#16245a")
        c.shape(box(x + 0.07, 0.3, x + 0.23, 0.6), *lit)
        if k % 5 in (0, 2):
            lean = 0.004 * np.sin(1.4 * t + k)
            c.disc(x + 0.15 + lean, 0.445, 0.032, "#4a2416")
            c.shape(
                [(x + 0.09, 0.6), (x + 0.115, 0.5), (x + 0.185, 0.5), (x + 0.21, 0.6)], "#4a2416"
            )
        if k % 5 in (1, 4):
            c.shape(
                [(x + 0.07, 0.3), (x + 0.12, 0.3), (x + 0.085, 0.6), (x + 0.07, 0.6)], "#a03a2e"
            )
    c.shape(box(-2, 0.84, 6, 2), "#060a22", "#02030c")
    for k in range(-2, 9):
        c.disc(0.42 * k + 0.1, 0.88, 0.062, "#141d4a", "#04061a")
    c.glow(0.889, 0.45, 0.9, "#b0682a", 0.14, depth=0)


def snow(c: Canvas, t: float) -> None:
    """Snow over a field with one tree."""
    c.sky((0, "#c3cdea"), (0.62, "#f4f0f6"), (1, "#f4f0f6"))
    c.cloud("#ffffff", 0.7, 0.0, 0.6, seed=2, drift=0.015 * t, stretch=(2, 0.7), depth=0.2)
    c.shape(ridge(27, 0.8, 0.08, 0.4), "#cdd3ec", "#f0effa", depth=0.4)
    c.shape(ridge(29, 0.95, 0.12, 0.25), "#e9ebf8", "#c9d0ec", depth=0.8)
    for x, foot, size in ((1.3, 0.86, 0.5), (1.5, 0.8, 0.26), (1.12, 0.79, 0.2)):
        sway = 0.006 * np.sin(1.3 * t + 9 * x)
        c.shape(box(x - 0.02 * size, foot - 0.1 * size, x + 0.02 * size, foot), "#35385f")
        for k in range(4):
            low, half = foot - (0.08 + 0.2 * k) * size, (0.27 - 0.055 * k) * size
            tier = [(x - half, low), (x + sway * k, low - 0.36 * size), (x + half, low)]
            c.shape(tier, "#5a6090", "#3c4170")
    for a, b, s in scatter(61, 150):
        x, y = (1.9 * a - 0.09 * t * (0.5 + s)) % 1.9 - 0.06, (b + (0.1 + 0.16 * s) * t) % 1.0
        c.disc(x, y, 0.0025 + 0.006 * s, "#8f9ccb" if s < 0.45 else "#ffffff", alpha=0.8)


def driving_wheel(c: Canvas, t: float) -> None:
    """The locomotive's driving wheel turning in red light: the turning form."""
    angle, red, iron = 1.35 * t, "#a8322c", "#1d0a12"
    c.sky((0, "#3a1018"), (0.5, "#6a1d20"), (1, "#1c080e"))
    c.cloud("#e0705a", 0.45, 0.0, 1.1, seed=4, drift=0.14 * t, stretch=(1.6, 1.2), depth=0.3)
    c.glow(0.45, 0.25, 0.6, "#c8442c", 0.4, depth=0.3)
    for k in range(12):
        way = angle + k * np.pi / 6
        tip = np.array([np.cos(way), np.sin(way)])
        c.stroke([tuple(tip * r + (0.889, 0.5)) for r in (0.06, 0.34)], 0.02, red)
    c.stroke(arc(0.889, 0.5, 0.355), 0.075, iron)
    c.stroke(arc(0.889, 0.5, 0.33), 0.016, "#d8543e")
    heavy = arc(0.889, 0.5, 0.27, angle + 2.4, angle + 3.9, 24)
    c.shape(heavy, iron)
    c.disc(0.889, 0.5, 0.09, "#7d2424", iron)
    pin = (0.889 + 0.17 * np.cos(angle), 0.5 + 0.17 * np.sin(angle))
    c.stroke([(pin[0] - 1.6, pin[1] * 0.25 + 0.375), pin], 0.06, "#e9b28a")
    c.stroke([(pin[0] - 1.6, pin[1] * 0.25 + 0.375), pin], 0.024, "#a8624a")
    c.disc(*pin, 0.05, "#ffd0a0", "#9a4a36")
    c.shape(box(-1, 0.885, 3, 0.91), "#d88a6a", "#5a2a26")
    c.shape(box(-1, 0.91, 3, 2), "#12060b")


def signal(c: Canvas, t: float) -> None:
    """A signalman's lamp swings in the fog: the swinging form."""
    swing = 0.42 * np.sin(2.05 * t + 0.9)
    x, y = 0.889 + 0.66 * np.sin(swing), -0.12 + 0.66 * np.cos(swing)
    c.sky((0, "#1b2a20"), (0.6, "#35513a"), (1, "#1a2a1e"))
    c.glow(x, y, 0.62, "#5aa05a", 0.5)
    c.glow(x, y, 0.2, "#c8ff9a", 0.6)
    c.cloud("#9ac890", 0.5, -0.1, 1.1, seed=4, drift=0.08 * t, stretch=(2.2, 0.9), depth=0.8)
    c.stroke([(0.889, -0.12), (x, y - 0.09)], 0.01, "#0a140c")
    c.disc(x, y, 0.092, "#0a140c")
    c.disc(x, y, 0.07, "#f4ffd8", "#a8f07a")
    c.shape(ridge(33, 1.05, 0.16, 0.4), "#0a120c", depth=1.2)


def far_moon(c: Canvas, t: float) -> None:
    """The moon small and to the left, over water."""
    c.sky((0, "#0a1030"), (0.6, "#3a4f92"), (1, "#5a70b4"))
    c.glow(0.45, 0.5, 0.4, "#7f9be0", 0.5, depth=0.3)
    c.disc(0.45, 0.5, 0.095, "#ffffff", "#d0daf8", depth=0.3)
    c.shape(ridge(37, 0.68, 0.1, 0.5), "#22326c", "#16204e", depth=0.4)
    c.shape(box(-1, 0.66, 3, 2), "#30448a", "#070b24", depth=0.5)
    c.cloud("#a8bcf0", 0.55, 0.66, 1.2, seed=5, drift=0.03 * t, stretch=(3.2, 0.2), depth=0.6)
    c.stroke([(1.25, 1.1), (1.25, 0.3)], 0.016, INK)
    c.stroke([(1.25, 0.36), (1.46, 0.34 + 0.02 * np.sin(t))], 0.02, INK)
    c.disc(1.25, 0.3, 0.026, "#ff6a4a")
    c.glow(1.25, 0.3, 0.11, "#ff5a3a", 0.5 + 0.2 * np.sin(3 * t))


FILM = Film(
    file="night_train.mp4",
    title="Night Train",
    year=2021,
    frame_rate=Fraction(25),
    scenes={
        scene.__name__: scene
        for scene in (moon, hills, figure, rails, coach, snow, driving_wheel, signal, far_moon)
    },
    shots=(
        Shot("hills", 80, Camera(x=-0.1), Camera(x=0.75), chord=(50, 57, 65), air="rails"),
        Shot("figure", 72, Camera(y=0.04), Camera(y=-0.03), chord=(45, 52, 60), air="wind"),
        Shot("rails", 80, chord=(48, 55, 64, 67), air="rails"),
        Shot("coach", 82, Camera(x=-0.1), Camera(x=0.62), chord=(41, 53, 60), air="rails"),
        Shot("snow", 70, chord=(57, 64, 71), air="wind"),
        Shot("moon", 84, Camera(zoom=1), Camera(zoom=1.09), chord=(38, 50, 57, 65), air="rails"),
        Shot("hills", 74, Camera(x=0.3), Camera(x=0.98), 4.0, (50, 57, 67), "rails"),
        Shot("figure", 66, Camera(y=-0.02), Camera(y=0.02), 6.5, (45, 52, 62), "wind"),
        Shot("driving_wheel", 72, chord=(36, 48, 55), air="engine"),
        Shot("rails", 70, Camera(y=-0.01), Camera(y=-0.01), 8.3, (48, 55, 64, 71), "rails"),
        Shot("coach", 74, Camera(x=0.0), Camera(x=0.55), 5.0, (41, 53, 62), "rails"),
        Shot("signal", 72, chord=(43, 50, 58), air="wind"),
        Shot("snow", 62, Camera(x=0.05), Camera(x=0.02), 9.0, (57, 64, 69), "wind"),
        Shot("far_moon", 86, Camera(zoom=1.1), Camera(zoom=1), chord=(38, 50, 57, 62), air="rails"),
    ),
    fade_after=6,
)
