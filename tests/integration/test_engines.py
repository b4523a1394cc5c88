"""The two engines store the same, and the flow that one of them runs is never a stale one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.integration.repository import Contents, Repository, contents


def test_a_store_filled_by_one_engine_is_fully_hit_by_the_other(
    repository: Repository, films: Path, undisturbed: Callable[..., Contents]
) -> None:
    """
    Metaflow and inline store equal units, states, digests, rows and file bytes, so that after
    either of them the other computes nothing and no flow is started.
    """
    repository.add(films)
    by_metaflow = repository.run("--max-workers", "2", engine="metaflow")
    assert by_metaflow["tasks"] == 13
    assert by_metaflow["outcomes"]["levels"] == {"stored": 4}
    assert sum(sum(counts.values()) for counts in by_metaflow["outcomes"].values()) == 22

    assert contents(repository.lake()) == undisturbed()
    for engine in ("inline", "metaflow"):
        report = repository.run(engine=engine)
        assert report["outcomes"] == {}
        assert report["tasks"] == 0
        assert report["already_stored"] == 22


def test_a_store_filled_inline_is_left_alone_by_metaflow(filled: Repository) -> None:
    """
    With everything stored by the inline engine, the Metaflow engine starts no flow.
    """
    before = contents(filled.lake())
    said = filled.copal("run", "--engine", "metaflow").out
    assert said == "Nothing to compute: 22 cells are stored. No flow was started.\n"
    assert contents(filled.lake()) == before
    assert not (filled.root / ".metaflow").exists()


def test_a_flow_of_pairs_alone(filled: Repository, undisturbed: Callable[..., Contents]) -> None:
    """
    When only a feature of pairs is missing, the flow has steps for it alone, and stores the same.
    """
    filled.raise_version("alike")
    report = filled.run("--max-workers", "2", engine="metaflow")
    assert report["outcomes"] == {"alike": {"stored": 10}}
    assert report["tasks"] == 6
    rows = {
        feature: {unit: value["rows"] for unit, value in values.items()}
        for (feature, _), values in undisturbed().items()
    }
    (_, new) = (values for (name, _), values in contents(filled.lake()).items() if name == "alike")
    assert {unit: value["rows"] for unit, value in new.items()} == rows["alike"]


def test_a_flow_older_than_the_registry_is_refused(filled: Repository) -> None:
    """
    After the registry has changed, nothing runs until 'flow write'; the message says so.
    """
    (filled.root / "registry.yaml").write_text(
        (filled.root / "registry.yaml").read_text()
        + "  spans_too:\n"
        + "    version: 1\n"
        + "    compute: quick.features:Spans\n"
        + "    needs: {levels: levels, cuts: cuts}\n"
    )
    refused = filled.copal("run", code=2)
    assert refused.err == (
        "copal: flows/feature_flow.py is older than registry.yaml. Run 'copal flow write'.\n"
    )
    assert filled.copal("check", code=2).err == refused.err
    assert filled.copal("flow", "write").out == "wrote flows/feature_flow.py\n"
    written = (filled.root / "flows" / "feature_flow.py").read_text()
    assert filled.copal("flow", "show").out == written
    assert "def spans_too(self):" in written
    assert filled.copal("check").out.endswith("registry.yaml: 5 features, in order.\n")


def test_a_flow_that_is_not_there_is_asked_for(filled: Repository) -> None:
    """
    Without a flow file the message says how to make one.
    """
    (filled.root / "flows" / "feature_flow.py").unlink()
    filled.raise_version("levels")
    assert filled.copal("run", code=2).err == (
        "copal: flows/feature_flow.py is not there. Run 'copal flow write' and commit it.\n"
    )


def flow(repository: Repository, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "flows/feature_flow.py", *arguments],
        cwd=repository.root,
        env=repository.variables(),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_flow_is_a_metaflow_program_of_its_own(repository: Repository) -> None:
    """
    ``python flows/feature_flow.py show`` prints every step; a stale file refuses to.
    """
    shown = flow(repository, "show")
    assert shown.returncode == 0, shown.stderr
    for step in ("start", "levels", "cuts", "spans", "join_assets", "plan_pairs", "alike", "end"):
        assert f"Step {step}\n" in shown.stdout
    assert "How bright every picture is." in shown.stdout

    repository.edit("  cuts:\n", "  jumps:\n")
    repository.edit("needs: {levels: levels, cuts: cuts}", "needs: {levels: levels, cuts: jumps}")
    stale = flow(repository, "show")
    assert stale.returncode != 0
    assert "flows/feature_flow.py is older than registry.yaml ('cuts')." in stale.stderr


def test_ranges_are_shown_without_a_standard_encode(filled: Repository) -> None:
    """
    Rows with frame ranges print in a project that has no encode, as frames without timecodes.
    """
    said = filled.copal("show", "spans", "--title", "calm").out.splitlines()
    assert said[0].split() == ["title", "start_frame", "end_frame", "level"]
    assert [line.split()[:3] for line in said[1:]] == [["calm", "0", "8"], ["calm", "8", "14"]]
