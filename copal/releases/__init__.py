"""Releasing: who sees which recipe, moved by people, or by itself once a recipe is complete."""

from copal.releases.moving import Promotion, Step, promote, rollback
from copal.releases.policy import settle
from copal.releases.standing import Standing, standings

__all__ = ["Promotion", "Standing", "Step", "promote", "rollback", "settle", "standings"]
