"""A folder opened: which assets a name means, and what its store holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from copal.asset import Title
from copal.errors import RegistryError, RequestError, UnknownTitle
from copal.fingerprint import TitleId
from copal.plan import MAX_TRIES
from copal.project import Project, failures
from tests.builders import asset_of, attempt_of, recipe_of, value_of
from tests.contracts import rows_of

REGISTRY = """\
project: test
features:
  shots: {version: 2, compute: gone:Gone, of: video}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("COPAL_STORE", raising=False)
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    made = Project(tmp_path)
    titles = [("the-vault", "The Vault"), ("the-fence", "The Fence"), ("harbour", "Harbour")]
    made.catalog.keep(
        [
            asset_of("7f3a9c21aaaa", "the-vault", show="Heist"),
            asset_of("7f3a0000bbbb", "the-fence", show="Heist"),
            asset_of("c0ffee00cccc", "harbour"),
            asset_of("c0ffee11dddd", "harbour"),
        ],
        [Title(TitleId(key), name) for key, name in titles],
    )
    return made


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ["7f3a0000bbbb", "7f3a9c21aaaa", "c0ffee00cccc", "c0ffee11dddd"]),
        (["the-vault"], ["7f3a9c21aaaa"]),
        (["The Vault"], ["7f3a9c21aaaa"]),
        (["THE  vault!"], ["7f3a9c21aaaa"]),
        (["harbour"], ["c0ffee00cccc", "c0ffee11dddd"]),
        (["heist"], ["7f3a0000bbbb", "7f3a9c21aaaa"]),
        (["7f3a9c21"], ["7f3a9c21aaaa"]),
        (["7F3A"], ["7f3a0000bbbb", "7f3a9c21aaaa"]),
        (["harbour", "c0ffee00", "the-fence"], ["7f3a0000bbbb", "c0ffee00cccc", "c0ffee11dddd"]),
    ],
)
def test_a_name_means_a_title_a_show_or_an_asset(project, names, expected):
    """
    Assets are named by title, by show or by the start of their id; each comes once, by id.
    """
    assert [asset.id for asset in project.select(names)] == expected


def test_a_plain_name_means_titles_of_shows_too(project):
    """
    An episode, whose id begins with its show, is found by its name, however it is spelled.
    """
    key = TitleId("heist-s01e01-pilot")
    episode = asset_of("aa00aa00aaaa", key, show="Heist")
    project.catalog.keep([episode], [Title(key, "Pilot", "episode", "Heist", 1, 1)])
    assert [project.asset(name).id for name in ("pilot", key)] == [episode.id] * 2


def test_a_name_that_means_nothing(project):
    """
    An unknown title is told with the nearest one; the start of an id has four digits or more.
    """
    with pytest.raises(UnknownTitle) as caught:
        project.select(["harbour", "The Volt"])
    assert str(caught.value) == "no title 'The Volt' in .copal. Did you mean 'The Vault'?"
    with pytest.raises(UnknownTitle, match="'copal add' brings files in"):
        project.select(["7f3"])


def test_one_asset_is_one(project):
    """
    Where one asset is wanted, a name of several is told with their ids.
    """
    assert project.asset("the vault").id == "7f3a9c21aaaa"
    with pytest.raises(RequestError) as caught:
        project.asset("harbour")
    expected = "'harbour' means 2 assets (c0ffee00, c0ffee11). Name one by its id."
    assert str(caught.value) == expected


def test_the_nearest_registry_above_is_the_project(tmp_path, monkeypatch):
    """
    A project is found from any folder inside it; a folder that is named is taken at its word.
    """
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    monkeypatch.chdir(below)
    assert Project.find().root == tmp_path
    with pytest.raises(RegistryError, match="no such file"):
        Project.find(below)
    monkeypatch.setenv("COPAL_PROJECT", str(below))
    with pytest.raises(RegistryError, match="no such file"):
        Project.find()


def test_an_older_version_can_be_read(project):
    """
    The newest stored recipe of a version is found without importing its class.
    """
    old, newer = recipe_of(params={"k": 1}), recipe_of(params={"k": 2})
    for recipe in (old, newer):
        project.store.table(recipe).publish([value_of("a", rows_of("x"))])
    assert project.recipe("shots@v1") == newer
    assert project.table("shots@v1").index().units == {"a"}
    with pytest.raises(RequestError) as caught:
        project.recipe("shots@v7")
    assert str(caught.value) == (
        f"'shots@v7': nothing was stored under this version. There is {newer.label}, {old.label}."
    )


# Failures, as the store tells them


def test_failures_are_counted(project):
    """
    Each failed attempt is one more try; the last one's words are told.
    """
    table = project.store.table(recipe_of())
    table.record(
        [attempt_of("a", "failed", n, error=f"try {n}", retryable=True) for n in range(MAX_TRIES)]
    )
    table.record([attempt_of("b", "stored", 1), attempt_of("c", "failed", 2, error="damaged")])
    found = failures(table)
    assert set(found) == {"a", "c"}
    assert (found["a"].tries, found["a"].error, found["a"].final) == (3, "try 2", True)
    assert (found["c"].tries, found["c"].final) == (1, True)


def test_a_release_lets_a_cell_be_tried_again(project):
    """
    After a person released it, a failure is not final any more, and counts from the beginning.
    """
    table = project.store.table(recipe_of())
    table.record([attempt_of("a", "failed", 1), attempt_of("a", "released", 2)])
    assert not failures(table)["a"].final
    table.record([attempt_of("a", "failed", 3, retryable=True)])
    assert (failures(table)["a"].tries, failures(table)["a"].final) == (1, False)
