"""A worker made from a project: what one process needs to compute the cells of a chunk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from copal.asset import Asset, Place
from copal.errors import MissingMedia, MissingValue, PlanOutdated
from copal.fingerprint import AssetId
from copal.objects import Cache, Held, S3Locator, parse_locator
from copal.project import Project
from copal.registry import FeatureName
from copal.run import Worker


def make_worker(project: Project, features: Iterable[str], planned: Mapping[str, str]) -> Worker:
    """A worker for features; ``planned`` holds the recipes that the plan was made with.

    Raises
    ------
    PlanOutdated
        This process sees another recipe: other code, tools or weights than the planner had.
    """
    names = list(features)
    recipes = project.recipes(names)
    for name in names:
        if name in planned and recipes[FeatureName(name)].id != planned[name]:
            raise PlanOutdated(
                f"'{name}': this worker's recipe is {recipes[FeatureName(name)].id[:8]}, the "
                f"plan's {planned[name][:8]}. The registry, a tool's version or the weights "
                "differ between the two; make them equal, or plan again."
            )
    places = _places(project)

    def open_source(asset: Asset) -> object:
        from copal.media import Source

        try:
            path, held = _first_there(asset, places.get(asset.id, []))
        except MissingMedia:  # renamed since this worker began, perhaps
            places.update(_places(project))
            path, held = _first_there(asset, places.get(asset.id, []))
        return Source(asset=asset.id, path=path, name=asset.name, held=held)

    return Worker(
        bound={name: project.bound(name) for name in recipes},
        recipes=recipes,
        store=project.store,
        assets={asset.id: asset for asset in project.catalog.assets()},
        open_source=open_source,
    )


def _places(project: Project) -> dict[AssetId, list[Place]]:
    """The places of each asset, as the catalogue knows them now."""
    found: dict[AssetId, list[Place]] = {}
    for place in project.catalog.places():
        if place.asset is not None:
            found.setdefault(place.asset, []).append(place)
    return found


def _first_there(asset: Asset, places: Iterable[Place]) -> tuple[Path, Held | None]:
    """The first place where the asset still is; of one in S3, a copy to hold on to."""
    tried = []
    for place in places:
        locator = parse_locator(place.locator)
        if isinstance(locator, S3Locator):
            try:
                held = Cache.of_user().fetch(locator, place.stamp)
            except MissingValue as exc:
                tried.append(str(exc).rstrip("."))
                continue
            return held.path, held
        if locator.path.exists():
            return locator.path, None
        tried.append(str(locator.path))
    if not tried:
        raise MissingMedia(
            f"{asset.name} ({asset.short}): the catalogue knows no place for it. "
            "'copal add' it where it is."
        )
    raise MissingMedia(
        f"{asset.name} ({asset.short}): not at {', '.join(tried)} any more. "
        "Put it back, or 'copal add' it where it is now."
    )
