"""Spots: the part of one block that one tile covers, and the search for its best pairs there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from copal.matching.crowd import best_of_crowd
from copal.matching.matches import NO_MATCHES, Indices, Matches, Places, Rows, Vectors, rescored
from copal.matching.products import Products, down

LOWEST = -1e31  # below every product of vectors that are not too long, above what is ruled out
CROWDED = 8192  # proposed pairs of a tile above which they are scored all together
LOOSE = 0.01  # of a tile's pairs; bounds that leave more were in vain
GUESSES = 4  # pairs for each one wanted, from which a block's first floor is found
SCORED_AT_ONCE = 1024  # pairs whose gathered rows stay in a core's cache


@dataclass(slots=True)
class Block:
    """The best pairs of one block so far."""

    k: int
    floor: float = -np.inf
    """No pair of the result has a true product below it."""
    pool: Matches = NO_MATCHES

    def reached(self, products: Vectors, slack: float) -> None:
        """Raise the floor to what the best of some pairs reach, each within ``slack``."""
        if len(products) >= self.k:
            least = float(np.partition(products, -self.k)[-self.k]) - slack
            self.floor = max(self.floor, least)

    def take(self, found: Matches, slack: float) -> None:
        """Pairs with their exact scores, rounded by less than ``slack``; each pair once."""
        self.pool = (self.pool + found).best(self.k)
        self.reached(self.pool.scores, slack)


@dataclass(frozen=True, slots=True)
class Spot:
    """The part of a tile that one block covers."""

    block: Block
    left: Rows
    right: Rows
    """Of the two assets, whole."""
    rows: slice
    columns: slice
    """Which of them the tile covers."""
    slack: float
    """How far a float32 product is from the true one."""
    places: Places | None

    def by_bounds(self, upper: Products, loose: float) -> bool:
        """Look only at pairs whose upper bound reaches the floor; False if those are too many.

        Bounds may stay below the true product by ``loose``.
        """
        block = self.block
        self._rule_out(upper)
        if block.floor < LOWEST:
            i, j, high = upper.best_of_lines(GUESSES * block.k)
            some = high > LOWEST
            block.reached(self._scores(i[some], j[some]), self.slack)
        i, j, _ = upper.at_least(max(block.floor, LOWEST) - loose)
        area = (self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start)
        if len(i) > max(CROWDED // 4, LOOSE * area):
            return False
        self._take(i, j, self._scores(i, j))
        return True

    def by_products(self, products: Products) -> None:
        """Look at pairs whose float32 product reaches the floor."""
        self._rule_out(products)
        if self.block.floor < LOWEST:
            self.block.reached(products.best_of_lines(self.block.k)[2], self.slack)
        self._take(*products.at_least(max(self.block.floor, LOWEST) - self.slack))

    def _take(self, i: Indices, j: Indices, products: Vectors) -> None:
        """Of proposed pairs with their float32 products, score those that can be among the best."""
        block = self.block
        block.reached(products, self.slack)
        hopeful = np.flatnonzero(products >= down(max(block.floor, LOWEST) - self.slack))
        if len(hopeful) > CROWDED + block.k:
            places = self.places
            refused = None if places is None else places.refused(self.rows, self.columns)
            one, other = self.left[self.rows], self.right[self.columns]
            crowd = best_of_crowd(one, other, block.k, refused)
            i, j = crowd.left + self.rows.start, crowd.right + self.columns.start
            found = Matches(i, j, crowd.scores)
        else:
            i, j = i[hopeful] + self.rows.start, j[hopeful] + self.columns.start
            found = rescored(self.left, self.right, i, j)
        block.take(found, self.slack)

    def _rule_out(self, products: Products) -> None:
        if self.places is not None:
            products.rule_out(self.places, self.rows, self.columns)

    def _scores(self, i: Indices, j: Indices) -> Vectors:
        """Float32 products of named pairs."""
        i, j = i + self.rows.start, j + self.columns.start
        scores = np.empty(len(i), np.float32)
        for start in range(0, len(i), SCORED_AT_ONCE):
            some = slice(start, start + SCORED_AT_ONCE)
            scores[some] = np.einsum("ij,ij->i", self.left[i[some]], self.right[j[some]])
        return scores
