"""Standing: what readers see of each feature, and how far today's recipe has come beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from copal.errors import FeatureError, MissingValue
from copal.graph import Recipe
from copal.project import Project
from copal.reading import TODAY
from copal.registry import FeatureName
from copal.releases.cover import Cover, cover
from copal.store.releases import Move, Released, Releases, after


@dataclass(frozen=True, slots=True)
class Standing:
    """How the release of one feature stands."""

    feature: FeatureName
    released: Released | None
    move: Move | None
    """The move that released it."""
    today: Recipe | None
    """None where it cannot be told."""
    cover: Cover | None
    """How far today's recipe has what readers see, when that is another one."""

    @property
    def sentence(self) -> str:
        """What there is to say when today's recipe is not what readers see; empty otherwise."""
        if self.released is None or self.cover is None or self.today is None:
            return ""
        was, now = f"v{self.released.version}", f"v{self.today.version}"
        if was == now:  # the same version with other params, tools or needs
            was, now = f"{was} ({self.released.recipe[:8]})", self.today.label
        gone = f", {self.cover.hopeless:,} failed for good" if self.cover.hopeless else ""
        return f"{was} released; {now}: {self.cover.kept:,} of {self.cover.seen:,}{gone}"


def standings(project: Project, features: Sequence[str] = ()) -> list[Standing]:
    """How the releases of features (all that were ever released) stand."""
    history = Releases(project.folder).history()
    now = after(history)
    reading = project.at("release").reading
    assets = cache(project.select)
    named = [project.graph.declaration(name).name for name in features]
    found = []
    for name in named or [name for name in project.graph.order if name in now]:
        released = now.get(name)
        move = next((m for m in reversed(history) if released in m.set), None)
        try:
            today = reading.asked(name, TODAY)
        except FeatureError:
            today = None
        how = None
        if released is not None and today is not None and released.recipe != today.id:
            try:
                how = cover(project, reading, reading.find(name, released.recipe), today, assets)
            except MissingValue:
                how = None
        found.append(Standing(name, released, move, today, how))
    return found
