from itertools import pairwise

import numpy as np

from features.dedup import Dedup
from features.shot_composition import ShotComposition
from tests.unit.features.arrays import encode_of, noise, shots_of


def deduplicated(*pictures, **params):
    lengths = np.cumsum([0, *(len(p) for p in pictures)]).tolist()
    shots = shots_of(*pairwise(lengths))
    encode = encode_of(np.concatenate(pictures))
    return Dedup(**params).compute(encode, shots, ShotComposition().compute(encode, shots))


def reframed(pictures, by=6):
    return np.roll(pictures, by, axis=2)


def test_the_earliest_shot_of_a_set_up_stays_and_nothing_is_renumbered():
    """
    A set-up that returns twice, once reframed, is kept once: where it came first.
    """
    rows = deduplicated(noise(1), noise(2), reframed(noise(1)), noise(3), noise(2))
    assert rows["shot_index"].to_pylist() == [0, 1, 2, 3, 4]
    assert rows["kept"].to_pylist() == [True, True, False, True, False]
    assert rows["duplicate_of"].to_pylist() == [None, None, 0, None, 1]
    assert rows["score"][4].as_py() > 0.99
    assert rows["score"][0].as_py() is None
    assert rows.schema == Dedup.columns


def test_alike_vectors_alone_make_no_duplicate():
    """
    A shot is dropped because its points are an earlier shot's, not because it looks a bit alike.
    """
    rows = deduplicated(noise(1), noise(2), noise(3), min_score=-1.0)
    assert rows["kept"].to_pylist() == [True] * 3


def test_pictures_without_corners_are_compared_by_vectors():
    """
    Black returns as black, and red does not return as blue.
    """
    flat = [np.full((20, 64, 96, 3), c, np.uint8) for c in ((0, 0, 0), (200, 0, 0), (0, 0, 200))]
    rows = deduplicated(*flat, flat[0])
    assert rows["duplicate_of"].to_pylist() == [None, None, None, 0]


def test_no_shots_give_no_rows():
    """
    Without shots there are no rows, and the columns are right.
    """
    encode = encode_of(noise(1))
    vectors = ShotComposition().compute(encode, shots_of())
    assert Dedup().compute(encode, shots_of(), vectors).equals(Dedup.columns.empty_table())
