"""Options that several verbs share."""

from __future__ import annotations

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
titles = click.option(
    "--title", "titles", multiple=True, metavar="TITLE",
    help="Only this title, show, or asset (by the start of its id). May be given more than once.",
)  # fmt: skip
features = click.argument("features", nargs=-1, metavar="[FEATURE]...")
force = click.option(
    "--force", multiple=True, metavar="FEATURE",
    help="Compute a feature again although it is stored; what needs it follows where it differs.",
)  # fmt: skip
