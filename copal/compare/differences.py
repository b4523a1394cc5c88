"""Differences between two tables of rows: rows gone and new, boundaries, pairs and their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from copal.fingerprint import fingerprint

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Bytes = npt.NDArray[np.uint8]

Ranges = Mapping[int, tuple[int, int]]
"""Index of a shot → its first frame and the frame after its last."""

PAIR_PLACES = ("left_start_frame", "left_end_frame", "right_start_frame", "right_end_frame")
SHOT_NAMES = ("shot_index", "duplicate_of")
NOWHERE = (-1, -1)


def row_keys(table: pa.Table, shots: Ranges | None = None) -> list[bytes]:
    """What each row says, so that equal rows have equal keys.

    An index only counts shots: when one is found anew, all after it are renumbered though they are
    the same. So a row is known by the frames of its shots, from its own columns or from ``shots``.
    """
    if table.num_rows == 0:
        return []
    columns = set(table.column_names)
    framed = {"start_frame", "end_frame"} <= columns
    paired = set(PAIR_PLACES) <= columns
    parts = []
    for name in table.column_names:
        if (framed and name == "shot_index") or (paired and name in ("left_shot", "right_shot")):
            continue
        column = table[name].combine_chunks()
        if name in SHOT_NAMES and shots is not None and not framed:
            places = [NOWHERE if i is None else shots.get(i, NOWHERE) for i in column.to_pylist()]
            parts.append(np.array(places, np.int64).view(np.uint8).reshape(len(places), -1))
        else:
            parts.append(_bytes(column))
    if not parts:
        return [b""] * table.num_rows
    joined = np.concatenate(parts, axis=1)
    return [row.tobytes() for row in joined]


def _bytes(column: pa.Array) -> Bytes:
    """(rows, bytes) of what a column holds."""
    kind, count = column.type, len(column)
    if pa.types.is_fixed_size_list(kind) and not column.null_count:
        inner = column.flatten()
        if pa.types.is_primitive(inner.type) and not inner.null_count:
            flat = np.ascontiguousarray(inner.to_numpy(zero_copy_only=False))
            return flat.view(np.uint8).reshape(count, -1)
    if pa.types.is_primitive(kind) and not column.null_count:
        flat = np.ascontiguousarray(column.to_numpy(zero_copy_only=False))
        return flat.view(np.uint8).reshape(count, -1)
    digests = [fingerprint("cell", text=repr(value)) for value in column.to_pylist()]
    return np.array([list(bytes.fromhex(each)) for each in digests], np.uint8)


def gone_and_new(old: Sequence[bytes], new: Sequence[bytes]) -> tuple[int, int]:
    """How many rows of the old are not in the new, and the other way round."""
    before, after = Counter(old), Counter(new)
    return (before - after).total(), (after - before).total()


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Boundaries of ranges in two tables; the old ones are taken for the truth."""

    matched: float = 0.0
    old: float = 0.0
    new: float = 0.0

    def __add__(self, other: Boundaries) -> Boundaries:
        return Boundaries(self.matched + other.matched, self.old + other.old, self.new + other.new)

    def times(self, factor: float) -> Boundaries:
        """As if there were so many of them."""
        return Boundaries(self.matched * factor, self.old * factor, self.new * factor)

    @property
    def precision(self) -> float:
        """Share of the new boundaries that were there; 1 when there are none."""
        return self.matched / self.new if self.new else 1.0

    @property
    def recall(self) -> float:
        """Share of the old boundaries that are there still; 1 when there were none."""
        return self.matched / self.old if self.old else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; 1 when neither has any."""
        total = self.old + self.new
        return 2 * self.matched / total if total else 1.0


def boundaries(old: pa.Table, new: pa.Table, tolerance: int) -> Boundaries:
    """Boundaries that two tables of ranges share, each matched once, ``tolerance`` frames apart."""
    before, after = _inner_boundaries(old), _inner_boundaries(new)
    matched = i = j = 0
    while i < len(before) and j < len(after):
        apart = int(after[j] - before[i])
        if abs(apart) <= tolerance:
            matched, i, j = matched + 1, i + 1, j + 1
        elif apart < 0:
            j += 1
        else:
            i += 1
    return Boundaries(matched, len(before), len(after))


def _inner_boundaries(table: pa.Table) -> Ints:
    """Frames at which a range begins or ends, but for the first and the last of all."""
    ends = [np.asarray(table[n].to_numpy(), np.int64) for n in ("start_frame", "end_frame")]
    found = np.unique(np.concatenate(ends))
    return found[1:-1]


@dataclass(frozen=True, slots=True)
class Pairs:
    """The best pairs of shots in two blocks."""

    overlap: float
    """Share of the best ``k`` that is in both."""
    common: int
    """Pairs in both blocks."""
    total_drift: float
    """Sum of how far their scores are apart."""
    largest_drift: float


def pairs(old: pa.Table, new: pa.Table, k: int) -> Pairs:
    """How two blocks of pairs agree; a pair is known by the frames of its shots."""
    before, after = _scores(old), _scores(new)
    best = [set(sorted(each, key=lambda key: -each[key])[:k]) for each in (before, after)]
    size = max(len(best[0]), len(best[1]))
    apart = np.array([abs(after[key] - before[key]) for key in before if key in after])
    return Pairs(
        overlap=len(best[0] & best[1]) / size if size else 1.0,
        common=len(apart),
        total_drift=float(apart.sum()),
        largest_drift=float(apart.max(initial=0.0)),
    )


def _scores(table: pa.Table) -> dict[tuple[Any, ...], float]:
    names = [name for name in (*PAIR_PLACES, "left_first") if name in table.column_names]
    if len(names) < len(PAIR_PLACES):
        names = ["left_shot", "right_shot"]
    keys = zip(*(table[name].to_pylist() for name in names), strict=True)
    return dict(zip(keys, table["score"].to_pylist(), strict=True))
