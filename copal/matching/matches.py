"""Pairs of rows with exact scores: their one order, and what rules them out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


class Rows(Protocol):
    """Vectors that may be made where they are asked for; an array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | Indices, /) -> Vectors: ...


RESCORED_AT_ONCE = 4096  # pairs; 16 MB of float64 at 512 dimensions


@dataclass(frozen=True, slots=True)
class Matches:
    """Pairs of rows of two sets of vectors, best first; equal scores in order of left, right."""

    left: Indices
    right: Indices
    scores: Vectors
    """(n,) float32: the rounded float64 product."""

    def __len__(self) -> int:
        return len(self.scores)

    def best(self, k: int) -> Matches:
        """The first ``k`` in order, from pairs in any order."""
        order = np.lexsort((self.right, self.left, -self.scores))[:k]
        return Matches(self.left[order], self.right[order], self.scores[order])

    def __add__(self, other: Matches) -> Matches:
        return Matches(
            np.concatenate([self.left, other.left]),
            np.concatenate([self.right, other.right]),
            np.concatenate([self.scores, other.scores]),
        )


NO_MATCHES = Matches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class Places:
    """Where the rows of both sides stand in one sequence, and which pairs that rules out."""

    left: Indices
    right: Indices
    """Both ascending."""
    min_gap: int = 1
    """Pairs whose places are nearer than this are left out."""
    ordered: bool = False
    """Whether left must come before right, because a pair scores the same both ways."""

    def refused(self, rows: slice, columns: slice) -> npt.NDArray[np.bool_]:
        """Which pairs of a block are left out: (rows, columns)."""
        gap = self.right[None, columns] - self.left[rows, None]
        return (gap if self.ordered else np.abs(gap)) < self.min_gap

    def spans(self, rows: slice, columns: slice) -> Iterator[slice]:
        """The same row by row: which columns of the block are left out."""
        here = self.right[columns]
        last = np.searchsorted(here, self.left[rows] + self.min_gap)
        first = np.searchsorted(here, self.left[rows] - self.min_gap, "right")
        if self.ordered:
            first[:] = 0
        return map(slice, first.tolist(), last.tolist())

    def refuses_all(self, rows: slice, columns: slice) -> bool:
        """Whether a block need not be multiplied."""
        far = self.right[columns].max() - self.left[rows].min()
        return self.ordered and bool(far < self.min_gap)


def rescored(left: Rows, right: Rows, i: Indices, j: Indices) -> Matches:
    """Named pairs with their scores: float64 products added in a tree, rounded to float32."""
    scores = np.empty(len(i), np.float32)
    for start in range(0, len(i), RESCORED_AT_ONCE):
        some = slice(start, start + RESCORED_AT_ONCE)
        # A float32 times a float32 is exact in float64, and a tree of additions has one order.
        terms = left[i[some]].astype(np.float64)
        terms *= right[j[some]]
        while (width := terms.shape[1]) > 1:
            half = (width + 1) // 2
            terms[:, : width - half] += terms[:, half:]
            terms = terms[:, :half]
        scores[some] = terms[:, 0] if terms.shape[1] else 0
    # Adding 0 turns -0.0 into 0.0: equal scores have equal bytes.
    return Matches(i.astype(np.int64), j.astype(np.int64), scores + np.float32(0))
