"""What a plan costs: rates from history, runs from chunks, and what is not known."""

from __future__ import annotations

import pytest

from copal.cli.pricing import print_price
from copal.cli.tables import size, span
from copal.graph import Graph
from copal.plan import Earlier, Held, Plan, plan
from copal.price import (
    TASK_SECONDS,
    History,
    Measure,
    PastRun,
    Price,
    Sample,
    Shape,
    makespan,
    price,
    rate,
    task_seconds,
)
from tests.builders import asset_of, graph_of, recipes_of

CHAIN = """
encode: {version: 1, compute: f:C, of: video}
shots: {version: 1, compute: f:S, needs: {encode: encode}}
pairs: {version: 1, compute: f:M, unit: pair, needs: {shots: shots}}
"""
GRAPH = graph_of(CHAIN)
ASSETS = [asset_of(name) for name in "abc"]
DURATIONS = {"a": 10.0, "b": 20.0, "c": 30.0, "x": 100.0, "y": 50.0}


def samples(**seconds: float) -> list[Sample]:
    return [Sample(unit.replace("_", "+"), s, 2 * s, int(1000 * s)) for unit, s in seconds.items()]


def planned(graph: Graph = GRAPH, **held: Held) -> Plan:
    return plan(graph, recipes_of(graph), ASSETS, held)


def priced(found: Plan, histories: dict[str, History], *runs: PastRun, **shape: object) -> Price:
    def chunk(unit: str) -> list[dict[str, list[str]]]:
        parts = [part for part in found if part.unit == unit and part.cells]
        return [{part.feature: [c.unit for c in part.cells] for part in parts}] if parts else []

    cut = Shape(**{"assets": chunk("asset"), "pairs": chunk("pair"), **shape})  # type: ignore[arg-type]
    return price(found, histories, runs, DURATIONS, cut)


# What one feature costs


def test_cost_goes_by_the_media():
    """
    A feature whose seconds follow its media's is priced by the second of media.
    """
    found = rate(samples(x=10.0, y=5.0), DURATIONS)
    assert (found.measure, found.seconds) == (Measure.MEDIA, pytest.approx(0.1))
    assert (found.cpu_seconds, found.bytes) == (pytest.approx(0.2), pytest.approx(100))


def test_cost_that_no_media_explains_goes_by_the_cell():
    """
    A feature that takes as long on a short asset as on a long one is priced by the cell.
    """
    found = rate(samples(x=2.0, y=2.0, a=2.1), DURATIONS)
    assert (found.measure, found.seconds) == (Measure.CELL, pytest.approx(2.03, abs=0.01))


def test_pairs_are_priced_by_what_predicts_them():
    """
    Pairs go by the pair, or by both durations multiplied where that predicts them better.
    """
    flat = rate(samples(a_b=1.0, b_c=1.0, a_a=1.0), DURATIONS)
    assert flat.measure is Measure.CELL
    growing = rate(samples(a_b=2.0, b_c=6.0, a_a=1.0, c_c=9.0), DURATIONS)
    assert (growing.measure, growing.seconds) == (Measure.PRODUCT, pytest.approx(0.01))


def test_spread_is_wider_with_less_history():
    """
    One cell says nothing of the spread; many alike say that it is small.
    """
    assert rate(samples(x=10.0), DURATIONS).deviation(100) is None
    few = rate(samples(x=11.0, y=4.0), DURATIONS)
    many = rate(samples(x=11.0, y=4.0) * 20, DURATIONS)
    assert many.deviation(100) < few.deviation(100)  # type: ignore[operator]
    assert rate(samples(x=10.0, y=5.0), DURATIONS).deviation(100) == pytest.approx(0)


# What a run costs


def test_wall_time_is_that_of_the_workers():
    """
    Two chunks side by side take as long as the longer, one after the other as long as both.
    """
    chains = [[3.0, 1.0], [2.0]]
    assert makespan(chains, 2) == 4.0
    assert makespan(chains, 1) == 6.0
    assert makespan([[1.0]] * 5, 2) == 3.0
    assert makespan([], 2) == 0.0


def test_the_price_of_a_run_is_cells_and_tasks():
    """
    In one process a run costs its cells; as a flow it costs its tasks too, whose cost is an
    assumption until a run has shown it.
    """
    found = planned(shots=Held(stored=frozenset("abc")), pairs=Held(stored=ALL))
    histories = {"encode": History(samples(x=10.0, y=5.0))}
    inline = priced(found, histories, flow=False)
    assert (inline.wall_seconds, inline.tasks) == (pytest.approx(2 * 0 + 6.0), 0)
    assert inline.cpu_seconds == pytest.approx(12.0)
    flow = priced(found, histories)
    assert flow.assumed
    assert flow.wall_seconds == pytest.approx(6.0 + 4 * TASK_SECONDS)
    shown = priced(found, histories, PastRun(seconds=20.0, tasks=9, workers=2, cell_seconds=12.0))
    assert not shown.assumed
    assert shown.wall_seconds == pytest.approx(6.0 + 4 * 2.0)  # (20 - 12 / 2) / (5 + 4 / 2)
    assert shown.low_seconds < shown.wall_seconds < shown.high_seconds


ALL = frozenset({"a+a", "a+b", "a+c", "b+b", "b+c", "c+c"})


