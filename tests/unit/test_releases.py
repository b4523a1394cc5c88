"""The list of moves: what is released, what was, and who comes first."""

from __future__ import annotations

import threading
from pathlib import Path

from copal.fingerprint import RecipeId
from copal.registry import FeatureName
from copal.store.folder import LocalFolder
from copal.store.releases import (
    AUTOMATIC,
    PROMOTE,
    ROLLBACK,
    Released,
    Releases,
    after,
    earlier,
    left,
)


def released(feature: str, recipe: str, version: int = 1) -> Released:
    return Released(FeatureName(feature), RecipeId(recipe), version)


def list_of(folder: Path, *moves: tuple[str, list[Released]]) -> Releases:
    found = Releases(LocalFolder(folder))
    for number, (kind, what) in enumerate(moves):
        assert found.move(what, seen=number, kind=kind, by="somebody", why="because")
    return found


def test_nothing_is_released_at_first(tmp_path):
    """
    A store in which nobody released anything has no moves, and no table of them.
    """
    found = Releases(LocalFolder(tmp_path))
    assert found.current() == {}
    assert found.history() == []
    assert list(tmp_path.iterdir()) == []


def test_the_last_move_that_names_a_feature_counts(tmp_path):
    """
    What is released of each feature is what the last move that names it said.
    """
    found = list_of(
        tmp_path,
        (AUTOMATIC, [released("shots", "a"), released("dedup", "p")]),
        (AUTOMATIC, [released("shots", "b", 2)]),
    )
    assert found.current() == {"shots": "b", "dedup": "p"}
    assert after(found.history()[:1])["shots"] == released("shots", "a")
    one, two = found.history()
    assert (one.number, two.number) == (1, 2)
    assert (two.kind, two.by, two.why) == (AUTOMATIC, "somebody", "because")


def test_a_decision_on_an_older_state_moves_nothing(tmp_path):
    """
    Who decided before somebody else moved is told so, and the other's move stands.
    """
    found = list_of(tmp_path, (AUTOMATIC, [released("shots", "a")]))
    assert not found.move([released("shots", "c")], seen=0, kind=PROMOTE, by="late")
    assert found.current() == {"shots": "a"}


def test_of_two_who_move_at_once_one_is_first(tmp_path):
    """
    Eight who decided on the same state: one moves, seven are told; nothing is lost or twice.
    """
    found = list_of(tmp_path, (AUTOMATIC, [released("shots", "a")]))
    told: list[bool] = []
    start = threading.Barrier(8)

    def move(name: str) -> None:
        start.wait()
        told.append(found.move([released("shots", name)], seen=1, kind=PROMOTE, by=name))

    racers = [threading.Thread(target=move, args=(f"r{n}",)) for n in range(8)]
    for each in racers:
        each.start()
    for each in racers:
        each.join()
    assert sorted(told) == [False] * 7 + [True]
    assert [move.number for move in found.history()] == [1, 2]


def test_what_was_released_before(tmp_path):
    """
    The releases of a feature are told the newest first, each once in a row.
    """
    found = list_of(
        tmp_path,
        (AUTOMATIC, [released("shots", "a")]),
        (AUTOMATIC, [released("dedup", "p")]),
        (AUTOMATIC, [released("shots", "b")]),
        (PROMOTE, [released("shots", "b"), released("dedup", "q")]),
    )
    assert [each.recipe for each in earlier(found.history(), "shots")] == ["b", "a"]
    assert [each.recipe for each in earlier(found.history(), "stills")] == []


def test_what_people_left_is_remembered(tmp_path):
    """
    A recipe that a person moved away from is remembered until somebody promotes it again.
    """
    moves = [
        (AUTOMATIC, [released("shots", "a")]),
        (AUTOMATIC, [released("shots", "b")]),
        (ROLLBACK, [released("shots", "a")]),
        (AUTOMATIC, [released("shots", "c")]),
        (PROMOTE, [released("shots", "b")]),
    ]
    found = list_of(tmp_path, *moves)
    seen = [left(found.history()[:number], "shots") for number in range(1, 6)]
    assert seen == [set(), set(), {"b"}, {"b"}, {"c"}]
