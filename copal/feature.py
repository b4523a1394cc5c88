"""What a feature is to the engine: a class whose fields are its params, with ``compute``.

A feature class is a frozen dataclass. Its fields are the params of ``registry.yaml``; its
``compute`` takes one argument for each of its needs, and a few that the engine gives by name:

``source``
    For a feature that starts from media (``of:``): where the asset's bytes are.
``workspace``
    A folder of its own for files it makes; removed once the value is stored.

An argument's annotation says how the value is handed over: ``pa.Table`` for its rows, ``Value``
for rows and files, or any class that can make itself from a value (see ``FromValue``), such as
``copal.media.Encode``. A pair feature gets a ``Pair`` of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

Parts = Mapping[str, tuple[int, tuple[int, ...]]]
"""What the components of a vector mean: name of a part → where it begins, and its shape."""

GIVEN_ARGUMENTS = ("source", "workspace")
"""Arguments of ``compute`` that are no needs."""

SHOTS, SHOT_INDEX = "shots", "shot_index"
"""The argument of a per-shot feature that holds its shots, and the column that numbers them."""


class File(Protocol):
    """A stored file, wherever its bytes are."""

    @property
    def size_bytes(self) -> int:
        """Size in bytes."""

    def path(self) -> Path:
        """A local path that holds the whole file; fetched first when it is not local."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``, in one range read."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this machine."""

    location: Path

    @property
    def size_bytes(self) -> int:
        """Size in bytes."""
        return self.location.stat().st_size

    def path(self) -> Path:
        """The file itself."""
        return self.location

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        with self.location.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(length)
        if len(data) != length:
            raise OSError(f"{self.location}: {length} bytes asked at {offset}, got {len(data)}")
        return data


@dataclass(frozen=True, slots=True)
class Value:
    """What a feature holds for one unit: rows, and files too large for a row."""

    rows: pa.Table
    files: Mapping[str, File] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """What ``compute`` returns when it made files: rows, and where each file lies."""

    rows: pa.Table
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair(Generic[T]):
    """The same need on the two assets of a pair, in the pair's order; both are one on itself."""

    left: T
    right: T

    @property
    def itself(self) -> bool:
        """Whether the asset is paired with itself."""
        return self.left is self.right


@runtime_checkable
class FromValue(Protocol):
    """A class that can make itself from a stored value, to be used as an annotation."""

    @classmethod
    def from_value(cls, value: Value) -> Self:
        """What a feature wants to see of the value; opens nothing until it is used."""


class Feature(Protocol):
    """The shape of a feature class; nothing inherits from it."""

    columns: ClassVar[pa.Schema]
    """Names and types of the rows. May be a property where params decide (a vector's length)."""
    tools: ClassVar[tuple[str, ...]]
    """Programs and packages whose version may change the rows, by distribution name."""

    def compute(self, **needs: Any) -> pa.Table | Output:
        """Rows of one unit."""


class BatchFeature(Feature, Protocol):
    """A feature that is quicker with many units at once, such as a row of blocks of pairs."""

    def compute_batch(self, units: Sequence[Mapping[str, Any]]) -> Sequence[pa.Table]:
        """Rows of each unit; every mapping holds what ``compute`` would get as arguments.

        A table that several units share is the same object in each of them. When the call
        raises, the engine tries halves, so that one bad unit fails alone.
        """


class PerShotFeature(Feature, Protocol):
    """A feature whose rows of a shot follow from that shot alone, whichever shots stand beside it.

    When shots were found anew and most of them stayed where they were, their rows are taken from
    the older value, and ``compute`` is called with the others only: any of the shots, in order.
    The contract suite holds a feature to that.
    """

    per_shot: ClassVar[tuple[str, ...]]
    """Columns of ``shots`` that its rows follow from; ``compute`` is given these and
    ``shot_index``, and no others."""

    def join(self, pieces: Sequence[Value], workspace: Path) -> Output:
        """One value out of pieces of it, for a feature that makes files; not called otherwise.

        Each piece holds the rows of a run of shots, numbered as they are now, and the files that
        these rows were stored with, in which the run is one, too. What comes out is what
        ``compute`` of all shots would make, byte for byte.
        """


def speed_only(default: T) -> T:
    """A param that changes how fast rows are made, never the rows: it stays out of the recipe."""
    return field(default=default, metadata={"speed_only": True})


def weights_of(feature: object) -> dict[str, str]:
    """Digests of the weights that a feature reads, by name; none for most.

    A feature with a model has a method ``weights_digests()`` that returns them, and raises
    ``MissingWeights`` when there are none.
    """
    method = getattr(feature, "weights_digests", None)
    return dict(method()) if method is not None else {}


def per_shot_of(feature: object) -> tuple[str, ...]:
    """Columns of ``shots`` that a per-shot feature follows from; none when it is not per shot."""
    return tuple(getattr(feature, "per_shot", ()))


def parts_of(feature: object) -> Parts:
    """What the components of a feature's vectors mean; empty for most.

    A feature whose vectors people can be told about has a class attribute ``parts``. The names
    that ``copal.search.reasons`` has words for are ``edges``, ``light``, ``camera``, ``flow``,
    ``still``, ``mask`` and ``hues``.
    """
    return dict(getattr(feature, "parts", {}))
