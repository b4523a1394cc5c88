"""Reasons: what the two shots of a cut have in common, in words, read from their stored vectors.

Only what both sides show is said, and only of the parts of a vector whose meaning its feature
declares (see ``copal.feature.parts_of``). Nothing is said of a likeness that is weak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from copal.errors import MissingValue
from copal.feature import Parts, parts_of
from copal.matching import matrix
from copal.project import Project
from copal.search.cuts import MatchCut

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]

LEAVING = ("last_vector", "end_vector", "vector")
ENTERING = ("first_vector", "start_vector", "vector")
"""Columns that describe the end of a shot and its beginning, the nearest first."""
MOST = 4
"""Reasons of one cut."""


def reasons(project: Project, cuts: Sequence[MatchCut]) -> list[list[str]]:
    """What the sides of each cut have in common; of every feature with words that is stored."""
    said: list[list[str]] = [[] for _ in cuts]
    shown = sorted({side.asset.id for cut in cuts for side in (cut.outgoing, cut.incoming)})
    for name, declaration in project.registry.features.items():
        if declaration.unit != "asset" or not declaration.needs:
            continue
        parts = parts_of(project.bound(name).instance)
        if not parts:
            continue
        try:
            found = project.table(name).read(shown)
        except MissingValue:  # none that was made from the shots that the cuts are of
            continue
        tables = {str(unit): value.rows for unit, value in found.items()}
        for cut, words in zip(cuts, said, strict=True):
            out, into = cut.outgoing, cut.incoming
            if out.asset.id in tables and into.asset.id in tables:
                one = _vector(tables[out.asset.id], out.shot_index, LEAVING)
                other = _vector(tables[into.asset.id], into.shot_index, ENTERING)
                if one is not None and other is not None:
                    words.extend(in_common(parts, one, other))
    return [list(dict.fromkeys(words))[:MOST] for words in said]


def in_common(parts: Parts, one: Floats, other: Floats) -> list[str]:
    """What two vectors of one feature have in common, in words."""
    a, b = (
        {name: vector[start : start + int(np.prod(shape))].reshape(shape)
         for name, (start, shape) in parts.items()}
        for vector in (one, other)
    )  # fmt: skip
    return [word for name in parts if name in _WORDS for word in _WORDS[name](a, b)]


def _vector(table: pa.Table, shot: int, names: Sequence[str]) -> Floats | None:
    column = next((name for name in names if name in table.column_names), None)
    rows = np.flatnonzero(table["shot_index"].to_numpy() == shot)
    if column is None or not len(rows):
        return None
    return np.asarray(matrix(table, column)[rows[0]], np.float64)


Sides = Mapping[str, Any]


def _edges(a: Sides, b: Sides) -> list[str]:
    """Edges at the same places: (scales, directions, rows, columns) of energy around its mean."""
    one, other = a["edges"], b["edges"]
    alike = one * other
    cosine = alike.sum() / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-9)
    if cosine < 0.4:
        return []
    share = alike.sum((0, 2, 3)) / alike.sum()  # of each direction across the edges, from upright
    upright, level = share[[0, 1, -1]].sum(), share[[3, 4, 5]].sum()
    words = ["same framing" if cosine >= 0.6 else "similar framing"]
    for name, part in (("upright", upright), ("level", level), ("slanting", share[[2, 6]].sum())):
        if part > 0.55:
            words.append(f"{name} lines in the same places")
    return words


def _light(a: Sides, b: Sides) -> list[str]:
    """Light and dark: low orders of the cosine transform of an 8 × 8 picture's luma."""
    one, other = (_luma(side["light"]) for side in (a, b))
    words = []
    tones = [np.sign(p.mean()) * (p.mean() ** 2 > 0.6 * (p**2).mean()) for p in (one, other)]
    if tones[0] == tones[1] != 0:
        words.append("both bright" if tones[0] > 0 else "both dark")
    flat = [p - p.mean() for p in (one, other)]
    if np.corrcoef(flat[0].ravel(), flat[1].ravel())[0, 1] < 0.6:
        return words
    for sign, name in ((1, "bright"), (-1, "dark")):
        here, there = (_spot(sign * p) for p in flat)
        if here is not None and there is not None:
            (x, y), (u, v) = here, there
            if np.hypot(x - u, y - v) < 0.2:
                words.append(f"{name} form {_where((x + u) / 2, (y + v) / 2)}")
                break
    return words


def _luma(kept: Floats) -> Floats:
    """The 8 × 8 picture whose cosine transform has the given low orders: light above mid-grey."""
    side = 8
    orders = np.add.outer(np.arange(side), np.arange(side))
    spectrum = np.zeros((side, side))
    spectrum[orders < 5] = kept
    waves = np.cos(np.pi * (np.arange(side)[:, None] + 0.5) * np.arange(side) / side)
    waves *= np.where(np.arange(side) == 0, np.sqrt(1 / side), np.sqrt(2 / side))
    return np.asarray(waves @ spectrum @ waves.T, np.float64)


