"""Every feature of the registry that says it is per shot is, on real footage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from copal.binding import Bound, bind
from copal.contracts import check_per_shot
from copal.errors import BrokenContract
from copal.feature import LocalFile, Value, per_shot_of
from copal.fingerprint import AssetId
from copal.media import Encode, Source
from copal.registry import FeatureName, load
from features.shots import Shots
from features.standard_encode import StandardEncode
from tests.media import footage

ROOT = Path(__file__).parents[2]
FEATURES = load(ROOT / "registry.yaml").features
PER_SHOT = (
    "shot_stills", "shot_composition", "shot_motion", "shot_embedding", "shot_colour",
    "shot_silhouette",
)  # fmt: skip


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Value]:
    """Encode and shots of a battle of 70 seconds."""
    path = footage("multishot/tos_battle.webm")
    workspace = tmp_path_factory.mktemp("encode")
    made = StandardEncode().compute(Source(AssetId("battle"), path, path.name), workspace)
    encode = Value(made.rows, {name: LocalFile(file) for name, file in made.files.items()})
    return {"encode": encode, "shots": Value(Shots().compute(Encode.from_value(encode)))}


def bound(name: str, **params: Any) -> Bound:
    """A feature of the registry, with some params of the test's own."""
    declared = FEATURES[FeatureName(name)]
    return bind(replace(declared, params={**declared.params, **params}), ROOT)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small video model."""
    torch = pytest.importorskip("torch")
    from torchvision.models import get_model

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(get_model("mc3_18", weights=None).state_dict(), path)
    return path


@pytest.mark.parametrize("name", PER_SHOT)
def test_a_shots_rows_follow_from_that_shot_alone(
    name: str, values: dict[str, Value], weights: Path, tmp_path: Path
) -> None:
    """
    Every second shot, or the first one, computed by itself: the same rows and files, byte for byte.
    """
    small = {"model": "mc3_18", "weights": str(weights), "frames": 4, "side": 32, "device": "cpu"}
    feature = bound(name, **(small if name == "shot_embedding" else {}))
    given = {argument: feature.hand_over(argument, value) for argument, value in values.items()}
    assert given["shots"].num_rows > 20
    check_per_shot(feature, given, tmp_path)


def test_the_registry_says_which_features_are_per_shot() -> None:
    """
    Those that are tested here, and no others.
    """
    declared = {name for name in FEATURES if per_shot_of(bound(name).instance)}
    assert declared == set(PER_SHOT)


def test_stills_of_some_shots_join_into_the_pack_of_all(
    values: dict[str, Value], tmp_path: Path
) -> None:
    """
    What stands between two runs of shots in an older pack is not copied.
    """
    from copal.run.pieces import compute_some, joined, pieces_of

    feature = bound("shot_stills")
    given = {argument: feature.hand_over(argument, value) for argument, value in values.items()}
    whole = compute_some(feature, given | {"workspace": tmp_path}, given["shots"])
    some = given["shots"].take([0, 1, 5, 6, 9])
    (tmp_path / "some").mkdir()
    made = compute_some(feature, given | {"workspace": tmp_path / "some"}, some)
    sources = [(whole, number) for number in (0, 1, 5, 6, 9)]
    output = joined(feature, pieces_of(sources, some), tmp_path)
    assert output.rows.equals(made.rows)
    pack = output.files["stills.pack"].read_bytes()
    assert pack == made.files["stills.pack"].path().read_bytes()


def test_a_feature_that_looks_at_its_neighbours_is_found_out(
    values: dict[str, Value], tmp_path: Path
) -> None:
    """
    The contract names the feature, the column and what it was asked.
    """
    feature = bound("shot_composition")

    class Neighbourly(type(feature.instance)):  # type: ignore[misc]  # any feature class
        def compute(self, encode: Encode, shots: pa.Table) -> pa.Table:
            rows = super().compute(encode, shots)
            column = rows.schema.get_field_index("first_frame")
            counts = pa.array([len(rows)] * len(rows), pa.int32())
            return rows.set_column(column, "first_frame", counts)

    given = {argument: feature.hand_over(argument, value) for argument, value in values.items()}
    with pytest.raises(BrokenContract) as error:
        check_per_shot(replace(feature, instance=Neighbourly()), given, tmp_path)
    assert str(error.value) == (
        "'shot_composition' says that it is per shot, but its column 'first_frame' has other "
        "values when every second shot is computed by itself. Let no shot's rows depend on the "
        "shots beside it, nor on how many there are; or do not say 'per_shot'."
    )
