"""A plan cut into chunks, kept in a store and read again."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copal.asset import Asset
from copal.errors import PlanOutdated
from copal.flow import work
from copal.flow.work import Work, cut, load_chunk, load_head, save
from copal.plan import Failure, Held, Plan, Reason, plan
from copal.store import MemoryStore
from tests.builders import asset_of, graph_of, recipes_of

GRAPH = graph_of("""
encode: {version: 1, compute: f:C, of: video}
shots: {version: 1, compute: f:S, needs: {encode: encode}}
pairs: {version: 1, compute: f:M, unit: pair, needs: {shots: shots}}
""")


def plan_of(assets: list[Asset], held: dict[str, Held] | None = None, **more: object) -> Plan:
    return plan(GRAPH, recipes_of(GRAPH), assets, held or {}, **more)  # type: ignore[arg-type]


def cells_of(chunks: tuple[work.Chunk, ...]) -> Counter[tuple[str, str]]:
    return Counter(
        (feature, cell.unit) for chunk in chunks for feature, cells in chunk.items()
        for cell in cells
    )  # fmt: skip


def planned(found: Plan) -> Counter[tuple[str, str]]:
    return Counter((part.feature, cell.unit) for part in found for cell in part.cells)


def units_of(chunk: work.Chunk) -> set[str]:
    return {cell.unit for cells in chunk.values() for cell in cells}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0, 4 * work.CHUNK_MEDIA_SECONDS), max_size=12),
    st.integers(1, 9),
    st.sets(st.integers(0, 11)),
)
def test_every_cell_is_in_exactly_one_chunk(seconds, workers, died):
    """
    However long the assets and many the workers, no cell is lost and none comes twice.
    """
    assets = [asset_of(f"{n:02d}", seconds=length) for n, length in enumerate(seconds)]
    failure = Failure("died", "WorkerDied", retryable=True, tries=1)
    failures = {asset.id: failure for n, asset in enumerate(assets) if n in died}
    found = plan_of(assets, {"encode": Held(failures=failures)})
    made = cut(found, assets, workers)
    assert cells_of((*made.assets, *made.pairs)) == planned(found)
    assert made.cells == found.cells
    assert all(units_of(chunk) for chunk in (*made.assets, *made.pairs))


def test_all_cells_of_an_asset_are_in_one_chunk_in_order():
    """
    What one cell stores the next one reads, so a chunk holds every feature of its assets.
    """
    assets = [asset_of(f"{n:02d}", seconds=1000) for n in range(7)]
    made = cut(plan_of(assets), assets, 3)
    assert len(made.assets) > 1
    for chunk in made.assets:
        assert list(chunk) == ["encode", "shots"]
        assert [c.unit for c in chunk["encode"]] == [c.unit for c in chunk["shots"]]


def test_chunks_are_of_about_equal_work():
    """
    A long film counts as the many short ones it is as long as.
    """
    lengths = [1800, *[60] * 60, 900, *[300] * 6]
    assets = [asset_of(f"{n:03d}", seconds=length) for n, length in enumerate(lengths)]
    made = cut(plan_of(assets), assets, 4)
    by_id = {asset.id: asset.duration_seconds for asset in assets}
    loads = sorted(sum(by_id[unit] for unit in units_of(chunk)) for chunk in made.assets)
    assert len(loads) == 12  # nine would do, but four workers do twelve in the same time
    assert loads[-2:] == [900, 1800]  # each long film is alone
    assert loads[-3] - loads[0] <= 60


def test_there_is_a_chunk_for_every_worker():
    """
    Little media is shared by all workers; there are never more chunks than assets.
    """
    assets = [asset_of(f"{n}", seconds=1) for n in range(6)]
    assert len(cut(plan_of(assets), assets, 4).assets) == 4
    assert len(cut(plan_of(assets), assets, 50).assets) == 6
    assert len(cut(plan_of(assets), assets, 1).assets) == 1
    assert len(cut(plan_of(assets), assets, 4).pairs) == 4


def test_there_are_never_too_many_chunks(monkeypatch):
    """
    A catalogue of any size has at most so many chunks as Metaflow takes well.
    """
    monkeypatch.setattr(work, "MOST_CHUNKS", 5)
    assets = [asset_of(f"{n}", seconds=10_000) for n in range(20)]
    made = cut(plan_of(assets), assets, 3)
    assert len(made.assets) == 5
    assert cells_of(made.assets) == planned(plan_of(assets)) - cells_of(made.pairs)


def test_a_cell_with_which_a_worker_died_is_alone():
    """
    It cannot take others with it again; a cell that merely failed shares a chunk as before.
    """
    assets = [asset_of(f"{n}") for n in range(6)]
    died = Failure("died", "WorkerDied", retryable=True, tries=1)
    failed = Failure("full", "StoreUnavailable", retryable=True, tries=1)
    found = plan_of(assets, {"encode": Held(failures={"2": died, "4": died, "5": failed})})
    made = cut(found, assets, 1)
    assert sorted(sorted(units_of(chunk)) for chunk in made.assets) == [
        ["0", "1", "3", "5"],
        ["2"],
        ["4"],
    ]


def test_neighbouring_pairs_are_together(monkeypatch):
    """
    A chunk of pairs is a run of the sorted pairs, so that it reads few assets.
    """
    monkeypatch.setattr(work, "CHUNK_PAIRS", 10)
    assets = [asset_of(f"{n}") for n in range(8)]
    made = cut(plan_of(assets), assets, 2)
    assert [len(units_of(chunk)) for chunk in made.pairs] == [9, 9, 9, 9]
    runs = [sorted(units_of(chunk)) for chunk in made.pairs]
    assert [unit for each in runs for unit in each] == sorted(
        unit for feature, unit in planned(plan_of(assets)) if feature == "pairs"
    )


def test_only_recipes_with_work_are_named():
    """
    A worker is held to the recipes of what it computes.
    """
    assets = [asset_of("a")]
    found = plan_of(assets, {"encode": Held(stored=frozenset("a"))})
    made = cut(found, assets, 1)
    assert set(made.recipes) == {"shots", "pairs"}
    assert made.recipes["shots"] == found.feature("shots").recipe.id


def test_no_two_runs_have_one_name():
    """
    Runs that start in the same second differ.
    """
    assert len({work.new_run_id() for _ in range(100)}) == 100


# Kept in a store


@pytest.fixture
def store():
    made = MemoryStore()
    yield made
    made.close()


@pytest.fixture
def made() -> Work:
    assets = [asset_of(f"{n}", seconds=1000) for n in range(4)]
    failure = Failure("full", "StoreUnavailable", retryable=True, tries=1)
    held = {
        "encode": Held(stored=frozenset("012"), failures={"3": failure}),
        "shots": Held(stored=frozenset("0")),
    }
    return cut(plan_of(assets, held, force=("encode",)), assets, 2)


def test_a_run_is_read_as_it_was_kept(store, made):
    """
    Every chunk comes back with its cells, their reasons and whether they replace.
    """
    save(store, made)
    head = load_head(store, made.run_id)
    assert (head.assets, head.pairs, head.cells) == (len(made.assets), len(made.pairs), made.cells)
    assert head.recipes == made.recipes
    for kind, chunks in (("assets", made.assets), ("pairs", made.pairs)):
        for index, chunk in enumerate(chunks):
            assert load_chunk(store, made.run_id, kind, index) == chunk
    found = {cell for chunk in made.assets for cells in chunk.values() for cell in cells}
    assert {Reason.FORCED, Reason.INPUT, Reason.NEW_ASSET} == {cell.reason for cell in found}
    assert {cell.replace for cell in found} == {True, False}


def test_a_run_that_the_store_does_not_know(store, made):
    """
    Another store, or another run, is a PlanOutdated that says how to start one.
    """
    with pytest.raises(PlanOutdated) as caught:
        load_head(store, "gone")
    assert str(caught.value) == "no run 'gone' in this store. Start one with 'copal run'."
    save(store, made)
    with pytest.raises(PlanOutdated, match="has no chunk pairs 99 in this store"):
        load_chunk(store, made.run_id, "pairs", 99)
