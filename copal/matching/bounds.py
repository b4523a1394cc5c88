"""Certified bounds of products: how far rounding can carry one, and what few dimensions tell.

Everything here is an upper bound that holds for the numbers as they are stored, whatever the
basis and however a matrix product adds. It decides only what is looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from copal.matching.matches import Rows, Vectors

UNIT_ROUNDOFF = 2.0**-24  # of float32
HALF_ROUNDOFF = 2.0**-8  # of bfloat16, which has float32's range
SMALLEST = 2.0**-126  # products below it may vanish
UPWARDS = 1 + 1e-6  # more than float32 rounds a length's last steps
MODEST = 1e-24  # squares from it up to its inverse are summed in float32 without underflow
CROOKED = 0.01  # a basis that is further from orthonormal is none
MOST_DIMENSIONS = 50_000  # in more, rounding would lengthen a sketch by a tenth
ROWS_AT_ONCE = 2048
SAMPLE = 1024  # rows of each side that a basis is found from
TRIED = (23, 31, 47, 63, 95)  # leading dimensions

# Measured on two cores at 100 GFLOP/s each, as multiples of one pair's product in one dimension:
SCAN = 27.0  # writing a product, its row's maximum and a comparison
SURVIVOR = 100_000.0  # gathering two rows and scoring them again
WORTH_A_BASIS = 2e10  # multiplications; below it finding a basis takes longer than it saves
GAIN = 1.2  # by which a sketch must be cheaper, on paper


def longest(vectors: Rows) -> float:
    """Length of the longest row, rounded up; 0 when there is none, NaN when one has no length."""
    best = np.float64(0)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        best = np.maximum(best, _squares(vectors[start : start + ROWS_AT_ONCE]).max(initial=0.0))
    return float(np.sqrt(best)) * UPWARDS


def _squares(rows: Vectors) -> npt.NDArray[np.float64]:
    """The square of each row's length, rounded up; NaN or infinite where a component is."""
    dims = rows.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):
        quick = np.einsum("ij,ij->i", rows, rows).astype(np.float64)
        if MODEST < quick.min(initial=1.0) <= quick.max(initial=1.0) < 1 / MODEST:
            # In float32, in any order, a sum is within d·u of the true one.
            most = quick * (1 + (dims + 2) * 1.01 * UNIT_ROUNDOFF) + dims * SMALLEST
        else:
            most = np.einsum("ij,ij->i", rows, rows, dtype=np.float64) * UPWARDS
    return np.asarray(most, np.float64)


def rounding(dims: int, one: float, other: float) -> float:
    """How far a float32 product of rows no longer than these is from the true one.

    Summed in any order it is within d·u·|x|·|y| (Higham 2002, Accuracy and Stability, §3.1);
    the rest is for a score's own rounding and for factors that underflow.
    """
    return (dims + 4) * 1.01 * UNIT_ROUNDOFF * one * other + dims * SMALLEST * (1 + one + other)


def half_rounding(dims: int, one: float, other: float) -> float:
    """The same where both factors and the product are rounded to bfloat16 besides."""
    return rounding(dims, one, other) * 1.02 + 3.03 * HALF_ROUNDOFF * one * other


