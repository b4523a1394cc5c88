"""The verb that draws: graph, as text, SVG or a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from copal.cli import options
from copal.cli.command import DONE, Settings
from copal.cli.tables import print_rows, say


@click.command()
@options.svg
@options.html
@options.as_json
@click.pass_obj
def graph(settings: Settings, svg: Path | None, html: Path | None, as_json: bool) -> int:
    """Show what depends on what: every feature, after all that it needs."""
    from copal.drawing import graph_html, graph_svg

    found: Any = settings.lake().project.graph
    for path, draw in ((svg, graph_svg), (html, graph_html)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(draw(found), encoding="utf-8")
            if not as_json:
                say(f"wrote {path}")
    if as_json:
        print_rows(
            {"feature": name, "version": each.version, "unit": each.unit, "of": list(each.of),
             "needs": dict(each.needs), "default": each.default, "summary": each.summary}
            for name in found.order
            if (each := found.declaration(name))
        )  # fmt: skip
    elif svg is None and html is None:
        for name in found.order:
            each = found.declaration(name)
            start = (
                f"of: {', '.join(each.of)}" if each.of else "← " + ", ".join(each.needs.values())
            )
            extra = [] if each.default else ["not by default"]
            extra += [f"pairs within {each.pairs}"] if each.unit == "pair" else []
            note = f"  ({'; '.join(extra)})" if extra else ""
            say(f"{name} v{each.version}  {start}{note}\n    {each.summary}")
    return DONE