def test_runs_that_differ_make_the_price_less_certain():
    """
    The cost of a task is the median of runs; from three of them on their spread is the doubt.
    """
    alike = [PastRun(s, 9, 2, 0.0) for s in (14.0, 14.0, 14.0)]
    assert task_seconds(alike) == (pytest.approx(2.0), pytest.approx(0.0))
    middle, doubt = task_seconds([PastRun(s, 9, 2, 0.0) for s in (7.0, 14.0, 28.0)]) or (0, 0)
    assert middle == pytest.approx(2.0)
    assert doubt == pytest.approx(0.74, abs=0.01)
    assert task_seconds([]) is None


def test_a_gpu_is_paid_for_while_it_is_held():
    """
    A feature on one GPU costs its wall seconds of it.
    """
    found = planned(shots=Held(stored=frozenset("abc")), pairs=Held(stored=ALL))
    paid = priced(found, {"encode": History(samples(x=10.0, y=5.0))}, gpus={"encode": 2})
    assert paid.gpu_seconds == pytest.approx(12.0)


def test_without_history_nothing_is_made_up():
    """
    A feature that never ran has no price, and the sum says that it is a lower bound.
    """
    found = planned()
    assert not priced(found, {}).known
    some = priced(found, {"encode": History(samples(x=10.0, y=5.0))})
    assert some.unknown == ("shots", "pairs")
    assert [each.rate is None for each in some.features] == [False, True, True]


def test_cells_that_may_be_carried_over_are_a_bound():
    """
    Where an older recipe is equal but for its needs, its cells are perhaps carried over, and of a
    per-shot feature no more shots are computed than those have.
    """
    raised = graph_of(CHAIN.replace("encode: {version: 1", "encode: {version: 2"))
    held = {
        "shots": Held(earlier=[Earlier(recipes_of(GRAPH)["shots"], frozenset("ab"))]),
        "encode": Held(earlier=[Earlier(recipes_of(GRAPH)["encode"], frozenset("abc"))]),
    }
    found = planned(raised, **held)
    assert found.feature("shots").carryable == {"a", "b"}
    assert found.feature("encode").carryable == frozenset()  # it is version 1 that is stored
    assert found.carryable == 2
    told = priced(found, {"shots": History(samples(a=1.0), "v1", {"a": 1000, "x": 840})})
    assert told.features[1].shots == 1000 + 920
    assert told.features[1].carryable == 2


def test_the_price_in_words(snapshot, capsys):
    """
    A line for each feature and one for the whole, within a terminal of 100 columns.
    """
    found = planned()
    run = PastRun(seconds=20.0, tasks=9, workers=2, cell_seconds=12.0)
    full = {
        "encode": History([*samples(x=1010.0, y=505.0), Sample("a", 90.0, 200.0, 5 << 20)]),
        "shots": History(samples(x=10.0, y=5.5), "v1"),
        "pairs": History(samples(a_b=0.02, b_c=0.06, a_a=0.01, c_c=0.08)),
    }
    for title, histories, runs, shape in (
        ("all is known", full, [run], {"workers": 2, "gpus": {"shots": 1}}),
        ("some is known", {"shots": full["shots"]}, [], {"workers": 8}),
        ("nothing is known", {}, [], {}),
    ):
        print(f"{title}\n")
        print_price(priced(found, histories, *runs, **shape))
        print()
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    snapshot("price_words", out)


def test_spans_and_sizes_for_people():
    """
    Two units at most, and no more digits than anybody needs.
    """
    spans = [span(s) for s in (0, 0.44, 9.96, 41.2, 59.6, 60, 250, 3599, 3600, 12000, 190000)]
    assert spans == [
        "0.0 s", "0.4 s", "10.0 s", "41 s", "1 min", "1 min", "4 min 10 s", "59 min 59 s", "1 h",
        "3 h 20 min", "2 d 5 h",
    ]  # fmt: skip
    assert [size(n) for n in (0, 812, 5 << 20, 12 << 20, 4.2 * 2**30, 2**42)] == [
        "0 B", "812 B", "5.0 MiB", "12 MiB", "4.2 GiB", "4.0 TiB",
    ]  # fmt: skip


def test_a_run_is_remembered_with_what_its_tasks_cost(tmp_path):
    """
    The history of a store is its newest attempts and the reports of its flows; a recipe without
    enough of them borrows those of an older one, and what was partly carried over is left out.
    """
    from copal.history import history
    from copal.store import LanceStore
    from copal.store.folder import LocalFolder
    from tests.builders import attempt_of, recipe_of

    class Project:
        store = LanceStore(LocalFolder(tmp_path))

    old, new = recipe_of(), recipe_of(version=2)
    table = Project.store.table(old)
    table.record([attempt_of(u, "stored", n, seconds=2.0) for n, u in enumerate("abcd")])
    table.record([attempt_of("e", "failed", 9, seconds=9.0)])
    found = history(Project(), new)  # type: ignore[arg-type]
    assert (len(found.samples), found.older) == (4, "v1")
    assert {each.seconds for each in found.samples} == {2.0}
    partly = {"shots": 40, "shots_computed": 12}
    Project.store.table(new).record(
        [attempt_of(u, "stored", n, seconds=3.0) for n, u in enumerate("abc")]
        + [attempt_of("d", "stored", 5, seconds=0.1, **partly)]
    )
    found = history(Project(), new)  # type: ignore[arg-type]
    assert (len(found.samples), found.older) == (3, "")
    assert {each.seconds for each in found.samples} == {3.0}
    assert found.shots == {"d": 40}
