"""The whole job over every real clip: usable ones end stored, unusable ones end told."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

import copal
from copal.fingerprint import pair_assets
from copal.lake import Lake
from tests.integration.repository import Ran, Repository
from tests.media import footage

ROOT = Path(__file__).parent.parent.parent
BROKEN = {"invalid-bitstream"}
"""Titles whose file is refused by the encode: nothing in it can be decoded."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The project's own registry, with a store of the test's."""
    folder = tmp_path_factory.mktemp("footage")
    return Repository(ROOT, {"COPAL_STORE": str(folder / "store")}, home=folder)


@pytest.fixture(scope="module")
def added(checkout: Repository, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Every clip, and a file of noise among them, brought in."""
    clips = footage("README.md").parent
    noise = tmp_path_factory.mktemp("noise") / "noise.mov"
    noise.write_bytes(random.Random(0).randbytes(100_000))
    return checkout.copal("add", clips, noise, "--json", code=1)


@pytest.fixture(scope="module")
def ran(checkout: Repository, added: Ran) -> Ran:
    """The default features of everything: about 50 s."""
    return checkout.copal("run", "--engine", "inline", "--json", code=1)


@pytest.fixture
def lake(ran: Ran, checkout: Repository, own_imports: None) -> Iterator[Lake]:
    yield copal.open(ROOT, store=checkout.environment["COPAL_STORE"])


def test_every_clip_is_an_asset_and_noise_is_refused(added: Ran) -> None:
    """
    'add' takes all 32 clips, refuses what is no media with its reason, and ends with 1.
    """
    decisions = {each["locator"].rpartition("/")[2]: each["decision"] for each in added.objects}
    assert decisions.pop("noise.mov") == "refused"
    assert len(decisions) == 32
    assert set(decisions.values()) == {"new"}


def test_all_but_the_broken_clip_have_every_feature(lake: Lake, ran: Ran) -> None:
    """
    Every default feature of every clip that it starts from, and of every pair of them, is stored;
    only what follows from the one broken clip is not.
    """
    videos = {asset.id: asset for asset in lake.assets() if asset.kind == "video"}
    broken = {id for id, asset in videos.items() if lake.project.titles[asset.title].name in BROKEN}
    good = videos.keys() - broken
    assert (len(videos), len(broken)) == (27, 1)
    plan = lake.plan()
    assert plan.cells == 0
    for part in plan:
        stuck = part.quarantined.keys() | part.blocked.keys()
        assert part.stored + len(stuck) == part.units, part.feature
        assert all(broken & set(pair_assets(unit)) for unit in stuck), part.feature
        if "standard_encode" in lake.project.graph.targets([part.feature]):
            pairs = {f"{a}+{b}" for a in good for b in good if a <= b}
            stored = lake.project.table(part.feature).index().units
            assert stored == (good if part.unit == "asset" else pairs), part.feature
    (report,) = ran.objects
    assert report["outcomes"]["standard_encode"] == {"stored": 26, "failed": 1}
    (message,) = report["errors"]["standard_encode"].values()
    assert message.startswith("invalid-bitstream.webm: ")


def test_status_tells_what_is_wrong_with_each_file(checkout: Repository, ran: Ran) -> None:
    """
    Under its table, 'copal status' has one line for the file that failed and one for the file that
    was refused; a later run ends with 1 as well, and computes nothing.
    """
    said = checkout.copal("status").out
    assert "quarantined  standard_encode  invalid-bitstream.webm: no picture of its " in said
    assert "refused      noise.mov: not media" in said
    again = checkout.copal("run", "--engine", "inline", code=1).out
    assert "Nothing to compute" in again


def test_a_bad_clip_disturbs_no_other(lake: Lake, tmp_path: Path) -> None:
    """
    What is stored of a clip among all others is what is stored of it alone.
    """
    alone = copal.open(ROOT, store=str(tmp_path / "alone"))
    list(alone.add([footage("multishot/nasa_13013.mp4")]))
    assert not alone.run(["dedup"], engine="inline").failed
    (asset,) = alone.assets()
    for feature in ("standard_encode", "shots", "shot_composition", "dedup"):
        one, other = (
            each.project.table(feature).digests([asset.id])[asset.id] for each in (lake, alone)
        )
        assert one == other, feature


def test_match_cuts_come_from_films_of_many_shots(lake: Lake) -> None:
    """
    Asked of all clips, match cuts are found, best first, and no cut joins a shot to itself.
    """
    answer = lake.match(top=10)
    assert answer.blocks == 27 * 28 // 2
    assert answer.blocks_stored == 26 * 27 // 2
    scores = [cut.score for cut in answer.cuts]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)
    for cut in answer.cuts:
        one, other = cut.outgoing, cut.incoming
        assert (one.asset.id, one.shot_index) != (other.asset.id, other.shot_index)
