"""The question for match cuts: over any titles, by any mix, thinned, honest about its bounds."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest

from copal.errors import RequestError
from copal.fingerprint import pair_unit
from copal.graph import Graph
from copal.lake import Lake
from copal.search import Question
from features.shot_composition import DIMENSIONS
from tests.shelf import ShelfFilm, blocks, shelf, turned

MOTION = 133  # components of a shot_motion vector


def film(
    name: str, angles: list[float], motions: list[float] | None = None, **more: object
) -> ShelfFilm:
    """A film whose shots' vectors lie at angles; the three pictures of a shot are alike."""
    looks, moves = turned(angles, DIMENSIONS), turned(motions or angles, MOTION)
    return ShelfFilm(
        name,
        more.pop("frames", [48] * len(angles)),  # type: ignore[arg-type]
        {
            "shot_composition": dict.fromkeys(("vector", "first_vector", "last_vector"), looks),
            "shot_motion": dict.fromkeys(("vector", "start_vector", "end_vector"), moves),
        },
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Three films: Ash and Birch share looks at 0 and 90 degrees, and movements otherwise."""
    films = [
        film("Ash", [0, 90, 200, 300], [0, 120, 240, 60], words={"year": 1950, "show": "Trees"}),
        film("Birch", [10, 95, 160, 250], [180, 125, 10, 300], words={"year": 1990}),
        film("Cedar", [5, 270, 130, 45], [90, 270, 20, 200], words={"year": 1995},
             rate=Fraction(25), fades=[0], frames=[30, 60, 60, 200]),
    ]  # fmt: skip
    lake = shelf(tmp_path_factory.mktemp("shelf"), films)
    blocks(lake, "composition", "motion")
    return lake


def named(lake: Lake, *titles: str, **question: object) -> list[tuple[str, int, str, int]]:
    answer = lake.match(titles, **question)  # type: ignore[arg-type]
    return [
        (c.outgoing.title, c.outgoing.shot_index, c.incoming.title, c.incoming.shot_index)
        for c in answer.cuts
    ]


def test_the_best_of_a_subset_is_the_best_of_all_that_lies_in_it(lake: Lake) -> None:
    """
    Of any titles the answer is that of all titles without the cuts that touch others.
    """
    everything = lake.match(top=1000, fold=False)
    for titles in (["Ash", "Birch"], ["Cedar"], ["Birch", "Cedar"]):
        some = lake.match(titles, top=1000, fold=False)
        inside = [c for c in everything.cuts if {c.outgoing.title, c.incoming.title} <= {*titles}]
        assert list(some.cuts) == inside
        assert some.exact
    assert everything.blocks == everything.blocks_stored == 6
    scores = [cut.score for cut in everything.cuts]
    assert scores == sorted(scores, reverse=True)


def test_titles_shows_and_filters_choose_what_is_asked_about(lake: Lake) -> None:
    """
    A show stands for its titles, a filter for those it holds for; none at all is said.
    """
    assert named(lake, "Trees") == named(lake, "Ash")
    assert named(lake, where="year >= 1990 and year < 1995") == named(lake, "Birch")
    nobody = lake.match(where="year > 3000")
    assert nobody.cuts == ()
    assert nobody.sentences == ["No title fits."]


def test_a_mix_is_exact_over_what_the_blocks_hold(lake: Lake) -> None:
    """
    Each cut's mixed score is that of its flavours' own scores, also of a pair that stands in only
    one flavour's block; and the order is that of all pairs scored by hand.
    """
    mix = {"composition": 0.7, "motion": 0.3}
    answer = lake.match(flavour=mix, top=1000, fold=False)
    by_hand = {}
    for flavour in mix:
        for cut in lake.match(flavour=flavour, top=1000, fold=False).cuts:
            for a, b in ((cut.outgoing, cut.incoming), (cut.incoming, cut.outgoing)):
                key = a.title, a.shot_index, b.title, b.shot_index
                by_hand.setdefault(key, {})[flavour] = cut.score
    assert answer.cuts
    for cut in answer.cuts:
        key = (cut.outgoing.title, cut.outgoing.shot_index,
               cut.incoming.title, cut.incoming.shot_index)  # fmt: skip
        assert cut.scores == pytest.approx(by_hand[key], abs=1e-6)
        assert cut.score == pytest.approx(sum(mix[f] * s for f, s in cut.scores.items()))
    assert answer.flavour == "composition 0.7 + motion 0.3"
    assert answer.exact


def test_only_pairs_that_a_run_computes_are_asked_for(tmp_path: Path) -> None:
    """
    A flavour that pairs within a title has no block of two titles, and none is missing.
    """
    from dataclasses import replace

    lake = shelf(tmp_path, [film("Ash", [0, 90]), film("Birch", [10, 95])])
    features = lake.project.registry.features
    name = "match_pairs_composition"
    narrow = {**features, name: replace(features[name], pairs="title")}
    lake.project.graph = Graph(replace(lake.project.registry, features=narrow))
    answer = lake.match(flavour="composition", top=1000, fold=False)
    (looked,) = answer.looked
    assert looked.blocks == len(lake.project.select())
    assert all(cut.outgoing.asset == cut.incoming.asset for cut in answer.cuts)


def test_a_missing_score_of_a_mix_comes_from_the_vectors(tmp_path: Path) -> None:
    """
    With blocks that keep two pairs each, a pair that only one of them holds still gets both
    scores, the same bits as a whole block would hold; and the answer says how far it is certain.
    """
    dice = np.random.default_rng(5)
    angles = [dice.uniform(0, 360, 6).tolist() for _ in range(4)]
    lake = shelf(tmp_path, [film("Ash", angles[0], angles[1]), film("Birch", angles[2], angles[3])])
    whole = lake.match(flavour={"composition": 1, "motion": 1}, top=500, fold=False)
    instances = [lake.project.bound(f"match_pairs_{f}").instance for f in ("composition", "motion")]
    for instance in instances:
        object.__setattr__(instance, "top_k", 2)
    short = lake.match(flavour={"composition": 1, "motion": 1}, top=500, fold=False)

    known = {repr((c.outgoing, c.incoming)): c for c in whole.cuts}
    assert 0 < len(short.cuts) < len(whole.cuts)
    assert all(known[repr((c.outgoing, c.incoming))] == c for c in short.cuts)
    assert whole.exact
    assert not short.exact
    certain = [c for c in whole.cuts if c.score > short.certain_above]
    assert list(short.cuts[: len(certain)]) == certain
    assert any("there may be cuts" in sentence for sentence in short.sentences)


def test_blocks_that_nobody_stored_are_computed_for_the_answer(tmp_path: Path) -> None:
    """
    With few shots, missing blocks are computed and not stored; the answer is that of stored
    blocks and says where they came from.
    """
    films = [film("Ash", [0, 90, 200]), film("Birch", [10, 95, 160])]
    lake = shelf(tmp_path, films)
    before = lake.match(top=50)
    assert [each.computed for each in before.looked] == [3]
    assert not lake.project.table("match_pairs_composition").index().units
    blocks(lake, "composition")
    after = lake.match(top=50)
    assert after.cuts == before.cuts != ()
    assert [(each.stored, each.computed) for each in after.looked] == [(3, 0)]
    assert before.sentences[0].endswith("0 of 3 from the store, 3 computed for this answer.")


def test_too_many_missing_blocks_are_left_missing_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Above a limit nothing is computed in passing; the answer tells what is missing and is no more
    called exact.
    """
    lake = shelf(tmp_path, [film("Ash", [0, 90, 200]), film("Birch", [10, 95, 160])])
    monkeypatch.setattr("copal.search.blocks.MOST_SHOT_PAIRS", 5)
    answer = lake.match()
    assert answer.cuts == ()
    assert not answer.exact
    assert answer.sentences == [
        "blocks of pairs of assets: 0 of 3 from the store, 3 missing ('copal run' computes them)."
    ]


def test_filters_on_shots(lake: Lake) -> None:
    """
    Shots shorter or longer than wanted, or that fade, stand in no cut, whatever their scores.
    """
    everything = named(lake, top=1000, fold=False)
    short = named(lake, top=1000, fold=False, min_seconds=1.5)
    assert ("Cedar", 0) not in {(c[i], c[i + 1]) for c in short for i in (0, 2)}
    assert short == [c for c in everything if ("Cedar", 0) not in (c[:2], c[2:])]
    brief = named(lake, top=1000, fold=False, max_seconds=2.0)
    assert {(c[i], c[i + 1]) for c in brief for i in (0, 2)} == {
        ("Cedar", 0), *((name, i) for name in ("Ash", "Birch") for i in range(4)),
    }  # fmt: skip
    assert named(lake, top=1000, fold=False, fades=False) == short


def test_a_cut_to_a_shot_that_fades_in_begins_after_the_fade(lake: Lake) -> None:
    """
    The frame a cut enters is the first without the fade, and its label says so.
    """
    sides = [s for c in lake.match(top=1000).cuts for s in (c.outgoing, c.incoming)]
    faded = next(s for s in sides if (s.title, s.shot_index) == ("Cedar", 0))
    assert (faded.range.start, faded.clear.start) == (0, 4)
    assert faded.start_timecode == "00:00:00:04"


def test_what_is_told_is_thinned(lake: Lake) -> None:
    """
    Nothing scores below the least, no shot comes twice, no title more often than wanted.
    """
    assert all(c.score >= 0.5 for c in lake.match(top=1000, min_score=0.5).cuts)
    used = [shot for c in named(lake, top=1000, exclude_used=True) for shot in (c[:2], c[2:])]
    assert len(used) == len(set(used)) > 4
    cuts = named(lake, top=1000, per_title=2)
    for title in ("Ash", "Birch", "Cedar"):
        assert sum(title in cut for cut in cuts) <= 2


def test_cuts_all_but_the_same_are_folded_under_the_best(tmp_path: Path) -> None:
    """
    The same two shots the other way, and a shot's cut to a near neighbour of the other, come
    under the highest; nothing is lost.
    """
    films = [film("Ash", [0, 150, 70]), film("Birch", [3, 200, 5, 110, 290, 8])]
    lake = shelf(tmp_path, films)
    folded = lake.match(["Ash", "Birch"], top=1000)
    unfolded = lake.match(["Ash", "Birch"], top=1000, fold=False)
    best = folded.cuts[0]
    ends = [(c.outgoing.title, c.outgoing.shot_index, c.incoming.shot_index) for c in best.folded]
    assert {best.outgoing.shot_index, best.incoming.shot_index} == {
        2,
        0,
    }  # Birch 2 and 0: 2 degrees
    shown = [(c.outgoing, c.incoming) for c in folded.cuts]
    under = [(f.outgoing, f.incoming) for c in folded.cuts for f in c.folded]
    assert ends
    assert sorted(map(repr, shown + under)) == sorted(
        repr((c.outgoing, c.incoming)) for c in unfolded.cuts
    )


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        ({"top": 0}, "--top 0"),
        ({"per_title": 0}, "--per-title 0"),
        ({"min_seconds": -1}, "--min-seconds -1"),
        ({"min_seconds": 3, "max_seconds": 2}, "--min-seconds 3 is more than --max-seconds 2"),
        ({"max_seconds": float("inf")}, "--max-seconds inf"),
        ({"min_score": float("nan")}, "--min-score nan"),
        ({"flavours": {"motion": 0}}, "a weight is more than 0"),
        ({"flavours": {"motion": float("inf")}}, "a weight is more than 0"),
    ],
)
def test_a_question_that_cannot_be_is_refused(question: dict[str, object], complaint: str) -> None:
    """
    Numbers that mean nothing are refused by the name of their option.
    """
    with pytest.raises(RequestError, match=complaint):
        Question(**question)  # type: ignore[arg-type]


def test_an_unknown_flavour_is_told_the_known_ones(lake: Lake) -> None:
    """
    A slip in a flavour's name is put right.
    """
    with pytest.raises(RequestError, match=r"no flavour 'motoin'; .* Did you mean 'motion'\?"):
        lake.match(flavour="motoin")


def test_the_answer_reads_only_the_blocks_it_needs(lake: Lake) -> None:
    """
    Rows come for the units asked for, in whatever order they were stored, each with its own.
    """
    from copal.search.blocks import read_rows

    table = lake.project.table("match_pairs_composition")
    ids = sorted(asset.id for asset in lake.assets())
    units = [pair_unit(a, b) for a, b in combinations_with_replacement(ids, 2)]
    whole = table.read(units)
    for chosen in (units[3:4], units[::-2], ["nobody", units[0]]):
        rows = read_rows(table, chosen)
        assert set(rows.units) == set(chosen) - {"nobody"}
        for place, unit in enumerate(rows.units):
            mine = rows.numpy("score")[rows.unit == place]
            assert mine.tolist() == whole[unit].rows["score"].to_pylist()
    assert read_rows(table, []).units == ()
