"""What a question reads: one set of recipes, and with a flavour the shots that it was made from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import copal
from copal.errors import MissingValue, RequestError
from copal.lake import Lake
from tests.integration.test_match_question import film
from tests.shelf import ROOT, blocks, shelf

FLAVOUR = "match_pairs_composition"
SIX = [0.0, 90.0, 200.0, 300.0, 45.0, 130.0]


def ranges(lake: Lake, **question: object) -> set[int]:
    """Lengths in frames of the shots that an answer tells."""
    cuts = lake.match(top=50, **question).cuts  # type: ignore[arg-type]
    return {s.range.end - s.range.start for cut in cuts for s in (cut.outgoing, cut.incoming)}


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake whose shots and vectors have a second version, of shorter shots, and are released;
    the blocks of composition are released as they were, over the first."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    store = tmp_path / "store"
    blocks(shelf(store, [film("Ash", SIX[:4]), film("Birch", [10, 95])]), "composition")
    root = tmp_path / "root"
    root.mkdir()
    text = (ROOT / "registry.yaml").read_text()
    head, mark, rest = text.partition("  shots:\n")
    assert mark
    (root / "registry.yaml").write_text(head + mark + rest.replace("version: ", "version: 1", 1))
    films = [film("Ash", SIX, frames=[32] * 6), film("Birch", [10, 95, 200], frames=[32] * 3)]
    lake = shelf(store, films, root)
    lake.run(["dedup", "shot_composition"], engine="inline")
    return lake


def test_a_flavour_is_read_with_the_shots_that_it_was_made_from(moved: Lake) -> None:
    """
    Shots move on and a flavour does not yet: cuts are told with the old shots' frames, shots with
    the new ones', and each answer is of one recipe of shots.
    """
    assert [each.feature for each in moved.releases.moves()[-1].set] == [
        "shots", "shot_composition", "dedup",
    ]  # fmt: skip
    lengths = {row["end_frame"] - row["start_frame"] for row in moved.rows("shots").to_pylist()}
    assert lengths == {32}
    assert ranges(moved) == {48}
    assert ranges(moved, min_seconds=1.9, fades=False) == {48}
    with_blocks = moved.seen(FLAVOUR)
    assert len(with_blocks.rows("shots")) == 6
    assert len(moved.rows("shots")) == 9
    assert ranges(moved, at="today") == {32}
    blocks(moved, "composition")
    assert ranges(moved) == {32}


def test_an_older_flavour_can_be_asked_for(moved: Lake) -> None:
    """
    FLAVOUR@ and the start of a recipe reads that one, alone; two of different shots are no mix.
    """
    old = moved.project.recipe(FLAVOUR).id[:8]
    before = moved.match(top=50)
    blocks(moved, "composition")
    again = moved.match(top=50, flavour=f"composition@{old}")
    assert [cut.score for cut in again.cuts] == [cut.score for cut in before.cuts]
    assert again.recipes == before.recipes
    assert again.flavour == f"composition@{old}"
    with pytest.raises(RequestError) as caught:
        moved.match(flavour={f"composition@{old}": 1.0, "composition@today": 1.0})
    assert "cannot be told together: they were made from" in str(caught.value)


def test_flavours_of_different_shots_are_no_mix(moved: Lake) -> None:
    """
    A flavour that moved on and one that did not have no shots in common.
    """
    blocks(moved, "motion")
    assert ranges(moved, flavour="motion") == {32}
    with pytest.raises(RequestError) as caught:
        moved.match(flavour={"composition": 0.5, "motion": 0.5})
    assert "'match_pairs_composition'" in str(caught.value)
    assert "Promote them as one set" in str(caught.value)


def test_labels_mean_the_shots_of_their_flavour(moved: Lake, tmp_path: Path) -> None:
    """
    A frame in a file of labels is a shot of the recipe that the flavour's vectors are of.
    """
    path = tmp_path / "pairs.csv"
    path.write_text(
        "title_a,frame_a,title_b,frame_b,label\n"
        "Ash,0,Birch,0,1\nAsh,40,Birch,0,0\nAsh,100,Birch,50,0\n"
    )
    old = moved.project.recipe(FLAVOUR).id[:8]
    blocks(moved, "composition")
    was, *_ = moved.evaluate(path, [{f"composition@{old}": 1.0}], samples=2)
    now, *_ = moved.evaluate(path, [{"composition": 1.0}], samples=2)
    assert was.unscored == now.unscored == 0
    assert was.average_precision == 0.5  # frame 40 is still in the shot that matches
    assert now.average_precision == 1.0


def test_a_lake_may_read_todays_recipes(moved: Lake) -> None:
    """
    copal.open(at="today") reads what the registry says now, released or not.
    """
    today = copal.open(moved.project.root, store=str(moved.project.location), at="today")
    assert ranges(today) == {32}
    assert len(today.seen(FLAVOUR).rows("shots")) == 9
    with pytest.raises(RequestError, match="no snapshot 'spring'"):
        copal.open(moved.project.root, store=str(moved.project.location), at="spring")


def test_what_was_made_from_other_shots_is_not_mixed_in(moved: Lake) -> None:
    """
    Beside a flavour, a feature is read as it was made from the same shots, whatever is released;
    one of which there is nothing made from them says so.
    """
    about = moved.project.at("", FLAVOUR)
    for name in ("shots", "dedup", "shot_composition"):
        assert about.recipe(name).id != moved.project.recipe(name).id
    of_shots = about.reading.made_from(about.recipe("shot_motion"))["shots"]
    assert of_shots == about.recipe("shots")
    with pytest.raises(MissingValue) as caught:
        about.table("shot_stills")
    assert str(caught.value) == (
        "'shot_stills' has no values that were made from the same 'shots' as what is asked for "
        f"({about.recipe('shots').label}). 'copal run shot_stills' makes them from today's; "
        "'copal releases' tells what readers see."
    )
