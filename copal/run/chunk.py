"""The cells of one feature on their way through one worker."""

from __future__ import annotations

import resource
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog

from copal.binding import code_digest
from copal.errors import BrokenContract, ComputeFailed, CopalError
from copal.feature import LocalFile, Output
from copal.fingerprint import Digest, UnitId, pair_assets
from copal.graph import Recipe
from copal.plan import Cell, Reason
from copal.registry import FeatureName
from copal.run.inputs import Inputs, Worker
from copal.run.rows import check_rows
from copal.store.base import Attempt, StoredValue, ValueTable, new_value

log = structlog.get_logger("copal.run")

FLUSH_SECONDS = 5.0
"""A worker publishes at most this often: each commit costs, and a crash loses what waits."""
FLUSH_UNITS = 64
"""Above about 100 keys a commit, Lance's conflict filter starts to see conflicts that are none."""
READ_UNITS = 32
"""Cells whose needs are looked up at once."""
BATCH_UNITS = 1024
"""Cells that a feature with ``compute_batch`` gets at once."""


@dataclass(slots=True)
class Tally:
    """How the cells of a chunk went."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """``stored``, ``empty``, ``carried``, ``kept``, ``lost``, ``failed``, ``blocked``."""
    seconds: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)
    """Unit → message, of those that failed."""


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
        self.worker = worker
        self.feature = feature
        self.run_id = run_id
        self.bound = worker.bound[feature]
        self.recipe = worker.recipes[feature]
        self.table = worker.store.table(self.recipe)
        self.tally = Tally()
        self.waiting: list[StoredValue] = []
        self.replacing: list[StoredValue] = []
        self.attempts: list[Attempt] = []
        self.workspaces: list[Path] = []
        self.flushed_at = time.monotonic()
        self.machine = socket.gethostname()
        self.code = code_digest(self.bound)
        self.inputs = Inputs(worker, feature)
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
        fresh = [cell for cell in cells if cell.unit not in held]
        carried = self.find_carried(fresh, inputs)
        batch: list[tuple[Cell, Digest]] = []
        for cell in cells:
            digest = inputs[cell.unit]
            if digest is None:
                self.tally.outcomes["blocked"] += 1
                log.info("cell.blocked", feature=self.feature, unit=cell.unit)
            elif cell.unit in carried:
                self.carry(cell, *carried[cell.unit])
            elif self.holds(cell, held, digest):
                self.tally.outcomes["kept"] += 1
                log.info("cell.kept", feature=self.feature, unit=cell.unit)
            elif self.batched:
                batch.append((cell, digest))
            else:
                self.compute_one(cell, digest)
            self.flush_when_due()
        if batch:
            self.compute_batch(batch)

    @staticmethod
    def holds(cell: Cell, held: Mapping[str, tuple[Digest, Digest]], inputs: Digest) -> bool:
        """Whether the value is there: another run was quicker, or forcing changed nothing."""
        if cell.unit not in held:
            return False
        return not cell.replace or (cell.reason is Reason.INPUT and held[cell.unit][0] == inputs)

    # Carrying over

    def find_carried(
        self, cells: Sequence[Cell], inputs: Mapping[UnitId, Digest | None]
    ) -> dict[UnitId, tuple[Recipe, ValueTable]]:
        """Cells that an older recipe has a value for, computed from the same inputs."""
        found: dict[UnitId, tuple[Recipe, ValueTable]] = {}
        units = [cell.unit for cell in cells]
        for recipe in self.worker.store.recipes(self.feature):
            if recipe.id == self.recipe.id or not units:
                continue
            table = self.worker.store.table(recipe)
            for unit, (digest, _) in table.digests(units).items():
                if digest == inputs[UnitId(unit)]:
                    found.setdefault(UnitId(unit), (recipe, table))
        return found

    def carry(self, cell: Cell, recipe: Recipe, table: ValueTable) -> None:
        old = table.read([cell.unit])[cell.unit]
        self.waiting.append(
            replace(
                old,
                run_id=self.run_id,
                published_at=datetime.now(UTC),
                carried_from=old.carried_from or recipe.id,
            )
        )
        self.note(cell, "carried")

    # Computing

    def compute_one(self, cell: Cell, inputs_digest: Digest) -> None:
        workspace = None
        if "workspace" in self.bound.arguments:
            workspace = Path(tempfile.mkdtemp(prefix="copal-"))
            self.workspaces.append(workspace)
        started, cpu = time.monotonic(), _cpu_seconds()
        log.debug("cell.started", feature=self.feature, unit=cell.unit)
        try:
            value = self.value_of(cell.unit, workspace, inputs_digest)
        except Exception as exc:
            if workspace is not None:
                shutil.rmtree(workspace, ignore_errors=True)
            self.failed(cell, _ours(exc, self.feature, cell.unit), started, cpu)
            return
        (self.replacing if cell.replace else self.waiting).append(value)
        self.note(
            cell,
            "stored" if value.state == "ok" else "empty",
            seconds=time.monotonic() - started,
            cpu_seconds=_cpu_seconds() - cpu,
            size=sum(file.size_bytes for file in value.files.values()),
            rows=value.rows.num_rows,
        )

    def compute_batch(self, batch: Sequence[tuple[Cell, Digest]]) -> None:
        """Many cells in one call; when it fails, halves are tried, down to the cell at fault."""
        started, cpu = time.monotonic(), _cpu_seconds()
        try:
            self.inputs.read_ahead([cell.unit for cell, _ in batch])
            given = [self.inputs.arguments(cell.unit, None) for cell, _ in batch]
            made = self.bound.instance.compute_batch(given)
            if len(made) != len(batch):
                told = f"compute_batch gave {len(made)} tables for {len(batch)} units"
                raise BrokenContract(f"'{self.feature}': {told}.")
            values = [
                self.checked(cell.unit, rows, digest)
                for (cell, digest), rows in zip(batch, made, strict=True)
            ]
        except Exception as exc:
            if len(batch) == 1:
                cell = batch[0][0]
                self.failed(cell, _ours(exc, self.feature, cell.unit), started, cpu)
                return
            middle = len(batch) // 2
            self.compute_batch(batch[:middle])
            self.compute_batch(batch[middle:])
            return
        seconds, cpu_seconds = time.monotonic() - started, _cpu_seconds() - cpu
        for (cell, _), value in zip(batch, values, strict=True):
            (self.replacing if cell.replace else self.waiting).append(value)
            self.note(
                cell,
                "stored" if value.state == "ok" else "empty",
                seconds=seconds / len(batch),
                cpu_seconds=cpu_seconds / len(batch),
                rows=value.rows.num_rows,
            )
            self.flush_when_due()

    def value_of(self, unit: UnitId, workspace: Path | None, inputs_digest: Digest) -> StoredValue:
        made = self.bound.instance.compute(**self.inputs.arguments(unit, workspace))
        return self.checked(unit, made, inputs_digest)

    def checked(self, unit: UnitId, made: pa.Table | Output, inputs_digest: Digest) -> StoredValue:
        """What a feature made, as a value, once it is seen to be what was promised."""
        output = made if isinstance(made, Output) else Output(made)
        check_rows(output.rows, self.bound.columns, f"'{self.feature}' on {unit[:8]}")
        files = {name: LocalFile(path) for name, path in output.files.items()}
        return new_value(unit, output.rows, files, inputs_digest=inputs_digest, run_id=self.run_id)

    def failed(self, cell: Cell, error: CopalError, started: float, cpu: float) -> None:
        self.tally.errors[cell.unit] = str(error)
        cause = error.__cause__
        self.note(
            cell,
            "failed",
            seconds=time.monotonic() - started,
            cpu_seconds=_cpu_seconds() - cpu,
            error=str(error),
            error_class=type(
                cause if isinstance(error, ComputeFailed) and cause else error
            ).__name__,
            retryable=error.retryable,
        )

    def note(
        self,
        cell: Cell,
        outcome: str,
        *,
        seconds: float = 0.0,
        cpu_seconds: float = 0.0,
        size: int = 0,
        rows: int = 0,
        error: str = "",
        error_class: str = "",
        retryable: bool = False,
    ) -> None:
        self.tally.outcomes[outcome] += 1
        assets = (self.worker.assets.get(each) for each in set(pair_assets(cell.unit)))
        self.attempts.append(
            Attempt(
                unit=cell.unit,
                outcome=outcome,
                run_id=self.run_id,
                at=datetime.now(UTC),
                seconds=seconds,
                cpu_seconds=cpu_seconds,
                media_seconds=sum(asset.duration_seconds for asset in assets if asset),
                bytes=size,
                error_class=error_class,
                error=error,
                retryable=retryable,
                machine=self.machine,
                code_digest=self.code,
            )
        )
        details: dict[str, Any] = {"error": error} if error else {"rows": rows}
        log.info(
            f"cell.{outcome}",
            feature=self.feature,
            version=self.recipe.version,
            unit=cell.unit,
            reason=str(cell.reason),
            elapsed_seconds=round(seconds, 3),
            **details,
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
        self.table.record(self.attempts)
        self.waiting, self.replacing, self.attempts = [], [], []
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


def _cpu_seconds() -> float:
    mine = resource.getrusage(resource.RUSAGE_SELF)
    its = resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + its.ru_utime + its.ru_stime
