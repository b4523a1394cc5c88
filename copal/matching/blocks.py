"""Blocks: the best pairs of each of many pairs of assets, exactly, without all of the products.

A product in few bits or few dimensions only proposes; what is proposed within its certified error
is scored again in float64, in one fixed order of summation. So the pairs and the scores of a block
are the same bytes at every tile size and thread count, with bounds or without, on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from copal.matching.bounds import (
    WORTH_A_BASIS,
    crookedness,
    find_basis,
    longest,
    rounding,
    sketch_slack,
    sketched,
)
from copal.matching.matches import Matches, Places, Rows, Vectors
from copal.matching.products import Host, Multiplier, Products, multiplier_on
from copal.matching.spots import Block, Spot

Pair = tuple[int, int]

TILE = 2048  # rows and columns of one product; 1024 to 4096 took the same time
LONGEST = 1e15  # of a vector, so that no product reaches LOWEST
VAIN = 4  # tiles, more than those where bounds helped, after which there are no more bounds


def top_pairs(
    left: Vectors, right: Vectors, k: int, *, places: Places | None = None, tile: int = TILE
) -> Matches:
    """The ``k`` pairs with the largest products, out of all pairs of a left and a right row.

    As ``top_blocks`` for one block.
    """
    given = {} if places is None else {(0, 0): places}
    return top_blocks([left], [right], [(0, 0)], k, places=given, tile=tile)[0]


def top_blocks(
    left: Sequence[Rows],
    right: Sequence[Rows],
    pairs: Sequence[Pair],
    k: int,
    *,
    places: Mapping[Pair, Places] | None = None,
    prune: bool | None = None,
    device: str = "numpy",
    tile: int = TILE,
) -> list[Matches]:
    """For each pair of a left and a right asset, the ``k`` pairs of rows with the largest products.

    Parameters
    ----------
    left, right
        Of each asset (n, d) float32, finite. The products of two assets never exist at one time.
        An array that is given several times is looked at once.
    pairs
        Which blocks: indices of a left and of a right asset.
    places
        What rules pairs of rows out, for blocks whose two sides come from one sequence.
    prune
        Whether to look first at bounds in few dimensions; None for where that is likely to pay.
        The result is the same.
    device
        ``numpy``; or a torch device, ``cuda`` or ``cpu``, that proposes in bfloat16; or ``auto``:
        a GPU where there is one and enough to do. The result is the same.
    tile
        Rows and columns of one product.

    Raises
    ------
    ValueError
        Dimensions differ, a component is not finite, or a vector is longer than 1e15.
    """
    sides = _Sides(left, right, places or {})
    wanted = {pair: Block(k) for pair in pairs}
    if k > 0:
        bounds = _bounds(sides, list(wanted), k, prune, device)
        plain = _Operands(dict(enumerate(left)), dict(enumerate(right)), Host())
        for each in _tiles(sides, wanted, tile):
            each.fill(plain, bounds)
    return [wanted[pair].pool for pair in pairs]


class _Sides:
    """The vectors of all assets, and the longest of each."""

    def __init__(
        self, left: Sequence[Rows], right: Sequence[Rows], places: Mapping[Pair, Places]
    ) -> None:
        dims = sorted({vectors.shape[1] for vectors in (*left, *right)})
        if len(dims) > 1:
            raise ValueError(f"vectors of {dims[0]} and {dims[-1]} dimensions do not match")
        self.left, self.right, self.places = left, right, places
        self.dims = int(dims[0]) if dims else 0
        mine, its = dict(enumerate(left)), dict(enumerate(right))
        lengths = {id(each): longest(each) for each in _distinct(mine, its)}
        if not np.isfinite(list(lengths.values())).all():
            raise ValueError("vectors hold components that are no finite numbers")
        if max(lengths.values(), default=0.0) > LONGEST:
            raise ValueError(
                f"vectors longer than {LONGEST:g} would overflow; make them of length 1"
            )
        self.lengths = tuple([lengths[id(each)] for each in side] for side in (left, right))

    def reach(self, pair: Pair) -> tuple[float, float]:
        """Lengths that no vector of a left and of a right asset exceeds."""
        return self.lengths[0][pair[0]], self.lengths[1][pair[1]]

    def spot(self, block: Block, one: _Part, other: _Part) -> Spot:
        """The part of a block that parts of its assets cover."""
        pair = one.asset, other.asset
        slack = rounding(self.dims, *self.reach(pair))
        left, right = self.left[one.asset], self.right[other.asset]
        return Spot(block, left, right, one.rows, other.rows, slack, self.places.get(pair))


@dataclass(slots=True)
class _Operands:
    """What is multiplied: the vectors themselves, or fewer dimensions of them, or fewer bits."""

    left: Mapping[int, Rows]
    right: Mapping[int, Rows]
    multiplier: Multiplier
    leading: int = 0
    """Dimensions of the basis, where sketches are multiplied."""
    crooked: float = 0.0
    vain: int = 0
    """Tiles where they left too much, less those where they did not."""

    def multiply(self, left: Sequence[_Part], right: Sequence[_Part]) -> Products:
        """All products of some parts."""
        return self.multiplier.multiply(
            [self.left[part.asset][part.rows] for part in left],
            [self.right[part.asset][part.rows] for part in right],
        )

    def slack(self, dims: int, one: float, other: float) -> float:
        """How far a product may stay below the true one of vectors of these lengths."""
        if not self.leading:
            return self.multiplier.rounding(dims, one, other)
        longer = 1.1 * one, 1.1 * other  # a sketch is hardly longer than its vector
        slack = sketch_slack(dims, self.leading, self.crooked, one, other)
        return slack + self.multiplier.rounding(self.leading + 1, *longer)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of an asset."""

    asset: int
    rows: slice

    def __len__(self) -> int:
        return int(self.rows.stop - self.rows.start)


