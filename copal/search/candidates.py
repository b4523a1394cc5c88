"""Candidates: every pair of shots that the blocks of a mix of flavours propose, with its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from copal.fingerprint import UnitId, pair_assets
from copal.project import Project
from copal.registry import FeatureName
from copal.search.blocks import Blocks, read_blocks
from copal.search.cuts import Looked
from copal.search.scores import Scorer

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Cuts from one shot to another, in the order of their pairs of assets, then of shots."""

    unit: Ints
    """(n,) place of the pair of assets among those asked about."""
    shots: Ints
    """(n, 2) index of the left and of the right shot."""
    left_first: npt.NDArray[np.bool_]
    """Whether the cut goes from the left shot to the right one."""
    ranges: Ints
    """(n, 4) start and end of the left shot, start and end of the right one."""
    by_flavour: Floats
    """(n, flavours) scores; NaN where one of the shots has no vector in that flavour."""
    score: Floats
    """(n,) of the mix."""

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: Ints | npt.NDArray[np.bool_]) -> Candidates:
        """Some of them."""
        return Candidates(self.unit[rows], self.shots[rows], self.left_first[rows],
                          self.ranges[rows], self.by_flavour[rows], self.score[rows])  # fmt: skip


def candidates(
    project: Project,
    mix: Mapping[str, tuple[FeatureName, float]],
    units: Sequence[UnitId],
    fill: bool,
) -> tuple[Candidates, list[Looked], float]:
    """What the blocks of a mix propose, what was looked at, and what no block holds at most.

    A pair that is in one flavour's block and not in another's gets its missing score from the
    stored vectors. A pair that is in no block scores at most the mix of the blocks' last scores;
    so whatever scores above the third thing returned is certain (Fagin's threshold).
    """
    blocks, looked = [], []
    bound = np.zeros(len(units))
    for flavour, (feature, weight) in mix.items():
        found = read_blocks(project, flavour, feature, units, fill)
        blocks.append(found)
        looked.append(Looked(flavour, weight, len(units), found.stored, found.computed))
        bound += weight * found.floors
    # A block that holds every pair leaves none that no block holds.
    whole = np.any([block.floors == -np.inf for block in blocks], axis=0)
    bound[whole] = -np.inf
    certain = float(bound.max(initial=-np.inf))
    if len(blocks) == 1:
        return _single(blocks[0]), looked, certain
    return _mixed(project, mix, blocks, units), looked, certain


def _single(block: Blocks) -> Candidates:
    order = np.argsort(block.unit, kind="stable")  # blocks are in order, best first
    found = Candidates(block.unit, np.stack([block.left_shot, block.right_shot], 1),
                       block.left_first, block.ranges, block.score[:, None],
                       block.score)  # fmt: skip
    return found.take(order)


def _mixed(
    project: Project,
    mix: Mapping[str, tuple[FeatureName, float]],
    blocks: Sequence[Blocks],
    units: Sequence[UnitId],
) -> Candidates:
    """The union of several flavours' blocks; a flavour that tells no direction stands for both."""
    directed = not all(block.symmetric for block in blocks)
    parts = []
    for place, block in enumerate(blocks):
        keys = np.stack([block.unit, block.left_shot, block.right_shot, ~block.left_first], 1)
        rows = np.concatenate([keys, block.ranges], 1)
        both = [rows]
        if directed and block.symmetric:
            turned = rows.copy()
            turned[:, 3] = 1 - turned[:, 3]
            both.append(turned)
        parts += [(each, np.full(len(each), place), block.score) for each in both]
    rows = np.concatenate([each for each, _, _ in parts])
    union, first, inverse = np.unique(rows[:, :4], axis=0, return_index=True, return_inverse=True)
    scores = np.full((len(union), len(blocks)), np.nan)
    scores[inverse.ravel(), np.concatenate([place for _, place, _ in parts])] = np.concatenate(
        [score for _, _, score in parts]
    )
    found = Candidates(union[:, 0], union[:, 1:3], union[:, 3] == 0, rows[first, 4:], scores,
                       np.zeros(len(union)))  # fmt: skip
    for place, (flavour, (feature, _)) in enumerate(mix.items()):
        missing = np.flatnonzero(np.isnan(scores[:, place]))
        if len(missing):
            scores[missing, place] = _scored(Scorer(project, flavour, feature), found, missing,
                                             units)  # fmt: skip
    weights = np.array([weight for _, weight in mix.values()])
    score = scores @ weights
    return replace(found, score=score).take(~np.isnan(score))


def _scored(scorer: Scorer, found: Candidates, rows: Ints, units: Sequence[UnitId]) -> Floats:
    """Scores of some candidates from the vectors of their shots."""
    owners = found.unit[rows]  # in order, as the candidates are
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    asked = [pair_assets(units[owner]) for owner in owners[starts]]
    scorer.load(sorted({asset for pair in asked for asset in pair}))
    scores = np.full(len(rows), np.nan)
    for (left, right), start, end in zip(asked, starts, [*starts[1:], len(rows)], strict=True):
        for forward in (True, False):
            part = start + np.flatnonzero(found.left_first[rows[start:end]] == forward)
            i, j = found.shots[rows[part]].T
            scores[part] = (
                scorer.scores(left, i, right, j) if forward else scorer.scores(right, j, left, i)
            )
    return scores
