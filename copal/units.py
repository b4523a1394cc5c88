"""Units: many of them held as one Arrow column, so that a whole catalogue is looked up at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

AnyUnit = TypeVar("AnyUnit", bound=str)


class Units(Set[str]):
    """A set of units as Arrow read it; a set of Python's is made only when one is looked up.

    That takes several times as long as reading the column does, and ``absent`` needs none.
    """

    __slots__ = ("_set", "column")

    def __init__(self, column: pa.Array | pa.ChunkedArray) -> None:
        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        self.column: pa.Array = whole
        """Each unit once, in any order."""
        self._set: frozenset[str] | None = None

    def __contains__(self, unit: object) -> bool:
        if self._set is None:
            self._set = frozenset(self.column.to_pylist())
        return unit in self._set

    def __iter__(self) -> Iterator[str]:
        return iter(self.column.to_pylist())

    def __len__(self) -> int:
        return len(self.column)

    @classmethod
    def _from_iterable(cls, units: Iterable[str]) -> frozenset[str]:  # type: ignore[override]  # what is made of two sets is a plain one
        return frozenset(units)

    def holding(self, units: pa.Array) -> int:
        """How many of some units, each given once, are in the set."""
        return pc.sum(pc.is_in(units, value_set=self.column)).as_py() or 0


def absent(units: Sequence[AnyUnit], held: Set[str]) -> list[AnyUnit]:
    """The units that a set does not hold, in order."""
    if not isinstance(held, Units):
        return [unit for unit in units if unit not in held]
    there = pc.is_in(pa.array(units, pa.string()), value_set=held.column)
    places = pc.indices_nonzero(pc.invert(there)).to_pylist()
    return [units[place] for place in places]
