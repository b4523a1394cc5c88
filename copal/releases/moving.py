"""Moving a release: promote, and rollback."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import structlog

from copal.asset import Asset
from copal.errors import MissingValue, RequestError, WriteConflict
from copal.graph import Recipe
from copal.project import Project
from copal.reading import TODAY, Reading, parted
from copal.registry import FeatureName
from copal.releases.cover import Cover, cover
from copal.store.releases import (
    PROMOTE,
    ROLLBACK,
    Move,
    Released,
    Releases,
    after,
    earlier,
    left,
)

TRIES = 10
Goals = dict[FeatureName, Recipe]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Step:
    """One feature of a move."""

    feature: FeatureName
    before: Recipe | None
    """What readers see until now; None before the first release, or when it is gone."""
    after: Recipe
    cover: Cover | None
    """How much of what they see they keep."""

    @property
    def sentence(self) -> str:
        """For people: ``v1 (7b10ae12) → v2 (379678fb), 10 of 10 kept``."""
        was = self.before.label if self.before is not None else "nothing released"
        kept = ""
        if self.cover is not None and self.cover.seen:
            kept = f", {self.cover.kept:,} of {self.cover.seen:,} kept"
            kept += f", {self.cover.hopeless:,} failed for good" if self.cover.hopeless else ""
        return f"{was} → {self.after.label}{kept}"


@dataclass(frozen=True, slots=True)
class Promotion:
    """A move that was made, or would be."""

    steps: tuple[Step, ...]
    told: tuple[str, ...]
    """What else there is to know: followers that keep what they were made from."""
    number: int | None = None
    """Of the move; None when nothing was moved."""


def promote(
    project: Project,
    features: Sequence[str],
    *,
    with_needs: bool = False,
    force: bool = False,
    dry_run: bool = False,
    why: str = "",
) -> Promotion:
    """Let readers see other recipes of features, all of them from one moment on.

    Parameters
    ----------
    features
        Each ``FEATURE`` for today's recipe, or ``FEATURE@AT``.
    with_needs
        Move what the recipes were made from with them.
    force
        Move although readers would miss values that a run would compute.

    Raises
    ------
    RequestError
        Nothing is stored of what is asked for, or readers would miss values.
    """
    if not features:
        raise RequestError("name one feature or more to promote.")

    def goals(reading: Reading, history: Sequence[Move]) -> Goals:
        found: Goals = {}
        for text in features:
            name, at = parted(text)
            _agree(found, reading.asked(project.graph.declaration(name).name, at or TODAY))
        if with_needs:
            for recipe in list(found.values()):
                for each in reading.made_from(recipe).values():
                    _agree(found, each)
        return found

    return _move(project, goals, PROMOTE, force=force, dry_run=dry_run, why=why)


def rollback(
    project: Project,
    features: Sequence[str] = (),
    *,
    to: str = "",
    dry_run: bool = False,
    why: str = "",
) -> Promotion:
    """Let readers see again what they saw before, all of it from one moment on.

    Parameters
    ----------
    features
        Those to roll back; none for all that the last move moved together.
    to
        The number of a move, for the state after it; or ``v1``, the start of a recipe, or a
        snapshot. What was released last before, and was not rolled back, when empty.

    Raises
    ------
    RequestError
        There is nothing to go back to.
    """
    names = [project.graph.declaration(name).name for name in features]

    def goals(reading: Reading, history: Sequence[Move]) -> Goals:
        now = after(history)
        if to.isdigit():
            if not any(move.number == int(to) for move in history):
                raise RequestError(f"--to {to}: there is no move of this number; "
                                   "'copal releases --history' tells which there are.")  # fmt: skip
            then = after([move for move in history if move.number <= int(to)])
            wanted = names or list(then)
            if absent := [name for name in wanted if name not in then]:
                raise RequestError(f"'{absent[0]}' was not released at move {to}.")
            return {name: reading.find(name, then[name].recipe) for name in wanted}
        if to:
            if not names:
                raise RequestError(f"--to {to}: name the features to roll back.")
            return {name: reading.asked(name, to) for name in names}
        wanted = names or _last_set(history)
        found = {name: _former(history, name) for name in wanted}
        lone = [name for name, each in found.items() if each is None]
        if lone and (names or len(lone) == len(found)):
            was = "was never released" if lone[0] not in now else "had no other release before"
            raise RequestError(f"'{lone[0]}' {was}, so there is nothing to go back to.")
        return {n: reading.find(n, each.recipe) for n, each in found.items() if each is not None}

    return _move(project, goals, ROLLBACK, force=True, dry_run=dry_run, why=why)


def _last_set(history: Sequence[Move]) -> list[FeatureName]:
    """What the last move moved that still is where it moved it; rolled back ones are no moves."""
    now = after(history)
    for move in reversed(history):
        held = [each.feature for each in move.set if now[each.feature] == each]
        if move.kind != ROLLBACK and held:
            return held
    raise RequestError("nothing was released yet, so there is nothing to go back to.")


def _former(history: Sequence[Move], feature: str) -> Released | None:
    """What was released of a feature before, and was not left by a person."""
    released = earlier(history, feature)
    gone = left(history, feature) | {each.recipe for each in released[:1]}
    return next((each for each in released if each.recipe not in gone), None)


def _agree(goals: Goals, recipe: Recipe) -> None:
    """Add a recipe to a set that has one of each feature."""
    other = goals.setdefault(recipe.feature, recipe)
    if other.id != recipe.id:
        raise RequestError(
            f"'{recipe.feature}' cannot be {other.label} and {recipe.label} at once; "
            "what is promoted together was made from different ones."
        )


def _move(
    project: Project,
    goals: Callable[[Reading, Sequence[Move]], Goals],
    kind: str,
    *,
    force: bool,
    dry_run: bool,
    why: str,
) -> Promotion:
    """Decide on what is released now and move it; decides again when somebody was quicker."""
    releases = Releases(project.folder)
    for _ in range(TRIES):
        history = releases.history()
        now = after(history)
        reading = project.at("release").reading
        assets = cache(project.select)
        wanted = goals(reading, history)
        steps = [
            _step(project, reading, now.get(name), recipe, assets)
            for name, recipe in sorted(
                wanted.items(), key=lambda each: project.graph.order.index(each[0])
            )
            if name not in now or now[name].recipe != recipe.id
        ]
        if not force:
            _refuse_losses(steps)
        told = _told(project, reading, now, {step.feature: step.after for step in steps})
        if dry_run or not steps:
            return Promotion(tuple(steps), told)
        seen = history[-1].number if history else 0
        moved = [Released(step.feature, step.after.id, step.after.version) for step in steps]
        if releases.move(moved, seen=seen, kind=kind, by=_person(), why=why):
            for each in moved:
                log.info(
                    "release.moved", feature=each.feature, version=each.version,
                    recipe=each.recipe[:8], kind=kind,
                )  # fmt: skip
            return Promotion(tuple(steps), told, seen + 1)
    raise WriteConflict(f"{project.location}: others kept releasing for {TRIES} tries.")


def _step(
    project: Project,
    reading: Reading,
    now: Released | None,
    recipe: Recipe,
    assets: Callable[[], Sequence[Asset]],
) -> Step:
    if not project.store.table(recipe).index().units:
        raise RequestError(
            f"'{recipe.feature}' {recipe.label} has no values, so there is nothing to see. "
            f"'copal run {recipe.feature}' computes today's."
        )
    before = None
    if now is not None:
        try:
            before = reading.find(now.feature, now.recipe)
        except MissingValue:
            before = None
    found = None
    if before is not None:
        found = cover(project, reading, before, recipe, assets)
    return Step(recipe.feature, before, recipe, found)


def _refuse_losses(steps: Sequence[Step]) -> None:
    for step in steps:
        if step.cover is not None and not step.cover.complete:
            raise RequestError(
                f"'{step.feature}' {step.after.label} has {step.cover.kept:,} of the "
                f"{step.cover.seen:,} values that readers see: they would miss "
                f"{step.cover.lost:,}. 'copal run {step.feature}' computes them, when it is "
                "today's recipe; --force promotes it as it is."
            )


def _told(
    project: Project,
    reading: Reading,
    now: Mapping[FeatureName, Released],
    moving: Mapping[FeatureName, Recipe],
) -> tuple[str, ...]:
    """Sentences on features that were made from another recipe than the one released with them."""
    then: Goals = {}
    for name in project.graph.order:
        try:
            if name in moving:
                then[name] = moving[name]
            elif name in now:
                then[name] = reading.find(name, now[name].recipe)
        except MissingValue:
            continue
    found = []
    for name, recipe in then.items():
        needs = dict.fromkeys(project.graph.declaration(name).needs.values())
        for need, made_from in _sources(reading, recipe).items():
            if need not in needs or need not in then or then[need].id == made_from.id:
                continue
            if name in moving or need in moving:
                found.append(
                    f"'{name}' {recipe.label} was made from '{need}' {made_from.label}: questions "
                    f"about '{name}' read that one, others '{need}' {then[need].label}."
                )
    return tuple(found)


def _sources(reading: Reading, recipe: Recipe) -> Mapping[FeatureName, Recipe]:
    try:
        return reading.made_from(recipe)
    except MissingValue:
        return {}


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "somebody"
