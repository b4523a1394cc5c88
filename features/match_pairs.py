"""Match pairs: the best match cuts between the shots of two assets, or within one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from copal.feature import Pair
from copal.matching import Matches, Places, top_pairs

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Side:
    """The shots of one asset that take part, in order."""

    index: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    outgoing: npt.NDArray[np.float32]
    """(n, d): what a cut leaves."""
    incoming: npt.NDArray[np.float32]
    """(n, d): what a cut goes to."""


@dataclass(frozen=True)
class MatchPairs:
    """The ``top_k`` best match cuts of a pair of assets; an asset is also paired with itself.

    A cut joins the end of one shot to the beginning of another. So its score is a weighted sum
    of cosines, each of one column of the shot it leaves with one of the shot it goes to; and a
    pair of shots can be cut both ways, unless both lists of columns are the same.
    """

    top_k: int = 100
    min_gap_shots: int = 2
    """Within one asset: shots whose indices are nearer than this are no pair."""
    min_shot_frames: int = 8
    """Shorter shots, fades not counted, take no part."""
    outgoing: tuple[str, ...] = ("vector", "last_vector")
    """Columns of the shot before the cut."""
    incoming: tuple[str, ...] = ("vector", "first_vector")
    """Columns of the shot after it; each is compared with the one at its place in ``outgoing``."""
    weights: tuple[float, ...] = (0.5, 0.5)
    """Share of each comparison. Shares that add up to 1 give scores from -1 to 1."""

    columns: ClassVar[pa.Schema] = pa.schema(
        [
            ("left_shot", pa.int32()),
            ("right_shot", pa.int32()),
            ("left_first", pa.bool_()),  # the cut goes from left's shot to right's
            ("score", pa.float32()),
            ("left_start_frame", pa.int32()),
            ("left_end_frame", pa.int32()),
            ("right_start_frame", pa.int32()),
            ("right_end_frame", pa.int32()),
        ]
    )
    tools: ClassVar[tuple[str, ...]] = ("numpy",)

    def __post_init__(self) -> None:
        # The registry hands over lists; a frozen value holds tuples.
        for name in ("outgoing", "incoming", "weights"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not 0 < len(self.outgoing) == len(self.incoming) == len(self.weights):
            raise ValueError("outgoing, incoming and weights need as many entries, one or more")
        if any(weight < 0 for weight in self.weights) or self.top_k < 1 or self.min_gap_shots < 1:
            raise ValueError("need weights of 0 or more, top_k and min_gap_shots of 1 or more")

    def compute(
        self, shots: Pair[pa.Table], dedup: Pair[pa.Table], vectors: Pair[pa.Table]
    ) -> pa.Table:
        """Score every pair of shots both ways and keep the best.

        Parameters
        ----------
        shots, dedup, vectors
            Rows of each asset's shots, in one order.

        Returns
        -------
        At most ``top_k`` rows, best first; equal scores in order of shots, left before right.
        ``score`` is the float64 product rounded to float32, see ``copal.matching``.

        Notes
        -----
        Source: Chen et al. 2022, arXiv:2210.05766 (match cutting); that the cut has a direction,
        and so ends meet beginnings, is our own.
        """
        left = right = self._side(shots.left, dedup.left, vectors.left)
        places = None  # of one asset's shots: left is the earlier, so every pair is met once
        if shots.itself:
            places = Places(left.index, left.index, self.min_gap_shots, ordered=True)
        else:
            right = self._side(shots.right, dedup.right, vectors.right)
        found = [(True, top_pairs(left.outgoing, right.incoming, self.top_k, places=places))]
        if self.outgoing != self.incoming:
            back = top_pairs(left.incoming, right.outgoing, self.top_k, places=places)
            found.append((False, back))
        return self._rows(found, left, right)

    def _side(self, shots: pa.Table, dedup: pa.Table, vectors: pa.Table) -> Side:
        index, kept = shots["shot_index"].to_numpy(), dedup["kept"].to_numpy()
        lengths = shots["clear_end"].to_numpy() - shots["clear_start"].to_numpy()
        taken = np.flatnonzero(kept.astype(bool) & (lengths >= self.min_shot_frames))
        roots = np.sqrt(np.array(self.weights, np.float32))

        def joined(names: tuple[str, ...]) -> npt.NDArray[np.float32]:
            parts = [
                _matrix(vectors, name)[taken] * root
                for name, root in zip(names, roots, strict=True)
            ]
            return np.ascontiguousarray(np.concatenate(parts, axis=1))

        start, end = (shots[name].to_numpy()[taken] for name in ("start_frame", "end_frame"))
        return Side(
            index[taken].astype(np.int64), start, end, joined(self.outgoing), joined(self.incoming)
        )

    def _rows(self, found: list[tuple[bool, Matches]], left: Side, right: Side) -> pa.Table:
        flags = np.concatenate([np.full(len(matches), first) for first, matches in found])
        both = sum((matches for _, matches in found[1:]), found[0][1])
        order = np.lexsort((~flags, both.right, both.left, -both.scores))[: self.top_k]
        i, j = both.left[order], both.right[order]
        return pa.table(
            [
                left.index[i],
                right.index[j],
                flags[order],
                both.scores[order],
                left.start[i],
                left.end[i],
                right.start[j],
                right.end[j],
            ],
            names=self.columns.names,
        ).cast(self.columns)


def _matrix(table: pa.Table, name: str) -> npt.NDArray[np.float32]:
    """A column of vectors as (rows, d) float32."""
    column = table[name].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), column.type.list_size)
