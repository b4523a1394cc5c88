"""Releasing: who sees which recipe, moved by people, or by itself once a recipe is complete."""

from copal.releases.moving import Promotion, Standing, Step, promote, rollback, standings
from copal.releases.policy import settle

__all__ = ["Promotion", "Standing", "Step", "promote", "rollback", "settle", "standings"]
