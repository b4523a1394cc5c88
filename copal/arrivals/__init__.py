"""Ways in for media: what is at a place is reconciled with what the catalogue knows."""

from copal.arrivals.add import Arrival, add

__all__ = ["Arrival", "add"]
