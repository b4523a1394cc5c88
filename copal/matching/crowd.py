"""Crowds: tiles where so many products are nearly equal that all of them are scored at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from copal.matching.matches import Indices, Matches, Vectors, rescored

ROUNDOFF = 2.0**-53  # of float64


def best_of_crowd(
    left: Vectors, right: Vectors, k: int, refused: npt.NDArray[np.bool_] | None
) -> Matches:
    """The ``k`` best of all pairs, with the same scores and order as ``rescored`` gives them.

    Equal rows are scored once. A float64 product is within d·u·|x|·|y| of the one that is added
    in the fixed order; where both ends of that round to one float32, it is the score.
    """
    ones, which_one = _distinct(left)
    others, which_other = _distinct(right)
    x, y = left[ones].astype(np.float64), right[others].astype(np.float64)
    products = x @ y.T
    reach = np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    reach *= (x.shape[1] + 64) * 1.01 * ROUNDOFF
    scores = (products - reach).astype(np.float32)
    i, j = np.nonzero(scores != (products + reach).astype(np.float32))
    scores[i, j] = rescored(left[ones], right[others], i, j).scores
    scores += np.float32(0)  # -0.0 is 0.0
    table = scores[which_one][:, which_other]
    if refused is not None:
        table[refused] = -np.inf
    flat = table.ravel()
    if len(flat) > k:
        least = np.partition(flat, -k)[-k]
        above = np.flatnonzero(flat > least)
        chosen = np.concatenate([above, np.flatnonzero(flat == least)[: k - len(above)]])
    else:
        chosen = np.arange(len(flat))
    chosen = chosen[flat[chosen] > -np.inf]
    i, j = np.divmod(chosen, table.shape[1])
    return Matches(i, j, flat[chosen]).best(k)


def _distinct(rows: Vectors) -> tuple[Indices, Indices]:
    """The first of each kind of row, and which kind each row is."""
    kinds: dict[bytes, int] = {}
    kind = np.array([kinds.setdefault(row.tobytes(), len(kinds)) for row in rows], np.int64)
    return np.unique(kind, return_index=True)[1], kind
