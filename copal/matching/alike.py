"""Thinning: which items of a sequence are like an earlier one, and which of them stay."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from copal.matching.matches import Indices, Vectors


def nearest_earlier(vectors: Vectors, count: int, *, block: int = 256) -> tuple[Indices, Vectors]:
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
