"""Two recipes of a feature side by side, before one takes the other's place."""

from __future__ import annotations

import json
import sys

import pytest

from copal.cli import main
from copal.errors import RequestError
from copal.lake import Lake
from tests.integration.test_match_question import film
from tests.integration.test_reading import SIX
from tests.shelf import ROOT, blocks, shelf


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two versions of the shots of three films: of Ash shot 1 was cut in two, and one vector of
    Birch is another; Cedar is as it was, Elm is new."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        cedar = film("Cedar", [5, 270, 130, 45])
        films = [film("Ash", SIX[:4]), film("Birch", [10, 95, 160, 250]), cedar]
        blocks(shelf(folder / "store", films), "composition")
        root = folder / "root"
        root.mkdir()
        text = (ROOT / "registry.yaml").read_text()
        head, mark, rest = text.partition("  shots:\n")
        (root / "registry.yaml").write_text(
            head + mark + rest.replace("version: ", "version: 1", 1)
        )
        films = [
            film("Ash", [0, 90, 90, 200, 300], frames=[48, 24, 24, 48, 48]),
            film("Birch", [10, 95, 160, 340]),
            cedar,
            film("Elm", [1, 2]),
        ]
        made = shelf(folder / "store", films, root)
        made.project.reads = "release"
        made.run(["match_pairs_composition"], ["Ash", "Birch"], engine="inline")
    return made


def test_shots_are_compared_by_their_frames(lake: Lake) -> None:
    """
    One shot cut in two: one row gone and two new of all, F1 of the cuts, and whose they are.
    """
    found = lake.releases.compare("shots@v1", "shots@today")
    assert (found.both, found.changed, found.only_old, found.only_new) == (3, 1, 0, 1)
    assert (found.rows_old, found.rows_new) == (12, 13)
    assert (found.rows_gone, found.rows_come) == (1, 2)
    assert found.boundaries is not None
    assert found.boundaries.recall == 1.0
    assert found.boundaries.precision == pytest.approx(9 / 10)
    assert found.boundaries.f1 == pytest.approx(18 / 19)
    (ash,) = found.units
    assert (ash.name, ash.gone, ash.new) == ("Ash", 1, 2)
    assert ash.f1 == pytest.approx(6 / 7)
    assert not found.sampled


def test_vectors_are_compared_by_their_neighbours(lake: Lake) -> None:
    """
    Rows that name shots by index are those of their frames, and neighbours are shots, not indices.
    """
    old = f"shot_composition@{lake.project.store.recipes('shot_composition')[-1].id}"
    found = lake.releases.compare(old, k=3, titles=["Birch", "Cedar"])
    assert (found.changed, found.rows_gone, found.rows_come) == (1, 1, 1)
    assert set(found.neighbours) == {"vector", "first_vector", "last_vector"}
    near = found.neighbours["vector"]
    assert (near.k, near.queries, near.vectors) == (3, 8, 8)
    assert 0.5 < near.overlap < 1.0
    ash = lake.releases.compare(old, titles=["Ash"], k=2).neighbours["vector"]
    assert ash.queries == 3  # the shot that was cut in two is in neither's place


def test_flavours_are_compared_by_their_scores(lake: Lake) -> None:
    """
    Blocks of pairs: how many of the best are the same, and how far common pairs' scores moved.
    """
    old = lake.project.recipe("match_pairs_composition").id[:8]
    found = lake.releases.compare(f"match_pairs_composition@{old}", "match_pairs_composition@today")
    assert (found.both, found.changed, found.only_old) == (3, 3, 3)
    assert found.scores is not None
    assert 0 < found.scores.overlap < 1
    assert found.scores.common > 0
    assert found.scores.largest_drift > found.scores.mean_drift > 0
    before, after = found.costs
    assert (before.computed, after.computed) == (6, 3)


def test_a_sample_stands_for_all(lake: Lake) -> None:
    """
    With a smaller sample the counts of units are exact, and those of rows are estimated.
    """
    found = lake.releases.compare("shots@v1", "shots@today", sample=1)
    assert (found.both, found.changed, found.looked, found.looked_changed) == (3, 1, 2, 1)
    assert found.sampled
    assert (found.rows_old, found.rows_new, found.rows_gone) == (12, 13, 1)
    assert found.boundaries is not None
    assert found.boundaries.f1 == pytest.approx(18 / 19)


def test_what_cannot_be_compared(lake: Lake) -> None:
    """
    Two features, one recipe with itself, and senseless numbers are the request's fault.
    """
    for asked, words in (
        (("shots", "dedup"), "are two features"),
        (("shots@today", "shots@today"), "there is nothing to compare"),
        (("shots@v7",), "nothing was stored under this version"),
    ):
        with pytest.raises(RequestError, match=words):
            lake.releases.compare(*asked)
    with pytest.raises(RequestError, match="must be 1 or more"):
        lake.releases.compare("shots@v1", sample=0)


def test_the_command_says_it_in_words_and_in_json(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    'copal compare' prints what differs; --json gives one object for all and one for each unit.
    """
    monkeypatch.setattr(sys, "path", list(sys.path))
    place = ["--project", str(lake.project.root), "--store", str(lake.project.location)]
    assert main([*place, "compare", "shots@v1", "shots@today", "--tolerance", "2"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:4] == [
        "units 3 in both, 1 of them with other values; 1 only in v11",
        "rows 1 of 12 gone, 2 of 13 new",
        "boundaries F1 0.947, precision 0.900, recall 1.000, within 2 frames",
    ]
    assert lines[-1] == "Ash 4 5 1 2 0.857"
    assert main([*place, "compare", "shots@v1", "shots@today", "--json"]) == 0
    whole, ash = map(json.loads, capsys.readouterr().out.splitlines())
    assert (whole["changed"], whole["boundaries"]["recall"]) == (1, 1.0)
    assert (ash["title"], ash["gone"]) == ("Ash", 1)
