"""Matching: the best pairs of sets of vectors, exactly, and what merges and thins them."""

from copal.matching.alike import earliest_kept, nearest_earlier
from copal.matching.blocks import top_blocks, top_pairs
from copal.matching.columns import SideBySide, matrix, side_by_side
from copal.matching.cuts import Cuts, top_cuts, top_mask_cuts
from copal.matching.matches import (
    NO_MATCHES,
    Indices,
    Matches,
    Places,
    Rows,
    Vectors,
    rescored,
)
from copal.matching.overlaps import Masks, overlaps, top_overlaps

__all__ = [
    "NO_MATCHES",
    "Cuts",
    "Indices",
    "Masks",
    "Matches",
    "Places",
    "Rows",
    "SideBySide",
    "Vectors",
    "earliest_kept",
    "matrix",
    "nearest_earlier",
    "overlaps",
    "rescored",
    "side_by_side",
    "top_blocks",
    "top_cuts",
    "top_mask_cuts",
    "top_overlaps",
    "top_pairs",
]
