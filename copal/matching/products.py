"""Products of many rows at once, on the CPU or on a GPU, and what is asked of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from copal.matching.bounds import half_rounding, rounding
from copal.matching.matches import Indices, Places, Vectors

if TYPE_CHECKING:
    import torch

WORTH_A_GPU = 1e13  # multiplications; below it importing torch takes longer than they do

Found = tuple[Indices, Indices, Vectors]
"""Rows, columns and products there, in order of rows and columns."""


class Products(Protocol):
    """The products of some left rows with some right rows."""

    def part(self, rows: slice, columns: slice) -> Self:
        """Some of them; a view."""

    def rule_out(self, places: Places, rows: slice, columns: slice) -> None:
        """Put pairs that are left out below every product."""

    def best_of_lines(self, count: int) -> Found:
        """The best pair of each of about ``count`` rows, with the best of these; or all pairs."""

    def at_least(self, floor: float) -> Found:
        """Pairs whose product reaches a floor."""


class Multiplier(Protocol):
    """Something that multiplies."""

    def multiply(self, left: Sequence[Vectors], right: Sequence[Vectors]) -> Products:
        """All products of the rows of ``left``, one array below the other, with those of right.

        They are good until the next call.
        """

    def rounding(self, dims: int, one: float, other: float) -> float:
        """How far a product of rows no longer than these is from the true one."""


class HostProducts:
    """Products in this process's memory."""

    def __init__(self, values: Vectors) -> None:
        self.values = values

    def part(self, rows: slice, columns: slice) -> HostProducts:
        """Some of them; a view."""
        return HostProducts(self.values[rows, columns])

    def rule_out(self, places: Places, rows: slice, columns: slice) -> None:
        """Put pairs that are left out below every product."""
        for row, refused in enumerate(places.spans(rows, columns)):
            self.values[row, refused] = -np.inf

    def best_of_lines(self, count: int) -> Found:
        """The best pair of each of about ``count`` rows, with the best of these; or all pairs."""
        values = self.values
        if len(values) >= count:
            i, j = np.arange(len(values)), values.argmax(axis=1)
        elif values.shape[1] >= count:
            i, j = values.argmax(axis=0), np.arange(values.shape[1])
        else:
            i, j = (each.ravel() for each in np.indices(values.shape))
        found = values[i, j]
        if len(found) > count:
            some = np.argpartition(found, -count)[-count:]
            i, j, found = i[some], j[some], found[some]
        return i, j, found

    def at_least(self, floor: float) -> Found:
        """Pairs whose product reaches a floor."""
        i, j = np.divmod(np.flatnonzero(self.values >= down(floor)), self.values.shape[1])
        return i, j, self.values[i, j]


class Host:
    """NumPy, in float32, on all the cores that it is given."""

    def __init__(self) -> None:
        self.room = np.empty(0, np.float32)

    def multiply(self, left: Sequence[Vectors], right: Sequence[Vectors]) -> HostProducts:
        """All products, as ``Multiplier`` says; they stand where the last ones stood.

        New memory for each would take as long to get as few dimensions to multiply.
        """
        one, other = (side[0] if len(side) == 1 else np.concatenate(side) for side in (left, right))
        size = len(one) * len(other)
        if size > len(self.room):
            self.room = np.empty(size, np.float32)
        products = self.room[:size].reshape(len(one), len(other))
        return HostProducts(np.matmul(one, other.T, out=products))

    def rounding(self, dims: int, one: float, other: float) -> float:
        """Float32's."""
        return rounding(dims, one, other)


class DeviceProducts:
    """Products in bfloat16 on a torch device; only what is found is brought back."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def part(self, rows: slice, columns: slice) -> DeviceProducts:
        """Some of them; a view."""
        return DeviceProducts(self.values[rows, columns])

    def rule_out(self, places: Places, rows: slice, columns: slice) -> None:
        """Put pairs that are left out below every product."""
        import torch

        refused = torch.from_numpy(places.refused(rows, columns))
        self.values.masked_fill_(refused.to(self.values.device), float("-inf"))

    def best_of_lines(self, count: int) -> Found:
        """The best pair of each of about ``count`` rows, with the best of these; or all pairs."""
        import torch

        values = self.values
        if max(values.shape) >= count:
            axis = 1 if len(values) >= count else 0
            best, where = values.max(dim=axis)
            best, lines = best.topk(count)
            where = where[lines]
            i, j = (lines, where) if axis == 1 else (where, lines)
        else:
            i, j = (each.ravel() for each in torch.meshgrid(
                *(torch.arange(size, device=values.device) for size in values.shape), indexing="ij"
            ))  # fmt: skip
            best = values.ravel()
        return i.cpu().numpy(), j.cpu().numpy(), best.float().cpu().numpy()

    def at_least(self, floor: float) -> Found:
        """Pairs whose product reaches a floor."""
        i, j = (self.values.float() >= float(down(floor))).nonzero(as_tuple=True)
        return i.cpu().numpy(), j.cpu().numpy(), self.values[i, j].float().cpu().numpy()


class Device:
    """Torch, in bfloat16: a GPU's matrix units, or a CPU's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: dict[tuple[int, int], tuple[Vectors, torch.Tensor]] = {}

    def multiply(self, left: Sequence[Vectors], right: Sequence[Vectors]) -> DeviceProducts:
        """All products, as ``Multiplier`` says."""
        import torch

        one, other = (torch.cat([self._moved(each) for each in side]) for side in (left, right))
        return DeviceProducts(one @ other.T)

    def rounding(self, dims: int, one: float, other: float) -> float:
        """Bfloat16's, with sums in float32."""
        return half_rounding(dims, one, other)

    def _moved(self, vectors: Vectors) -> torch.Tensor:
        """An array on the device; it is moved once."""
        import torch

        key = (vectors.ctypes.data, len(vectors))
        if key not in self.held:
            moved = torch.from_numpy(vectors).to(self.name, torch.bfloat16)
            self.held[key] = (vectors, moved)  # the array is kept, so that no other has its place
        return self.held[key][1]


def multiplier_on(device: str, work: int) -> Multiplier:
    """What multiplies on ``numpy``, on a torch device, or (``auto``) where it is quickest.

    A GPU's driver is looked for before torch is, which takes two seconds to import.
    """
    if device == "auto":
        device = "numpy"
        if work > WORTH_A_GPU and Path("/dev/nvidia0").exists():
            import torch

            device = "cuda" if torch.cuda.is_available() else "numpy"
    return Host() if device == "numpy" else Device(device)


def down(value: float) -> np.float32:
    """The next float32 below, so that rounding raises no floor."""
    return np.float32(np.nextafter(np.float32(value), np.float32(-np.inf)))
