"""Matching: the best pairs of two sets of vectors, exactly, and what merges and thins them.

A product in float32 only proposes; what is proposed within its rounding error is scored again in
float64, in one fixed order of summation. So the pairs and the scores are the same bytes at every
block size and thread count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

UNIT_ROUNDOFF = 2.0**-24  # of float32
SMALLEST = 2.0**-126  # products below it may vanish
LONGEST = 1e15  # of a vector, so that no product reaches LOWEST
LOWEST = -1e31
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
    min_gap: int = 1
    """Pairs whose places are nearer than this are left out."""
    ordered: bool = False
    """Whether left must come before right, because a pair scores the same both ways."""

    def refused(self, rows: slice, columns: slice) -> npt.NDArray[np.bool_]:
        """Which pairs of a block are left out: (rows, columns)."""
        gap = self.right[None, columns] - self.left[rows, None]
        return (gap if self.ordered else np.abs(gap)) < self.min_gap

    def refuses_all(self, rows: slice, columns: slice) -> bool:
        """Whether a block need not be multiplied."""
        far = self.right[columns].max() - self.left[rows].min()
        return self.ordered and bool(far < self.min_gap)


def top_pairs(
    left: Vectors, right: Vectors, k: int, *, places: Places | None = None, block: int = 1024
) -> Matches:
    """The ``k`` pairs with the largest products, out of all pairs of a left and a right row.

    Parameters
    ----------
    left, right
        (n, d) and (m, d) float32, finite. Their n × m products never exist at one time.
    places
        What rules pairs out, when both sides come from one sequence.
    block
        Rows and columns of one product; 1024 keep it in a core's cache.

    Raises
    ------
    ValueError
        Dimensions differ, a component is not finite, or a vector is longer than 1e15.

    Notes
    -----
    A float32 product of d terms, summed in any order, is within d·u·|x|·|y| of the true one
    (Higham 2002, Accuracy and Stability, §3.1). Every pair that close to the k-th best is kept.
    """
    _check(left, right)
    if not (len(left) and len(right) and k > 0):
        return NO_MATCHES
    dims = left.shape[1]
    reach = float(_longest(left) * _longest(right))
    slack = (dims + 4) * 1.01 * UNIT_ROUNDOFF * reach + dims * SMALLEST
    pool, least = NO_MATCHES, -np.inf
    for a in range(0, len(left), block):
        rows = slice(a, min(a + block, len(left)))
        for b in range(0, len(right), block):
            columns = slice(b, min(b + block, len(right)))
            if places is not None and places.refuses_all(rows, columns):
                continue
            products = left[rows] @ right[columns].T
            if places is not None:
                products[places.refused(rows, columns)] = -np.inf
            floor = max(least, LOWEST) - 2 * slack  # ruled out pairs are below it
            hopeful = products[products >= floor]
            if len(hopeful) > k:
                floor = max(floor, np.partition(hopeful, -k)[-k] - 2 * slack)
            i, j = np.nonzero(products >= floor)
            for part in range(0, len(i), RESCORED_AT_ONCE):
                some = slice(part, part + RESCORED_AT_ONCE)
                found = rescored(left, right, i[some] + a, j[some] + b)
                pool = (pool + found).best(k)
            if len(pool) == k:
                least = float(pool.scores[-1])
    return pool


def rescored(left: Vectors, right: Vectors, i: Indices, j: Indices) -> Matches:
    """Named pairs with their scores: float64 products added in a tree, rounded to float32."""
    # A float32 times a float32 is exact in float64, and a tree of additions has one order.
    terms = left[i].astype(np.float64) * right[j].astype(np.float64)
    while (width := terms.shape[1]) > 1:
        half = (width + 1) // 2
        terms[:, : width - half] += terms[:, half:]
        terms = terms[:, :half]
    scores = terms[:, 0] if terms.shape[1] else np.zeros(len(i))
    # Adding 0 turns -0.0 into 0.0: equal scores have equal bytes.
    return Matches(i.astype(np.int64), j.astype(np.int64), scores.astype(np.float32) + 0)


def merge(blocks: Sequence[Vectors], k: int) -> tuple[Indices, Indices]:
    """The ``k`` best of several blocks' scores: which block each is from, and its row there.

    The best ``k`` pairs over any subset of titles lie among the best ``k`` of each of its blocks,
    so this is exact as long as every block was made with at least this ``k``. Equal scores come
    in order of blocks, then of rows.
    """
    sizes = [len(scores) for scores in blocks]
    block = np.repeat(np.arange(len(blocks)), sizes)
    row = np.concatenate([np.arange(size) for size in sizes] or [np.empty(0, np.int64)])
    scores = np.concatenate([*blocks, np.empty(0, np.float32)])
    order = np.lexsort((row, block, -scores))[:k]
    return block[order].astype(np.int64), row[order].astype(np.int64)


def nearest_earlier(
    vectors: npt.NDArray[np.float32], count: int, *, block: int = 256
) -> tuple[Indices, Vectors]:
    """For every item the ``count`` items before it that are most alike.

    Parameters
    ----------
    vectors
        (n, p, d) float32: every item has p vectors, and two items are as alike as their best two.

    Returns
    -------
    (n, count) indices, -1 where there are not so many, and (n, count) float32 products.
    """
    n, parts, dims = vectors.shape
    found = np.full((n, count), -1, np.int64)
    scores = np.full((n, count), -np.inf, np.float32)
    flat = vectors.reshape(-1, dims)
    for a in range(0, n, block):
        here = vectors[a : a + block]
        end = a + len(here)
        products = here.reshape(-1, dims) @ flat[: end * parts].T
        best = products.reshape(len(here), parts, end, parts).max(axis=(1, 3))
        best[np.arange(a, end)[:, None] <= np.arange(end)[None]] = -np.inf
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        top = np.take_along_axis(best, order, axis=1)
        found[a:end, : order.shape[1]] = np.where(np.isfinite(top), order, -1)
        scores[a:end, : order.shape[1]] = top
    return found, scores


def earliest_kept(count: int, alike: Iterable[tuple[int, int]]) -> Indices:
    """For each of ``count`` items the earliest kept item it is alike to, or -1: it is kept.

    Greedy, not by connected groups: where 1 is like 0 and 2 is like 1 but not like 0, 2 is kept,
    so that no chain of small differences joins what is not alike.
    """
    earlier: list[list[int]] = [[] for _ in range(count)]
    for one, other in alike:
        earlier[max(one, other)].append(min(one, other))
    duplicate_of = np.full(count, -1, np.int64)
    for item, candidates in enumerate(earlier):
        kept = [c for c in candidates if duplicate_of[c] < 0 and c != item]
        duplicate_of[item] = min(kept, default=-1)
    return duplicate_of


def _check(left: Vectors, right: Vectors) -> None:
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"vectors of {left.shape[1]} and {right.shape[1]} dimensions do not match")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("vectors hold components that are no finite numbers")
    if max(_longest(left), _longest(right)) > LONGEST:
        raise ValueError(f"vectors longer than {LONGEST:g} would overflow; make them of length 1")


def _longest(vectors: Vectors) -> float:
    return float(np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1).max(initial=0.0)))
