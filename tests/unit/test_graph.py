"""What depends on what, and the recipes that follow."""

from __future__ import annotations

import pytest

from copal.errors import DependencyCycle, UnknownFeature
from copal.graph import Graph, Ingredients, Recipe
from copal.registry import parse
from tests.builders import graph_of, recipe_of, recipes_of

HOUSE = """
match_pairs: {version: 1, compute: f:M, unit: pair, needs: {shots: shots, vectors: embedding}}
embedding: {version: 1, compute: f:E, needs: {shots: shots}, default: false}
stills: {version: 1, compute: f:P, needs: {encode: encode, shots: shots}}
shots: {version: 1, compute: f:S, needs: {encode: encode}}
encode: {version: 1, compute: f:C, of: video}
words: {version: 1, compute: f:W, of: text}
"""


@pytest.fixture
def graph() -> Graph:
    return graph_of(HOUSE)


def test_every_feature_comes_after_all_its_needs(graph):
    """
    The order is one in which features can be computed; free choices stay as declared.
    """
    assert graph.order == ("encode", "shots", "embedding", "match_pairs", "stills", "words")


def test_targets_bring_what_they_need(graph):
    """
    A feature that is named comes with all it needs, however far, once, in order; and no more.
    """
    assert graph.targets(["match_pairs"]) == ("encode", "shots", "embedding", "match_pairs")
    assert graph.targets(["stills", "shots"]) == ("encode", "shots", "stills")
    assert graph.targets(["words"]) == ("words",)


def test_default_targets(graph):
    """
    Without a name all default features are meant, and what they need even if it is no default.
    """
    assert graph.targets() == graph.order
    without_pairs = graph_of(HOUSE.replace("match_pairs: {", "match_pairs: {default: false, "))
    assert without_pairs.targets() == ("encode", "shots", "stills", "words")


def test_followers_are_all_that_would_change(graph):
    """
    What needs a feature, directly or not, and nothing else.
    """
    assert graph.followers("shots") == ("embedding", "match_pairs", "stills")
    assert graph.followers("embedding") == ("match_pairs",)
    assert graph.followers("words") == ()


def test_kinds_go_back_to_the_media(graph):
    """
    A feature of features starts from the kinds of asset that its needs start from.
    """
    assert graph.kinds("match_pairs") == {"video"}
    assert graph.kinds("words") == {"text"}


def test_kinds_are_those_that_every_beginning_takes():
    """
    Sound features take films and sound files; what needs pictures too takes only films.
    """
    graph = graph_of("""
    encode: {version: 1, compute: f:C, of: video}
    sound: {version: 1, compute: f:A, of: [video, audio]}
    speech: {version: 1, compute: f:S, needs: {sound: sound}}
    both: {version: 1, compute: f:B, needs: {sound: sound, encode: encode}}
    """)
    assert graph.kinds("speech") == {"video", "audio"}
    assert graph.kinds("both") == {"video"}


def test_implied_edges_are_those_that_another_way_implies(graph):
    """
    Stills need shots, which need the encode: that stills need it too can be drawn lightly.
    """
    assert graph.implied() == {("encode", "stills"), ("shots", "match_pairs")}


def test_layers_count_steps_from_the_media(graph):
    """
    For drawing: media features first, each other feature one column after its last need.
    """
    assert graph.layers() == [
        ["encode", "words"],
        ["shots"],
        ["embedding", "stills"],
        ["match_pairs"],
    ]


def test_unknown_names_are_told(graph):
    """
    Whatever is asked of a feature that is not declared, the answer is UnknownFeature.
    """
    for ask in (graph.declaration, graph.followers, graph.kinds):
        with pytest.raises(UnknownFeature, match="Did you mean 'stills'"):
            ask("stils")
    with pytest.raises(UnknownFeature, match="Did you mean 'stills'"):
        graph.targets(["shots", "stils"])


@pytest.mark.parametrize(
    "features",
    [
        "a: {version: 1, compute: f:A, needs: {x: a}}",
        "a: {version: 1, compute: f:A, needs: {x: b}}\n"
        "b: {version: 1, compute: f:B, needs: {x: a}}",
    ],
)
def test_a_circle_is_refused(features):
    """
    Features that need each other in a circle, or themselves, are a DependencyCycle.
    """
    with pytest.raises(DependencyCycle):
        graph_of(features)


def test_the_circle_is_told_step_by_step(snapshot):
    """
    The message walks round the circle, in the order of the needs, and says what to do.
    """
    text = """
    encode: {version: 1, compute: f:C, of: video}
    shots: {version: 1, compute: f:S, needs: {encode: encode, found: shot_embeddings}}
    dedup: {version: 1, compute: f:D, needs: {shots: shots}}
    shot_embeddings: {version: 1, compute: f:E, needs: {dedup: dedup}}
    """
    with pytest.raises(DependencyCycle) as caught:
        graph_of(text)
    snapshot("graph_circle", str(caught.value))


