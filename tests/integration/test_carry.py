"""A better shot detector costs the shots that it moved: on real footage and on the demo."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import copal
from copal.demo.catalogue import FILMS, encode
from copal.flow.generate import write_flow
from copal.lake import Lake
from copal.setup import excerpt
from tests.integration.repository import Repository
from tests.media import footage

ROOT = Path(__file__).parents[2]
PER_SHOT = ("shot_stills", "shot_composition", "shot_motion", "shot_embedding", "shot_colour",
            "shot_silhouette")  # fmt: skip
FEATURES = ("standard_encode", "shots", *PER_SHOT)
(CLOCKMAKER,) = (film for film in FILMS if film.title == "The Clockmaker")
MEDIA: dict[str, tuple[Callable[[Path], object], float]] = {
    "footage": (lambda to: shutil.copy(footage("multishot/tos_battle.webm"), to), 33.0),
    "demo": (lambda to: encode(CLOCKMAKER, to / CLOCKMAKER.file, (320, 180)), 60.0),
}
"""How the files come into a folder, and a threshold at which some of their shots move."""


@dataclass(frozen=True)
class Versions:
    """A project whose store has everything, and one whose store has nothing but encodes."""

    warm: Repository
    cold: Repository

    def edit(self, before: str, after: str) -> None:
        """Change the registry of both."""
        for each in (self.warm, self.cold):
            each.edit(before, after)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small video model."""
    torch = pytest.importorskip("torch")
    from torchvision.models import get_model

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(get_model("mc3_18", weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def filled_once(
    weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Versions]:
    """The two projects of some media, made once and not to be changed."""
    made: dict[str, Versions] = {}

    def make(media: str) -> Versions:
        if media not in made:
            folder = tmp_path_factory.mktemp(media)
            (folder / "media").mkdir()
            MEDIA[media][0](folder / "media")
            warm = folder / "warm"
            warm.mkdir()
            text = excerpt((ROOT / "registry.yaml").read_text(), FEATURES)
            params = f"{weights}, frames: 4, side: 32, device: cpu"
            (warm / "registry.yaml").write_text(
                text.replace("DEFAULT", params).replace("r2plus1d_18", "mc3_18")
            )
            lake = copal.open(warm)
            write_flow(lake.project.graph, warm)
            list(lake.add([folder / "media"]))
            assert not lake.run(["standard_encode"], engine="inline").failed
            shutil.copytree(warm, folder / "cold")
            assert not lake.run(FEATURES, engine="inline").failed
            made[media] = Versions(Repository(warm), Repository(folder / "cold"))
        return made[media]

    return make


@pytest.fixture
def versions(
    filled_once: Callable[[str], Versions], request: pytest.FixtureRequest, tmp_path: Path,
    own_imports: None,
) -> Iterator[Versions]:  # fmt: skip
    """Copies of the two projects, of footage unless the test says otherwise."""
    found = filled_once(getattr(request, "param", "footage"))
    shutil.copytree(found.warm.root, tmp_path / "warm")
    shutil.copytree(found.cold.root, tmp_path / "cold")
    yield Versions(Repository(tmp_path / "warm"), Repository(tmp_path / "cold"))


def ranges(lake: Lake) -> list[tuple[Any, ...]]:
    """Where every shot is, without fades."""
    rows = lake.rows("shots").to_pylist()
    return [(row["asset_id"], row["clear_start"], row["clear_end"]) for row in rows]


def digests(lake: Lake) -> dict[tuple[str, str], str]:
    """Value digest by feature and asset."""
    return {
        (feature, unit): digest
        for feature in FEATURES
        for unit, (_, digest) in lake.project.table(feature)
        .digests([asset.id for asset in lake.assets()])
        .items()
    }


@pytest.mark.parametrize("versions", MEDIA, indirect=True)
def test_a_moved_threshold_costs_the_shots_that_moved(
    versions: Versions, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """
    After 'shots.threshold' changed every per-shot feature computes the shots that moved, and the
    video model sees no others; all values are those of a run over a store that had none of them.
    """
    before = set(ranges(versions.warm.lake()))
    threshold = MEDIA[request.node.callspec.params["versions"]][1]
    versions.edit("threshold: 27.0", f"threshold: {threshold}")
    embedded: list[object] = []
    lake = versions.warm.lake()
    model = type(lake.project.bound("shot_embedding").instance)  # of the project's own import
    embed = model._embed

    def counting(self: Any, clip: Any) -> Any:
        embedded.append(clip)
        return embed(self, clip)

    with monkeypatch.context() as patch:
        patch.setattr(model, "_embed", counting)
        report = lake.run(FEATURES, engine="inline")
    assert not report.failed
    shots = ranges(versions.warm.lake())
    moved = len(set(shots) - before)
    assert 0 < moved < len(shots) / 2
    assert len(embedded) == moved
    for feature in PER_SHOT:
        assert report.shots[feature] == {"computed": moved, "carried": len(shots) - moved}
    again = versions.cold.lake().run(FEATURES, engine="inline")
    assert again.shots[PER_SHOT[0]]["computed"] == len(shots)
    assert digests(versions.warm.lake()) == digests(versions.cold.lake())


def test_equal_output_computes_nothing_downstream(versions: Versions) -> None:
    """
    A version bump whose shots are as they were computes the shots and carries over all the rest.
    """
    before = digests(versions.warm.lake())
    versions.warm.raise_version("shots")
    report = versions.warm.lake().run(FEATURES, engine="inline")
    assert report.outcomes == {"shots": {"stored": 1}} | {each: {"carried": 1} for each in PER_SHOT}
    assert all(report.shots[each]["computed"] == 0 for each in PER_SHOT)
    assert digests(versions.warm.lake()) == before


def test_batches_and_devices_compute_nothing(versions: Versions) -> None:
    """
    What only changes speed leaves nothing to do.
    """
    versions.warm.edit("device: cpu", "device: auto, batch_size: 3")
    lake = versions.warm.lake()
    assert lake.project.bound("shot_embedding").instance.batch_size == 3
    assert lake.plan(FEATURES).cells == 0
    assert lake.run(FEATURES, max_workers=7).run_id == ""


def test_a_flow_carries_shots_over_and_tells_it(versions: Versions) -> None:
    """
    Metaflow's tasks do the same, and the report says how many shots each feature computed.
    """
    versions.warm.edit("threshold: 27.0", "threshold: 33.0")
    said = versions.warm.copal("run", "shot_composition", "shot_stills").out
    for feature in ("shot_stills", "shot_composition"):
        assert f"  {feature}: 5 of 22 shots computed, 17 carried over.\n" in said
