"""The process in which a watcher's run goes on: ready before it is asked, gone when it is done.

It does its imports, waits for a line with a run's id, and then plans and runs what is missing.
Log lines go to stdout, for the watcher; the last one tells how it went.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from copal.cli.command import CELL_FAILED, DONE

TRY_AGAIN = 3
"""Exit code of a run that could not be done now."""
FEW_ASSETS = 4
"""With so many assets or fewer to compute, the run goes on in this process: a flow takes 2 s to
start, and gains nothing where there is little to spread."""


@click.command()
@click.argument("project", type=click.Path(path_type=Path))
@click.argument("store")
@click.option("--engine", type=click.Choice(["auto", "metaflow", "inline"]), default="auto")
@click.option("--max-workers", type=int)
def burst(project: Path, store: str, engine: str, max_workers: int | None) -> None:
    """Wait for a run's id on stdin, and do the run."""
    from copal.flow.orphans import end_with_parent

    end_with_parent()
    signal.signal(signal.SIGTERM, _stop)
    _tell_stdout()
    sys.exit(_burst(project, store, engine, max_workers))


def _burst(folder: Path, store: str, engine: Any, max_workers: int | None) -> int:
    from copal.errors import CopalError, RegistryError, RequestError

    try:
        _import_what_takes_long()
        run_id = sys.stdin.readline().strip()
        return _run(folder, store, run_id, engine, max_workers) if run_id else DONE
    except KeyboardInterrupt:
        return CELL_FAILED
    except (CopalError, OSError) as exc:
        _tell({"event": "run.not_done", "level": "error", "error": str(exc)})
        wrong = isinstance(exc, RegistryError | RequestError)
        # What is wrong with the registry stays wrong; a store may be there again in a while.
        return CELL_FAILED if wrong else TRY_AGAIN


def _import_what_takes_long() -> None:
    """Libraries, and the engine; not the features, which may change while this waits."""
    import av  # noqa: F401
    import lance  # noqa: F401
    import pyarrow.compute  # noqa: F401

    import copal.flow.drive
    import copal.flow.inline
    import copal.media  # noqa: F401


def _run(folder: Path, store: str, run_id: str, engine: Any, max_workers: int | None) -> int:
    from copal.errors import StoreError
    from copal.flow.drive import drive
    from copal.flow.requests import serve_requests
    from copal.project import Project

    project = Project(folder, store)
    unserved = False
    try:
        serve_requests(project, engine="inline" if engine == "auto" else engine,
                       max_workers=max_workers, listen=_tell)  # fmt: skip
    except (StoreError, OSError) as exc:  # tickets stay; what arrived need not wait for them
        unserved = True
        _tell({"event": "requests.not_served", "level": "error", "error": str(exc)})
    plan = project.plan()
    _tell({"event": "run.planned", "level": "info", "run": run_id, "cells": plan.cells})
    units = {cell.unit for part in plan if part.unit == "asset" for cell in part.cells}
    if engine == "auto":
        engine = "inline" if len(units) <= FEW_ASSETS else "metaflow"
    report = drive(
        project, plan, engine=engine, max_workers=max_workers, listen=_tell, by="watch",
        run_id=run_id,
    )  # fmt: skip
    _tell(
        {
            "event": "run.reported", "level": "info", "run": run_id, "engine": engine,
            "cells": plan.cells, "stored": plan.stored,
            "outcomes": {name: dict(counts) for name, counts in report.outcomes.items()},
            "left": bool(report.elsewhere or report.waiting or unserved),
            "seconds": round(report.seconds, 3),
        }
    )  # fmt: skip
    return CELL_FAILED if report.failed else DONE


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _tell(event: Mapping[str, Any]) -> None:
    click.echo(json.dumps(event, ensure_ascii=False, default=str))


def _tell_stdout() -> None:
    """Every log line, also that a cell has started, as a line of JSON on stdout."""
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(default=str),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )


if __name__ == "__main__":
    burst()
