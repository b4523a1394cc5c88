from fractions import Fraction

import numpy as np
import pytest

from features.shot_motion import DIMENSIONS, ShotMotion
from tests.unit.features.arrays import encode_of, noise, shots_of


def panned(seed, step, frames=24, pixels=2):
    """A wide still picture of which the camera sees a part that moves by pixels a frame."""
    import cv2

    small = np.random.default_rng(seed).integers(0, 255, (24, 100, 3), np.uint8)
    wide = cv2.resize(small, (400, 96), interpolation=cv2.INTER_CUBIC)
    starts = [120 + step * pixels * k for k in range(frames)]
    return np.stack([wide[:, s : s + 160] for s in starts])


def vectors(pictures, rate=Fraction(24), name="vector"):
    rows = ShotMotion().compute(encode_of(pictures, rate), shots_of((0, len(pictures))))
    assert rows.schema == ShotMotion.columns
    return np.array(rows[name][0].as_py(), np.float32), rows["speed"][0].as_py()


def test_pans_of_one_direction_are_alike_whatever_is_seen():
    """
    Two pans to the right of different pictures agree; a pan to the left is their opposite.
    """
    right, _ = vectors(panned(1, 1))
    other, _ = vectors(panned(2, 1))
    left, _ = vectors(panned(3, -1))
    assert right @ other > 0.8
    assert right @ left < -0.5


def test_speed_is_in_picture_widths_per_second():
    """
    2 of 160 pixels a frame at 24 frames a second are 0.3 widths, and as fast at 12 by 4 pixels.
    """
    _, speed = vectors(panned(1, 1))
    _, slow_rate = vectors(panned(1, 1, pixels=4), Fraction(12))
    assert speed == pytest.approx(0.3, rel=0.25)
    assert slow_rate == pytest.approx(speed, rel=0.25)


@pytest.mark.parametrize("frames", [1, 2, 3, 40])
def test_without_motion_the_vector_is_stillness(frames):
    """
    A still shot, and one of a single frame, have the defined vector (0, …, 0, 1).
    """
    still, speed = vectors(noise(1, frames))
    assert still.shape == (DIMENSIONS,)
    assert still[-1] == pytest.approx(1, abs=1e-3)
    assert speed == pytest.approx(0, abs=1e-3)


def test_the_ends_have_vectors_of_their_own():
    """
    A shot that pans right and then left starts with one motion and ends with the other.
    """
    pictures = np.concatenate([panned(1, 1), panned(1, 1)[::-1]])
    start, _ = vectors(pictures, name="start_vector")
    end, _ = vectors(pictures, name="end_vector")
    assert start @ end < -0.5


def test_no_shots_give_no_rows():
    """
    Without shots there are no rows, and the columns are right.
    """
    rows = ShotMotion().compute(encode_of(noise(1)), shots_of())
    assert rows.equals(ShotMotion.columns.empty_table())


@pytest.mark.parametrize("params", [{"pairs": 0}, {"width": 8}, {"inset_frames": -1}])
def test_params_that_make_no_sense_are_refused(params):
    """
    A param is refused when the feature is declared.
    """
    with pytest.raises(ValueError, match="need"):
        ShotMotion(**params)
