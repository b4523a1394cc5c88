"""What is missing, and why: every decision with a few dictionaries in it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from copal.asset import Asset
from copal.cli.doing import print_plan
from copal.errors import UnknownFeature
from copal.graph import Graph, Ingredients
from copal.plan import MAX_TRIES, Cell, Earlier, Failure, Held, Plan, Reason, plan
from tests.builders import asset_of, graph_of, recipes_of

CHAIN = """
encode: {version: 1, compute: f:C, of: video}
shots: {version: 1, compute: f:S, needs: {encode: encode}}
pairs: {version: 1, compute: f:M, unit: pair, needs: {shots: shots}}
"""
GRAPH = graph_of(CHAIN)
ASSETS = [asset_of("a", "one", show="S"), asset_of("b", "two", show="S"), asset_of("c", "three")]
ALL_PAIRS = {"a+a", "a+b", "a+c", "b+b", "b+c", "c+c"}
DAMAGED = Failure("a.mov: no moving pictures.", "UnsupportedMedia", retryable=False, tries=1)
DIED = Failure("the task ended before it was done.", "WorkerDied", retryable=True, tries=1)


def decide(
    held: Mapping[str, Held],
    assets: list[Asset] = ASSETS,
    graph: Graph = GRAPH,
    names: tuple[str, ...] = (),
    force: tuple[str, ...] = (),
    **ingredients: Ingredients,
) -> Plan:
    return plan(graph, recipes_of(graph, names, **ingredients), assets, held, force=force)


def reasons(found: Plan, feature: str) -> dict[str, Reason]:
    return {cell.unit: cell.reason for cell in found.feature(feature).cells}


def full(**but: Held) -> dict[str, Held]:
    """Everything is stored, but for what is given."""
    units = frozenset("abc")
    everything = {
        "encode": Held(stored=units),
        "shots": Held(stored=units),
        "pairs": Held(stored=frozenset(ALL_PAIRS)),
    }
    return everything | but


def earlier(feature: str, units: str, graph: Graph = GRAPH, **ingredients: Ingredients) -> Earlier:
    return Earlier(recipes_of(graph, **ingredients)[feature], frozenset(units))


# The reasons, one by one


def test_nothing_is_missing_when_all_is_stored():
    """
    With a value for every cell there is nothing to do.
    """
    found = decide(full())
    assert (found.cells, found.stored) == (0, 12)


def test_new_asset():
    """
    On an empty store every cell is missing because its asset is new.
    """
    found = decide({})
    assert found.cells == 3 + 3 + 6
    assert {cell.reason for part in found for cell in part.cells} == {Reason.NEW_ASSET}


def test_new_asset_beside_old_ones():
    """
    One asset more is one cell more of each feature, and one pair more with every other asset.
    """
    found = decide(full(), [*ASSETS, asset_of("d")])
    assert reasons(found, "encode") == {"d": Reason.NEW_ASSET}
    assert reasons(found, "pairs") == dict.fromkeys(("a+d", "b+d", "c+d", "d+d"), Reason.NEW_ASSET)


def test_new_feature():
    """
    A feature that has never been computed, over assets whose needs are all stored, is new itself.
    """
    found = decide(full(shots=Held(), pairs=Held()))
    assert reasons(found, "shots") == dict.fromkeys("abc", Reason.NEW_FEATURE)


def test_version():
    """
    A raised version is the reason, and the plan tells both numbers.
    """
    raised = graph_of(CHAIN.replace("shots: {version: 1", "shots: {version: 2"))
    found = decide(
        full(shots=Held(earlier=[earlier("shots", "abc")])), graph=raised
    ).feature("shots")  # fmt: skip
    assert found.reasons == {Reason.VERSION: 3}
    assert found.sentence() == "version 1 → 2"


def test_params():
    """
    A changed param is the reason, told with both values; one that came or went is 'absent'.
    """
    old = earlier("shots", "ab", shots=Ingredients(params={"k": 1, "threshold": 27.0}))
    held = full(shots=Held(earlier=[old]))
    for params, words in (
        ({"k": 1, "threshold": 30.0}, "params threshold 27.0 → 30.0"),
        ({"k": 1}, "params threshold 27.0 → absent"),
        ({"k": 1, "threshold": 27.0, "mode": None}, "params mode absent → None"),
    ):
        found = decide(held, ASSETS[:2], shots=Ingredients(params=params)).feature("shots")
        assert found.reasons == {Reason.PARAMS: 2}
        assert found.sentence() == words


@pytest.mark.parametrize("part", ["tools", "weights"])
def test_tools(part):
    """
    Another version of a tool, or other weights, is the reason.
    """
    old = earlier("shots", "abc", shots=Ingredients(**{part: {"scenedetect": "0.6"}}))
    new = Ingredients(**{part: {"scenedetect": "0.7"}})
    found = decide(full(shots=Held(earlier=[old])), shots=new).feature("shots")
    assert found.reasons == {Reason.TOOLS: 3}
    assert found.sentence() == "tools scenedetect 0.6 → 0.7"


def test_input():
    """
    A feature whose own recipe is as it was, over needs that are not, has a changed input.
    """
    old = {name: earlier(name, "abc") for name in ("encode", "shots")}
    raised = graph_of(CHAIN.replace("encode: {version: 1", "encode: {version: 2"))
    held = full(encode=Held(earlier=[old["encode"]]), shots=Held(earlier=[old["shots"]]))
    found = decide(held, graph=raised)
    assert reasons(found, "encode") == dict.fromkeys("abc", Reason.VERSION)
    assert reasons(found, "shots") == dict.fromkeys("abc", Reason.INPUT)
    assert found.feature("shots").sentence() == "input changed (encode)"


def test_retry():
    """
    A failure that may pass is tried again.
    """
    found = decide(full(shots=Held(stored=frozenset("bc"), failures={"a": DIED})))
    assert reasons(found, "shots") == {"a": Reason.RETRY}


def test_a_cell_with_which_a_worker_died_is_marked():
    """
    It is to be tried alone; a cell that failed without taking its worker down is not.
    """
    full_disk = Failure("no space left.", "StoreUnavailable", retryable=True, tries=1)
    held = full(encode=Held(stored=frozenset("c"), failures={"a": DIED, "b": full_disk}))
    assert {cell.unit: cell.alone for cell in decide(held).feature("encode").cells} == {
        "a": True,
        "b": False,
    }


def test_forced():
    """
    A forced feature is computed again and replaces its values; what needs it follows.
    """
    found = decide(full(), force=("shots",))
    assert found.feature("encode").cells == ()
    assert found.feature("shots").cells == tuple(
        Cell(unit, Reason.FORCED, replace=True) for unit in "abc"
    )
    assert found.feature("pairs").cells == tuple(
        Cell(unit, Reason.INPUT, replace=True) for unit in sorted(ALL_PAIRS)
    )
    assert found.stored == 3


def test_every_reason_is_among_those_tested_here():
    """
    The set of reasons is closed: a new one needs a test of its own above.
    """
    assert {reason.name for reason in Reason} == {
        "NEW_ASSET", "NEW_FEATURE", "VERSION", "PARAMS", "TOOLS", "INPUT", "RETRY", "FORCED",
    }  # fmt: skip


# Which reason, when there are several


def test_the_newest_earlier_recipe_that_covers_the_unit_tells_the_reason():
    """
    Each unit is compared with the newest recipe that had a value for it.
    """
    v1, v2, v3 = (
        graph_of(CHAIN.replace("shots: {version: 1", f"shots: {{version: {n}")) for n in (1, 2, 3)
    )
    held = Held(earlier=[earlier("shots", "a", v2), earlier("shots", "ab", v1)])
    found = decide(full(shots=held), graph=v3).feature("shots")
    assert found.reasons == {Reason.VERSION: 2, Reason.NEW_ASSET: 1}
    assert found.changes == {Reason.VERSION: "2 → 3"}
    assert found.sentence() == "version 2 → 3 (2); new asset (1)"


def test_a_version_is_told_before_params_and_needs():
    """
    Where several parts differ, the author's own word comes first.
    """
    old = earlier("shots", "abc", shots=Ingredients(params={"k": 1}, tools={"t": "1"}))
    raised = graph_of(CHAIN.replace("version: 1", "version: 2"))
    found = decide(
        full(shots=Held(earlier=[old])), graph=raised, shots=Ingredients(params={"k": 2})
    )
    assert set(reasons(found, "shots").values()) == {Reason.VERSION}


# Failures


def test_a_permanent_failure_is_quarantined():
    """
    What failed for good is not tried again, and the plan keeps its error.
    """
    found = decide(full(encode=Held(stored=frozenset("bc"), failures={"a": DAMAGED})))
    assert found.feature("encode").cells == ()
    assert found.feature("encode").quarantined == {"a": DAMAGED}


@pytest.mark.parametrize(
    ("tries", "final"), [(1, False), (MAX_TRIES - 1, False), (MAX_TRIES, True)]
)
def test_a_passing_failure_that_does_not_pass_is_quarantined(tries, final):
    """
    Three retryable failures are enough.
    """
    failure = Failure("died", "WorkerDied", retryable=True, tries=tries)
    found = decide(full(encode=Held(stored=frozenset("bc"), failures={"a": failure})))
    assert bool(found.feature("encode").quarantined) is final
    assert bool(found.feature("encode").cells) is not final


def test_what_needs_a_quarantined_cell_is_blocked():
    """
    Its followers wait, however far, with a sentence that names the cause; others go on.
    """
    held = {"encode": Held(stored=frozenset("bc"), failures={"a": DAMAGED})}
    found = decide(held)
    sentence = "waits for 'encode', which is quarantined: a.mov: no moving pictures."
    assert found.feature("shots").blocked == {"a": sentence}
    assert set(reasons(found, "shots")) == {"b", "c"}
    assert found.feature("pairs").blocked == dict.fromkeys(("a+a", "a+b", "a+c"), sentence)
    assert set(reasons(found, "pairs")) == {"b+b", "b+c", "c+c"}
    assert (found.quarantined, found.blocked, found.cells) == (1, 4, 5)


def test_a_retry_blocks_nothing():
    """
    A need that is tried again may succeed, so what needs it is planned.
    """
    found = decide({"encode": Held(failures={"a": DIED})})
    assert found.blocked == 0
    assert set(reasons(found, "shots")) == set("abc")


def test_a_stored_value_is_not_blocked():
    """
    A value that is there stays, whatever became of its needs.
    """
    found = decide(full(encode=Held(stored=frozenset("bc"), failures={"a": DAMAGED})))
    assert (found.blocked, found.feature("shots").stored) == (0, 3)


def test_forcing_releases_quarantine():
    """
    A person may force what failed for good; nothing is replaced, since nothing is stored.
    """
    held = full(encode=Held(stored=frozenset("bc"), failures={"a": DAMAGED}), shots=Held())
    found = decide(held, force=("encode",))
    assert found.feature("encode").cells[0] == Cell("a", Reason.FORCED, replace=False)
    assert found.feature("shots").blocked == {}


def test_forcing_a_feature_that_is_not_declared():
    """
    A slip of the finger is told, not ignored.
    """
    with pytest.raises(UnknownFeature, match="Did you mean 'shots'"):
        decide({}, force=("shot",))


# Units


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        ("catalog", {"a+a", "a+b", "a+c", "a+d", "b+b", "b+c", "b+d", "c+c", "c+d", "d+d"}),
        ("show", {"a+a", "a+b", "b+b", "c+c", "c+d", "d+d"}),
        ("title", {"a+a", "b+b", "c+c", "c+d", "d+d"}),
    ],
)
def test_pairs_within(within, expected):
    """
    Pairs are of the whole catalogue, of one show, or of one title; a title without a show is alone.
    """
    graph = graph_of(CHAIN.replace("unit: pair", f"unit: pair, pairs: {{within: {within}}}"))
    assets = [*ASSETS, asset_of("d", "three"), asset_of("sound", "one", kind="audio")]
    assert set(reasons(decide({}, assets, graph), "pairs")) == expected


def test_a_show_is_not_a_title_of_the_same_name():
    """
    A film called as a show is no episode of it.
    """
    graph = graph_of(CHAIN.replace("unit: pair", "unit: pair, pairs: {within: show}"))
    assets = [asset_of("a", "x", show="heist"), asset_of("b", "heist")]
    assert set(reasons(decide({}, assets, graph), "pairs")) == {"a+a", "b+b"}


def test_a_pair_needs_both_its_assets():
    """
    With one asset asked about, only its pair with itself is; the stored ones of others stay out.
    """
    found = decide(full(), ASSETS[:1]).feature("pairs")
    assert (found.units, found.stored, found.cells) == (1, 1, ())
    found = decide({}, ASSETS[:2]).feature("pairs")
    assert {cell.unit for cell in found.cells} == {"a+a", "a+b", "b+b"}


def test_an_asset_of_another_kind_is_no_unit():
    """
    Sound has no video features, nor pairs with films.
    """
    found = decide({}, [asset_of("a"), asset_of("sound", kind="audio")])
    assert [part.units for part in found] == [1, 1, 1]
    assert {cell.unit for part in found for cell in part.cells} == {"a", "a+a"}


def test_a_feature_may_start_from_several_kinds():
    """
    Each asset of a kind that it takes is a unit; pairs are of any two of them.
    """
    graph = graph_of("""
    sound: {version: 1, compute: f:A, of: [video, audio]}
    alike: {version: 1, compute: f:L, unit: pair, needs: {sound: sound}}
    """)
    assets = [asset_of("a"), asset_of("s", kind="audio"), asset_of("t", kind="text")]
    assert set(reasons(decide({}, assets, graph), "sound")) == {"a", "s"}
    assert set(reasons(decide({}, assets, graph), "alike")) == {"a+a", "a+s", "s+s"}


def test_a_feature_of_two_kinds_has_no_units():
    """
    No asset is film and text at once, so what needs both is asked of none.
    """
    graph = graph_of(CHAIN + """
