"""Match pairs: the best match cuts between the shots of two assets, or within one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from copal.feature import Pair, speed_only
from copal.matching import Cuts, Masks, SideBySide, matrix, side_by_side, top_cuts, top_mask_cuts

PLACES = ("shot_index", "start_frame", "end_frame")


@dataclass(frozen=True)
class Side:
    """The shots of one asset that take part, in order."""

    index: npt.NDArray[np.int32]
    start: npt.NDArray[np.int32]
    end: npt.NDArray[np.int32]
    outgoing: Any  # what a cut leaves: (n, d) float32, or masks for each place of comparison
    incoming: Any  # what a cut goes to


@dataclass(frozen=True)
class MatchPairs:
    """The ``top_k`` best match cuts of a pair of assets; an asset is also paired with itself.

    A cut joins the end of one shot to the beginning of another. So its score is a weighted sum
    of likenesses, each of one column of the shot it leaves with one of the shot it goes to; and a
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
    """Share of each comparison. Shares that add up to 1 give scores of 1 at most."""
    measure: str = "cosine"
    """``cosine``; or ``iou`` of masks, which are where a vector is more than 0: the share that
    both cover of what either does."""
    device: str = speed_only("auto")  # where products are made, see copal.matching.top_blocks

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
    tools: ClassVar[tuple[str, ...]] = ()  # the scores are the same with every version

    def __post_init__(self) -> None:
        # The registry hands over lists; a frozen value holds tuples.
        if self.measure not in ("cosine", "iou"):
            raise ValueError(f"measure '{self.measure}': need 'cosine' or 'iou'")
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
        ``score`` is computed in float64 and rounded to float32, see ``copal.matching``.

        Notes
        -----
        Source: Chen et al. 2022, arXiv:2210.05766; that ends meet beginnings is our own.
        """
        return self.compute_batch([{"shots": shots, "dedup": dedup, "vectors": vectors}])[0]

    def compute_batch(self, units: Sequence[Mapping[str, Pair[pa.Table]]]) -> list[pa.Table]:
        """Rows of many pairs, each as ``compute`` gives them; what they share is done once."""
        numbers: dict[tuple[int, ...], int] = {}
        sides: list[Side] = []
        pairs = []
        for unit in units:
            needs = [unit[name] for name in ("shots", "dedup", "vectors")]
            ends = [need.left for need in needs], [need.right for need in needs]
            for tables in ends:
                if (key := tuple(map(id, tables))) not in numbers:
                    numbers[key] = len(sides)
                    sides.append(self._side(*tables))
            left, right = (numbers[tuple(map(id, tables))] for tables in ends)
            pairs.append((left, right))
        found = zip(self._found(sides, pairs), pairs, strict=True)
        return [self._rows(cuts, sides[a], sides[b]) for cuts, (a, b) in found]

    def _side(self, shots: pa.Table, dedup: pa.Table, vectors: pa.Table) -> Side:
        lengths = shots["clear_end"].to_numpy() - shots["clear_start"].to_numpy()
        kept = dedup["kept"].to_numpy().astype(bool)
        taken: Any = np.flatnonzero(kept & (lengths >= self.min_shot_frames))
        if len(taken) == len(kept):
            taken = slice(None)  # a view

        def joined(names: tuple[str, ...]) -> SideBySide | Masks:
            parts = [matrix(vectors, name)[taken] for name in names]
            if self.measure == "iou":
                return [(part > 0).astype(np.float32) for part in parts]
            return side_by_side(parts, self.weights)

        outgoing = joined(self.outgoing)
        incoming = outgoing if self.incoming == self.outgoing else joined(self.incoming)
        index, start, end = (shots[name].to_numpy()[taken] for name in PLACES)
        return Side(index, start, end, outgoing, incoming)

    def _found(self, sides: Sequence[Side], pairs: Sequence[tuple[int, int]]) -> list[Cuts]:
        ends = [side.outgoing for side in sides], [side.incoming for side in sides]
        index = [side.index for side in sides]
        if self.measure == "iou":
            return top_mask_cuts(*ends, pairs, self.top_k, weights=self.weights, index=index,
                                 min_gap=self.min_gap_shots)  # fmt: skip
        return top_cuts(*ends, pairs, self.top_k, index=index, min_gap=self.min_gap_shots,
                        device=self.device)  # fmt: skip

    def _rows(self, cuts: Cuts, left: Side, right: Side) -> pa.Table:
        i, j = cuts.left, cuts.right
        columns = [left.index[i], right.index[j], cuts.left_first, cuts.scores]
        columns += [left.start[i], left.end[i], right.start[j], right.end[j]]
        return pa.table(columns, names=self.columns.names).cast(self.columns)
