"""A sweep: what is at a place now, set against what the catalogue knows, to find what was lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from copal.arrivals.found import Found, FoundFile, files_in, objects_in
from copal.arrivals.hints import Hint
from copal.arrivals.reconcile import Arrival, Reconciler
from copal.arrivals.watch import decide
from copal.errors import MissingValue, RequestError
from copal.objects import FileLocator, S3Locator, parse_locator
from copal.project import Project

KEEP_AT_ONCE = 64
"""Places between two commits to the catalogue."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What differs; nothing was opened and nothing decided."""

    unknown: tuple[Hint, ...]
    """Places that the catalogue does not know, or whose bytes were refused."""
    changed: tuple[Hint, ...]
    """Places that look other than they did."""
    gone: tuple[Hint, ...]
    """Places where nothing is any more."""
    unchanged: int

    @property
    def hints(self) -> tuple[Hint, ...]:
        """All that is to be looked at; what is gone comes last, since it may have moved."""
        return (*self.unknown, *self.changed, *self.gone)


def sweep(known: Reconciler, place: Path | str) -> Swept:
    """Compare a folder, or what lies under a key, with the catalogue.

    Raises
    ------
    RequestError
        There is no such folder or bucket. An empty one is no error: then all of it is gone.
    StoreUnavailable
        S3 cannot be reached.
    """
    where = _place(place)
    unknown: list[Hint] = []
    changed: list[Hint] = []
    seen: set[str] = set()
    unchanged = 0
    for found in _listed(where):
        seen.add(found.locator)
        hint = Hint(where if isinstance(where, S3Locator) else _path(found), found)
        before = known.places.get(found.locator)
        if before is None or before.asset is None:
            unknown.append(hint)
        elif known.looks_unchanged(found):
            unchanged += 1
        else:
            changed.append(hint)
    prefix = str(FileLocator(where) if isinstance(where, Path) else where).rstrip("/") + "/"
    gone = [
        Hint(_at(each.locator))
        for each in known.places.values()
        if each.locator.startswith(prefix) and each.locator not in seen and each.gone_at is None
    ]
    return Swept(tuple(unknown), tuple(changed), tuple(gone), unchanged)


def take_in(project: Project, found: Swept) -> Iterator[Arrival]:
    """Bring in what a sweep found, and note what is gone."""
    project.store.introduce()
    known = Reconciler(project, "sweep")
    for start in range(0, len(found.hints), KEEP_AT_ONCE):
        arrivals, _ = decide(known, found.hints[start : start + KEEP_AT_ONCE])
        known.flush()
        yield from arrivals


def lost_in(known: Reconciler, folder: Path) -> list[Path]:
    """Paths in a folder that a watcher missed; what was refused and looks the same was not."""
    found: list[Path] = []
    for hint in sweep(known, folder).hints:
        before = known.places.get(hint.locator)
        if hint.found is not None and before is not None and before.asset is None:
            with suppress(OSError):
                if hint.found.look() == (before.bytes, before.stamp):
                    continue
        if isinstance(hint.place, Path):
            found.append(hint.place)
    return found


def _place(place: Path | str) -> Path | S3Locator:
    if isinstance(place, str) and place.partition(":")[0] in ("s3", "file"):
        locator = parse_locator(place)
        if isinstance(locator, S3Locator):
            return locator
        place = locator.path
    folder = Path(place)
    if not folder.is_dir():
        raise RequestError(f"{folder}: no such folder. What the catalogue knows of it is kept.")
    return folder.resolve()


def _listed(where: Path | S3Locator) -> Iterator[Found]:
    if isinstance(where, Path):
        yield from files_in(where)
        return
    try:
        yield from objects_in(where)
    except MissingValue as exc:
        raise RequestError(str(exc)) from exc


def _path(found: Found) -> Path | None:
    return found.path if isinstance(found, FoundFile) else None


def _at(locator: str) -> Path | S3Locator:
    place = parse_locator(locator)
    return place.path if isinstance(place, FileLocator) else place
