import numpy as np
import pytest

from features.shot_composition import DIMENSIONS, ShotComposition, describe
from tests.unit.features.arrays import encode_of, noise, plain, shots_of


@pytest.mark.parametrize("colour", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_constant_picture_still_has_a_vector_of_length_one(level, colour):
    """
    Black, grey and white have defined vectors: length 1, no NaN.
    """
    vector = describe(np.full((64, 96, 3), level, np.uint8), colour)
    assert vector.shape == (DIMENSIONS,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_the_same_layout_is_nearer_than_its_mirror_image():
    """
    A picture is most like itself, dimmed or slightly moved, and less like its mirror image.
    """
    picture = noise(5, 1)[0][..., ::-1].copy()
    here = describe(picture, 0.2)
    dimmed = here @ describe((picture * 0.6).astype(np.uint8), 0.2)
    moved = here @ describe(np.roll(picture, 2, axis=1), 0.2)
    mirrored = here @ describe(picture[:, ::-1].copy(), 0.2)
    assert min(dimmed, moved) > 0.8 > 0.6 > mirrored


def test_each_shot_has_vectors_of_its_own_three_frames():
    """
    First and last vectors keep their distance from the cut; a one-frame shot has one picture.
    """
    pictures = np.concatenate([noise(1), noise(2), noise(3, 1)])
    shots = shots_of((0, 20), (20, 40), (40, 41))
    rows = ShotComposition().compute(encode_of(pictures), shots)
    assert rows["first_frame"].to_pylist() == [2, 22, 40]
    assert rows["middle_frame"].to_pylist() == [10, 30, 40]
    assert rows["last_frame"].to_pylist() == [17, 37, 40]
    for name in ("vector", "first_vector", "last_vector"):
        vectors = np.stack(rows[name].to_numpy())
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert rows.schema == ShotComposition.columns


def test_the_same_input_gives_the_same_rows():
    """
    Computing twice gives equal tables, and no shots give no rows of the right columns.
    """
    encode = encode_of(plain([(200, 20, 20), (20, 20, 200)]))
    shots = shots_of((0, 20), (20, 40))
    assert ShotComposition().compute(encode, shots).equals(ShotComposition().compute(encode, shots))
    assert (
        ShotComposition().compute(encode, shots_of()).equals(ShotComposition.columns.empty_table())
    )


@pytest.mark.parametrize("params", [{"colour": 1.5}, {"inset_frames": -1}])
def test_params_that_make_no_sense_are_refused(params):
    """
    A param is refused when the feature is declared.
    """
    with pytest.raises(ValueError, match="need"):
        ShotComposition(**params)
