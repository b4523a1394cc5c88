"""Tables for people and one JSON object a line for programs; the only place that prints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click


def print_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False, default=str))


def print_table(rows: Sequence[Sequence[object]], head: Sequence[str] = ()) -> None:
    """Columns two spaces apart; columns of numbers are set to the right."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if head:
        cells.insert(0, list(head))
    if not cells:
        return
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    numeric = [
        all(_is_number(row[index]) for row in cells[1 if head else 0 :])
        for index in range(len(widths))
    ]
    for row in cells:
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        click.echo("  ".join(aligned).rstrip())


def _is_number(text: str) -> bool:
    return text == "" or text.replace(",", "").replace(".", "", 1).replace("-", "", 1).isdigit()


def say(text: str = "") -> None:
    """A line of text."""
    click.echo(text)


def count(number: int, thing: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def span(seconds: float) -> str:
    """Seconds for people: ``0.4 s``, ``41 s``, ``4 min 10 s``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole_seconds = round(seconds)
    for large, small, words in ((86400, 3600, "d h"), (3600, 60, "h min"), (60, 1, "min s")):
        if whole_seconds >= large:
            first, rest = divmod(round(whole_seconds / small), large // small)
            one, other = words.split()
            return f"{first:,} {one} {rest} {other}" if rest else f"{first:,} {one}"
    return f"{whole_seconds} s"


def size(number: float) -> str:
    """Bytes for people: ``812 KiB``, ``4.2 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
