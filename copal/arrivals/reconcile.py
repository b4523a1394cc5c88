"""What is at a place, set against what the catalogue knows: the one decision about an arrival."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import structlog

from copal.arrivals.found import Found
from copal.arrivals.titles import TitleWords
from copal.asset import Asset, Essence, Place, Title
from copal.errors import MediaError, MissingValue, RequestError, StoreUnavailable
from copal.fingerprint import AssetId, TitleId
from copal.objects import FileLocator, parse_locator
from copal.objects.s3 import head
from copal.project import Project
from copal.store.arrivals import ArrivalRow, Arrivals

log = structlog.get_logger("copal.arrivals")

WORTH_A_RUN = frozenset({"new", "replaced", "retitled"})
"""Decisions after which something may be missing: an asset, or a pair within a title or show. The
others change no feature's inputs."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one file turned out to be."""

    locator: str
    decision: str
    """``new``, ``known`` (an asset that has another place too), ``moved``, ``revised`` (other
    bytes, the same essence: other tags, another container), ``replaced`` (another asset was
    here), ``retitled``, ``unchanged``, ``gone`` or ``refused``. A watcher also tells ``ignored``
    (no media by its name), ``waiting`` (still being written) and ``failed`` (tried again)."""
    asset: Asset | None = None
    title: Title | None = None
    note: str = ""
    """Why it was refused, or what else is worth saying."""
    earlier: AssetId | None = None
    """The asset that was here before, when it is another one."""


