"""The inline engine: a plan's chunks in one process, through the functions the flow calls."""

from __future__ import annotations

import time

from copal.flow.work import Work
from copal.flow.worker import make_worker
from copal.project import Project
from copal.run import compute_cells
from copal.run.report import RunReport


def run_inline(project: Project, work: Work) -> RunReport:
    """Do a plan here and now."""
    report = RunReport(run_id=work.run_id)
    started = time.monotonic()
    worker = make_worker(project, work.recipes, work.recipes)
    for chunk in (*work.assets, *work.pairs):
        for feature, cells in chunk.items():
            if cells:
                report.add(feature, compute_cells(worker, feature, cells, work.run_id))
    report.seconds = time.monotonic() - started
    return report
