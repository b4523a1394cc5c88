"""Matching: the best pairs of sets of vectors, exactly, and what merges and thins them."""

from copal.matching.alike import earliest_kept, nearest_earlier
from copal.matching.blocks import top_blocks, top_pairs
from copal.matching.cuts import Cuts, top_cuts
from copal.matching.matches import (
    NO_MATCHES,
    Indices,
    Matches,
    Places,
    Vectors,
    merge,
    rescored,
)

__all__ = [
    "NO_MATCHES",
    "Cuts",
    "Indices",
    "Matches",
    "Places",
    "Vectors",
    "earliest_kept",
    "merge",
    "nearest_earlier",
    "rescored",
    "top_blocks",
    "top_cuts",
    "top_pairs",
]