def sketched(vectors: Rows, basis: Vectors, crooked: float) -> Vectors:
    """Vectors by their leading coordinates in a basis, and the length of what is left of each.

    With x = B·x₁ + x₂ the product of two vectors is x₁·y₁ + x₂·y₂, and by Cauchy–Schwarz
    x₂·y₂ ≤ |x₂||y₂|. So one product of (x₁, |x₂|) with (y₁, |y₂|) is an upper bound, up to
    ``sketch_slack``, which pays for a basis that is not quite orthonormal and for rounding.

    What is left is not made, which would take as long again as x₁: |x₂|² = |x|² - |x₁|² but for
    2·e·x₁ and x₁ᵀE x₁, where e is what rounding took from x₁ and E = BᵀB - I. Their greatest
    share of |x|² is added.

    Parameters
    ----------
    crooked
        The basis's ``crookedness``.

    Returns
    -------
    (n, p + 1) float32, the lengths in the last column, rounded up.
    """
    n, (dims, p) = len(vectors), basis.shape
    lost, tiny = _lost(dims, p), dims * SMALLEST * np.sqrt(p)
    rows = np.empty((n, p + 1), np.float32)
    for start in range(0, n, ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        leading, here = rows[some, :p], vectors[some]
        np.matmul(here, basis, out=leading)
        whole = _squares(here)
        known = np.einsum("ij,ij->i", leading, leading, dtype=np.float64)
        rest = whole * (1 + 1.1 * (2 * lost + crooked)) - known / UPWARDS
        rest += 2.2 * tiny * np.sqrt(whole)
        rows[some, p] = np.sqrt(np.maximum(rest, 0)) * UPWARDS
    return rows


def _lost(dims: int, p: int) -> float:
    """What rounding takes at most from x₁ = Bᵀx, as a share of |x|.

    √p is the basis's Frobenius norm, since rounding grows with absolute values.
    """
    return float((dims + 2) * UNIT_ROUNDOFF * np.sqrt(p))


def crookedness(basis: Vectors) -> float:
    """How far a basis is from orthonormal: no less than the norm of BᵀB - I."""
    exact = basis.astype(np.float64)
    return float(np.linalg.norm(exact.T @ exact - np.eye(basis.shape[1]))) + 1e-12


def sketch_slack(dims: int, p: int, crooked: float, one: float, other: float) -> float:
    """How far the product of two sketches may stay below that of vectors of these lengths.

    With E = BᵀB - I and |x₁| ≤ (1 + |E|)|x|, each of these is at most a share of |x||y|:

    |x₁ᵀE y₁|
        |E|, the basis's crookedness.
    x₁ᵀBᵀy₂, and the same the other way
        What rounding takes from Bᵀx, and |E| again.
    """
    share = (crooked + 2 * (_lost(dims, p) + crooked)) * 1.1
    tiny = dims * SMALLEST * np.sqrt(p) * (1 + one + other) * 4
    return float(share * one * other + tiny) + rounding(p + 1, 1.1 * one, 1.1 * other)


def find_basis(left: Sequence[Rows], right: Sequence[Rows], share: float) -> Vectors | None:
    """A basis in which a sketch is likely to pay, from a sample; None where none is.

    Parameters
    ----------
    share
        Of all pairs of a block, those that are wanted.

    Returns
    -------
    (d, p) float32, nearly orthonormal columns.
    """
    one, other = _sample(left, 0), _sample(right, 1)  # never a row with itself
    dims = one.shape[1]
    wanted = max(1, round(len(one) * len(other) * share))
    if not TRIED[0] < dims <= MOST_DIMENSIONS:
        return None
    if wanted >= len(one) * len(other):  # also where a side is empty
        return None
    basis = _leading(np.concatenate([one, other]), min(TRIED[-1], dims - 1))
    least = np.partition((one @ other.T).ravel(), -wanted)[-wanted]
    crooked = crookedness(basis)  # of no part of it is more
    if crooked > CROOKED:
        return None
    best, best_cost = None, (dims + SCAN) / GAIN
    for p in TRIED:
        if p <= basis.shape[1]:
            leading = np.ascontiguousarray(basis[:, :p])
            upper = sketched(one, leading, crooked) @ sketched(other, leading, crooked).T
            cost = p + 1 + SCAN + SURVIVOR * np.count_nonzero(upper >= least) / upper.size
            if cost < best_cost:
                best, best_cost = leading, cost
    return best


def _sample(sides: Sequence[Rows], odd: int) -> Vectors:
    """Rows from all sides, as many as a basis needs; of the odd rows or of the even ones."""
    step = 2 * max(1, sum(map(len, sides)) // (2 * SAMPLE))
    return np.concatenate([side[odd::step] for side in sides])[: 2 * SAMPLE]


def _leading(sample: Vectors, count: int) -> Vectors:
    """Directions of the greatest energy, greatest first, by subspace iteration: (d, count)."""
    dims = sample.shape[1]
    sample = sample / (np.abs(sample).max(initial=0.0) or np.float32(1))
    found: Vectors = np.random.default_rng(0).standard_normal(
        (dims, min(dims, count + 8)), dtype=np.float32
    )
    for _ in range(2):
        found = _orthonormal(sample.T @ (sample @ found))
    seen = sample @ found
    order = np.linalg.eigh(seen.T @ seen)[1][:, ::-1]
    return _straight(found @ order[:, :count])


def _orthonormal(columns: Vectors) -> Vectors:
    """An orthonormal basis of what columns span, by their Gram matrix.

    A QR of tall matrices is hundreds of small steps, which wait for each other's threads.
    """
    exact = columns.astype(np.float64)
    energy, turned = np.linalg.eigh(exact.T @ exact)
    strong = energy > 1e-12 * max(float(energy[-1]), 1e-300)
    return np.asarray(exact @ (turned[:, strong] / np.sqrt(energy[strong])), np.float32)


def _straight(columns: Vectors) -> Vectors:
    """The orthonormal columns nearest to some that nearly are."""
    exact = columns.astype(np.float64)
    energy, turned = np.linalg.eigh(exact.T @ exact)
    return np.asarray(exact @ (turned / np.sqrt(np.maximum(energy, 0.5))) @ turned.T, np.float32)
