"""A run as it goes: a live display on a terminal, a line now and then otherwise."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from copal.plan import Plan

LINE_SECONDS = 10.0
"""Without a terminal: how often a line is printed while nothing fails."""

Listener = Callable[[Mapping[str, Any]], None]


@contextlib.contextmanager
def following(plan: Plan) -> Iterator[Listener]:
    """A listener for log lines of cells that shows how far a plan has come."""
    if sys.stderr.isatty():
        with _live(plan) as listener:
            yield listener
    else:
        lines = _Lines(plan)
        yield lines.hear
        lines.say(last=True)


def finished(event: Mapping[str, Any]) -> str | None:
    """The outcome, when a log line says that a cell is done."""
    kind, _, outcome = str(event.get("event", "")).partition(".")
    return outcome if kind == "cell" and outcome != "started" else None


@contextlib.contextmanager
def _live(plan: Plan) -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    tasks = {
        part.feature: progress.add_task(part.feature, total=len(part.cells), note="")
        for part in plan
        if part.cells
    }
    counts: dict[str, Counter[str]] = {name: Counter() for name in tasks}

    def hear(event: Mapping[str, Any]) -> None:
        outcome, feature = finished(event), event.get("feature")
        if outcome is None or feature not in tasks:
            return
        counts[feature][outcome] += 1
        told = {name: n for name, n in counts[feature].items() if name != "stored"}
        note = ", ".join(f"{n} {name}" for name, n in sorted(told.items()))
        progress.update(tasks[feature], advance=1, note=note)
        if outcome == "failed":
            progress.console.print(f"[red]failed[/red] {event.get('error', '')}", highlight=False)

    with progress:
        yield hear


class _Lines:
    """Plain lines: each failure as it happens, and how far it is every few seconds."""

    def __init__(self, plan: Plan) -> None:
        self.total = plan.cells
        self.done = 0
        self.told_at = time.monotonic()
        self.told = -1

    def hear(self, event: Mapping[str, Any]) -> None:
        outcome = finished(event)
        if outcome is None:
            return
        self.done += 1
        if outcome == "failed":
            click.echo(f"failed: {event.get('error', '')}", err=True)
        if time.monotonic() - self.told_at > LINE_SECONDS:
            self.say()

    def say(self, last: bool = False) -> None:
        if self.done != self.told and (not last or self.told >= 0):
            click.echo(f"{self.done} of {self.total} cells", err=True)
        self.told, self.told_at = self.done, time.monotonic()
