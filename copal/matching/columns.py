"""Columns of vectors in tables, as matrices, alone and side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from copal.matching.matches import Indices, Vectors


def matrix(table: pa.Table, name: str) -> Vectors:
    """A column of vectors as (rows, d) float32: a view where the column is in one piece."""
    column = table[name]
    # ``combine_chunks`` copies even a single chunk.
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return np.asarray(whole.flatten()).reshape(len(whole), whole.type.list_size)


@dataclass(frozen=True, slots=True, eq=False)
class SideBySide:
    """Rows of several parts, each times a number, side by side; made where they are asked for.

    A copy of all of them would double the memory, and take longer than the products.
    """

    parts: tuple[Vectors, ...]
    """(n, d) float32 each; d may differ."""
    factors: tuple[np.float32, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns of all parts."""
        return len(self), sum(part.shape[1] for part in self.parts)

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, rows: slice | Indices) -> Vectors:
        some = [part[rows] for part in self.parts]
        ends = np.cumsum([part.shape[1] for part in some])
        made = np.empty((len(some[0]), ends[-1]), np.float32)
        for part, end, factor in zip(some, ends, self.factors, strict=True):
            np.multiply(part, factor, out=made[:, end - part.shape[1] : end])
        return made


def side_by_side(parts: Sequence[Vectors], weights: Sequence[float]) -> SideBySide:
    """Rows whose products are the weighted sums of the parts' products: (n, sum of d)."""
    return SideBySide(tuple(parts), tuple(np.sqrt(np.array(weights, np.float32))))