# Recipes


def test_recipe_ids_hold_everything_that_decides_rows():
    """
    Another version, param, weight, tool, need or argument name is another recipe.
    """
    parts = {"params": {"k": 1}, "weights": {"w": "d"}, "tools": {"t": "1"}, "needs": {"a": "r"}}
    recipes = [
        recipe_of(**parts),
        recipe_of(version=2, **parts),
        *(
            recipe_of(**(parts | {part: other}))
            for part, other in (
                ("params", {"k": 2}), ("params", {}), ("params", {"k": 1, "l": None}),
                ("weights", {"w": "e"}), ("weights", {}),
                ("tools", {"t": "2"}), ("tools", {"u": "1"}),
                ("needs", {"a": "s"}), ("needs", {"b": "r"}), ("needs", {}),
            )
        ),
    ]  # fmt: skip
    assert len({recipe.id for recipe in recipes}) == len(recipes)
    assert recipe_of(**parts).id == recipes[0].id


def test_a_recipe_survives_json():
    """
    ``recipe.json`` holds all named parts: what is read has the id of what was written.
    """
    recipe = recipe_of(params={"k": [1, 2]}, tools={"ffmpeg": "7"}, needs={"encode": "r"})
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(recipe.to_json()).id == recipe.id


def test_a_change_moves_the_recipes_of_followers_and_of_nothing_else(graph):
    """
    After a version goes up, it and what needs it have new recipes; the rest keep theirs.
    """
    before = recipes_of(graph)
    raised = graph_of(HOUSE.replace("shots: {version: 1", "shots: {version: 2"))
    after = recipes_of(raised)
    moved = {name for name in before if before[name].id != after[name].id}
    assert moved == {"shots", "embedding", "stills", "match_pairs"}


def test_tools_and_weights_move_recipes(graph):
    """
    A new tool or other weights make new recipes, as a version does.
    """
    before = recipes_of(graph, embedding=Ingredients(weights={"model": "a"}))
    after = recipes_of(graph, embedding=Ingredients(weights={"model": "b"}))
    assert [n for n in before if before[n].id != after[n].id] == ["embedding", "match_pairs"]


def test_one_class_behind_two_features_is_two_recipes():
    """
    Flavours differ by their params or needs, so each has a recipe of its own; twins do not.
    """
    graph = graph_of("""
    encode: {version: 1, compute: f:C, of: video}
    motion: {version: 1, compute: f:V, needs: {encode: encode}}
    colour: {version: 1, compute: f:V, needs: {encode: encode}, params: {kind: colour}}
    by_motion: {version: 1, compute: f:M, needs: {vectors: motion}}
    by_colour: {version: 1, compute: f:M, needs: {vectors: colour}}
    """)
    found = recipes_of(graph, colour=Ingredients(params={"kind": "colour"}))
    assert len({recipe.id for recipe in found.values()}) == 5
    assert found["by_motion"].needs == {"vectors": found["motion"].id}


def test_the_name_of_a_feature_is_no_part_of_its_recipe():
    """
    Renaming a feature leaves the recipes of what needs it as they were.
    """
    text = "encode: {version: 1, compute: f:C, of: video}\n"
    shots = "shots: {version: 1, compute: f:S, needs: {encode: encode}}"
    one = recipes_of(graph_of(text + shots))["shots"]
    other = recipes_of(graph_of((text + shots).replace("encode:", "proxy:", 1).replace(
        ": encode}", ": proxy}")))["shots"]  # fmt: skip
    assert one.id == other.id


def test_resources_and_retries_stay_out_of_recipes(graph):
    """
    Memory, processors, retries, timeouts, summaries and defaults change no row and no recipe.
    """
    more = (
        "resources: {cpu: 8, gpu: 1, memory_gib: 64}, retries: 3, timeout_minutes: 5, "
        "summary: Other words., default: false, "
    )
    changed = graph_of(HOUSE.replace("shots: {version", f"shots: {{{more}version"))
    assert recipes_of(changed) == recipes_of(graph)


def test_the_same_registry_has_the_same_recipes(graph):
    """
    Recipes follow from the registry's content, not from the order of its lines.
    """
    lines = HOUSE.strip().splitlines()
    turned = graph_of("\n".join(reversed(lines)))
    assert {n: r.id for n, r in recipes_of(turned).items()} == {
        n: r.id for n, r in recipes_of(graph).items()
    }


def test_a_registry_without_features_has_no_targets():
    """
    An empty mapping of features is a registry, of nothing.
    """
    assert Graph(parse("project: test\nfeatures: {}\n")).targets() == ()
