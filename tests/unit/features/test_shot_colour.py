import numpy as np
import pytest

from features.shot_colour import DIMENSIONS, HUES, ShotColour, describe
from tests.unit.features.arrays import encode_of, noise, plain, shots_of


@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_constant_picture_has_a_vector_of_length_one(level):
    """
    Black, grey and white have defined vectors: length 1, no NaN.
    """
    vector = describe(np.full((36, 64, 3), level, np.uint8), 0.6)
    assert vector.shape == (DIMENSIONS,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_pictures_of_one_palette_are_nearer_than_those_of_one_layout():
    """
    A picture is like one with its colours elsewhere, and unlike one with other colours.
    """
    warm, cold = (np.zeros((36, 64, 3), np.uint8) for _ in range(2))
    warm[:, :32], warm[:, 32:] = (200, 90, 20), (90, 20, 10)
    cold[:, :32], cold[:, 32:] = (20, 120, 200), (10, 30, 90)
    mirrored = describe(warm, 0.6) @ describe(warm[:, ::-1], 0.6)
    assert describe(warm, 0.6) @ describe(cold, 0.6) < mirrored < 1


@pytest.mark.parametrize(
    ("colour", "place"),
    [((255, 0, 0), 0), ((255, 128, 0), 1), ((255, 255, 0), 2), ((0, 255, 0), 3),
     ((0, 255, 255), 4), ((128, 128, 128), len(HUES) - 1)],
)  # fmt: skip
def test_a_hue_falls_into_its_own_bin(colour, place):
    """
    The palette's bins are the hues they are named for, and one for what has none.
    """
    palette = describe(np.broadcast_to(np.array(colour, np.uint8), (36, 64, 3)).copy(), 1.0)
    shares = (palette[: 2 * len(HUES)] ** 2).reshape(2, -1).sum(0)
    assert shares[place] == pytest.approx(1, abs=0.02)


def test_each_shot_has_vectors_of_its_own_three_pictures():
    """
    First and last vectors keep their distance from the cut; a one-frame shot has one picture.
    """
    pictures = np.concatenate([noise(1), noise(2), noise(3, 1)])
    pictures[0], pictures[19] = 0, 255  # beside a cut, and not looked at
    rows = ShotColour().compute(encode_of(pictures), shots_of((0, 20), (20, 40), (40, 41)))
    first, middle, last = (np.array(rows[n].to_pylist()) for n in
                           ("first_vector", "vector", "last_vector"))  # fmt: skip
    assert np.allclose(first, middle)
    assert np.allclose(middle, last)
    assert np.allclose(np.linalg.norm(middle, axis=1), 1, atol=1e-6)
    assert rows.schema == ShotColour.columns


def test_the_same_input_gives_the_same_rows():
    """
    Computing twice gives equal tables, and no shots give no rows of the right columns.
    """
    encode = encode_of(plain([(200, 20, 20), (20, 20, 200)]))
    shots = shots_of((0, 20), (20, 40))
    assert ShotColour().compute(encode, shots).equals(ShotColour().compute(encode, shots))
    assert ShotColour().compute(encode, shots_of()).equals(ShotColour.columns.empty_table())


@pytest.mark.parametrize("params", [{"palette": 1.5}, {"inset_frames": -1}])
def test_params_that_make_no_sense_are_refused(params):
    """
    A param is refused when the feature is declared.
    """
    with pytest.raises(ValueError, match="need"):
        ShotColour(**params)
