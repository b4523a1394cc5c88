"""Adding files: each becomes an asset, one more place of one, or a place that was refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import structlog

from copal.arrivals.found import Found, find
from copal.arrivals.titles import TitleWords
from copal.asset import Asset, Essence, Place, Title
from copal.errors import MediaError, MissingValue, RequestError, StoreUnavailable
from copal.fingerprint import AssetId, TitleId
from copal.objects import FileLocator, parse_locator
from copal.objects.s3 import head
from copal.project import Project

log = structlog.get_logger("copal.arrivals")

KEEP_AT_ONCE = 64
"""Files between two commits to the catalogue."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one file turned out to be."""

    locator: str
    decision: str
    """``new``, ``known`` (an asset that has another place too), ``moved``, ``replaced`` (another
    asset was here), ``retitled``, ``unchanged`` or ``refused``."""
    asset: Asset | None = None
    title: Title | None = None
    note: str = ""
    """Why it was refused, or what else is worth saying."""


def add(
    project: Project, places: Sequence[Path | str], words: TitleWords | None = None
) -> Iterator[Arrival]:
    """Bring files, or the media files of folders, into the catalogue.

    Parameters
    ----------
    places
        Paths, or locators such as ``s3://bucket/key``; a key may be a folder of objects.
    words
        What is known of the title; it goes before ``titles.yaml``.

    Raises
    ------
    RequestError
        A path is not there, a folder holds no media, or titles.yaml is damaged. Raised before
        anything is written.
    StoreUnavailable
        S3 cannot be reached, or not with these credentials.
    """
    files = list(dict.fromkeys(find(places)))
    if words is not None and words.title is not None and len(files) > 1:
        raise RequestError(
            f"one title for {len(files)} files. Name a single file, or write a titles.yaml."
        )
    spoken = {folder: one.titles() for folder, one in {f.folder: f for f in files}.items()}
    return _add(project, files, spoken, words or TitleWords())


def _add(
    project: Project,
    files: Sequence[Found],
    spoken: dict[str, dict[str, TitleWords]],
    words: TitleWords,
) -> Iterator[Arrival]:
    project.store.introduce()
    told = {
        found.locator: (words.over(spoken[found.folder].get(found.name, TitleWords())), found.name)
        for found in files
    }
    known = _Known(project, told)
    try:
        for found in files:
            arrival = known.arrive(found, told[found.locator][0])
            log.info(
                "arrival.decided",
                locator=arrival.locator,
                decision=arrival.decision,
                asset=arrival.asset.id if arrival.asset else None,
                note=arrival.note,
            )
            yield arrival
    finally:
        known.flush()


