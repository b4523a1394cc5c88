import io

import numpy as np
import pytest
from PIL import Image

from features.shot_stills import PACK, ShotStills
from tests.unit.features.arrays import encode_of, noise, shots_of


def test_one_picture_is_one_range_read(tmp_path):
    """
    Offset and length of a row cut exactly one WebP out of the pack: that frame's picture.
    """
    pictures = np.concatenate([noise(1), noise(2)])
    output = ShotStills(short_side=96).compute(
        encode_of(pictures), shots_of((0, 20), (20, 40)), tmp_path
    )
    pack = output.files[PACK].read_bytes()
    rows = output.rows.to_pylist()
    assert [(r["shot_index"], r["position"], r["frame_index"]) for r in rows] == [
        (0, "first", 0), (0, "middle", 10), (0, "last", 19),
        (1, "first", 20), (1, "middle", 30), (1, "last", 39),
    ]  # fmt: skip
    for row in rows:
        image = Image.open(io.BytesIO(pack[row["offset"] : row["offset"] + row["length"]]))
        assert image.format == "WEBP"
        assert image.size == (row["width"], row["height"]) == (160, 96)
        wanted = pictures[row["frame_index"]].astype(float)
        assert np.abs(np.asarray(image).astype(float) - wanted).mean() < 12
    assert sum({r["offset"]: r["length"] for r in rows}.values()) == len(pack)


def test_a_one_frame_shot_stores_its_picture_once(tmp_path):
    """
    First, middle and last of a one-frame shot are the same bytes.
    """
    output = ShotStills().compute(encode_of(noise(1, 1)), shots_of((0, 1)), tmp_path)
    assert {(r["offset"], r["length"]) for r in output.rows.to_pylist()} == {
        (0, output.files[PACK].stat().st_size)
    }
    assert output.rows.num_rows == 3


def test_fades_are_left_out_of_the_stills(tmp_path):
    """
    The first picture of a shot that fades in is the first one after the fade.
    """
    shots = shots_of((0, 20))
    shots = shots.set_column(6, "clear_start", [[8]]).cast(shots.schema)
    output = ShotStills().compute(encode_of(noise(1)), shots, tmp_path)
    assert output.rows["frame_index"].to_pylist() == [8, 14, 19]


def test_no_shots_give_an_empty_pack(tmp_path):
    """
    Without shots there are no rows, the right columns and an empty file.
    """
    output = ShotStills().compute(encode_of(noise(1)), shots_of(), tmp_path)
    assert output.rows.num_rows == 0
    assert output.rows.schema == ShotStills.columns
    assert output.files[PACK].stat().st_size == 0


@pytest.mark.parametrize("params", [{"short_side": 0}, {"quality": 101}, {"method": 7}])
def test_params_that_make_no_sense_are_refused(params):
    """
    A param is refused when the feature is declared.
    """
    with pytest.raises(ValueError, match="need"):
        ShotStills(**params)
