"""Comparing two recipes of a feature: what differs in the rows, and what it cost."""

from copal.compare.comparison import Comparison, Cost, compare
from copal.compare.looking import Scores, UnitDifference

__all__ = ["Comparison", "Cost", "Scores", "UnitDifference", "compare"]