class _Known:
    """What the catalogue holds, kept up to date while files arrive."""

    def __init__(self, project: Project, told: Mapping[str, tuple[TitleWords, str]]) -> None:
        self.told = told
        """Locator of each file that arrives → what is said of it, and its name."""
        self.catalog = project.catalog
        self.assets = {asset.id: asset for asset in self.catalog.assets(technical=True)}
        self.titles = {title.id: title for title in self.catalog.titles()}
        self.places = {place.locator: place for place in self.catalog.places()}
        self.changed: tuple[set[AssetId], set[TitleId], set[str]] = (set(), set(), set())
        self.gone: list[str] = []

    def arrive(self, found: Found, said: TitleWords) -> Arrival:
        locator = found.locator
        try:
            size, stamp = found.look()
        except OSError as exc:
            return self.refuse(locator, 0, "", f"{found.name}: cannot be read: {exc.strerror}.")
        before = self.places.get(locator)
        same = before is not None and (before.bytes, before.stamp) == (size, stamp)
        if before is not None and before.asset is not None and same:
            return self.again(before, self.assets[before.asset], found.name, said)
        # What was refused is looked at again: it may be readable by now, with its bytes the same.
        try:
            with found.fetched(stamp) as path:
                asset, title = self.inspect(path, found.name, said)
        except MissingValue as exc:  # gone or replaced since it was listed: the next 'add' sees it
            return self.refuse(locator, size, "", str(exc))
        except MediaError as exc:
            return self.refuse(locator, size, stamp, str(exc))
        known = self.assets.get(asset.id)
        if known is not None and not said.said:
            asset, title = known, self.titles[known.title]
        else:
            try:
                title = self.settle(asset.id, said, found.name)
            except RequestError as exc:
                return self.refuse(locator, size, stamp, str(exc))
        place = Place(locator, asset.id, size, stamp)
        decision = self.decide(before, asset.id)
        gone = self.vanished(asset.id) if decision == "known" else []
        self.keep(asset, title, place)
        if gone:
            decision = "moved"
            self.gone += gone
            for each in gone:
                del self.places[each]
        return Arrival(locator, decision, asset, title, _note(asset))

    def inspect(self, path: Path, name: str, said: TitleWords) -> tuple[Asset, Title]:
        from copal.media.sandbox import inspect

        found = inspect(path, name=name)
        title = said.about(PurePosixPath(name))
        asset = Asset(
            id=found.asset,
            kind=found.technical.kind,
            title=title.id,
            name=name,
            show=title.show,
            duration_seconds=float(found.technical.duration_seconds),
            essences=tuple(Essence(each.kind, each.essence) for each in found.essences),
            technical=found.technical.to_json(),
        )
        return asset, title

    def decide(self, before: Place | None, asset: AssetId) -> str:
        if before is not None and before.asset is not None and before.asset != asset:
            return "replaced"
        return "known" if asset in self.assets else "new"

    def vanished(self, asset: AssetId) -> list[str]:
        """Places of an asset where nothing is any more: it was moved here."""
        places = [place.locator for place in self.places.values() if place.asset == asset]
        return [locator for locator in places if not _is_there(locator)]

    def again(self, before: Place, asset: Asset, name: str, said: TitleWords) -> Arrival:
        """A place whose bytes look as they did: only what people say of it may have changed."""
        try:
            title = self.settle(asset.id, said, name) if said.said else self.titles[asset.title]
        except RequestError as exc:  # the place, and the title it had, stay as they are
            return Arrival(before.locator, "refused", asset, self.titles[asset.title], str(exc))
        if title == self.titles.get(asset.title):
            return Arrival(before.locator, "unchanged", asset, title)
        asset = replace(asset, title=title.id, show=title.show)
        self.keep(asset, title, before)
        return Arrival(before.locator, "retitled", asset, title)

    def settle(self, asset: AssetId, said: TitleWords, name: str) -> Title:
        """The title of an asset by what is said of it: its own, or one it shares with others.

        Raises
        ------
        RequestError
            Another title, of another asset, has its id.
        """
        path = PurePosixPath(name)
        title = said.about(path)
        there = self.titles.get(title.id)
        others = [a for a in self.assets.values() if a.title == title.id and a.id != asset]
        if there is None or there == title or not others:
            return title
        named = there.name not in {PurePosixPath(other.name).stem for other in others}
        if said.differ(there, path, named=named):
            for other in others:
                if not self.follows(other, said, path):
                    raise RequestError(
                        f"{name}: its title {_told(title)} would have the id '{title.id}' of "
                        f"{_told(there)} ({other.name}). Give one of them another title or show "
                        "in titles.yaml."
                    )
        return said.joined(there, path)

    def follows(self, other: Asset, said: TitleWords, path: PurePosixPath) -> bool:
        """Whether another asset arrives too, and leaves the title or shares it by what is said."""
        title = said.about(path)
        for place in self.places.values():
            if place.asset == other.id and place.locator in self.told:
                words, name = self.told[place.locator]
                theirs = words.about(PurePosixPath(name))
                if words.said and (
                    theirs.id != title.id or not said.differ(theirs, path, named=bool(words.title))
                ):
                    return True
        return False

    def refuse(self, locator: str, size: int, stamp: str, error: str) -> Arrival:
        place = Place(locator, None, size, stamp, error)
        self.note(place)
        return Arrival(locator, "refused", note=error)

    def keep(self, asset: Asset, title: Title, place: Place) -> None:
        self.assets[asset.id], self.titles[title.id] = asset, title
        self.changed[0].add(asset.id)
        self.changed[1].add(title.id)
        self.note(place)

    def note(self, place: Place) -> None:
        self.places[place.locator] = place
        self.changed[2].add(place.locator)
        if len(self.changed[2]) >= KEEP_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what changed, in one commit a table."""
        assets, titles, places = self.changed
        self.catalog.keep(
            [self.assets[each] for each in sorted(assets)],
            [self.titles[each] for each in sorted(titles)],
            [self.places[each] for each in sorted(places) if each in self.places],
        )
        self.catalog.forget([each for each in self.gone if each not in self.places])
        self.changed, self.gone = (set(), set(), set()), []


def _is_there(locator: str) -> bool:
    """Whether something is at a place; where nobody can tell, it is."""
    place = parse_locator(locator)
    if isinstance(place, FileLocator):
        return place.path.exists()
    try:
        head(place)
    except MissingValue:
        return False
    except StoreUnavailable:
        return True
    return True


def _told(title: Title) -> str:
    """A title with all that is known of it."""
    words = [f"{key} {value}" for key in ("show", "season", "episode", "year")
             if (value := getattr(title, key)) is not None]  # fmt: skip
    return f"'{title.name}' ({', '.join([title.kind, *words])})"


def _note(asset: Asset) -> str:
    if asset.kind in ("video", "image"):
        return ""
    found = {kind: sum(e.kind == kind for e in asset.essences) for kind in ("audio", "text")}
    words = ", ".join(f"{count} {kind}" for kind, count in found.items() if count)
    return f"{asset.name}: no video stream (found: {words}). Features of video skip this asset."
