import io
import json
from functools import cache

import numpy as np
import pytest

from copal.feature import LocalFile, Value
from copal.fingerprint import AssetId
from copal.media import Encode, Source
from features.dedup import Dedup
from features.shot_composition import ShotComposition
from features.shot_motion import ShotMotion
from features.shot_stills import PACK, ShotStills
from features.shots import Shots
from features.standard_encode import StandardEncode
from tests.media import footage


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """Standard encode and shots of a clip of real footage, by name, made once."""

    @cache
    def make(name):
        path = footage(f"multishot/{name}")
        workspace = tmp_path_factory.mktemp("encode")
        output = StandardEncode().compute(Source(AssetId(name), path, name), workspace)
        files = {key: LocalFile(file) for key, file in output.files.items()}
        encode = Encode.from_value(Value(output.rows, files))
        return encode, Shots().compute(encode)

    return make


def truth(name):
    return json.loads(footage("truth.json").read_text())[f"multishot/{name}"]


def agreement(found, cuts):
    """How many found cuts are within a frame of one of the known cuts, each used once."""
    left = set(cuts)
    for cut in found:
        near = [c for c in left if abs(c - cut) <= 1]
        left -= set(near[:1])
    return len(cuts) - len(left)


def test_cuts_of_a_battle_are_found(encoded):
    """
    Whip pans and flashes of a battle: precision and recall of .92 within one frame.
    """
    _, rows = encoded("tos_battle.webm")
    found, cuts = rows["start_frame"].to_pylist()[1:], truth("tos_battle.webm")["cuts"]
    hits = agreement(found, cuts)
    assert hits / len(found) >= 0.92
    assert hits / len(cuts) >= 0.92


def test_an_animated_opening_fades_in_and_has_three_cuts(encoded):
    """
    All three cuts, at most one false, and the fade from black is the first shot's transition.
    """
    _, rows = encoded("bbb_0_30.webm")
    found = rows["start_frame"].to_pylist()[1:]
    assert agreement(found, truth("bbb_0_30.webm")["cuts"]) == 3
    assert len(found) <= 4
    first = rows.to_pylist()[0]
    assert first["transition"] == "fade"
    assert first["transition_start"] == 0
    assert 40 <= first["transition_end"] <= 65


def test_a_dark_film_has_its_cut_and_no_fade(encoded):
    """
    A dark picture is not black: its cut is found, and nothing is called a fade.
    """
    _, rows = encoded("nasa_13013.mp4")
    found = rows["start_frame"].to_pylist()[1:]
    assert agreement(found, truth("nasa_13013.mp4")["cuts"]) == 1
    assert "fade" not in rows["transition"].to_pylist()


@pytest.mark.parametrize("name", ["tos_battle.webm", "bbb_0_30.webm", "nasa_13013.mp4"])
def test_shots_tile_the_film(encoded, name):
    """
    Shots begin at 0, end at the last frame, and leave nothing out in between.
    """
    encode, rows = encoded(name)
    starts, ends = rows["start_frame"].to_pylist(), rows["end_frame"].to_pylist()
    assert starts == [0, *ends[:-1]]
    assert ends[-1] == encode.frame_count
    assert rows["shot_index"].to_pylist() == list(range(len(starts)))


def test_shots_of_one_set_up_are_found_and_the_earlier_stays(encoded):
    """
    Both labelled pairs of one camera set-up are found, the earlier shot kept; what else is
    dropped is a set-up that returns, too.
    """
    encode, shots = encoded("tos_battle.webm")
    rows = Dedup().compute(encode, shots, ShotComposition().compute(encode, shots))
    starts = shots["start_frame"].to_pylist()
    at = {
        cut: int(np.argmin([abs(s - cut) for s in starts]))
        for cut in truth("tos_battle.webm")["cuts"]
    }
    dropped = {r["shot_index"]: r["duplicate_of"] for r in rows.to_pylist() if not r["kept"]}
    known = truth("tos_battle.webm")
    for one, other in known["same_setup_pairs_of_shot_starts"]:
        assert dropped[at[other]] == at[one]
    # Seen by eye: the cathedral and the marksman on the ground.
    returning = {(at[715], at[987]), (at[122], at[1127])}
    labelled = {(at[a], at[b]) for a, b in known["same_setup_pairs_of_shot_starts"]}
    assert {(kept, gone) for gone, kept in dropped.items()} <= labelled | returning


def test_an_opening_without_repeats_keeps_all_its_shots(encoded):
    """
    Four different shots are four different shots.
    """
    encode, shots = encoded("bbb_0_30.webm")
    rows = Dedup().compute(encode, shots, ShotComposition().compute(encode, shots))
    assert rows["kept"].to_pylist() == [True] * 4


def test_vectors_and_stills_of_real_shots(encoded, tmp_path):
    """
    Every vector has length 1, twice the same input gives the same rows, every still opens.
    """
    from PIL import Image

    encode, shots = encoded("bbb_0_30.webm")
    for feature in (ShotComposition(), ShotMotion()):
        rows = feature.compute(encode, shots)
        assert rows.equals(feature.compute(encode, shots))
        for name in (n for n in rows.column_names if n.endswith("vector")):
            lengths = np.linalg.norm(np.stack(rows[name].to_numpy()), axis=1)
            assert np.allclose(lengths, 1, atol=1e-6)
    output = ShotStills().compute(encode, shots, tmp_path)
    pack = LocalFile(output.files[PACK])
    for row in output.rows.to_pylist():
        with Image.open(io.BytesIO(pack.read(row["offset"], row["length"]))) as image:
            assert image.size == (row["width"], row["height"]) == (320, 180)
