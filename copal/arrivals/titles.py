"""What people say of their files: ``titles.yaml`` beside the media, or flags."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import yaml

from copal.asset import Title, title_id
from copal.errors import RequestError, suggestion

FILE_NAME = "titles.yaml"
MAX_BYTES = 1 << 20
_KEYS: Mapping[str, type] = {
    "title": str, "kind": str, "show": str, "season": int, "episode": int, "year": int,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TitleWords:
    """What was said of one file; what was not said is None."""

    title: str | None = None
    kind: str | None = None
    show: str | None = None
    season: int | None = None
    episode: int | None = None
    year: int | None = None

    def over(self, other: TitleWords) -> TitleWords:
        """These words, and the other's where these are silent."""
        return TitleWords(**{
            key: mine if (mine := getattr(self, key)) is not None else getattr(other, key)
            for key in _KEYS
        })  # fmt: skip

    @property
    def said(self) -> bool:
        """Whether anything was said."""
        return any(getattr(self, key) is not None for key in _KEYS)

    def about(self, path: PurePath) -> Title:
        """The title of a file; its name where no other is given."""
        name = self.title or path.stem
        kind = self.kind or ("episode" if self.show else "film")
        return Title(
            id=title_id(" ".join(self._within_show(name))), name=name, kind=kind, show=self.show,
            season=self.season, episode=self.episode, year=self.year,
        )  # fmt: skip

    def _within_show(self, name: str) -> list[str]:
        """The words of an id: a title's name, after its show and number where it has a show."""
        if not self.show:
            return [name]
        season = "" if self.season is None else f"s{self.season:02d}"
        episode = "" if self.episode is None else f"e{self.episode:02d}"
        return [self.show, season + episode, name]

    def joined(self, there: Title, path: PurePath) -> Title:
        """The title of one more file of a title; what is not said of this file stays."""
        mine = self.about(path)
        return replace(
            mine,
            name=mine.name if self.title else there.name,
            kind=mine.kind if self.kind or self.show else there.kind,
            season=there.season if self.season is None else self.season,
            episode=there.episode if self.episode is None else self.episode,
            year=there.year if self.year is None else self.year,
        )

    def differ(self, there: Title, path: PurePath, *, named: bool) -> bool:
        """Whether these words mean another title than the one that has their id.

        Parameters
        ----------
        named
            Whether a person named the title that is there. A title that is a file's name is the
            same as one that a person spelled with other signs.
        """
        mine = self.about(path)
        if mine.show != there.show or (self.kind and self.kind != there.kind):
            return True
        for key in ("season", "episode", "year"):
            one, other = getattr(mine, key), getattr(there, key)
            if one is not None and other is not None and one != other:
                return True
        return bool(self.title) == named and _spelled(mine.name) != _spelled(there.name)


def _spelled(name: str) -> str:
    """A name without what people write in many ways: case, and what separates words."""
    return re.sub(r"[\s._-]+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()


def read_titles(folder: Path) -> dict[str, TitleWords]:
    """File name → words, from ``titles.yaml`` in a folder; empty without one.

    Raises
    ------
    RequestError
        The file is damaged, or has a key that Copal does not know.
    """
    path = folder / FILE_NAME
    return parse_titles(path, str(path)) if path.is_file() else {}


def parse_titles(path: Path, where: str) -> dict[str, TitleWords]:
    """File name → words, from a ``titles.yaml`` that messages call ``where``.

    Raises
    ------
    RequestError
        The file is damaged, or has a key that Copal does not know.
    """
    if path.stat().st_size > MAX_BYTES:
        raise RequestError(f"{where}: larger than {MAX_BYTES} bytes.")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise RequestError(f"{where}:{line}: not YAML: {exc.problem}.") from exc
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        raise RequestError(f"{where}: not YAML: {exc}") from exc
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise RequestError(f"{where}: must map file names to titles.")
    return {str(name): _words(where, str(name), entry) for name, entry in data.items()}


def _words(where: str, name: str, entry: Any) -> TitleWords:
    if isinstance(entry, str):
        return TitleWords(title=entry)
    if not isinstance(entry, dict):
        raise RequestError(
            f"{where}: '{name}' must have a title, or a mapping of {', '.join(_KEYS)}. "
            "A title that is a number stands in quotes."
        )
    for key, value in entry.items():
        if key not in _KEYS:
            raise RequestError(
                f"{where}: '{name}' has an unknown key '{key}'." + suggestion(str(key), _KEYS)
            )
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise RequestError(
                f"{where}: '{name}': {key} must be {_KEYS[key].__name__}; got '{value}'."
            )
    return TitleWords(**entry)
