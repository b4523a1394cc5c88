"""A lake of films that nobody filmed: their values are published by hand, with chosen vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import copal
from copal.asset import Asset, Place, Title, title_id
from copal.fingerprint import AssetId, UnitId, fingerprint
from copal.lake import Lake
from copal.store.base import new_value

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class ShelfFilm:
    """A film whose shots are ``frames`` long, with the vectors of each."""

    name: str
    frames: Sequence[int]
    vectors: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """Feature → column → (shots, d)."""
    rate: Fraction = Fraction(24)
    fades: Sequence[int] = ()
    """Shots that fade in, over their first four frames."""
    duplicates: dict[int, int] = field(default_factory=dict)
    """Shot → the earlier one that it repeats."""
    words: dict[str, Any] = field(default_factory=dict)
    """Of the title: show, year …"""
    technical: dict[str, Any] = field(default_factory=dict)
    file: str = ""

    @property
    def id(self) -> AssetId:
        return AssetId(fingerprint("film", name=self.name))


def shelf(folder: Path, films: Sequence[ShelfFilm], root: Path = ROOT) -> Lake:
    """The lake of a store in which films' encodes (rows only), shots and vectors are."""
    lake = copal.open(root, store=str(folder))
    project = lake.project
    for film in films:
        title = Title(title_id(film.name), film.name, **film.words)
        asset = Asset(
            film.id, "video", title.id, film.file or f"{title.id}.mp4", title.show,
            float(sum(film.frames) / film.rate), technical=film.technical,
        )  # fmt: skip
        place = Place(f"file:///films/{asset.name}", film.id, 1, "stamp")
        project.catalog.keep([asset], [title], [place])
        _publish(lake, "standard_encode", film, _encode(film))
        _publish(lake, "shots", film, _shots(film))
        count = len(film.frames)
        dedup = [
            {"shot_index": i, "kept": i not in film.duplicates,
             "duplicate_of": film.duplicates.get(i)} for i in range(count)
        ]  # fmt: skip
        _publish(lake, "dedup", film, dedup)
        for feature, columns in film.vectors.items():
            schema = project.bound(feature).columns
            made = {"shot_index": pa.array(range(count), pa.int32())}
            for name, rows in columns.items():
                flat = pa.array(np.asarray(rows, np.float32).ravel())
                made[name] = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
            for each in schema:
                if each.name not in made:
                    made[each.name] = pa.array(np.zeros(count), each.type)
            _publish(lake, feature, film, pa.table({n: made[n] for n in schema.names}))
    return lake


def blocks(lake: Lake, *flavours: str) -> None:
    """Compute and store the blocks of flavours."""
    features = [f"match_pairs_{name}" for name in flavours]
    report = lake.run(features, engine="inline")
    assert not report.failed


def turned(angles: Sequence[float], dims: int, first: int = 0) -> np.ndarray:
    """Vectors in one plane, at angles in degrees: (n, dims), so that cosines are known."""
    rows = np.zeros((len(angles), dims), np.float32)
    rows[:, first] = np.cos(np.radians(angles))
    rows[:, first + 1] = np.sin(np.radians(angles))
    return rows


def _publish(lake: Lake, feature: str, film: ShelfFilm, rows: pa.Table | list[Any]) -> None:
    schema = lake.project.bound(feature).columns
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows, schema=schema)
    value = new_value(UnitId(film.id), table.cast(schema), {}, inputs_digest="by hand", run_id="r")
    lake.project.at("today").table(feature).publish([value])


def _encode(film: ShelfFilm) -> list[dict[str, Any]]:
    return [
        {"frame_count": sum(film.frames), "rate_numerator": film.rate.numerator,
         "rate_denominator": film.rate.denominator, "width": 640, "height": 360,
         "small_width": 256, "small_height": 144, "findings": []}
    ]  # fmt: skip


def _shots(film: ShelfFilm) -> list[dict[str, Any]]:
    rows, start = [], 0
    for index, frames in enumerate(film.frames):
        fade = 4 if index in film.fades else 0
        rows.append({
            "shot_index": index, "start_frame": start, "end_frame": start + frames,
            "transition": "fade" if fade else "cut", "clear_start": start + fade,
            "clear_end": start + frames,
        })  # fmt: skip
        start += frames
    return rows
