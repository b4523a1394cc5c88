"""A run as the store remembers it: who started it, what it had to do, how it went.

::

    <store>/runs/<run>/run.json       written when the run starts, and again when it ends
    <store>/runs/<run>/report.json    cells by outcome, and every error; see copal.run.report
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from copal.errors import RequestError
from copal.store.folder import Folder
from copal.store.leases import beat_of

Counts = Mapping[str, Mapping[str, int]]
"""Feature → outcome → cells."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a plan."""

    id: str
    by: str
    """What started it: ``run``, ``backfill``, ``schedule``, ``request``, ``watch``, ``python``."""
    started_at: datetime
    cells: Mapping[str, int]
    """Feature → cells to compute."""
    engine: str = ""
    who: str = ""
    """The user and the machine."""
    pid: int = 0
    state: str = "running"
    """``running``, ``done``, ``failed`` (some cell did), ``stopped``, or ``dead``: it ended
    without saying so."""
    ended_at: datetime | None = None
    outcomes: Counts = field(default_factory=dict)
    error: str = ""

    @property
    def planned(self) -> int:
        """How many cells it had to do."""
        return sum(self.cells.values())

    def count(self, *outcomes: str) -> int:
        """Cells of these outcomes; of all when none is named."""
        return sum(
            number
            for counts in self.outcomes.values()
            for outcome, number in counts.items()
            if not outcomes or outcome in outcomes
        )

    @property
    def done(self) -> int:
        """Cells that it is through with; those lost to another run were counted as stored."""
        return self.count() - self.count("lost")

    @property
    def seconds(self) -> float:
        """How long it took, or has taken by now."""
        return ((self.ended_at or datetime.now(UTC)) - self.started_at).total_seconds()

    def to_json(self) -> dict[str, Any]:
        """As kept, and as ``copal runs --json`` prints it."""
        return asdict(self) | {
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "cells": dict(self.cells),
            "outcomes": {name: dict(counts) for name, counts in self.outcomes.items()},
        }


def begin_run(folder: Folder, run_id: str, by: str, engine: str, cells: Mapping[str, int]) -> Run:
    """Remember that a run starts."""
    run = Run(
        id=run_id,
        by=by,
        started_at=datetime.now(UTC),
        cells=cells,
        engine=engine,
        who=f"{_user()}@{socket.gethostname()}",
        pid=os.getpid(),
    )
    _keep(folder, run)
    return run


def end_run(folder: Folder, run: Run, state: str, outcomes: Counts, error: str = "") -> None:
    """Remember how a run ended."""
    ended = datetime.now(UTC)
    _keep(folder, replace(run, state=state, outcomes=outcomes, error=error, ended_at=ended))


def run_of(folder: Folder, run_id: str) -> Run | None:
    """A run as it stands; what a live one has done is told by its last beat."""
    data = folder.get(f"runs/{run_id}/run.json")
    if data is None:
        return None
    said = json.loads(data)
    said["started_at"] = datetime.fromisoformat(said["started_at"])
    said["ended_at"] = datetime.fromisoformat(said["ended_at"]) if said["ended_at"] else None
    run = Run(**said)
    if run.state != "running":
        return run
    beat = beat_of(folder, run_id)
    if beat is None or not beat.alive:
        again = folder.get(f"runs/{run_id}/run.json")  # it may have ended between the two looks
        if again is not None and again != data:
            return run_of(folder, run_id)
        return replace(run, state="dead", outcomes=beat.progress if beat else {},
                       ended_at=beat.at if beat else run.started_at)  # fmt: skip
    return replace(run, outcomes=beat.progress or run.outcomes)


def runs_of(folder: Folder, limit: int) -> Iterator[Run]:
    """The newest runs, the last one first."""
    told = 0
    for run_id in sorted(folder.names("runs"), reverse=True):
        if told >= limit:
            return
        run = run_of(folder, run_id)
        if run is not None:  # one of before runs were remembered
            told += 1
            yield run


def find_run(folder: Folder, name: str) -> Run:
    """The run of an id, of the beginning or of the end of one; ``last`` is the newest.

    Raises
    ------
    RequestError
        There is none, or more than one.
    """
    runs = folder.names("runs")
    if name == "last":
        found = next(runs_of(folder, 1), None)
        if found is None:
            raise RequestError("no run yet. 'copal run' starts one.")
        return found
    meant = [each for each in runs if each == name] or [
        each for each in runs if name and (each.startswith(name) or each.endswith(name))
    ]
    if len(meant) > 1:
        raise RequestError(f"run '{name}' means {len(meant)} runs. Give more of its id.")
    run = run_of(folder, meant[0]) if meant else None
    if run is None:
        raise RequestError(f"no run '{name}' in this store. 'copal runs' lists them.")
    return run


def _keep(folder: Folder, run: Run) -> None:
    folder.put(f"runs/{run.id}/run.json", (json.dumps(run.to_json()) + "\n").encode())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return str(os.getuid())
