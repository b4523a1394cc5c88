"""Golden rows: kept once, noticed when the code makes others, accepted by a command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from copal.contracts import feature_names
from copal.errors import BrokenContract
from copal.golden import GOLDEN_FILE, Golden, accept_golden, check_golden, golden_rows
from tests.integration.repository import Repository

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Golden]:
    """What Copal's own features make of the films today."""
    return golden_rows(ROOT, tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("feature", feature_names(ROOT))
def test_our_rows_change_only_with_the_recipe(feature: str, rows: Mapping[str, Golden]) -> None:
    """
    What each of our features makes is what it made when its golden rows were kept.
    """
    if no_verdict := check_golden(ROOT, feature, rows):
        pytest.skip(no_verdict)


def made(repository: Repository, folder: Path) -> Mapping[str, Golden]:
    repository.lake()  # forgets the features that were imported
    return golden_rows(repository.root, folder)


def test_rows_that_change_without_a_version_are_noticed(
    repository: Repository, tmp_path: Path
) -> None:
    """
    The code makes other rows and nothing in the recipe moved: the feature at fault is told, with
    the command that accepts it; what follows from it is not blamed.
    """
    before = made(repository, tmp_path / "before")
    accept_golden(repository.root, before)
    assert [check_golden(repository.root, name, before) for name in before] == [""] * 4
    repository.edit("np.int32) + 1", "np.int32)", "quick/features.py")
    after = made(repository, tmp_path / "after")
    with pytest.raises(BrokenContract) as caught:
        check_golden(repository.root, "cuts", after)
    assert "and its recipe did not" in str(caught.value)
    assert "Raise its 'version'" in str(caught.value)
    assert "copal golden --accept cuts" in str(caught.value)
    assert check_golden(repository.root, "levels", after) == ""
    assert "as those of 'cuts' did" in check_golden(repository.root, "spans", after)

    repository.raise_version("cuts")
    raised = made(repository, tmp_path / "raised")
    with pytest.raises(BrokenContract, match="as its recipe says: cuts version 1 → 2"):
        check_golden(repository.root, "cuts", raised)
    accept_golden(repository.root, raised)
    assert check_golden(repository.root, "cuts", raised) == ""


def test_small_differences_of_floats_are_none(repository: Repository, tmp_path: Path) -> None:
    """
    Another processor's last digits change nothing; a twentieth does, and so does an order.
    """
    found = made(repository, tmp_path / "one")["spans"]
    (name, sums), *_ = found.floats.items()

    def with_sums(*new: float) -> Golden:
        return Golden(found.recipe, found.rows, found.exact, {name: new})

    mean, square, wave, other = sums
    assert found.same_rows(with_sums(mean * 1.0001, square * 1.0001, wave, other))
    assert not found.same_rows(with_sums(mean * 1.05, square * 1.05, wave, other))
    assert not found.same_rows(with_sums(mean, square, wave + 0.01 * square, other))


def test_other_tools_make_no_verdict(repository: Repository, tmp_path: Path) -> None:
    """
    Rows that differ where a tool has another version are told, and nobody is blamed.
    """
    found = dict(made(repository, tmp_path / "one"))
    accept_golden(repository.root, found)
    path = repository.root / GOLDEN_FILE
    kept = json.loads(path.read_text())
    kept["levels"]["recipe"]["levels"]["tools"]["av"] = "1.0"
    kept["levels"]["rows"] += 1
    path.write_text(json.dumps(kept))
    said = check_golden(repository.root, "levels", found)
    assert "made with other tools: levels tools.av 1.0 → " in said


def test_the_command_compares_and_accepts(repository: Repository) -> None:
    """
    'copal golden' tells what is not kept, keeps it when told to, and fails when rows changed.
    """
    said = repository.copal("golden", "cuts").out
    assert "'cuts': no golden rows are kept yet; 'copal golden --accept cuts' keeps them." in said
    repository.copal("golden", "--accept")
    assert repository.copal("golden").out == "4 of 4 features made their golden rows.\n"
    repository.edit("np.int32) + 1", "np.int32)", "quick/features.py")
    assert "1 of 4 features made their golden rows." in repository.copal("golden", code=1).out
