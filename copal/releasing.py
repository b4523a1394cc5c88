"""Releasing: what a person asks and does about the recipes that readers see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from copal.compare import Comparison, compare
from copal.project import Project
from copal.releases import Promotion, Standing, promote, rollback, standings
from copal.store.releases import Move, Releases


@dataclass(frozen=True, slots=True)
class Releasing:
    """The releases of a project: which recipe of each feature readers see, and moving them."""

    project: Project

    def standing(self, features: Sequence[str] = ()) -> list[Standing]:
        """Which recipe of features (all that were released) readers see, and how today's stands."""
        return standings(self.project, features)

    def moves(self) -> list[Move]:
        """Every move of releases, the oldest first."""
        return Releases(self.project.folder).history()

    def promote(
        self,
        features: Sequence[str],
        *,
        with_needs: bool = False,
        force: bool = False,
        dry_run: bool = False,
        why: str = "",
    ) -> Promotion:
        """Let readers see other recipes of features, all from one moment on.

        >>> lake.releases.promote(["shots", "dedup@v2"])

        Raises
        ------
        RequestError
            Nothing is stored of what is asked for, or readers would miss values; ``force`` then.
        """
        return promote(
            self.project, features, with_needs=with_needs, force=force, dry_run=dry_run, why=why
        )

    def compare(
        self,
        old: str,
        new: str = "",
        titles: Sequence[str] = (),
        *,
        sample: int = 200,
        tolerance: int = 0,
        k: int = 10,
    ) -> Comparison:
        """What another recipe of a feature changes; see ``copal.compare.compare``.

        >>> lake.releases.compare("shots@v1", "shots@v2").boundaries.f1
        """
        return compare(self.project, old, new, titles, sample=sample, tolerance=tolerance, k=k)

    def rollback(
        self, features: Sequence[str] = (), *, to: str = "", dry_run: bool = False, why: str = ""
    ) -> Promotion:
        """Let readers see again what they saw before; see ``copal.releases.rollback``."""
        return rollback(self.project, features, to=to, dry_run=dry_run, why=why)
