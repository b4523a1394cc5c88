"""A run on a cluster: planned by its first task, kept alive by every other, remembered by its last.

No process drives it, so its lease is long, and its progress is counted from the attempts.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from copal.errors import CopalError, PlanOutdated
from copal.flow.drive import claimed
from copal.flow.work import cut, load_head, new_run_id, save
from copal.project import Project
from copal.run.report import RunReport
from copal.store.leases import end_lease, put_beat
from copal.store.runs import Run, begin_run, end_run, run_of

LEASE_SECONDS = 900.0
"""Tasks may wait for a machine, and none of them beats meanwhile."""
BEAT_SECONDS = 60.0


def plan_run(project: Project, flow_run: str, by: str = "flow") -> str:
    """Plan what is missing as a run, claim it, and keep it; the same flow's run gets the same.

    Parameters
    ----------
    flow_run
        Metaflow's own id of the run, by which a task that is tried again finds what it began.
    """
    name = f"flows/{flow_run}/run.json"
    data = project.store.load(name)
    if data is not None:
        run_id = str(json.loads(data)["run_id"])
        try:
            load_head(project.store, run_id)
        except PlanOutdated:  # the first try ended before it was through
            end_lease(project.folder, run_id)
        else:
            return run_id
    project.store.introduce()
    run_id = new_run_id()
    project.store.save(name, json.dumps({"run_id": run_id}).encode())
    put_beat(project.folder, run_id, good_for=LEASE_SECONDS)
    mine, _, _ = claimed(project, project.plan(), run_id)
    workers = int(os.environ.get("COPAL_WORKERS", 8))
    work = cut(mine, project.catalog.assets(), workers, run_id)
    cells = {str(part.feature): len(part.cells) for part in mine if part.cells}
    begin_run(project.folder, run_id, by, f"metaflow {flow_run}", cells)
    save(project.store, work)
    return run_id


@contextmanager
def beating(project: Project, run_id: str) -> Iterator[None]:
    """Say that the run is alive, now and while the task goes on."""
    ended = threading.Event()

    def beat() -> None:
        while True:
            with suppress(CopalError, OSError):  # another task's beat, or the next, may get through
                put_beat(project.folder, run_id, good_for=LEASE_SECONDS)
            if ended.wait(BEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def finish_run(project: Project, report: RunReport) -> None:
    """Remember how the run ended, and free what it had claimed."""
    run = run_of(project.folder, report.run_id)
    if run is not None:
        end_run(project.folder, run, "failed" if report.failed else "done", report.outcomes)
    end_lease(project.folder, report.run_id)


def counted(project: Project, run: Run) -> Run:
    """A run with its outcomes counted from the attempts, when nobody who drives it tells them."""
    if run.outcomes or run.state not in ("running", "dead"):
        return run
    try:
        recipes = load_head(project.store, run.id).recipes
    except PlanOutdated:
        return run
    outcomes: dict[str, Counter[str]] = {}
    for feature in run.cells:
        for recipe in project.store.recipes(feature):
            if recipe.id == recipes.get(feature):
                attempts = project.store.table(recipe).attempts()
                mine = Counter(each.outcome for each in attempts if each.run_id == run.id)
                outcomes |= {feature: mine} if mine else {}
    return replace(run, outcomes=outcomes)
