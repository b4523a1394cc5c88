"""Reasons: what two vectors have in common, in words, and silence where they have little."""

from __future__ import annotations

import numpy as np
import pytest

from copal.feature import parts_of
from copal.search.reasons import in_common
from features.shot_colour import ShotColour
from features.shot_colour import describe as describe_colour
from features.shot_composition import ShotComposition, describe
from features.shot_motion import ShotMotion
from features.shot_silhouette import ShotSilhouette
from tests.unit.features.arrays import encode_of, noise, shots_of

SIZE = (90, 160)


def scene(
    x: float, y: float, form: int = 235, ground: int = 60, radius: float = 0.12
) -> np.ndarray:
    """A round form at a place of the picture, 0 to 1: (90, 160, 3) uint8."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    inside = np.hypot(columns / SIZE[1] - x, (rows / SIZE[0] - y) * SIZE[0] / SIZE[1]) < radius
    return np.repeat(np.where(inside, form, ground).astype(np.uint8)[..., None], 3, 2)


def composition(one: np.ndarray, other: np.ndarray) -> list[str]:
    parts = parts_of(ShotComposition())
    return in_common(parts, *(describe(picture, 0.2).astype(float) for picture in (one, other)))


@pytest.mark.parametrize(
    ("x", "y", "where"),
    [(0.25, 0.5, "left of centre"), (0.75, 0.5, "right of centre"), (0.5, 0.5, "in the middle"),
     (0.2, 0.2, "at the upper left"), (0.8, 0.8, "at the lower right")],
)  # fmt: skip
def test_a_form_is_told_with_its_place(x: float, y: float, where: str) -> None:
    """
    A bright form at one place of both pictures is told with its place, a dark one as dark.
    """
    assert f"bright form {where}" in composition(scene(x, y), scene(x, y, 250, 90))
    dark = composition(scene(x, y, 20, 200), scene(x, y, 40, 220))
    assert f"dark form {where}" in dark
    assert "same framing" in dark


def test_what_is_not_shared_is_not_said() -> None:
    """
    Forms at different places, or of opposite light, share no form; noise shares no framing.
    """
    assert not any("form" in word for word in composition(scene(0.2, 0.5), scene(0.8, 0.5)))
    assert not any(
        "form" in word for word in composition(scene(0.3, 0.5), scene(0.3, 0.5, 20, 200))
    )
    assert not any("framing" in word for word in composition(noise(1)[0], noise(2)[0]))


def test_dark_and_bright_pictures_are_told() -> None:
    """
    Pictures that are dark, or bright, nearly all over are told so when both are.
    """
    dark, bright = scene(0.5, 0.5, 60, 15), scene(0.5, 0.5, 200, 245)
    assert "both dark" in composition(dark, dark)
    assert "both bright" in composition(bright, bright)
    assert not {"both dark", "both bright"} & set(composition(dark, bright))


def motion(x: float, y: float, zoom: float = 0.0) -> np.ndarray:
    """The vector of a shot whose picture moves by so many pixels a frame, or grows."""
    import cv2

    texture = cv2.resize(noise(7)[0], (480, 288), interpolation=cv2.INTER_CUBIC)
    frames = []
    for index in range(24):
        scale = 1 + zoom * index
        move = np.array([[scale, 0, 80 - 240 * scale + x * index],
                         [0, scale, 48 - 144 * scale + y * index]], float)  # fmt: skip
        frames.append(cv2.warpAffine(texture, move, (160, 96), flags=cv2.INTER_LINEAR))
    rows = ShotMotion().compute(encode_of(np.array(frames)), shots_of((0, 24)))
    return np.asarray(rows["vector"].to_pylist()[0])


@pytest.mark.parametrize(
    ("move", "word"),
    [((-3, 0, 0), "both pan right"), ((3, 0, 0), "both pan left"), ((0, 3, 0), "both tilt up"),
     ((0, -3, 0), "both tilt down"), ((0, 0, 0.02), "both push in"),
     ((0, 0, 0), "both hold still")],
)  # fmt: skip
def test_the_camera_is_told_as_a_camera_person_would(
    move: tuple[float, float, float], word: str
) -> None:
    """
    When the picture moves left the camera pans right; when it grows the camera pushes in.
    """
    vector = motion(*move)
    parts = parts_of(ShotMotion())
    assert in_common(parts, vector, vector) == [word]
    other = motion(0, 3) if "tilt" not in word else motion(3, 0)
    assert word not in in_common(parts, vector, other)


def test_colours_and_outlines_are_told() -> None:
    """
    Pictures mostly of one hue are told by it; masks that overlap, by their place.
    """
    red, blue = (np.broadcast_to(np.array(c, np.uint8), (36, 64, 3)).copy()
                 for c in ((220, 20, 10), (20, 40, 220)))  # fmt: skip
    colours = {n: describe_colour(p, 0.6).astype(float) for n, p in (("red", red), ("blue", blue))}
    parts = parts_of(ShotColour())
    assert in_common(parts, colours["red"], colours["red"]) == ["both mostly red"]
    assert in_common(parts, colours["red"], colours["blue"]) == []

    encode = encode_of(np.array([scene(0.25, 0.5), scene(0.27, 0.5), scene(0.8, 0.5)]))
    rows = ShotSilhouette().compute(encode, shots_of((0, 1), (1, 2), (2, 3)))
    left, near, right = (np.asarray(v) for v in rows["vector"].to_pylist())
    parts = parts_of(ShotSilhouette())
    assert in_common(parts, left, near)[0].endswith("outline left of centre")
    assert in_common(parts, left, right) == []
