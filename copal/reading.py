"""Reading: which recipe of each feature one question sees, decided once and from one set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from copal.errors import FeatureError, MissingValue, RequestError
from copal.fingerprint import RecipeId
from copal.graph import Graph, Recipe
from copal.registry import FeatureName
from copal.store import LanceStore
from copal.store.lance_store import LanceTable
from copal.store.releases import Releases
from copal.store.snapshots import Snapshot, Snapshots

RELEASE, TODAY = "release", "today"
_VERSION = re.compile(r"v(\d+)")
_RECIPE = re.compile(r"[0-9a-f]{8,32}")


def parted(text: str) -> tuple[str, str]:
    """``shots@v1`` as feature and what stands after the ``@``; nothing stands after most names.

    Raises
    ------
    RequestError
        One of the two is empty.
    """
    name, mark, at = text.partition("@")
    if not name or (mark and not at):
        raise RequestError(
            f"'{text}': write FEATURE@release, FEATURE@today, FEATURE@v2, FEATURE@ and the start "
            "of a recipe, or FEATURE@ and the name of a snapshot."
        )
    return name, at


@dataclass(slots=True)
class Reading:
    """The recipes that one question sees: those released, today's, or those of a snapshot.

    What is looked up is kept, so a question that is answered while somebody promotes is answered
    from the set that was released when it was asked. What the question is about is ``pinned``: of
    all other features only such recipes are read as were computed from the same recipes as it.
    """

    graph: Graph
    store: LanceStore
    today: Callable[[FeatureName], Recipe]
    """Today's recipe of a feature; raises ``FeatureError`` where it has none."""
    at: str = RELEASE
    """``release``, ``today``, or the name of a snapshot."""
    pins: dict[FeatureName, Recipe] = field(default_factory=dict)
    """What the question is about, and everything that it was made from."""
    _looked: dict[str, dict[FeatureName, RecipeId]] = field(default_factory=dict)
    """What is released, looked up once for this reading and for those made from it."""
    _snapshot: Snapshot | None = None
    _stored: dict[str, list[Recipe]] = field(default_factory=dict)
    _todays: dict[FeatureName, Recipe | FeatureError] = field(default_factory=dict)

    def about(self, *features: str) -> Reading:
        """This reading, with features (``FEATURE`` or ``FEATURE@AT``) pinned.

        Raises
        ------
        RequestError
            They were not made from the same recipes, so that their rows cannot be told together.
        MissingValue
            Nothing is stored as it was asked for.
        """
        found = Reading(self.graph, self.store, self.today, self.at, dict(self.pins),
                        self._looked, self._snapshot,
                        self._stored, self._todays)  # fmt: skip
        asked = {parted(text) for text in features}
        # What is made from most first: what it was made from is pinned with it.
        order = {name: place for place, name in enumerate(self.graph.order)}
        named = [(self.graph.declaration(name).name, at) for name, at in asked]
        for name, at in sorted(named, key=lambda each: (-order[each[0]], each[1])):
            found._pin(name, found.asked(name, at))
        return found

    def with_pins(self, recipes: Mapping[FeatureName, RecipeId]) -> Reading:
        """This reading, with what an earlier answer was read from pinned."""
        found = self.about()
        for name, recipe in recipes.items():
            found.pins[name] = self.find(name, recipe)
        return found

    def recipe(self, feature: str) -> Recipe:
        """The recipe of a feature that is read.

        Raises
        ------
        MissingValue
            There is none that was made from what is pinned, or the snapshot has none.
        """
        name = self.graph.declaration(feature).name
        if name not in self.pins:
            chosen = self._chosen(name)
            if not self.pins:
                return chosen
            self._pin(name, self._fitting(name, chosen))
        return self.pins[name]

    def table(self, feature: str) -> LanceTable:
        """The values of a feature that are read."""
        recipe = self.recipe(feature)
        version = None
        if self.snapshot is not None:
            pinned = self.snapshot.features.get(recipe.feature)
            version = pinned.version if pinned and pinned.recipe == recipe.id else None
        return self.store.table(recipe, version)

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that is read, if it is one."""
        if self._snapshot is None and self.at not in (RELEASE, TODAY):
            if _VERSION.fullmatch(self.at):
                raise RequestError(
                    f"'{self.at}' is a version of one feature: write FEATURE@{self.at}. Everything "
                    "is read at 'release', at 'today', or at the name of a snapshot."
                )
            self._snapshot = Snapshots(self.store).load(self.at)
        return self._snapshot

    def released(self) -> dict[FeatureName, RecipeId]:
        """What is released, as it was when it was first looked up here."""
        if RELEASE not in self._looked:
            self._looked[RELEASE] = Releases(self.store.folder).current()
        return self._looked[RELEASE]

    def made_from(self, recipe: Recipe) -> dict[FeatureName, Recipe]:
        """A recipe with those of everything it was made from, each by its feature."""
        found = {recipe.feature: recipe}
        declared = self.graph.registry.features.get(recipe.feature)
        for argument, need in recipe.needs.items():
            named = declared.needs.get(argument) if declared is not None else None
            for name, each in self.made_from(self._need(need, named)).items():
                found.setdefault(name, each)
        return found

    def stored(self, feature: str) -> list[Recipe]:
        """Every stored recipe of a feature, the newest first."""
        if feature not in self._stored:
            self._stored[feature] = self.store.recipes(feature)
        return self._stored[feature]

    def asked(self, name: FeatureName, at: str) -> Recipe:
        """The recipe that ``FEATURE@AT`` means.

        Raises
        ------
        RequestError
            There is none.
        """
        if at in ("", self.at):
            return self.recipe(name) if name in self.pins else self._chosen(name)
        if at == TODAY:
            return self._of_today(name)
        if at == RELEASE:
            return self._of_release(name)
        if version := _VERSION.fullmatch(at):
            for recipe in self.stored(name):
                if recipe.version == int(version[1]):
                    return recipe
            raise RequestError(f"'{name}@{at}': nothing was stored under this version."
                               + self._there_is(name))  # fmt: skip
        if _RECIPE.fullmatch(at):
            fitting = [recipe for recipe in self.stored(name) if recipe.id.startswith(at)]
            if len(fitting) > 1:
                raise RequestError(f"'{name}@{at}': {len(fitting)} recipes begin so.")
            if fitting:
                return fitting[0]
        try:
            snapshot = Snapshots(self.store).load(at)
        except RequestError as exc:
            raise RequestError(
                f"'{name}@{at}': neither a version (v2), nor the start of a stored recipe, nor a "
                f"snapshot.{self._there_is(name)}"
            ) from exc
        return snapshot.table(self.store, name).recipe

    def _chosen(self, name: FeatureName) -> Recipe:
        if self.at == TODAY:
            return self._of_today(name)
        if self.snapshot is not None:
            return self.snapshot.table(self.store, name).recipe
        return self._of_release(name)

    def _of_release(self, name: FeatureName) -> Recipe:
        """The released recipe; before the first release today's, or else the newest with values."""
        if name in self.released():
            return self.find(name, self.released()[name])
        stored = self.stored(name)
        today = None
        try:
            today = self._of_today(name)
        except FeatureError:
            if not stored:
                raise
        first = [today] if today is not None else []
        for recipe in [*first, *stored]:
            if self.store.table(recipe).index().units:
                return recipe
        return today if today is not None else stored[0]

    def _computable(self, name: FeatureName) -> list[Recipe]:
        """Today's recipe, where it has one."""
        try:
            return [self._of_today(name)]
        except FeatureError:
            return []

    def _of_today(self, name: FeatureName) -> Recipe:
        if name not in self._todays:
            try:
                self._todays[name] = self.today(name)
            except FeatureError as exc:
                self._todays[name] = exc
        found = self._todays[name]
        if isinstance(found, FeatureError):
            raise found
        return found

    def _fitting(self, name: FeatureName, chosen: Recipe) -> Recipe:
        """A recipe of a feature that agrees with what is pinned; the one chosen when it does."""
        for recipe in [chosen, *self._computable(name), *self.stored(name)]:
            if not self._differing(recipe):
                return recipe
        other = self._differing(chosen)[0]
        raise MissingValue(
            f"'{name}' has no values that were made from the same '{other}' as what is asked for "
            f"({self.pins[other].label}). 'copal run {name}' makes them from today's; "
            "'copal releases' tells what readers see."
        )

    def _differing(self, recipe: Recipe) -> list[FeatureName]:
        """Features of which a recipe was made from another recipe than the one pinned."""
        return [
            name
            for name, each in self.made_from(recipe).items()
            if name in self.pins and self.pins[name].id != each.id
        ]

    def _pin(self, name: FeatureName, recipe: Recipe) -> None:
        """Pin a recipe and what it was made from; of one that is not stored yet, its needs."""
        if differing := self._differing(recipe):
            other = differing[0]
            mine, its = self.pins[other].label, self.made_from(recipe)[other].label
            raise RequestError(
                f"'{name}' ({recipe.label}) and what is asked for with it cannot be told together: "
                f"they were made from '{other}' {its} and {mine}. Promote them as one set, or "
                "name versions that belong together."
            )
        needs = self.graph.declaration(name).needs.values()
        if not needs or self._is_stored(recipe):
            self.pins |= self.made_from(recipe)
            return
        # Nobody computed it yet, so what it will be made from is what readers see now.
        for need in sorted(set(needs), key=self.graph.order.index, reverse=True):
            if need not in self.pins:
                self._pin(need, self._fitting(need, self._chosen(need)))
        self.pins[name] = recipe

    def _is_stored(self, recipe: Recipe) -> bool:
        if self.at == TODAY:
            return True  # or is to be read as if it were
        if self.at == RELEASE and self.released().get(recipe.feature) == recipe.id:
            return True
        return any(each.id == recipe.id for each in self.stored(recipe.feature))

    def find(self, name: FeatureName, wanted: RecipeId) -> Recipe:
        """The recipe of a feature with this id.

        Raises
        ------
        MissingValue
            It has no table any more.
        """
        try:
            if (today := self._of_today(name)).id == wanted:
                return today
        except FeatureError:
            pass  # nobody can compute it here, but it can be read
        for recipe in self.stored(name):
            if recipe.id == wanted:
                return recipe
        raise MissingValue(
            f"'{name}' has no table of recipe {wanted[:8]} any more, and readers are to see it. "
            f"'copal promote {name}' releases another."
        )

    def _need(self, wanted: RecipeId, named: FeatureName | None) -> Recipe:
        """The recipe of a need; of another feature than today's registry names, if need be."""
        if named is not None:
            try:
                return self.find(named, wanted)
            except MissingValue:
                pass
        for feature in self.store.folder.names("features"):
            for recipe in self.stored(feature):
                if recipe.id == wanted:
                    return recipe
        raise MissingValue(f"a table of recipe {wanted[:8]} is needed, and is not stored any more.")

    def _there_is(self, name: FeatureName) -> str:
        found: Iterable[str] = dict.fromkeys(recipe.label for recipe in self.stored(name))
        return f" There is {', '.join(found)}." if self.stored(name) else ""
