"""Ways in for media: what is at a place is reconciled with what the catalogue knows."""

from copal.arrivals.add import add
from copal.arrivals.reconcile import Arrival, Reconciler

__all__ = ["Arrival", "Reconciler", "add"]
