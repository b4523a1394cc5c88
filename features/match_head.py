"""Match head: stored vectors turned by a small trained network, so that what matches is near."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa

from copal.errors import MissingWeights
from copal.matching import matrix
from copal.weights import own_weights, weights_digest

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

LEAK = 0.01  # of the units between two layers
ADVICE = "Train it: python flows/train_match_head.py run --pairs PAIRS.csv --weights FILE"


@dataclass(frozen=True)
class MatchHead:
    """Every vector of a need, column by column, through layers trained on labelled pairs.

    ``flows/train_match_head.py`` makes the weights. They are matrices in a NumPy archive, so that
    no model library is needed to use them, and nothing in the file can run.
    """

    weights: str
    """File of the weights: a local path, or ``s3://bucket/key``."""
    dimensions: int = 128
    """Length of the vectors that come out, as the head was trained."""
    apply_to: tuple[str, ...] = ("vector", "first_vector", "last_vector")
    """Columns of the need; they keep their names."""

    tools: ClassVar[tuple[str, ...]] = ("numpy",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "apply_to", tuple(self.apply_to))
        if self.dimensions < 1 or not self.apply_to:
            raise ValueError("need dimensions of 1 or more, and a column to apply to")

    @property
    def columns(self) -> pa.Schema:
        """The columns that the head is applied to: float32, ``dimensions`` long, norm 1."""
        vector = pa.list_(pa.float32(), self.dimensions)
        return pa.schema([("shot_index", pa.int32()), *((name, vector) for name in self.apply_to)])

    def weights_digests(self) -> dict[str, str]:
        """Digest of the weights file; raises ``MissingWeights`` when it is not there."""
        return {"weights": weights_digest(own_weights(self.weights, ADVICE))}

    def compute(self, vectors: pa.Table) -> pa.Table:
        """Turn every vector of every shot.

        Returns
        -------
        One row per shot, same order.

        Raises
        ------
        MissingWeights
            The file is no head, or one for other vectors or of other ``dimensions``.

        Notes
        -----
        Source: Chen et al. 2022, arXiv:2210.05766 §5 (a small network on frozen embeddings).
        """
        kind = self.columns.field(1).type
        found = [
            pa.FixedSizeListArray.from_arrays(self.turned(matrix(vectors, name)).ravel(), type=kind)
            for name in self.apply_to
        ]
        return pa.table([vectors["shot_index"], *found], schema=self.columns)

    def turned(self, rows: Floats) -> Floats:
        """(n, d) → (n, dimensions) float32, each of length 1."""
        layers = self._layers
        given, made = layers[0][0].shape[1], layers[-1][0].shape[0]
        if rows.shape[1] != given or made != self.dimensions:
            raise MissingWeights(
                f"{self.weights}: a head from {given} to {made} components, but the vectors have "
                f"{rows.shape[1]} and the param 'dimensions' says {self.dimensions}. {ADVICE}"
            )
        for place, (turn, bias) in enumerate(layers):
            if place:
                rows = np.where(rows > 0, rows, LEAK * rows)
            rows = rows @ turn.T + bias
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.where(lengths > 0, rows / np.maximum(lengths, 1e-12), np.eye(1, rows.shape[1]))
        return np.ascontiguousarray(rows, np.float32)

    @cached_property
    def _layers(self) -> list[tuple[Floats, Floats]]:
        """Matrices, (out, in), and biases, first to last."""
        path = own_weights(self.weights, ADVICE)
        try:
            with np.load(path, allow_pickle=False) as archive:
                count = len(archive.files) // 2
                layers = [(archive[f"matrix_{i}"], archive[f"bias_{i}"]) for i in range(count)]
            if not layers or any(m.ndim != 2 or b.shape != m.shape[:1] for m, b in layers):
                raise ValueError("it has no layers")
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:
            raise MissingWeights(f"{path} holds no match head: {exc}. {ADVICE}") from exc
        return layers
