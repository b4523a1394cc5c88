"""Ranking: candidates in order of their scores, thinned to what a person wants to see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from copal.fingerprint import TitleId, UnitId, pair_assets
from copal.search.candidates import Candidates
from copal.search.question import Question

if TYPE_CHECKING:
    import numpy.typing as npt

NEIGHBOURS = 2
"""Two cuts that share a shot are alike when their other shots are this near: one set-up often
comes back after a reverse shot, and dedup leaves what it does not recognise."""

ShotKey = tuple[str, int]
"""Asset and shot."""


@dataclass(slots=True)
class Told:
    """One candidate that is told, and those folded under it."""

    row: int
    outgoing: ShotKey
    incoming: ShotKey
    folded: list[int] = field(default_factory=list)


def ranked(
    question: Question,
    found: Candidates,
    units: Sequence[UnitId],
    titles: dict[str, TitleId],
    same: dict[ShotKey, ShotKey],
) -> list[Told]:
    """The best candidates, each told once.

    Equal scores come in the order of the pairs of assets, then of shots.

    Parameters
    ----------
    titles
        Asset → title.
    same
        Shot → the earlier shot that it repeats.
    """
    order = np.argsort(-found.score, kind="stable")
    told: list[Told] = []
    by_shot: dict[ShotKey, list[Told]] = {}
    used: set[ShotKey] = set()
    stands: Counter[TitleId] = Counter()
    for row in order.tolist():
        if len(told) == question.top:
            break
        if question.min_score is not None and found.score[row] < question.min_score:
            break
        each = _ends(found, row, units, same)
        if question.fold and (over := _over(each, by_shot)) is not None:
            over.folded.append(row)
            continue
        names = {titles[each.outgoing[0]], titles[each.incoming[0]]}
        if question.per_title is not None and any(
            stands[name] >= question.per_title for name in names
        ):
            continue
        if question.exclude_used and (each.outgoing in used or each.incoming in used):
            continue
        told.append(each)
        used |= {each.outgoing, each.incoming}
        stands.update(names)
        for shot in {each.outgoing, each.incoming}:
            by_shot.setdefault(shot, []).append(each)
    return told


def _ends(
    found: Candidates, row: int, units: Sequence[UnitId], same: dict[ShotKey, ShotKey]
) -> Told:
    left, right = pair_assets(units[found.unit[row]])
    one, other = (left, int(found.shots[row, 0])), (right, int(found.shots[row, 1]))
    out, into = (one, other) if found.left_first[row] else (other, one)
    return Told(row, same.get(out, out), same.get(into, into))


def _over(each: Told, by_shot: dict[ShotKey, list[Told]]) -> Told | None:
    """The higher cut that a cut is too alike to: of the same two shots, or all but the same."""
    ends = (each.outgoing, each.incoming)
    for shot, rest in (ends, ends[::-1]):
        for over in by_shot.get(shot, ()):
            other = over.incoming if over.outgoing == shot else over.outgoing
            if other[0] == rest[0] and abs(other[1] - rest[1]) <= NEIGHBOURS:
                return over
    return None


def long_enough(
    question: Question,
    found: Candidates,
    frames: Sequence[tuple[int, int]],
    pairs: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Which candidates have two shots of the wanted length.

    Parameters
    ----------
    frames
        Fewest and most frames of a shot, by asset.
    pairs
        (units, 2) places in ``frames`` of each unit's two assets.
    """
    bounds = np.array(frames, np.int64).reshape(-1, 2)
    kept = np.ones(len(found), bool)
    for side in (0, 1):
        length = found.ranges[:, 2 * side + 1] - found.ranges[:, 2 * side]
        least, most = bounds[pairs[found.unit, side]].T
        kept &= (length >= least) & (length <= most)
    return kept
