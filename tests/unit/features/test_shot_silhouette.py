import numpy as np
import pytest

from copal.errors import MissingWeights
from features.shot_silhouette import COLUMNS, ROWS, SHARE, ShotSilhouette, salient
from tests.unit.features.arrays import encode_of, noise, plain, shots_of


def disc(x, y, radius=0.18, form=230, ground=70):
    rows, columns = np.mgrid[:36, :64]
    inside = np.hypot(columns / 64 - x, (rows / 36 - y) * 36 / 64) < radius
    return np.repeat(np.where(inside, form, ground).astype(np.uint8)[..., None], 3, 2)


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def test_a_mask_lies_where_the_form_is():
    """
    Of a disc before a plain ground the mask covers the disc, whichever of both is brighter.
    """
    for x, y in ((0.3, 0.4), (0.7, 0.5)):
        for light in ({}, {"form": 30, "ground": 200}):
            mask = salient(disc(x, y, **light))
            inside = disc(x, y)[::2, ::2, 0] > 128
            assert overlap(mask, inside) > 0.5
    assert overlap(salient(disc(0.3, 0.4)), salient(disc(0.3, 0.4, form=30, ground=220))) > 0.6
    assert overlap(salient(disc(0.25, 0.4)), salient(disc(0.75, 0.6))) < 0.2


def test_masks_are_of_one_size_and_length_one():
    """
    Every mask takes the same share, so that cosine and overlap rank alike; rows have length 1.
    """
    pictures = np.concatenate([noise(1), noise(2)])
    rows = ShotSilhouette().compute(encode_of(pictures), shots_of((0, 20), (20, 40)))
    vectors = np.array(rows["vector"].to_pylist(), np.float32)
    assert vectors.shape == (2, ROWS * COLUMNS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    masks = vectors > 0
    assert (masks.sum(1) == round(SHARE * ROWS * COLUMNS)).all()
    cosine = vectors[0] @ vectors[1]
    assert overlap(*masks) == pytest.approx(cosine / (2 - cosine), abs=1e-6)
    assert rows.schema == ShotSilhouette.columns


def test_a_picture_without_a_form_is_like_nothing():
    """
    A flat picture has the mask 0, which scores 0 with every other, itself too.
    """
    rows = ShotSilhouette().compute(encode_of(plain([(90, 90, 90)])), shots_of((0, 20)))
    assert not np.any(rows["vector"].to_pylist())


def test_the_same_input_gives_the_same_rows():
    """
    Computing twice gives equal tables, and no shots give no rows of the right columns.
    """
    encode, shots = encode_of(noise(4)), shots_of((0, 20))
    feature = ShotSilhouette()
    assert feature.compute(encode, shots).equals(feature.compute(encode, shots))
    assert feature.compute(encode, shots_of()).equals(ShotSilhouette.columns.empty_table())


def test_without_a_model_there_are_no_weights():
    """
    The default reads no weights and names no model library among its tools; a model does both.
    """
    assert ShotSilhouette().weights_digests() == {}
    assert "torch" not in ShotSilhouette().tools
    model = ShotSilhouette(model="maskrcnn_resnet50_fpn", weights="/nowhere/mask.pth")
    assert "torch" in model.tools
    with pytest.raises(MissingWeights, match=r"/nowhere/mask\.pth"):
        model.weights_digests()
    with pytest.raises(ValueError, match="need 'saliency' or one of 'maskrcnn_"):
        ShotSilhouette(model="resnet18")
