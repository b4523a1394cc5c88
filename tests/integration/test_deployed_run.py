"""A run that nobody drives, as on a cluster; the cards of its joins; systemd's unit."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from copal.flow import deployed
from copal.flow.cards import card_tables, fill
from copal.store.leases import Lease, beat_of, claim, live_runs
from tests.integration.repository import Contents, Repository, contents

ROOT = Path(__file__).parents[2]


def test_a_flow_by_itself_is_a_run_like_any_other(
    repository: Repository, films: Path, undisturbed: Callable[..., Contents]
) -> None:
    """
    ``python flows/feature_flow.py run`` plans, computes everything, is told among the runs, and
    leaves no lease; what it computed is released; its joins have cards.
    """
    repository.add(films)
    ran = subprocess.run(
        [sys.executable, "flows/feature_flow.py", "--no-pylint", "run", "--max-workers", "2"],
        cwd=repository.root,
        env=repository.variables(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lake = repository.lake()
    (run,) = lake.runs()
    assert (run.state, run.by, run.planned, run.count("stored", "empty")) == (
        "done",
        "flow",
        22,
        22,
    )
    assert lake.project.folder.names("leases") == []
    assert contents(lake) == undisturbed()
    (move,) = lake.releases.moves()
    assert (len(move.set), move.by) == (4, run.id)
    cards = [path.read_text() for path in repository.root.rglob("*.html")]
    assert len(cards) == 2
    for card in cards:
        (data,) = re.findall(r'__MF_DATA__\[[^\]]*\]\s*=\s*"([A-Za-z0-9+/=]+)"', card)
        text = base64.b64decode(data).decode()
        assert all(words in text for words in (run.id, "Coverage", "slowest cells", "Failed cells"))


def test_a_first_step_that_is_tried_again_goes_on_with_its_run(
    repository: Repository, films: Path
) -> None:
    """
    The same flow's run gets the same run of ours; its lease keeps others from the cells, and what
    another has claimed is left to it.
    """
    lake = repository.lake()
    list(lake.add([films]))
    project = lake.project
    (levels, *_) = (part for part in project.plan() if part.feature == "levels")
    with Lease(project.folder, "00000000T000000-other") as other:
        claim(project.folder, other.run_id, [("levels", levels.recipe.id, levels.cells[0].unit)])
        run_id = deployed.plan_run(project, "argo-1")
        assert deployed.plan_run(project, "argo-1") == run_id
        assert live_runs(project.folder) == [other.run_id, run_id]
    beat = beat_of(project.folder, run_id)
    assert beat is not None
    assert (beat.process, beat.good_for_seconds) == (None, deployed.LEASE_SECONDS)
    (run,) = lake.runs()
    assert run.cells == {"levels": 3, "cuts": 3, "spans": 3, "alike": 6}
    report = lake.run(["levels"], engine="inline")
    assert report.elsewhere == {run_id: 3}
    assert report.count("stored") == 1

    folder = project.folder
    folder.remove([f"runs/{run_id}/work.json"])  # the first try ended before it was through
    again = deployed.plan_run(project, "argo-1")
    assert again != run_id
    assert live_runs(folder) == [again]


def test_the_progress_of_a_run_on_a_cluster_is_counted(filled: Repository) -> None:
    """
    Nobody who drives it tells how far it is, so its attempts are counted.
    """
    lake = filled.lake()
    filled.raise_version("cuts")
    lake = filled.lake()
    run_id = deployed.plan_run(lake.project, "argo-2")
    (run,) = lake.runs(1)
    assert (run.id, run.state, run.outcomes) == (run_id, "running", {})
    from copal.flow.work import load_chunk, load_head
    from copal.flow.worker import make_worker
    from copal.registry import FeatureName
    from copal.run import compute_cells

    head = load_head(lake.project.store, run_id)
    worker = make_worker(lake.project, ["cuts"], head.recipes)
    cells = load_chunk(lake.project.store, run_id, "assets", 0)[FeatureName("cuts")]
    with deployed.beating(lake.project, run_id):
        tally = compute_cells(worker, FeatureName("cuts"), cells, run_id)
    counted = deployed.counted(lake.project, run)
    assert counted.outcomes == {"cuts": dict(tally.outcomes)}
    assert counted.done == len(cells)
    assert f"cuts         4  {len(cells)} " in filled.copal("runs", run_id).out


@pytest.mark.filterwarnings("ignore:The _yaml extension:DeprecationWarning")  # Metaflow's own
def test_a_card_has_coverage_the_slowest_and_the_failed(filled: Repository) -> None:
    """
    Metaflow renders it: every feature of the join, the slowest cells first, errors by name.
    """
    lake = filled.lake()
    (run,) = lake.runs()
    project = lake.project
    unit = lake.assets()[0].id
    tallies = [
        {"feature": "levels", "outcomes": {"stored": 3, "failed": 1}, "errors": {unit: "no <b>"}},
    ]
    coverage, slowest, failed = card_tables(project, ["levels", "cuts"], run.id, tallies)
    assert coverage[2] == [
        ["levels", "v1", "4", "1 failed, 3 stored"], ["cuts", "v1", "4", ""],
    ]  # fmt: skip
    seconds = [float(row[2]) for row in slowest[2]]
    assert len(seconds) == 4
    assert seconds == sorted(seconds, reverse=True)
    name = project.titles[lake.assets()[0].title].name
    assert failed[2] == [["levels", f"{name} ({unit[:8]})", "no <b>"]]

    class Card(list[object]):
        """What a step's card takes."""

    card = Card()
    fill(card, project, ["levels", "cuts"], run.id, tallies)
    rendered = [each.render() for each in card]
    assert len(rendered) == 1 + 2 * 3
    assert rendered[0]["source"] == f"# Run {run.id}"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    """
    systemd finds no fault with the unit, once its program is where it says.
    """
    text = (ROOT / "infra" / "systemd" / "copal-schedule.service").read_text()
    assert "ExecStart=/srv/copal/.venv/bin/copal schedule" in text
    unit = tmp_path / "copal-schedule.service"
    unit.write_text(text.replace("/srv/copal/.venv/bin/copal", sys.executable))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    ours = [line for line in said.stderr.splitlines() if "copal-schedule" in line]
    assert ours == []
