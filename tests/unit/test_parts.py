"""Parts of a plan: what is wanted with its needs, what others have, slices, budgets, times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import repeat

import pytest

from copal.errors import RequestError
from copal.flow.backfill import Budget
from copal.flow.parts import cells_of, needed_by, slices, without
from copal.plan import Held, Plan, plan
from copal.selection import moment
from tests.builders import asset_of, graph_of, recipes_of

GRAPH = graph_of("""
encode: {version: 1, compute: f:C, of: video}
shots: {version: 1, compute: f:S, needs: {encode: encode}}
sound: {version: 1, compute: f:A, needs: {encode: encode}}
pairs: {version: 1, compute: f:M, unit: pair, needs: {shots: shots}}
""")
ASSETS = [asset_of(name, seconds=seconds) for name, seconds in (("a", 30), ("b", 10), ("c", 20))]


def planned(**held: Held) -> Plan:
    return plan(GRAPH, recipes_of(GRAPH), ASSETS, held)  # type: ignore[arg-type]


def told(found: Plan) -> set[tuple[str, str]]:
    return {(feature, unit) for feature, _, unit in cells_of(found)}


def test_a_cell_is_kept_with_what_it_needs():
    """
    A pair of assets keeps shots and encodes of both, and no sound; what is stored is not added.
    """
    (pair,) = {unit for _, unit in told(planned()) if "a" in unit and "b" in unit}
    found = needed_by(planned(encode=Held(stored=frozenset("a"))), GRAPH, {"pairs": [pair]})
    assert told(found) == {
        ("encode", "b"), ("shots", "a"), ("shots", "b"), ("pairs", pair),
    }  # fmt: skip


def test_what_others_have_is_left_with_all_that_needs_it():
    """
    When another computes the shots of one asset, its pairs wait; its sound does not.
    """
    mine, waiting = without(planned(), GRAPH, {"shots": ["a"]})
    left = told(planned()) - told(mine)
    assert ("shots", "a") in left
    assert waiting == 3  # a with a, b and c
    assert {feature for feature, _ in left} == {"shots", "pairs"}
    assert len(left) == 1 + 3
    assert without(planned(), GRAPH, {}) == (planned(), 0)


def test_slices_cover_the_plan_once():
    """
    Every cell is in one slice, short media come first, and pairs after all assets.
    """
    durations = {asset.id: asset.duration_seconds for asset in ASSETS}
    made = list(slices(planned(), repeat(2), durations))
    cells = [cell for each in made for cell in sorted(told(each))]
    assert len(cells) == len(set(cells)) == planned().cells
    assert [{unit for _, unit in told(each)} for each in made[:2]] == [{"b", "c"}, {"a"}]
    assert [{feature for feature, _ in told(each)} for each in made[2:]] == [{"pairs"}] * 3


@pytest.mark.parametrize(
    ("text", "cells"), [("2%", 8), ("0.5%", 2), ("0", 0), ("7", 7), ("100%", 400)]
)
def test_a_budget_is_a_share_or_a_number(text, cells):
    """
    A share is of the cells planned, rounded down.
    """
    assert Budget.of(text, 400).cells == cells


@pytest.mark.parametrize("text", ["", "two", "-1", "101%", "1.5", "2 %%"])
def test_a_budget_that_is_none(text):
    """
    Anything else is refused with an example.
    """
    with pytest.raises(RequestError, match="a number of cells, or a share like 2%"):
        Budget.of(text, 400)


def test_times_as_people_give_them():
    """
    A date, a moment with or without its zone, or how long ago.
    """
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert moment("7d", now) == now - timedelta(days=7)
    assert moment("36h", now) == now - timedelta(hours=36)
    assert moment("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    assert moment("2026-11-01T12:00+02:00") == datetime(2026, 11, 1, 10, tzinfo=UTC)
    with pytest.raises(RequestError, match="--added-since 'soon' is no time"):
        moment("soon")
