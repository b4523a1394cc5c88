"""A plan's price, as the verbs that print a plan print it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from copal.cli.tables import count, print_table, say, size, span

if TYPE_CHECKING:
    from copal.price import FeaturePrice, Price


def print_price(price: Price) -> None:
    """What each feature costs, then the whole."""
    if price.known:
        say()
        print_table([*_rows(price)])
    print_whole(price)


def print_whole(price: Price) -> None:
    """What a run costs: wall time between its bounds, processors, files, and what is not known."""
    if not price.features:
        return
    if not price.known:
        say("Price: no history yet; what runs now makes one.")
        return
    wall, low, high = map(span, (price.wall_seconds, price.low_seconds, price.high_seconds))
    least = "at least " if price.unknown else "about "
    between = "" if low == high else f" ({low} to {high})"
    say(f"Price: {least}{wall}{between} at {count(price.workers, 'worker')}.")
    say(f"       {_held(price)}.")
    for note in _notes(price):
        say(f"       {note}")


def _held(price: Price) -> str:
    parts = [f"{span(price.cpu_seconds)} CPU"]
    if price.gpu_seconds:
        parts.append(f"{span(price.gpu_seconds)} GPU")
    if price.bytes:
        parts.append(f"{size(price.bytes)} of files")
    return ", ".join(parts)


def _notes(price: Price) -> Iterator[str]:
    if price.assumed:
        yield f"Tasks are taken at {price.task_seconds:g} s each, since no flow has run here yet."
    if price.unknown:
        yield f"Not counted, for want of history: {', '.join(price.unknown)}."
    if carryable := sum(each.carryable for each in price.features):
        yield f"Less where values are carried over: perhaps {count(carryable, 'cell')}."


def _rows(price: Price) -> Iterator[list[str]]:
    gpu = any(each.gpu_seconds for each in price.features)
    for each in price.features:
        if each.rate is None:
            yield [each.feature, "no history yet", *([""] if gpu else []), "", ""]
            continue
        row = [each.feature, f"{span(each.cpu_seconds)} CPU"]
        if gpu:
            row.append(f"{span(each.gpu_seconds)} GPU" if each.gpu_seconds else "")
        yield [*row, size(each.bytes) if each.bytes else "", _basis(each)]


def _basis(part: FeaturePrice) -> str:
    """``0.17 s per second of media ± 8 %, 12 cells of v1``."""
    found = part.rate
    assert found is not None
    spread = ""
    if part.deviation is not None and part.seconds:
        spread = f" ± {part.deviation / part.seconds:.0%}".replace("%", " %")
    older = f" ({part.older})" if part.older else ""
    return (
        f"{found.seconds:.2g} s per {found.measure}{spread}, {count(found.samples, 'cell')}{older}"
    )


def price_json(price: Price) -> dict[str, Any]:
    """The whole price as one object."""
    return {
        "price": {
            "workers": price.workers, "tasks": price.tasks,
            "task_seconds": round(price.task_seconds, 3), "task_seconds_assumed": price.assumed,
            "wall_seconds": round(price.wall_seconds, 3),
            "low_seconds": round(price.low_seconds, 3),
            "high_seconds": round(price.high_seconds, 3),
            "cpu_seconds": round(price.cpu_seconds, 3),
            "gpu_seconds": round(price.gpu_seconds, 3),
            "bytes": price.bytes, "no_history": list(price.unknown),
        }
    }  # fmt: skip


def feature_json(part: FeaturePrice) -> dict[str, Any]:
    """The price of one feature, beside its part of the plan."""
    if part.rate is None:
        return {"seconds": None, "cpu_seconds": None, "gpu_seconds": None, "bytes": None,
                "history": None}  # fmt: skip
    return {
        "seconds": round(part.seconds, 3),
        "deviation_seconds": None if part.deviation is None else round(part.deviation, 3),
        "cpu_seconds": round(part.cpu_seconds, 3),
        "gpu_seconds": round(part.gpu_seconds, 3),
        "bytes": part.bytes,
        "shots_at_most": part.shots,
        "history": {
            "cells": part.rate.samples, "of": part.older or "this recipe",
            "measure": str(part.rate.measure), "seconds_per_measure": part.rate.seconds,
        },
    }  # fmt: skip
