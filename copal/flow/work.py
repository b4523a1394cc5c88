"""A plan cut into chunks and kept in the store, so that a flow's tasks pass only numbers."""

from __future__ import annotations

import heapq
import json
import math
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from copal.asset import Asset
from copal.errors import PlanOutdated, RequestError
from copal.fingerprint import UnitId
from copal.plan import Cell, FeaturePlan, Plan, Reason
from copal.registry import FeatureName
from copal.store.base import Store

CHUNK_MEDIA_SECONDS = 900
"""Media in one chunk: a task costs about a second before it does anything, so a chunk carries
enough to make that small; see tests/bench/pipeline.py."""
CHUNK_PAIRS = 2000
MOST_CHUNKS = 500
MOST_ALONE = 100
"""Chunks for cells with which a worker died before; beyond it they share."""

Chunk = Mapping[FeatureName, Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Work:
    """A plan's cells in chunks of units; every feature of a unit is in the unit's chunk."""

    run_id: str
    recipes: Mapping[str, str]
    """Feature → recipe that the plan was made with."""
    assets: tuple[Chunk, ...]
    pairs: tuple[Chunk, ...]
    created_at: str = ""

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return sum(len(cells) for chunk in (*self.assets, *self.pairs) for cells in chunk.values())


def cut(plan: Plan, assets: Iterable[Asset], workers: int, run_id: str = "") -> Work:
    """Cut a plan into chunks of about equal work, for at least as many workers as there are.

    A cell with which a worker died before is alone in its chunk, while there are not too many.
    """
    seconds = {str(asset.id): max(asset.duration_seconds, 1.0) for asset in assets}
    of_assets = [part for part in plan if part.unit == "asset" and part.cells]
    of_pairs = [part for part in plan if part.unit == "pair" and part.cells]

    together, alone = _units(of_assets)
    weights = {unit: seconds.get(unit, 1.0) for unit in together}
    wanted = math.ceil(sum(weights.values()) / CHUNK_MEDIA_SECONDS)
    groups = _balance(weights, _chunk_count(wanted, len(together), workers))
    pairs, pairs_alone = _units(of_pairs)
    wanted = math.ceil(len(pairs) / CHUNK_PAIRS)
    pair_groups = _runs(pairs, _chunk_count(wanted, len(pairs), workers))
    return Work(
        run_id=run_id or new_run_id(),
        recipes={part.feature: part.recipe.id for part in plan if part.cells},
        assets=_chunks(of_assets, [*groups, *_runs(alone, min(len(alone), MOST_ALONE))]),
        pairs=_chunks(
            of_pairs, [*pair_groups, *_runs(pairs_alone, min(len(pairs_alone), MOST_ALONE))]
        ),
        created_at=datetime.now(UTC).isoformat(),
    )


def _units(parts: Sequence[FeaturePlan]) -> tuple[list[UnitId], list[UnitId]]:
    """Units that have cells: those that may share a chunk, and those that must not."""
    alone = {cell.unit for part in parts for cell in part.cells if cell.alone}
    return sorted({cell.unit for part in parts for cell in part.cells} - alone), sorted(alone)


def _chunks(parts: Sequence[FeaturePlan], groups: Sequence[Sequence[UnitId]]) -> tuple[Chunk, ...]:
    """The cells of each group of units, by feature."""
    place = {unit: index for index, group in enumerate(groups) for unit in group}
    chunks: list[dict[FeatureName, list[Cell]]] = [
        {part.feature: [] for part in parts} for _ in groups
    ]
    for part in parts:
        for cell in part.cells:
            chunks[place[cell.unit]][part.feature].append(cell)
    return tuple(chunks)


def workers_of(max_workers: int | None) -> int:
    """How many tasks run at a time: as many as were asked for, or one for each core.

    Raises
    ------
    RequestError
        Fewer than one.
    """
    workers = max_workers if max_workers is not None else os.cpu_count() or 1
    if workers < 1:
        raise RequestError(f"--max-workers {workers}: need one or more.")
    return workers


def new_run_id() -> str:
    """A name for a run: its time, to a quarter of a millisecond, then what no other run has."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}-{now.microsecond * 4096 // 1_000_000:03x}{uuid.uuid4().hex[:5]}"


def _chunk_count(wanted: int, units: int, workers: int) -> int:
    """A multiple of the workers when there are units enough, so that none waits at the end."""
    rounded = math.ceil(max(wanted, 1) / workers) * workers
    return min(rounded, units, MOST_CHUNKS)


def _balance(weights: Mapping[UnitId, float], count: int) -> list[list[UnitId]]:
    """Longest first, each to the chunk that has least."""
    heap: list[tuple[float, int, list[UnitId]]] = [(0.0, index, []) for index in range(count)]
    for unit, weight in sorted(weights.items(), key=lambda each: (-each[1], each[0])):
        load, index, units = heapq.heappop(heap)
        units.append(unit)
        heapq.heappush(heap, (load + weight, index, units))
    return [sorted(units) for _, _, units in sorted(heap, key=lambda each: each[1])]


def _runs(units: Sequence[UnitId], count: int) -> list[Sequence[UnitId]]:
    """Runs of neighbours, so that a chunk of pairs reads few assets."""
    size = math.ceil(len(units) / count) if count else 1
    return [units[start : start + size] for start in range(0, len(units), size)]


# Kept in the store


def save(store: Store, work: Work) -> None:
    """Write the run's documents: a head, and one for each chunk."""
    for kind, chunks in (("assets", work.assets), ("pairs", work.pairs)):
        for index, chunk in enumerate(chunks):
            store.save(_chunk_name(work.run_id, kind, index), _encode_chunk(chunk))
    head = {
        "run_id": work.run_id,
        "created_at": work.created_at,
        "recipes": dict(work.recipes),
        "assets": len(work.assets),
        "pairs": len(work.pairs),
        "cells": work.cells,
    }
    store.save(f"runs/{work.run_id}/work.json", (json.dumps(head, indent=1) + "\n").encode())


@dataclass(frozen=True, slots=True)
class WorkHead:
    """What every task must know of a run."""

    run_id: str
    recipes: Mapping[str, str]
    assets: int
    """How many chunks of assets there are."""
    pairs: int
    cells: int


def load_head(store: Store, run_id: str) -> WorkHead:
    """The head of a run.

    Raises
    ------
    PlanOutdated
        The store knows no such run.
    """
    data = store.load(f"runs/{run_id}/work.json")
    if data is None:
        raise PlanOutdated(f"no run '{run_id}' in this store. Start one with 'copal run'.")
    head = json.loads(data)
    return WorkHead(run_id, head["recipes"], head["assets"], head["pairs"], head["cells"])


def load_chunk(store: Store, run_id: str, kind: str, index: int) -> dict[FeatureName, list[Cell]]:
    """The cells of one chunk by feature; ``kind`` is ``assets`` or ``pairs``."""
    data = store.load(_chunk_name(run_id, kind, index))
    if data is None:
        raise PlanOutdated(f"run '{run_id}' has no chunk {kind} {index} in this store.")
    return {
        FeatureName(feature): [
            Cell(UnitId(unit), Reason(reason), bool(replace)) for unit, reason, replace in cells
        ]
        for feature, cells in json.loads(data).items()
    }


def _chunk_name(run_id: str, kind: str, index: int) -> str:
    return f"runs/{run_id}/{kind}-{index:04d}.json"


def _encode_chunk(chunk: Chunk) -> bytes:
    rows = {
        feature: [[cell.unit, str(cell.reason), cell.replace] for cell in cells]
        for feature, cells in chunk.items()
    }
    return json.dumps(rows, separators=(",", ":")).encode()
