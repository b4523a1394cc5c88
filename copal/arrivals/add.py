"""Adding files: each becomes an asset, one more place of one, or a place that was refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import structlog

from copal.arrivals.titles import TitleWords, read_titles
from copal.asset import Asset, Essence, Place, Title
from copal.errors import MediaError, RequestError
from copal.fingerprint import AssetId, TitleId
from copal.project import Project

log = structlog.get_logger("copal.arrivals")

_VIDEO = "3g2 3gp avi m2ts m4v mj2 mkv mov mp4 mpeg mpg mts mxf ts webm"
_SOUND = "aac ac3 flac m4a mka mp3 oga ogg opus wav"
_TEXT = "ass dfxp srt ssa ttml vtt"
MEDIA_SUFFIXES = frozenset(f".{each}" for each in f"{_VIDEO} {_SOUND} {_TEXT}".split())
"""Files of a folder that are looked at. A file that is named itself is always looked at."""

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


def locator_of(path: Path) -> str:
    """``file:`` locator of a path, made absolute; symbolic links are followed."""
    return "file://" + quote(str(path.resolve()))


def add(
    project: Project, paths: Sequence[Path], words: TitleWords | None = None
) -> Iterator[Arrival]:
    """Bring files, or the media files of folders, into the catalogue.

    Parameters
    ----------
    words
        What is known of the title; it goes before ``titles.yaml``.

    Raises
    ------
    RequestError
        A path is not there, a folder holds no media, or titles.yaml is damaged. Raised before
        anything is written.
    """
    files = list(dict.fromkeys(_files(paths)))
    if words is not None and words.title is not None and len(files) > 1:
        raise RequestError(
            f"one title for {len(files)} files. Name a single file, or write a titles.yaml."
        )
    spoken = {folder: read_titles(folder) for folder in {path.parent for path in files}}
    return _add(project, files, spoken, words or TitleWords())


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(
                each
                for each in path.rglob("*")
                if each.suffix.lower() in MEDIA_SUFFIXES
                and not any(part.startswith(".") for part in each.relative_to(path).parts)
                and each.is_file()
            )
            if not found:
                raise RequestError(f"{path}: no media files in this folder.")
            yield from found
        elif path.exists():
            yield path
        else:
            raise RequestError(f"{path}: no such file or folder.")


def _add(
    project: Project,
    files: Sequence[Path],
    spoken: dict[Path, dict[str, TitleWords]],
    words: TitleWords,
) -> Iterator[Arrival]:
    project.store.introduce()
    known = _Known(project)
    try:
        for path in files:
            said = words.over(spoken[path.parent].get(path.name, TitleWords()))
            arrival = known.arrive(path, said)
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

    def __init__(self, project: Project) -> None:
        self.catalog = project.catalog
        self.assets = {asset.id: asset for asset in self.catalog.assets(technical=True)}
        self.titles = {title.id: title for title in self.catalog.titles()}
        self.places = {place.locator: place for place in self.catalog.places()}
        self.changed: tuple[set[AssetId], set[TitleId], set[str]] = (set(), set(), set())
        self.gone: list[str] = []

    def arrive(self, path: Path, said: TitleWords) -> Arrival:
        locator = locator_of(path)
        try:
            stat = path.stat()
        except OSError as exc:
            return self.refuse(locator, 0, "", f"{path.name}: cannot be read: {exc.strerror}.")
        stamp = f"{stat.st_mtime_ns}"
        before = self.places.get(locator)
        if before is not None and (before.bytes, before.stamp) == (stat.st_size, stamp):
            return self.again(before, path, said)
        try:
            asset, title = self.inspect(path, said)
        except MediaError as exc:
            return self.refuse(locator, stat.st_size, stamp, str(exc))
        place = Place(locator, asset.id, stat.st_size, stamp)
        decision = self.decide(before, asset.id)
        gone = self.vanished(asset.id) if decision == "known" else []
        known = self.assets.get(asset.id)
        if known is not None and not said.said:
            asset, title = known, self.titles[known.title]
        self.keep(asset, title, place)
        if gone:
            decision = "moved"
            self.gone += gone
            for each in gone:
                del self.places[each]
        return Arrival(locator, decision, asset, title, _note(asset))

    def inspect(self, path: Path, said: TitleWords) -> tuple[Asset, Title]:
        from copal.media.essence import inspect

        found = inspect(path)
        title = said.about(path)
        asset = Asset(
            id=found.asset,
            kind=found.technical.kind,
            title=title.id,
            name=path.name,
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
        from urllib.parse import unquote, urlparse

        return [
            place.locator
            for place in self.places.values()
            if place.asset == asset
            and place.locator.startswith("file:")
            and not Path(unquote(urlparse(place.locator).path)).exists()
        ]

    def again(self, before: Place, path: Path, said: TitleWords) -> Arrival:
        """A place whose bytes look as they did: only what people say of it may have changed."""
        if before.asset is None:
            return Arrival(before.locator, "refused", note=before.error or "")
        asset = self.assets[before.asset]
        title = said.about(path) if said.said else self.titles[asset.title]
        if title == self.titles.get(asset.title):
            return Arrival(before.locator, "unchanged", asset, title)
        asset = replace(asset, title=title.id, show=title.show)
        self.keep(asset, title, before)
        return Arrival(before.locator, "retitled", asset, title)

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


def _note(asset: Asset) -> str:
    if asset.kind == "video":
        return ""
    found = {kind: sum(e.kind == kind for e in asset.essences) for kind in ("audio", "text")}
    words = ", ".join(f"{count} {kind}" for kind, count in found.items() if count)
    return f"{asset.name}: no video stream (found: {words}). Features of video skip this asset."
