"""Why a cell is as it is, where a value comes from, and what an edit means: of real stores."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest

from copal.errors import MissingValue, RequestError
from copal.why import differing_rows
from tests.integration.repository import Repository

SHIFTED = ("apart > self.jump).astype(np.int32) + 1", "apart > self.jump).astype(np.int32)")
"""An edit of the source after which 'cuts' finds each cut one frame earlier."""


def run(repository: Repository, *titles: str) -> None:
    assert not repository.lake().run(titles=titles, engine="inline").failed


# Why


def test_a_stale_cell_names_the_part_that_moved(filled: Repository) -> None:
    """
    A value under an older recipe only is stale, and the sentence goes down to the feature and the
    part that moved, also two needs away.
    """
    filled.edit("jump: 9.0", "jump: 12.5")
    state, since = filled.lake().why("calm", "cuts")
    assert "stale: stored under an older recipe, not under today's" in state
    assert "because: params jump 9.0 → 12.5. 'copal run cuts' computes it." in state
    assert since.endswith(": cuts v1: params.jump 9.0 → 12.5; not computed anew yet.")
    state, since = filled.lake().why("calm", "alike", "busy")
    assert "because: input changed (spans)." in state
    assert "carries it over if its needs come out as they were, or computes it" in state
    assert since.endswith(": cuts v1: params.jump 9.0 → 12.5; not computed anew yet.")


def test_what_was_computed_anew_says_how_much_differs(filled: Repository) -> None:
    """
    Once both values are stored, the rows that differ are counted, and equal ones are said to be.
    """
    filled.raise_version("cuts")
    filled.edit(*SHIFTED, name="quick/features.py")
    run(filled)
    told = filled.lake().why("busy", "spans")
    assert told[-1].endswith(": cuts v1 → v2; 3 of 3 rows differ.")
    assert not any("Carried over" in sentence for sentence in told)
    told = filled.lake().why("one_take", "spans")
    assert told[1].startswith("Carried over from recipe ")
    assert told[-1].endswith("; its 0 rows as before.")
    both = filled.lake().why("busy", "alike", "brisk")
    assert both[-1].endswith("; 5 of 5 rows differ.")


def test_a_need_that_moved_is_told_once(filled: Repository) -> None:
    """
    What reaches a feature by two ways is one sentence.
    """
    filled.edit("side: 8", "side: 4")
    told = filled.lake().why("calm", "spans")
    assert sum("params.side 8 → 4" in sentence for sentence in told) == 1


def test_a_pair_that_is_not_asked_for_says_so(filled: Repository) -> None:
    """
    Two assets that the registry does not pair have no cell to be missing.
    """
    filled.edit("pairs: {within: catalog}", "pairs: {within: title}")
    (said,) = filled.lake().why("calm", "alike", "busy")
    assert "not asked for. The feature pairs assets within one title" in said


def test_rows_are_compared_wherever_they_stand() -> None:
    """
    A row that only has another number, or another place, does not differ.
    """
    vectors = pa.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], pa.list_(pa.float32(), 2))
    old = pa.table({"shot_index": [0, 1, 2], "start_frame": [0, 9, 20], "vector": vectors})
    new = old.slice(1).set_column(0, "shot_index", pa.array([0, 1]))
    assert differing_rows(old, new) == 0
    assert differing_rows(new, old) == 1
    assert differing_rows(old, old.set_column(1, "start_frame", pa.array([0, 9, 21]))) == 1


# Lineage


def test_lineage_goes_back_to_the_media(filled: Repository) -> None:
    """
    Each value under another names its recipe, digest, run, machine, code, tools and cost, down to
    the streams of the source.
    """
    lake = filled.lake()
    root = lake.lineage("alike", "calm", "busy")
    left, right = root.needs["spans"]
    assert {left.name, right.name} == {"calm", "busy"}
    (levels,) = left.needs["levels"]
    (cuts,) = left.needs["cuts"]
    assert cuts.needs["levels"] == (levels,)
    assert [essence.split()[0] for essence in levels.essences] == ["video", "audio"]
    table = lake.project.table("levels")
    assert levels.value_digest == table.digests([levels.unit])[levels.unit][1]
    for origin in (root, left, cuts, levels):
        assert origin.made is not None
        assert origin.made.run_id == origin.run_id
        assert origin.made.machine
        assert len(origin.made.code_digest) == 32
    told = filled.copal("lineage", "alike", "calm", "--with", "busy").out
    assert told.splitlines()[0].startswith("alike of ")
    assert told.count("(above)") == 2
    assert "· av " in told


def test_lineage_of_what_was_carried_over_names_who_computed_it(filled: Repository) -> None:
    """
    A carried value names the recipe and the run that computed its rows.
    """
    first = filled.lake().lineage("spans", "calm").run_id
    filled.raise_version("cuts")
    run(filled)
    root = filled.lake().lineage("spans", "calm")
    assert root.carried_from
    assert root.run_id != first
    assert root.made is not None
    assert root.made.run_id == first
    (cuts,) = root.needs["cuts"]
    assert cuts.recipe.version == 2


def test_lineage_of_an_older_version_follows_its_own_needs(filled: Repository) -> None:
    """
    FEATURE@v1 comes from what version 1 was made of, though the registry has moved on.
    """
    old = filled.lake().lineage("spans", "calm")
    filled.edit("jump: 9.0", "jump: 0.5")
    run(filled)
    recipe = old.recipe.id[:8]
    again = filled.lake().lineage(f"spans@{recipe}", "calm")
    assert again == old


def test_lineage_is_drawn(filled: Repository) -> None:
    """
    The picture has one box for each value, with its digest, and a line for each that was taken.
    """
    svg, html = filled.root / "out" / "l.svg", filled.root / "out" / "l.html"
    filled.copal("lineage", "alike", "calm", "--with", "busy", "--svg", svg, "--html", html)
    text = svg.read_text()
    assert text.count("<rect") == 7
    assert text.count("<path") == 8
    assert filled.lake().lineage("cuts", "calm").value_digest[:8] in text
    assert html.read_text().count("<tr>") == 7


def test_what_is_not_stored_has_no_lineage(repository: Repository, films: Path) -> None:
    """
    A value that is missing says why, instead of an empty tree.
    """
    list(repository.lake().add([films]))
    with pytest.raises(MissingValue, match="missing"):
        repository.lake().lineage("cuts", "calm")


# Diff


def git(repository: Repository, *arguments: str) -> None:
    subprocess.run(
        ["git", "-C", repository.root, "-c", "user.name=t", "-c", "user.email=t@t", *arguments],
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def committed(filled: Repository) -> Repository:
    """A filled repository whose registry is committed."""
    git(filled, "init", "-q")
    git(filled, "add", "registry.yaml")
    git(filled, "commit", "-q", "-m", "one")
    return filled


def meaning(repository: Repository, ref: str = "HEAD") -> dict[str, tuple[str, int, int]]:
    found = repository.lake().diff(ref)
    return {each.feature: (str(each.kind), each.cells, each.carryable) for each in found.changes}


def test_no_edit_means_nothing(committed: Repository) -> None:
    """
    A registry that is as it was committed, or differs only in words and machines, is no drift.
    """
    assert committed.copal("diff").code == 0
    committed.edit("Where brightness jumps.", "Where it jumps.")
    committed.edit("block: 4", "block: 64")
    assert meaning(committed) == {}
    assert "Nothing that is computed" in committed.copal("diff").out


def test_an_edit_names_the_part_the_cells_and_the_price(committed: Repository) -> None:
    """
    A param that moves is told with its cells, those that follow, what may be carried over and what
    it costs; the exit code is 2, until it is committed.
    """
    committed.edit("jump: 9.0", "jump: 12.5")
    assert meaning(committed) == {
        "cuts": ("changed", 4, 0), "spans": ("follows", 4, 4), "alike": ("follows", 10, 10),
    }  # fmt: skip
    found = committed.lake().diff()
    assert found.changes[0].parts == ("params.jump 9.0 → 12.5",)
    assert found.price.known
    assert found.price.cpu_seconds > 0
    said = committed.copal("diff", code=2).out
    assert "cuts: params.jump 9.0 → 12.5; 4 cells" in said
    assert "18 cells would be computed" in said
    git(committed, "commit", "-q", "-am", "two")
    assert [*meaning(committed, "HEAD~1")] == ["cuts", "spans", "alike"]


def test_features_come_and_go(committed: Repository) -> None:
    """
    A feature that is new brings all its cells; one that is removed brings none.
    """
    text = (committed.root / "registry.yaml").read_text()
    head, mark, _ = text.partition("  alike:\n")
    assert mark
    again = (
        "  again:\n    version: 1\n    compute: quick.features:Cuts\n    needs: {levels: levels}\n"
    )
    (committed.root / "registry.yaml").write_text(head + again)
    assert meaning(committed) == {"again": ("added", 4, 0), "alike": ("removed", 0, 0)}


def test_what_moved_without_an_edit_is_told_too(committed: Repository) -> None:
    """
    A default that changed in the code moves the recipe although nobody edited the registry.
    """
    source = "quick/features.py"
    committed.edit("    side: int = 8\n", "    side: int = 8\n    shade: float = 0.5\n", source)
    found = meaning(committed)
    assert found["levels"] == ("moved", 4, 0)
    assert found["alike"] == ("follows", 10, 10)
    said = committed.copal("diff", code=2).out
    assert "levels: params.shade absent → 0.5 (not by this edit" in said


def test_an_older_registry_that_the_code_no_longer_takes(committed: Repository) -> None:
    """
    A param that went away in code and registry is told, not a crash.
    """
    committed.edit("    params: {jump: 9.0}\n", "")
    committed.edit("self.jump", "9.0", "quick/features.py")
    committed.edit("    jump: float = 9.0\n", "", "quick/features.py")
    (cuts, *_) = committed.lake().diff().changes
    assert (cuts.feature, str(cuts.kind)) == ("cuts", "changed")
    assert "has no param 'jump'" in cuts.parts[0]


def test_other_pairs_are_asked_for(committed: Repository) -> None:
    """
    Pairing within titles instead of the catalogue moves no recipe, and is told.
    """
    committed.edit("pairs: {within: catalog}", "pairs: {within: title}")
    found = committed.lake().diff()
    assert [each.parts for each in found.changes] == [("pairs catalog → title",)]
    assert found.plan.cells == 0


def test_diff_says_what_it_lacks(filled: Repository, tmp_path: Path) -> None:
    """
    No repository, no such commit, and an option in place of a commit are each one clear line.
    """
    with pytest.raises(RequestError, match="is in no git repository"):
        filled.lake().diff()
    git(filled, "init", "-q")
    with pytest.raises(RequestError, match=r"no registry.yaml at 'HEAD'"):
        filled.lake().diff()
    with pytest.raises(RequestError, match="is no commit"):
        filled.lake().diff("--output=x")


def test_a_git_that_hangs_is_one_line(
    filled: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A git that does not answer, as on a network folder that is away, is told like any mistake.
    """
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("copal.diff.GIT_SECONDS", 0.2)
    with pytest.raises(RequestError, match=r"git did not answer within 0\.2 s"):
        filled.lake().diff()