@dataclass(frozen=True, slots=True)
class _Tile:
    """What one product covers: parts of left and of right assets, and the blocks they are of."""

    sides: _Sides
    left: Sequence[_Part]
    right: Sequence[_Part]
    blocks: Mapping[Pair, Block]
    """By places in ``left`` and ``right``."""

    def fill(self, plain: _Operands, bounds: _Operands | None) -> None:
        """Add what this tile holds of the best pairs to its blocks."""
        area = sum(len(self.left[i]) * len(self.right[j]) for i, j in self.blocks)
        if 2 * area < sum(map(len, self.left)) * sum(map(len, self.right)):
            for (i, j), block in self.blocks.items():
                alone = [self.left[i]], [self.right[j]], {(0, 0): block}
                _Tile(self.sides, *alone).fill(plain, bounds)
            return
        bounded = bounds is not None and bounds.vain <= VAIN
        operands = bounds if bounds is not None and bounded else plain
        products = operands.multiply(self.left, self.right)
        rows, columns = (np.cumsum([0, *map(len, side)]) for side in (self.left, self.right))
        for (i, j), block in self.blocks.items():
            one, other = self.left[i], self.right[j]
            spot = self.sides.spot(block, one, other)
            here = products.part(slice(rows[i], rows[i + 1]), slice(columns[j], columns[j + 1]))
            if not bounded:
                spot.by_products(here)
                continue
            reach = self.sides.reach((one.asset, other.asset))
            if spot.by_bounds(here, operands.slack(self.sides.dims, *reach)):
                operands.vain = max(operands.vain - 1, -VAIN)
            else:
                operands.vain += 1
                spot.by_products(plain.multiply([one], [other]))


def _bounds(
    sides: _Sides, pairs: Sequence[Pair], k: int, prune: bool | None, device: str
) -> _Operands | None:
    """What proposes pairs before they are multiplied in float32, if that is likely to pay."""
    pairs = [(a, b) for a, b in pairs if len(sides.left[a]) and len(sides.right[b])]
    area = sum(len(sides.left[a]) * len(sides.right[b]) for a, b in pairs)
    left = {a: sides.left[a] for a, _ in pairs}
    right = {b: sides.right[b] for _, b in pairs}
    basis = None
    if area and prune is not False and (prune or area * sides.dims > WORTH_A_BASIS):
        basis = find_basis(list(left.values()), list(right.values()), k * len(pairs) / area)
    multiplier = multiplier_on(device, area * sides.dims)
    if not area or (basis is None and isinstance(multiplier, Host)):
        return None
    each_once = _distinct(left, right)
    crooked = 0.0 if basis is None else crookedness(basis)
    if basis is None:  # whole, since a device keeps what it was given
        made = {id(each): each[:] for each in each_once}
    else:
        made = {id(each): sketched(each, basis, crooked) for each in each_once}
    left = {a: made[id(each)] for a, each in left.items()}
    right = {b: made[id(each)] for b, each in right.items()}
    return _Operands(left, right, multiplier, 0 if basis is None else basis.shape[1], crooked)


def _distinct(*sides: Mapping[int, Rows]) -> list[Rows]:
    """Each array once."""
    return list({id(each): each for side in sides for each in side.values()}.values())


def _tiles(sides: _Sides, wanted: Mapping[Pair, Block], tile: int) -> Iterator[_Tile]:
    """Cut what is wanted into products of at most so many rows and columns."""
    partners: dict[int, set[int]] = {}
    for a, b in wanted:
        partners.setdefault(a, set()).add(b)
    for left in _groups(sorted(partners), sides.left, tile):
        reached = set().union(*(partners[part.asset] for part in left))
        for right in _groups(sorted(reached), sides.right, tile):
            blocks = {
                (i, j): block
                for i, one in enumerate(left)
                for j, other in enumerate(right)
                if (block := wanted.get((one.asset, other.asset))) is not None
                and not _refused(sides, one, other)
            }
            if blocks:
                yield _Tile(sides, left, right, blocks)


def _groups(assets: Sequence[int], side: Sequence[Rows], tile: int) -> list[list[_Part]]:
    """Assets cut into parts of at most ``tile`` rows, and small ones put together."""
    groups: list[list[_Part]] = []
    room = 0
    for asset in assets:
        count = len(side[asset])
        pieces = -(-count // tile)
        for piece in range(pieces):
            part = _Part(asset, slice(count * piece // pieces, count * (piece + 1) // pieces))
            if len(part) > room:
                groups.append([])
                room = tile
            groups[-1].append(part)
            room -= len(part)
    return groups


def _refused(sides: _Sides, one: _Part, other: _Part) -> bool:
    places = sides.places.get((one.asset, other.asset))
    return places is not None and places.refuses_all(one.rows, other.rows)
