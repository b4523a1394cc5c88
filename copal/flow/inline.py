"""The inline engine: a plan's chunks in one process, through the functions the flow calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from copal.flow.work import Work
from copal.flow.worker import make_worker
from copal.project import Project
from copal.run import compute_cells
from copal.run.report import RunReport


def run_inline(
    project: Project, work: Work, told: Callable[[str, Mapping[str, int]], None] | None = None
) -> RunReport:
    """Do a plan here and now; ``told`` gets a feature and its outcomes, chunk by chunk."""
    report = RunReport(run_id=work.run_id)
    started = time.monotonic()
    worker = make_worker(project, work.recipes, work.recipes)
    for chunk in (*work.assets, *work.pairs):
        for feature, cells in chunk.items():
            if cells:
                tally = compute_cells(worker, feature, cells, work.run_id)
                report.add(feature, tally)
                if told is not None:
                    told(feature, tally.outcomes)
    report.seconds = time.monotonic() - started
    return report
