"""The cells of one feature on their way through one worker."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from copal.errors import BrokenContract, ComputeFailed, CopalError
from copal.feature import SHOT_INDEX, LocalFile, Output
from copal.fingerprint import Digest, UnitId
from copal.matcher import Then, verdict
from copal.plan import Cell, Reason
from copal.registry import FeatureName
from copal.run.carry import Carrying, Place
from copal.run.inputs import Inputs, Worker
from copal.run.journal import Journal, Spent
from copal.run.pieces import make
from copal.run.rows import check_rows
from copal.run.tally import Tally
from copal.store.base import StoredValue, new_value

log = structlog.get_logger("copal.run")

FLUSH_SECONDS = 5.0
"""A worker publishes at most this often: each commit costs, and a crash loses what waits."""
FLUSH_UNITS = 64
"""Above about 100 keys a commit, Lance's conflict filter starts to see conflicts that are none."""
READ_UNITS = 32
"""Cells whose needs are looked up at once."""
BATCH_UNITS = 1024
"""Cells that a feature with ``compute_batch`` gets at once."""


def compute_cells(
    worker: Worker, feature: FeatureName, cells: Sequence[Cell], run_id: str
) -> Tally:
    """Compute the cells of one feature; an error of one stays its own.

    Raises
    ------
    StoreError
        The store cannot be written. Nothing half-written is visible, and a later run goes on.
    """
    return _Chunk(worker, feature, run_id).compute(cells)


