"""The score of any two shots by a flavour, computed from stored vectors as its feature does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from copal.errors import RequestError
from copal.matching import SideBySide, matrix, overlaps, rescored, side_by_side
from copal.project import Project
from copal.registry import FeatureName

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Ints = npt.NDArray[np.int64]

VECTORS = "vectors"
"""Name of the need whose rows a flavour compares."""


class Scorer:
    """Scores pairs of shots by one flavour.

    Raises
    ------
    RequestError
        The flavour's feature does not say which columns it compares, so that only the pairs in
        its blocks have a score.
    """

    def __init__(self, project: Project, flavour: str, feature: FeatureName) -> None:
        declaration = project.graph.declaration(feature)
        given = project.bound(feature).instance
        told = all(hasattr(given, name) for name in ("outgoing", "incoming", "weights"))
        if not told or VECTORS not in declaration.needs:
            raise RequestError(
                f"'{feature}' does not say which columns of its need '{VECTORS}' it compares, so "
                f"'{flavour}' scores no pairs but those in its blocks: it cannot be mixed or "
                "evaluated."
            )
        self.need = declaration.needs[VECTORS]
        self.project = project
        self.outgoing: tuple[str, ...] = tuple(given.outgoing)
        self.incoming: tuple[str, ...] = tuple(given.incoming)
        self.weights: tuple[float, ...] = tuple(given.weights)
        self.measure = str(getattr(given, "measure", "cosine"))
        self.tables: dict[str, pa.Table] = {}

    @property
    def symmetric(self) -> bool:
        """Whether two shots score the same both ways."""
        return self.outgoing == self.incoming

    def load(self, assets: list[str]) -> None:
        """Read the vectors of assets; those that have none are left out."""
        wanted = [asset for asset in assets if asset not in self.tables]
        found = self.project.table(self.need).read(wanted)
        self.tables |= {str(unit): value.rows for unit, value in found.items()}

    def scores(self, out_asset: str, out_shot: Ints, in_asset: str, in_shot: Ints) -> Floats:
        """Scores of cuts from shots of one asset to shots of another; NaN without vectors."""
        found = np.full(len(out_shot), np.nan, np.float32)
        if out_asset not in self.tables or in_asset not in self.tables:
            return found
        leaving, entering = self.tables[out_asset], self.tables[in_asset]
        i, j = _places(leaving, out_shot), _places(entering, in_shot)
        known = np.flatnonzero((i >= 0) & (j >= 0))
        rows, columns = i[known], j[known]
        each = np.arange(len(known))
        if self.measure == "iou":
            left = self._masks(leaving, self.outgoing, rows)
            right = self._masks(entering, self.incoming, columns)
            found[known] = overlaps(left, right, self.weights, each, each)
        else:
            one = self._joined(leaving, self.outgoing, rows)
            other = self._joined(entering, self.incoming, columns)
            found[known] = rescored(one, other, each, each).scores
        return found

    def _joined(self, table: pa.Table, names: tuple[str, ...], rows: Ints) -> SideBySide:
        """The compared columns side by side, as their feature compares them."""
        return side_by_side([matrix(table, name)[rows] for name in names], self.weights)

    def _masks(self, table: pa.Table, names: tuple[str, ...], rows: Ints) -> list[Floats]:
        """The compared columns as masks of 0 and 1."""
        return [(matrix(table, name)[rows] > 0).astype(np.float32) for name in names]


def _places(table: pa.Table, shots: Ints) -> Ints:
    """Rows of shots by their indices; -1 where there is none."""
    index = table["shot_index"].to_numpy().astype(np.int64)
    where: Any = np.full(int(max(index.max(initial=-1), shots.max(initial=-1))) + 1, -1, np.int64)
    where[index] = np.arange(len(index))
    return np.asarray(where[shots], np.int64)
