"""Which assets a backfill is about: by title, show, kind, when they were added, or a filter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from copal.asset import Asset, title_id
from copal.errors import RequestError, suggestion
from copal.project import Project
from copal.search.where import parse

SINCE = re.compile(r"(\d+)\s*([hdw])")
UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Selection:
    """What all chosen assets have in common; what is empty leaves all of them in."""

    titles: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    """Kinds of title: film, episode, trailer …"""
    added_since: str = ""
    """``2026-11-01``, ``2026-11-01T12:00``, or how long ago: ``36h``, ``7d``, ``2w``."""
    where: str = ""
    """A filter on titles, as ``copal match --where`` takes it."""


def select(project: Project, selection: Selection) -> list[Asset]:
    """The assets that a selection means, by id.

    Raises
    ------
    UnknownTitle, RequestError
        A title, a show or a kind is named that the catalogue does not hold, the filter says
        nothing, or the time is none.
    """
    assets = project.select(selection.titles)
    titles = project.titles
    if selection.shows:
        known = {title.show for title in titles.values() if title.show}
        wanted = {_known(each, known, "show") for each in selection.shows}
        assets = [asset for asset in assets if titles[asset.title].show in wanted]
    if selection.kinds:
        kinds = {title.kind for title in titles.values()}
        wanted = {_known(each, kinds, "kind of title") for each in selection.kinds}
        assets = [asset for asset in assets if titles[asset.title].kind in wanted]
    if selection.where:
        found = parse(selection.where)
        assets = [asset for asset in assets if found.holds(titles[asset.title])]
    if selection.added_since:
        since = moment(selection.added_since)
        assets = [asset for asset in assets if asset.added_at and asset.added_at >= since]
    return assets


def moment(text: str, now: datetime | None = None) -> datetime:
    """A time as people give it; without a zone it is UTC.

    Raises
    ------
    RequestError
        It is none.
    """
    if found := SINCE.fullmatch(text.strip()):
        try:
            return (now or datetime.now(UTC)) - timedelta(**{UNITS[found[2]]: int(found[1])})
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        given = datetime.fromisoformat(text.strip())
    except ValueError:
        raise RequestError(
            f"--added-since '{text}' is no time. Give a date such as 2026-11-01, or 36h, 7d, 2w."
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def _known(name: str, known: Sequence[str] | set[str], what: str) -> str:
    for each in known:
        if title_id(each) == title_id(name):
            return each
    raise RequestError(f"no {what} '{name}' in the catalogue." + suggestion(name, known))
