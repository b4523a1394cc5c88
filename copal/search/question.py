"""A question: which match cuts are wanted, of which titles, by which flavours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from copal.errors import RequestError, suggestion
from copal.project import Project
from copal.reading import parted
from copal.registry import FeatureName
from copal.search.where import Filter, parse

PREFIX = "match_pairs_"
"""A pair feature of this name is a flavour of match cut, called by the rest of its name."""

Mix = Mapping[str, float]
"""Flavour → weight."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which match cuts are wanted. Filters leave out shots; the rest thins what is told."""

    titles: tuple[str, ...] = ()
    """Titles, shows or assets; all when none is named."""
    where: str = ""
    """A filter on titles, see ``copal.search.where``."""
    flavours: Mix = field(default_factory=dict)
    """What makes shots alike, and for how much of the score; the first flavour when empty. Each
    may say which recipe is meant: ``composition@v1``."""
    top: int = 10
    min_score: float | None = None
    per_title: int | None = None
    """Cuts in which one title may stand, on either side."""
    exclude_used: bool = False
    """Whether a shot stands in one cut only."""
    min_seconds: float | None = None
    max_seconds: float | None = None
    """Length of each shot."""
    fades: bool = True
    """Whether shots that fade in or out take part."""
    fold: bool = True
    """Whether cuts too alike to a higher one are told under it."""
    at: str = ""
    """``release``, ``today`` or a snapshot: which recipes and titles there are. ``release``, or
    what the project reads, when empty."""

    def __post_init__(self) -> None:
        for name, value in (("--top", self.top), ("--per-title", self.per_title)):
            if value is not None and value < 1:
                raise RequestError(f"{name} {value}: ask for one or more.")
        for name, seconds in (
            ("--min-seconds", self.min_seconds), ("--max-seconds", self.max_seconds),
        ):  # fmt: skip
            if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
                raise RequestError(f"{name} {seconds}: need 0 or more.")
        if (self.min_seconds or 0.0) > (math.inf if self.max_seconds is None else self.max_seconds):
            raise RequestError(
                f"--min-seconds {self.min_seconds} is more than --max-seconds {self.max_seconds}: "
                "no shot is as long as that."
            )
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise RequestError(f"--min-score {self.min_score}: need a number.")
        for name, weight in self.flavours.items():
            if not (math.isfinite(weight) and weight > 0):
                raise RequestError(f"--flavour {name}={weight}: a weight is more than 0.")

    @property
    def filter(self) -> Filter | None:
        """The filter on titles, read."""
        return parse(self.where) if self.where.strip() else None


def flavours(project: Project) -> list[str]:
    """Names of the declared flavours, the default ones first."""
    declared = [
        declaration
        for name, declaration in project.registry.features.items()
        if declaration.unit == "pair" and name.startswith(PREFIX)
    ]
    declared.sort(key=lambda declaration: not declaration.default)
    return [declaration.name.removeprefix(PREFIX) for declaration in declared]


def chosen(project: Project, wanted: Mix) -> dict[str, tuple[FeatureName, float]]:
    """The flavours of a mix with their features and shares, which add up to 1.

    A flavour's name may say which recipe is meant, as in ``composition@v1``; see ``about``.

    Raises
    ------
    RequestError
        There is no such flavour, or none at all.
    """
    known = flavours(project)
    if not known:
        raise RequestError(f"{project.registry.where} declares no feature '{PREFIX}…'.")
    mix = dict(wanted) or {known[0]: 1.0}
    for text in mix:
        name = parted(text)[0]
        if name not in known:
            raise RequestError(
                f"no flavour '{name}'; there are {', '.join(known)}." + suggestion(name, known)
            )
    total = sum(mix.values())
    return {
        text: (FeatureName(PREFIX + parted(text)[0]), weight / total)
        for text, weight in mix.items()
    }


def about(project: Project, mix: Iterable[str], at: str = "") -> Project:
    """The project as a question about flavours sees it: their recipes, and what they are of.

    Raises
    ------
    RequestError
        The flavours were made from different recipes, such as of shots, or one is not stored as
        it was asked for.
    """
    return project.at(at, *(PREFIX + text for text in mix))


def mix_of(texts: Sequence[str]) -> dict[str, float]:
    """A mix from ``NAME`` or ``NAME=WEIGHT``, each a flavour.

    Raises
    ------
    RequestError
        A weight is no number, or a flavour stands twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, mark, weight = text.partition("=")
        if name in found:
            raise RequestError(f"--flavour {name} stands twice.")
        try:
            found[name] = float(weight) if mark else 1.0
        except ValueError:
            raise RequestError(
                f"--flavour {text}: '{weight}' is no number. An example: composition=0.7"
            ) from None
    return found


def told(mix: Mapping[str, float]) -> str:
    """A mix for people: ``composition 0.7 + motion 0.3``, or the name of its one flavour."""
    if len(mix) == 1:
        return next(iter(mix))
    return " + ".join(f"{name} {weight:.2g}" for name, weight in mix.items())