words: {version: 1, compute: f:W, of: text}
both: {version: 1, compute: f:B, needs: {shots: shots, words: words}}
""")  # fmt: skip
    found = decide({}, [asset_of("a"), asset_of("t", kind="text")], graph)
    assert found.feature("words").units == 1
    assert found.feature("both").units == 0


def test_only_what_is_wanted_is_planned():
    """
    A plan for shots says nothing of pairs, and needs stand before what needs them.
    """
    found = decide({}, names=("shots",))
    assert [part.feature for part in found] == ["encode", "shots"]


def test_the_order_of_assets_does_not_matter():
    """
    The same question has the same answer, cell by cell.
    """
    assert decide({}, list(reversed(ASSETS))) == decide({})


def test_planning_opens_nothing(monkeypatch):
    """
    The plan is made from its arguments alone: no file is opened on the way.
    """
    recipes = recipes_of(GRAPH)

    def refuse(*_args: object, **_more: object) -> None:
        raise AssertionError("plan() opened a file")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert plan(GRAPH, recipes, ASSETS, full()).cells == 0


# In words


def test_the_printed_plan(snapshot, capsys):
    """
    What a person reads before paying: each feature with cells, how many of how many, and why.
    """
    raised = graph_of(CHAIN.replace("shots: {version: 1", "shots: {version: 2"))
    died = {"b": DIED}
    held = {
        "encode": Held(stored=frozenset("c"), failures={"a": DAMAGED} | died),
        "shots": Held(earlier=[earlier("shots", "bc")]),
    }
    cases = {
        "an empty store": decide({}),
        "one asset": decide({}, ASSETS[:1]),
        "a version, a failure, a retry": decide(held, graph=raised),
        "forced": decide(full(), force=("shots",)),
        "nothing": decide(full()),
    }
    told = []
    for name, found in cases.items():
        print_plan(found)
        told.append(f"{name}\n{capsys.readouterr().out}")
    snapshot("plan_tables", "\n".join(told))