class Reconciler:
    """What the catalogue holds, kept up to date while files arrive; written by ``flush``."""

    def __init__(self, project: Project, source: str) -> None:
        self.catalog = project.catalog
        self.book = Arrivals(project.folder)
        self.source = source
        """What the rows of arrivals call whoever told: ``add``, ``folder``, ``sqs``, ``sweep``."""
        self.told: Mapping[str, tuple[TitleWords, str]] = {}
        """Locator of each file that arrives now → what is said of it, and its name."""
        self.changed: tuple[set[AssetId], set[TitleId], set[str]] = (set(), set(), set())
        self.forgotten: list[str] = []
        self.rows: list[ArrivalRow] = []
        self.versions = (-1, -1, -1)
        self.refresh()

    def refresh(self) -> None:
        """Read the catalogue again if anybody wrote to it."""
        now = self.current()
        if now != self.versions:
            self.assets = {asset.id: asset for asset in self.catalog.assets(technical=True)}
            self.titles = {title.id: title for title in self.catalog.titles()}
            self.places = {place.locator: place for place in self.catalog.places()}
            self.versions = now

    def current(self) -> tuple[int, int, int]:
        """Versions of the three tables as they are now."""
        table = self.catalog.table
        return table("assets").newest(), table("titles").newest(), table("places").newest()

    # One arrival

    def arrive(self, found: Found, said: TitleWords, message_id: str | None = None) -> Arrival:
        """Decide what a file is."""
        started = time.monotonic()
        arrival = self._arrive(found, said)
        return self.tell(arrival, time.monotonic() - started, message_id)

    def leave(self, locator: str, message_id: str | None = None) -> Arrival:
        """Note that nothing is at a place any more; the asset and all that is stored of it stay."""
        before = self.places.get(locator)
        if before is None:
            note = "nothing is there, and nothing was known of it"
            if locator in self.forgotten:
                note = "it was moved from here"
            return self.tell(Arrival(locator, "gone", note=note), message_id=message_id)
        if before.asset is None:
            self.forgotten.append(locator)
            del self.places[locator]
            return self.tell(Arrival(locator, "gone"), message_id=message_id)
        asset = self.assets[before.asset]
        if before.gone_at is None:
            self.note(replace(before, gone_at=datetime.now(UTC)))
        title = self.titles.get(asset.title)
        return self.tell(Arrival(locator, "gone", asset, title), message_id=message_id)

    def looks_unchanged(self, found: Found) -> bool:
        """Whether a file is an asset's, and looks as it did when it was last read."""
        before = self.places.get(found.locator)
        if before is None or before.asset is None or before.gone_at is not None:
            return False
        try:
            return found.look() == (before.bytes, before.stamp)
        except OSError:
            return False

    def tell(
        self, arrival: Arrival, seconds: float = 0.0, message_id: str | None = None
    ) -> Arrival:
        """Keep an arrival's row, and log it."""
        arrival = replace(arrival, locator=_storable(arrival.locator), note=_storable(arrival.note))
        asset = arrival.asset.id if arrival.asset else None
        self.rows.append(
            ArrivalRow(
                source=self.source,
                locator=arrival.locator,
                decision=arrival.decision,
                asset=asset,
                earlier=arrival.earlier,
                title=arrival.title.name if arrival.title else None,
                note=arrival.note,
                message_id=message_id,
                seconds=seconds,
            )
        )
        log.info(
            "arrival.decided",
            locator=arrival.locator,
            decision=arrival.decision,
            asset=asset,
            note=arrival.note,
            elapsed_seconds=round(seconds, 3),
        )
        return arrival

    def _arrive(self, found: Found, said: TitleWords) -> Arrival:
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
        except MissingValue as exc:  # gone or replaced since it was listed: the next one sees it
            return self.refuse(locator, size, "", str(exc))
        except MediaError as exc:
            return self.refuse(locator, size, stamp, str(exc))
        known = self.assets.get(asset.id)
        if known is not None and not said.said:
            asset, title = known, self.titles[known.title]
        else:
            if known is not None:
                asset = replace(asset, added_at=known.added_at)
            try:
                title = self.settle(asset.id, said, found.name)
            except RequestError as exc:
                return self.refuse(locator, size, stamp, str(exc))
        return self.take(Place(locator, asset.id, size, stamp), before, asset, title)

    def take(self, place: Place, before: Place | None, asset: Asset, title: Title) -> Arrival:
        """Give an asset a place, and say what that is to the one that had it."""
        locator, note = place.locator, _note(asset)
        was = before.asset if before is not None else None
        if was == asset.id:
            asset = self.keep(asset, title, place)
            back = before is not None and before.gone_at is not None
            return Arrival(locator, "known" if back else "revised", asset, title, note)
        gone = self.vanished(asset.id) if asset.id in self.assets else []
        decision = "moved" if gone else "known" if asset.id in self.assets else "new"
        asset = self.keep(asset, title, place)
        self.forgotten += gone
        for each in gone:
            del self.places[each]
        if was is None:
            return Arrival(locator, decision, asset, title, note)
        if any(self.supersede(was, asset)):
            note = " ".join([note, f"It takes the place of {was[:8]}, which is kept."]).strip()
        return Arrival(locator, "replaced", asset, title, note, earlier=was)

    def supersede(self, was: AssetId, by: Asset) -> list[AssetId]:
        """Mark an asset whose last place another one took."""
        if any(each.asset == was and each.gone_at is None for each in self.places.values()):
            return []
        self.assets[was] = replace(self.assets[was], superseded_by=by.id)
        self.changed[0].add(was)
        return [was]

    def inspect(self, path: Path, name: str, said: TitleWords) -> tuple[Asset, Title]:
        """Read a file: its essence, and what it and people say of it."""
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

    def vanished(self, asset: AssetId) -> list[str]:
        """Places of an asset where nothing is any more: it was moved here."""
        places = [place.locator for place in self.places.values() if place.asset == asset]
        return [locator for locator in places if not is_there(locator)]

    def again(self, before: Place, asset: Asset, name: str, said: TitleWords) -> Arrival:
        """A place whose bytes look as they did: only what people say of it may have changed."""
        back = before.gone_at is not None
        try:
            title = self.settle(asset.id, said, name) if said.said else self.titles[asset.title]
        except RequestError as exc:  # the place, and the title it had, stay as they are
            return Arrival(before.locator, "refused", asset, self.titles[asset.title], str(exc))
        if title == self.titles.get(asset.title) and not back:
            return Arrival(before.locator, "unchanged", asset, title)
        decision = "known" if back else "retitled"
        asset = replace(asset, title=title.id, show=title.show)
        asset = self.keep(asset, title, replace(before, gone_at=None))
        return Arrival(before.locator, decision, asset, title)

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
        """Keep a place whose bytes cannot be an asset, with the reason."""
        place = Place(locator, None, size, stamp, error)
        was = self.places.get(locator)
        self.note(place)
        return Arrival(locator, "refused", note=error, earlier=was.asset if was else None)

    def keep(self, asset: Asset, title: Title, place: Place) -> Asset:
        """An asset that is at a place, with its title, to be written."""
        asset = replace(asset, superseded_by=None, added_at=asset.added_at or datetime.now(UTC))
        self.assets[asset.id], self.titles[title.id] = asset, title
        self.changed[0].add(asset.id)
        self.changed[1].add(title.id)
        self.note(place)
        return asset

    def note(self, place: Place) -> None:
        """A place to be written."""
        self.places[place.locator] = place
        self.changed[2].add(place.locator)

    @property
    def waiting(self) -> int:
        """Places that changed and are not written yet."""
        return len(self.changed[2])

    def flush(self, run_id: str | None = None) -> None:
        """Write what changed, in one commit a table; ``run_id`` is of the run that will follow.

        The rows of arrivals are first: one who is killed in between tells of an arrival twice,
        never of none.
        """
        self.book.record([
            replace(row, run_id=run_id) if row.decision in WORTH_A_RUN else row
            for row in self.rows
        ])  # fmt: skip
        self.rows = []
        assets, titles, places = self.changed
        before = self.current() == self.versions
        self.catalog.keep(
            [self.assets[each] for each in sorted(assets)],
            [self.titles[each] for each in sorted(titles)],
            [self.places[each] for each in sorted(places) if each in self.places],
        )
        self.catalog.forget([each for each in self.forgotten if each not in self.places])
        if before:  # otherwise somebody else wrote too, and it is read again
            self.versions = self.current()
        self.changed, self.forgotten = (set(), set(), set()), []


def _storable(text: str) -> str:
    """Text with what is no UTF-8 as escapes: names and keys may hold anything."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_there(locator: str) -> bool:
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
