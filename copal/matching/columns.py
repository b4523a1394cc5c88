"""Columns of vectors in tables, as matrices, alone and side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from copal.matching.matches import Vectors


def matrix(table: pa.Table, name: str) -> Vectors:
    """A column of vectors as (rows, d) float32: a view where the column is in one piece."""
    column = table[name]
    # ``combine_chunks`` copies even a single chunk.
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return np.asarray(whole.flatten()).reshape(len(whole), whole.type.list_size)


def side_by_side(parts: Sequence[Vectors], weights: Sequence[float]) -> Vectors:
    """Rows whose products are the weighted sums of the parts' products: (n, sum of d) float32."""
    widths = [part.shape[1] for part in parts]
    whole = np.empty((len(parts[0]), sum(widths)), np.float32)
    ends = np.cumsum(widths)
    for part, width, end, root in zip(
        parts, widths, ends, np.sqrt(np.array(weights, np.float32)), strict=True
    ):
        np.multiply(part, root, out=whole[:, end - width : end])
    return whole
