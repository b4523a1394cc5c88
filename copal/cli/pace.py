"""A backfill as it goes: how far, how fast, and when it is likely to end."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import click

from copal.cli.progress import LINE_SECONDS, Listener, finished
from copal.cli.tables import span


class Pace:
    """Cells done, of how many, at what rate."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.outcomes: Counter[str] = Counter()
        self.started_at = time.monotonic()

    @property
    def done(self) -> int:
        """Cells that ended."""
        return min(self.outcomes.total(), self.cells)

    @property
    def per_minute(self) -> float:
        """Cells a minute, since it began."""
        return 60 * self.done / max(time.monotonic() - self.started_at, 1e-3)

    def sentence(self) -> str:
        """``120 of 400 cells, 14.2 a minute, about 20 min left, 2 failed``."""
        said = f"{self.done:,} of {self.cells:,} cells"
        if self.done:
            left = (self.cells - self.done) / self.per_minute
            said += f", {self.per_minute:,.1f} a minute, about {span(60 * left)} left"
        for outcome in ("failed", "blocked"):
            if self.outcomes[outcome]:
                said += f", {self.outcomes[outcome]:,} {outcome}"
        return said


@contextlib.contextmanager
def pacing(cells: int) -> Iterator[Listener]:
    """A listener that shows a backfill: a bar on a terminal, a line now and then otherwise."""
    pace = Pace(cells)
    if sys.stderr.isatty():
        with _bar(pace) as listener:
            yield listener
        return
    told_at = time.monotonic()

    def hear(event: Mapping[str, Any]) -> None:
        nonlocal told_at
        _count(pace, event)
        if finished(event) == "failed":
            click.echo(f"failed: {event.get('error', '')}", err=True)
        if time.monotonic() - told_at > LINE_SECONDS:
            click.echo(pace.sentence(), err=True)
            told_at = time.monotonic()

    yield hear
    if pace.done:
        click.echo(pace.sentence(), err=True)


@contextlib.contextmanager
def _bar(pace: Pace) -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    progress = Progress(
        BarColumn(bar_width=30), TextColumn("{task.description}"), console=Console(stderr=True)
    )
    task = progress.add_task(pace.sentence(), total=pace.cells)

    def hear(event: Mapping[str, Any]) -> None:
        _count(pace, event)
        progress.update(task, completed=pace.done, description=pace.sentence())
        if finished(event) == "failed":
            progress.console.print(f"[red]failed[/red] {event.get('error', '')}", highlight=False)

    with progress:
        yield hear


def _count(pace: Pace, event: Mapping[str, Any]) -> None:
    outcome = finished(event)
    if outcome is not None:
        pace.outcomes[outcome] += 1
