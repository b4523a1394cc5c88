"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
titles = click.option(
    "--title", "titles", multiple=True, metavar="TITLE",
    help="Only this title, show, or asset (by the start of its id). May be given more than once.",
)  # fmt: skip
features = click.argument("features", nargs=-1, metavar="[FEATURE]...")
svg = click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write a picture.",
)  # fmt: skip
html = click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write a page with the picture in it.",
)  # fmt: skip
engine = click.option(
    "--engine", type=click.Choice(["metaflow", "inline"]), default="metaflow", show_default=True,
    help="A Metaflow run with parallel tasks, or this process alone.",
)  # fmt: skip
max_workers = click.option(
    "--max-workers", type=int, metavar="N", help="Tasks at a time. Default: all cores."
)
at = click.option(
    "--at", default="", metavar="WHEN",
    help="What is read: 'release' (the default), 'today', or the name of a snapshot.",
)  # fmt: skip
other = click.option(
    "--with", "other", metavar="ASSET", help="The other asset, for a feature of pairs."
)
force = click.option(
    "--force", multiple=True, metavar="FEATURE",
    help="Compute a feature again although it is stored; what needs it follows where it differs.",
)  # fmt: skip


Function = TypeVar("Function", bound=Callable[..., Any])


def older_than(default: float, of: str) -> Callable[[Function], Function]:
    """``--older-than DAYS`` of a verb that leaves the young alone."""
    return click.option(
        "--older-than", type=click.FloatRange(min=0), default=default, show_default=True,
        metavar="DAYS", help=of,
    )  # fmt: skip