class _Chunk:
    """The cells of one feature on their way through one worker."""

    def __init__(self, worker: Worker, feature: FeatureName, run_id: str) -> None:
        self.feature = feature
        self.run_id = run_id
        self.bound = worker.bound[feature]
        self.table = worker.store.table(worker.recipes[feature])
        self.inputs = Inputs(worker, feature)
        self.carrying = Carrying(self.inputs)
        self.journal = Journal(worker, feature, run_id)
        self.tally = self.journal.tally
        self.waiting: list[StoredValue] = []
        self.replacing: list[StoredValue] = []
        self.workspaces: list[Path] = []
        self.flushed_at = time.monotonic()
        self.batched = hasattr(self.bound.instance, "compute_batch")

    def compute(self, cells: Sequence[Cell]) -> Tally:
        started = time.monotonic()
        try:
            size = BATCH_UNITS if self.batched else READ_UNITS
            for start in range(0, len(cells), size):
                self.compute_some(cells[start : start + size])
            self.flush()
        finally:
            for workspace in self.workspaces:
                shutil.rmtree(workspace, ignore_errors=True)
        self.tally.seconds = time.monotonic() - started
        return self.tally

    def compute_some(self, cells: Sequence[Cell]) -> None:
        inputs = self.inputs.digests([cell.unit for cell in cells])
        held = self.table.digests([cell.unit for cell in cells])
        older = self.carrying.find([c.unit for c in cells if c.unit not in held], inputs)
        batch: list[tuple[Cell, Digest]] = []
        for cell in cells:
            digest = inputs[cell.unit]
            if digest is None:
                self.journal.tell(cell, "blocked")
            elif self.holds(cell, held, digest):
                self.journal.tell(cell, "kept")
            elif cell.unit in older.whole and (
                whole := self.carrying.whole(cell.unit, older.whole[cell.unit])
            ):
                self.carry(cell, whole)
            elif self.batched:
                batch.append((cell, digest))
            else:
                again = cell.reason is Reason.FORCED
                self.compute_one(cell, digest, () if again else older.parts.get(cell.unit, ()))
            self.flush_when_due()
        if batch:
            self.compute_batch(batch)

    @staticmethod
    def holds(cell: Cell, held: Mapping[str, tuple[Digest, Digest]], inputs: Digest) -> bool:
        """Whether the value is there: another run was quicker, or forcing changed nothing."""
        if cell.unit not in held:
            return False
        return not cell.replace or (cell.reason is Reason.INPUT and held[cell.unit][0] == inputs)

    def carry(self, cell: Cell, old: StoredValue) -> None:
        """A whole value, as an older recipe has it."""
        self.waiting.append(replace(old, run_id=self.run_id, published_at=datetime.now(UTC)))
        self.journal.note(cell, "carried", rows=old.rows.num_rows, shots=self.shots_of(old))

    def shots_of(self, value: StoredValue) -> int:
        """Shots that a value has rows of, when its feature is per shot."""
        if not self.carrying.per_shot:
            return 0
        return len(set(value.rows[SHOT_INDEX].to_pylist()))

    def compute_one(self, cell: Cell, inputs_digest: Digest, older: Sequence[Place]) -> None:
        """One cell, but for the shots that older values have rows of."""
        workspace = None
        if "workspace" in self.bound.arguments:
            workspace = Path(tempfile.mkdtemp(prefix="copal-"))
            self.workspaces.append(workspace)
        spent = Spent()
        log.debug("cell.started", feature=self.feature, unit=cell.unit)
        try:
            given = self.inputs.arguments(cell.unit, workspace)
            made = make(self.bound, given, self.carrying.read(cell.unit, older))
            value = self.checked(cell.unit, made.output, inputs_digest)
        except Exception as exc:
            if workspace is not None:
                shutil.rmtree(workspace, ignore_errors=True)
            self.failed(cell, _ours(exc, self.feature, cell.unit), spent)
            return
        self.made(
            cell,
            replace(value, carried_from=made.carried_from),
            bytes=sum(file.size_bytes for file in value.files.values()),
            shots=made.shots,
            shots_computed=made.computed,
            **spent.costs(),
        )

    def compute_batch(self, batch: Sequence[tuple[Cell, Digest]]) -> None:
        """Many cells in one call; when it fails, halves are tried, down to the cell at fault."""
        spent = Spent()
        try:
            self.inputs.read_ahead([cell.unit for cell, _ in batch])
            given = [self.inputs.arguments(cell.unit, None) for cell, _ in batch]
            made = self.bound.instance.compute_batch(given)
            if len(made) != len(batch):
                told = f"compute_batch gave {len(made)} tables for {len(batch)} units"
                raise BrokenContract(f"'{self.feature}': {told}.")
            values = [
                self.checked(cell.unit, Output(rows), digest)
                for (cell, digest), rows in zip(batch, made, strict=True)
            ]
        except Exception as exc:
            if len(batch) == 1:
                cell = batch[0][0]
                self.failed(cell, _ours(exc, self.feature, cell.unit), spent)
                return
            middle = len(batch) // 2
            self.compute_batch(batch[:middle])
            self.compute_batch(batch[middle:])
            return
        costs = spent.costs(len(batch))
        for (cell, _), value in zip(batch, values, strict=True):
            self.made(cell, value, **costs)
            self.flush_when_due()

    def checked(self, unit: UnitId, output: Output, inputs_digest: Digest) -> StoredValue:
        """What a feature made, as a value, once it is seen to be what was promised."""
        check_rows(output.rows, self.bound.columns, f"'{self.feature}' on {unit[:8]}")
        files = {name: LocalFile(path) for name, path in output.files.items()}
        return new_value(unit, output.rows, files, inputs_digest=inputs_digest, run_id=self.run_id)

    def made(self, cell: Cell, value: StoredValue, **told: Any) -> None:
        """A value that waits to be published."""
        (self.replacing if cell.replace else self.waiting).append(value)
        outcome = "stored" if value.state == "ok" else "empty"
        if value.carried_from is not None:
            outcome = "carried"
        self.journal.note(cell, outcome, rows=value.rows.num_rows, **told)

    def failed(self, cell: Cell, error: CopalError, spent: Spent) -> None:
        """A cell without a value; the registry may say that this is no failure."""
        then = verdict(self.bound.declaration.errors, error)
        if then is not Then.SKIP:
            self.tally.errors[cell.unit] = str(error)
        cause = error.__cause__
        named = cause if isinstance(error, ComputeFailed) and cause else error
        self.journal.note(
            cell,
            "skipped" if then is Then.SKIP else "failed",
            error=str(error),
            error_class=type(named).__name__,
            retryable=then is Then.RETRY,
            **spent.costs(),
        )

    def flush_when_due(self) -> None:
        """Publish when enough waits, or when it has waited long enough."""
        full = len(self.waiting) + len(self.replacing) >= FLUSH_UNITS
        if full or time.monotonic() - self.flushed_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Publish what waits, then tell the attempts."""
        published = self.table.publish(self.waiting)
        self.table.publish(self.replacing, replace=True)
        if published.lost:
            self.tally.outcomes["lost"] += len(published.lost)
            log.info("cells.lost", feature=self.feature, units=sorted(published.lost))
        self.table.record(self.journal.taken())
        self.waiting, self.replacing = [], []
        for workspace in self.workspaces:
            shutil.rmtree(workspace, ignore_errors=True)
        self.workspaces.clear()
        self.flushed_at = time.monotonic()


def _ours(exc: Exception, feature: str, unit: str) -> CopalError:
    """A feature's own exception, wrapped; ours pass."""
    if isinstance(exc, CopalError):
        return exc
    failed = ComputeFailed(f"'{feature}' on {unit[:8]}: {type(exc).__name__}: {exc}")
    failed.__cause__ = exc
    return failed
