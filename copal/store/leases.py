"""Leases: which runs are alive, and which cells each of them is computing.

A claim saves double work and nothing else: that a value is stored once is the tables' promise.
So a claim that is lost costs time, never a value, and nobody waits for a run that is dead.

::

    <store>/leases/<run>/beat.json    when the run was last heard of, where, and how far it is
    <store>/leases/<run>/cells        eight bytes for each cell that it has claimed

Both are removed when the run ends.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from copal.errors import CopalError
from copal.store.folder import Folder

log = structlog.get_logger("copal.store")

LEASE_SECONDS = 60.0
"""A run that was not heard of for so long is dead; ``$COPAL_LEASE_SECONDS`` sets another."""
BEATS = 6
"""How often a run is heard of within a lease: five beats may be lost."""
PATIENCE_SECONDS = 5.0
"""How long one waits for another to say what it claims; that takes two writes of theirs."""


def lease_seconds() -> float:
    """How long a beat is good for."""
    return float(os.environ.get("COPAL_LEASE_SECONDS") or LEASE_SECONDS)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that a machine tells from every other it has had."""

    machine: str
    """The machine since it was last started, and what numbers its processes; empty if unknown."""
    pid: int
    started: str

    @staticmethod
    def this() -> Process:
        """The process that asks."""
        return Process(_machine(), os.getpid(), _started(os.getpid()))

    @property
    def gone(self) -> bool:
        """Whether it certainly is no more: known only on its own machine."""
        return bool(self.machine) and self.machine == _machine() and (
            _started(self.pid) != self.started
        )  # fmt: skip


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux: only the lease tells
        return ""


def _started(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


@dataclass(slots=True)
class Progress:
    """How far a run is, counted by whoever drives it."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Feature → outcome → cells."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Count a log line, when it says how a cell ended."""
        kind, _, outcome = str(event.get("event", "")).partition(".")
        if kind == "cell" and outcome != "started":
            self.add(str(event.get("feature")), {outcome: 1})

    def add(self, feature: str, outcomes: Mapping[str, int]) -> None:
        """Count cells of one feature."""
        with self.lock:
            self.counts.setdefault(feature, Counter()).update(outcomes)

    def to_json(self) -> dict[str, dict[str, int]]:
        """Feature → outcome → cells."""
        with self.lock:
            return {name: dict(counts) for name, counts in self.counts.items()}


@dataclass(frozen=True, slots=True)
class Beat:
    """When a run was last heard of."""

    at: datetime
    good_for_seconds: float
    process: Process | None = None
    """Who drives the run; None when it runs on a cluster."""
    progress: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether the run is taken to be alive."""
        if self.process is not None and self.process.gone:
            return False
        return datetime.now(UTC) - self.at < timedelta(seconds=self.good_for_seconds)


def put_beat(
    folder: Folder, run_id: str, progress: Progress | None = None, *, good_for: float = 0.0
) -> None:
    """Say that a run is alive; of one on a cluster each task says it, ``good_for`` seconds."""
    ours = None if good_for else Process.this()
    said = {
        "at": datetime.now(UTC).isoformat(),
        "good_for_seconds": good_for or lease_seconds(),
        "process": [ours.machine, ours.pid, ours.started] if ours else None,
        "progress": progress.to_json() if progress is not None else {},
    }
    folder.put(f"leases/{run_id}/beat.json", json.dumps(said).encode())


def beat_of(folder: Folder, run_id: str) -> Beat | None:
    """The last beat of a run; None when it has ended, or never was."""
    data = folder.get(f"leases/{run_id}/beat.json")
    if data is None:
        return None
    said = json.loads(data)
    return Beat(
        at=datetime.fromisoformat(said["at"]),
        good_for_seconds=said["good_for_seconds"],
        process=Process(*said["process"]) if said["process"] else None,
        progress=said["progress"],
    )


def live_runs(folder: Folder) -> list[str]:
    """Runs that are alive now."""
    runs = folder.names("leases")
    return [run for run in runs if (beat := beat_of(folder, run)) is not None and beat.alive]


class Lease:
    """A run that is alive while this is held: ``with Lease(folder, run_id) as lease``."""

    def __init__(self, folder: Folder, run_id: str) -> None:
        self.folder = folder
        self.run_id = run_id
        self.progress = Progress()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {run_id}", daemon=True)

    def __enter__(self) -> Lease:
        put_beat(self.folder, self.run_id, self.progress)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()
        end_lease(self.folder, self.run_id)

    def _beat(self) -> None:
        while not self._ended.wait(lease_seconds() / BEATS):
            try:
                put_beat(self.folder, self.run_id, self.progress)
            except (CopalError, OSError) as exc:  # the next beat may get through
                log.warning("lease.missed", run=self.run_id, error=str(exc))


def end_lease(folder: Folder, run_id: str) -> None:
    """Free what a run had claimed."""
    try:
        folder.remove_folder(f"leases/{run_id}")
    except (CopalError, OSError) as exc:  # it expires by itself
        log.warning("lease.kept", run=run_id, error=str(exc))


def claim(
    folder: Folder, run_id: str, cells: Sequence[tuple[str, str, str]]
) -> dict[str, list[int]]:
    """Claim cells for a run that beats.

    Each run first announces what it would like, then looks at the others, then settles on what
    nobody else has. Of two that announce at once the one with the greater id gives way, and the
    other waits until it has settled, so both never take a cell, and nobody waits in a circle.

    Parameters
    ----------
    cells
        Feature, recipe and unit of each.

    Returns
    -------
    Live run → places in ``cells`` of those that it has claimed; all others are this run's now.
    """
    import numpy as np

    mine = _marks(cells)  # (cells,) uint64
    _put_claims(folder, run_id, mine, settled=False)
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        free = np.ones(len(mine), bool)
        taken: dict[str, list[int]] = {}
        waiting = False
        for other in folder.names("leases"):
            found = _claims_of(folder, other) if other != run_id else None
            if found is None:
                continue
            settled, theirs = found
            shared = free & np.isin(mine, theirs)
            if not shared.any():
                continue
            beat = beat_of(folder, other)
            if beat is None or not beat.alive:
                if beat is not None:
                    log.info("lease.expired", run=other)
                    end_lease(folder, other)
                continue
            if not settled and other > run_id and time.monotonic() < until:
                waiting = True
                break
            taken[other] = np.flatnonzero(shared).tolist()
            free &= ~shared
        if not waiting:
            break
        time.sleep(0.02)
    _put_claims(folder, run_id, mine[free], settled=True)
    return taken


def keep_only(folder: Folder, run_id: str, cells: Sequence[tuple[str, str, str]]) -> None:
    """Free all that a run has claimed, but for some cells."""
    _put_claims(folder, run_id, _marks(cells), settled=True)


def _marks(cells: Sequence[tuple[str, str, str]]) -> Any:
    """Eight bytes of each cell's digest: of a million cells two are alike once in 37 million."""
    import numpy as np
    from blake3 import blake3

    digests = b"".join(blake3("\0".join(cell).encode()).digest(8) for cell in cells)
    return np.frombuffer(digests, "<u8")


def _put_claims(folder: Folder, run_id: str, marks: Any, *, settled: bool) -> None:
    head = b"settled\n" if settled else b"announced\n"
    folder.put(f"leases/{run_id}/cells", head + marks.tobytes())


def _claims_of(folder: Folder, run_id: str) -> tuple[bool, Any] | None:
    import numpy as np

    data = folder.get(f"leases/{run_id}/cells")
    if data is None:
        return None
    head, _, marks = data.partition(b"\n")
    return head == b"settled", np.frombuffer(marks, "<u8")