def _spot(picture: Floats) -> tuple[float, float] | None:
    """Centre (x, y), 0 to 1, of the one compact form that stands out, if there is one."""
    high = picture > 0.5 * picture.max()
    if picture.max() < 1.3 * -picture.min() or high.mean() > 0.3:
        return None
    weight = np.where(high, picture, 0)
    at = (np.arange(len(picture)) + 0.5) / len(picture)
    x, y = (weight.sum(0) @ at) / weight.sum(), (weight.sum(1) @ at) / weight.sum()
    spread = (weight * ((at[None] - x) ** 2 + (at[:, None] - y) ** 2)).sum() / weight.sum()
    return (float(x), float(y)) if spread < 0.05 else None


def _camera(a: Sides, b: Sides) -> list[str]:
    """What the camera does: signed roots of pan, tilt, zoom and roll as the picture moves."""
    shares = [side["camera"] * np.abs(side["camera"]) for side in (a, b)]
    names = (("pan left", "pan right"), ("tilt up", "tilt down"), ("push in", "pull out"),
             ("roll to the left", "roll to the right"))  # fmt: skip
    words = []
    for one, other, (more, less) in zip(*shares, names, strict=True):
        if min(one, other) > 0.2:
            words.append(f"both {more}")
        elif max(one, other) < -0.2:
            words.append(f"both {less}")
    return words


def _flow(a: Sides, b: Sides) -> list[str]:
    """What moves against the camera: squares are shares, (rows, columns, 8 directions)."""
    turns = np.exp(2j * np.pi * np.arange(8) / 8)  # from right, clockwise on the screen
    shares = [(side["flow"] ** 2).sum((0, 1)) for side in (a, b)]
    if min(share.sum() for share in shares) < 0.35:
        return []
    ways = [share @ turns / share.sum() for share in shares]
    if min(map(abs, ways)) < 0.45 or abs(np.angle(ways[0] / ways[1])) > np.pi / 5:
        return []
    names = ("right", "down to the right", "down", "down to the left", "left", "up to the left",
             "up", "up to the right")  # fmt: skip
    way = round(float(np.angle(ways[0] + ways[1])) / (2 * np.pi) * 8) % 8
    return [f"what moves goes {names[way]}"]


def _still(a: Sides, b: Sides) -> list[str]:
    """Stillness: its square is the share of speed that is none."""
    return ["both hold still"] if min(a["still"][0], b["still"][0]) ** 2 > 0.5 else []


def _mask(a: Sides, b: Sides) -> list[str]:
    """A form before its ground: (rows, columns), more than 0 where the form is."""
    one, other = a["mask"] > 0, b["mask"] > 0
    both, either = (one & other).sum(), (one | other).sum()
    if not both or both < 0.5 * either:
        return []
    down, across = np.nonzero(one & other)
    y, x = (down + 0.5) / one.shape[0], (across + 0.5) / one.shape[1]
    name = "the same outline" if both > 0.65 * either else "a like outline"
    compact = max(x.std(), y.std()) < 0.2  # otherwise the middle of it is no place in it
    return [f"{name} {_where(float(x.mean()), float(y.mean()))}" if compact else name]


HUES = ("red", "orange", "yellow", "green", "teal", "blue", "violet", "pink")


def _hues(a: Sides, b: Sides) -> list[str]:
    """Colours: squares are shares, (dark and light, eight hues and then what has none)."""
    one, other = ((side["hues"] ** 2).sum(0) for side in (a, b))
    shared = np.minimum(one / max(one.sum(), 1e-9), other / max(other.sum(), 1e-9))
    top = int(shared.argmax())
    if shared[top] < (0.45 if top < len(HUES) else 0.75):
        return []
    return [f"both mostly {HUES[top]}" if top < len(HUES) else "both with little colour"]


_WORDS: Mapping[str, Callable[[Sides, Sides], list[str]]] = {
    "edges": _edges, "light": _light, "camera": _camera, "flow": _flow, "still": _still,
    "mask": _mask, "hues": _hues,
}  # fmt: skip


def _where(x: float, y: float) -> str:
    """A place in a picture, 0 to 1 from the upper left."""
    across = "left" if x < 0.42 else "right" if x > 0.58 else ""
    down = "upper" if y < 0.36 else "lower" if y > 0.64 else ""
    if across and down:
        return f"at the {down} {across}"
    if across:
        return f"{across} of centre"
    return {"upper": "in the upper half", "lower": "in the lower half", "": "in the middle"}[down]
