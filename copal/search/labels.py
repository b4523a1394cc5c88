"""Labelled pairs of shots, read from a CSV file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from copal.asset import Asset
from copal.errors import CopalError, RequestError, suggestion
from copal.project import Project
from copal.search.blocks import read_rows
from copal.search.cuts import frame_rates

PLACES = ("shot", "frame", "seconds")
"""How a row says which shot is meant: its index, a frame in it, or seconds from the start."""
COLUMNS = ("title_a", "title_b", "label", *(f"{p}_{side}" for side in "ab" for p in PLACES))
YES, NO = ("1", "true", "yes", "y"), ("0", "false", "no", "n")
MOST_TOLD = 5
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,20})?")
"""No exponent: a Fraction of ``1e10000000`` would take hours."""


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two shots, and whether a person finds that they match."""

    line: int
    asset_a: str
    shot_a: int
    asset_b: str
    shot_b: int
    label: bool
    titles: tuple[str, ...]
    """Ids of the titles that the shots are from; one when both are from one."""


def read_pairs(project: Project, path: Path) -> list[LabelledPair]:
    """Pairs from a CSV file with a head.

    Columns: ``title_a``, ``title_b`` (a title, or the start of an asset's id), ``label`` (1 or 0),
    and for each side one of ``shot_a``, ``frame_a`` and ``seconds_a``.

    Raises
    ------
    RequestError
        The file cannot be read, or rows of it mean nothing; the first five are told, each with
        its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise RequestError(f"{path}: cannot be read as text: {exc}") from exc
    reader = csv.DictReader(text.splitlines())
    head = [name.strip().lower() for name in reader.fieldnames or ()]
    _check_head(path, head)
    reader.fieldnames = head
    house = _Titles(project)
    pairs, problems = [], []
    for row in reader:
        try:
            pairs.append(_pair(row, reader.line_num, house))
        except CopalError as exc:
            problems.append(f"{path}:{reader.line_num}: {exc}")
    if problems:
        more = len(problems) - MOST_TOLD
        told = problems[:MOST_TOLD] + ([f"and {more:,} more rows."] if more > 0 else [])
        raise RequestError("\n".join(told))
    if not pairs:
        raise RequestError(f"{path}: no rows below its head.")
    return pairs


def _check_head(path: Path, head: list[str]) -> None:
    for name in head:
        if name not in COLUMNS and suggestion(name, COLUMNS):
            raise RequestError(f"{path}:1: no column '{name}' is known.{suggestion(name, COLUMNS)}")
    for name in ("title_a", "title_b", "label"):
        if name not in head:
            raise RequestError(f"{path}:1: no column '{name}'. The head names: {', '.join(head)}.")
    for side in "ab":
        if not any(f"{place}_{side}" in head for place in PLACES):
            wanted = ", ".join(f"'{place}_{side}'" for place in PLACES)
            raise RequestError(f"{path}:1: no column says which shot of title_{side}: {wanted}.")


def _pair(row: Mapping[str, str | None], line: int, house: _Titles) -> LabelledPair:
    label = (row.get("label") or "").strip().lower()
    if label not in (*YES, *NO):
        raise RequestError(f"label '{label}': need 1 or 0.")
    assets, shots = [], []
    for side in "ab":
        asset = house.asset((row.get(f"title_{side}") or "").strip())
        assets.append(asset)
        shots.append(_shot(row, side, asset, house))
    titles = tuple(dict.fromkeys(str(asset.title) for asset in assets))
    return LabelledPair(line, assets[0].id, shots[0], assets[1].id, shots[1], label in YES, titles)


def _shot(row: Mapping[str, str | None], side: str, asset: Asset, house: _Titles) -> int:
    """Index of the shot that one side of a row means."""
    given = [(p, text) for p in PLACES if (text := (row.get(f"{p}_{side}") or "").strip())]
    if not given:
        raise RequestError(f"says no shot of title_{side}.")
    place, text = given[0]
    number = Fraction(text if _NUMBER.fullmatch(text) else -1)
    if number < 0 or (place != "seconds" and number.denominator != 1):
        raise RequestError(f"{place}_{side} '{text}': need a number of 0 or more.")
    starts, end, rate = house.shots(asset)
    if place == "shot":
        if number not in starts:
            raise RequestError(f"'{asset.name}' has no shot {text}; its last is {max(starts)}.")
        return int(number)
    frame = int(number) if place == "frame" else round(number * rate)
    if frame >= end:
        raise RequestError(f"{place}_{side} {text} is after the end of '{asset.name}'.")
    return max((start, shot) for shot, start in starts.items() if start <= frame)[1]


class _Titles:
    """Assets by what they are called, and their shots; each looked up once."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.assets: dict[str, Asset] = {}
        self.known: dict[str, tuple[dict[int, int], int, Fraction]] = {}

    def asset(self, name: str) -> Asset:
        if not name:
            raise RequestError("a title is empty.")
        if name not in self.assets:
            self.assets[name] = self.project.asset(name)
        return self.assets[name]

    def shots(self, asset: Asset) -> tuple[dict[int, int], int, Fraction]:
        """First frame by shot, the frame after the last, and the rate."""
        if asset.id not in self.known:
            rows = read_rows(self.project.table("shots"), [asset.id])
            rates = frame_rates(self.project, [asset.id])
            if not rows.units or asset.id not in rates:
                raise RequestError(f"'{asset.name}' has no stored shots; 'copal run' finds them.")
            index, starts = rows.numpy("shot_index").tolist(), rows.numpy("start_frame").tolist()
            end = int(rows.numpy("end_frame").max(initial=0))
            self.known[asset.id] = dict(zip(index, starts, strict=True)), end, rates[asset.id]
        return self.known[asset.id]


def by_assets(pairs: list[LabelledPair]) -> Iterator[tuple[str, str, list[int]]]:
    """Places of pairs by their two assets."""
    found: dict[tuple[str, str], list[int]] = {}
    for place, pair in enumerate(pairs):
        found.setdefault((pair.asset_a, pair.asset_b), []).append(place)
    for (a, b), places in found.items():
        yield a, b, places
