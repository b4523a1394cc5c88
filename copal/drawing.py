"""Pictures of boxes and lines: features and their needs, a column for each step from the media."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from copal.graph import Graph

BOX_WIDTH, BOX_HEIGHT = 210, 52
GAP_X, GAP_Y = 70, 22
MARGIN = 24

_STYLE = """
  .box { fill: #f7f5f0; stroke: #8a8172; rx: 8; }
  .pair { fill: #eef2f7; stroke: #6b7f99; }
  .optional { stroke-dasharray: 5 4; }
  .name { font: 600 13px system-ui, sans-serif; fill: #222; }
  .note { font: 11px system-ui, sans-serif; fill: #666; }
  .implied { opacity: 0.3; }
  .need { fill: none; stroke: #b0a892; stroke-width: 1.4; }
"""


@dataclass(frozen=True, slots=True)
class Box:
    """One box of a picture."""

    name: str
    note: str
    more: str = ""
    """Shown when pointed at."""
    kinds: str = "box"
    """Classes of its style."""


def boxes_svg(
    columns: Sequence[Sequence[Hashable]],
    boxes: Mapping[Hashable, Box],
    lines: Iterable[tuple[Hashable, Hashable, str]],
    label: str,
) -> str:
    """Columns of boxes from left to right, and lines between them, as one SVG picture.

    Parameters
    ----------
    columns
        Keys of boxes, from top to bottom.
    lines
        From which box, to which, and the classes of the line's style.
    """
    height = MARGIN * 2 + max(len(column) for column in columns) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    width = MARGIN * 2 + len(columns) * (BOX_WIDTH + GAP_X) - GAP_X
    spots: dict[Hashable, tuple[float, float]] = {}
    for place, column in enumerate(columns):
        used = len(column) * (BOX_HEIGHT + GAP_Y) - GAP_Y
        for row, key in enumerate(column):
            x = MARGIN + place * (BOX_WIDTH + GAP_X)
            spots[key] = (x, (height - used) / 2 + row * (BOX_HEIGHT + GAP_Y))
    paths = "".join(
        f'<path class="{kinds}" d="{_curve(spots[start], spots[end])}"/>'
        for start, end, kinds in lines
    )
    drawn = "".join(_box(box, *spots[key]) for key, box in boxes.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"<style>{_STYLE}</style>{paths}{drawn}</svg>\n"
    )


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    x0, y0 = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT / 2
    x1, y1 = end[0], end[1] + BOX_HEIGHT / 2
    bend = (x1 - x0) / 2
    return f"M{x0:g} {y0:g}C{x0 + bend:g} {y0:g} {x1 - bend:g} {y1:g} {x1:g} {y1:g}"


def _box(box: Box, x: float, y: float) -> str:
    return (
        f"<g><title>{escape(box.more or box.name)}</title>"
        f'<rect class="{box.kinds}" x="{x:g}" y="{y:g}" '
        f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
        f'<text class="name" x="{x + 12:g}" y="{y + 22:g}">{escape(box.name)}</text>'
        f'<text class="note" x="{x + 12:g}" y="{y + 40:g}">{escape(box.note)}</text></g>'
    )


def page(title: str, svg: str, table: str) -> str:
    """A self-contained page with a picture and the rows of a table under it."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#222}"
        "table{border-collapse:collapse}td{padding:.3rem 1rem .3rem 0;vertical-align:top}"
        "figure{margin:0 0 2rem;overflow-x:auto}</style>"
        f"<h1>{escape(title)}</h1><figure>{svg}</figure><table>{table}</table></html>\n"
    )


def graph_svg(graph: Graph) -> str:
    """The features and their needs as one SVG picture; boxes carry their summaries as tooltips."""
    implied = graph.implied()
    lines = [
        (need, name, "need implied" if (need, name) in implied else "need")
        for name in graph.order
        for need in dict.fromkeys(graph.declaration(name).needs.values())
    ]
    label = f"Features of {graph.registry.project} and what they need"
    return boxes_svg(graph.layers(), {n: _feature(graph, n) for n in graph.order}, lines, label)


def _feature(graph: Graph, name: str) -> Box:
    each = graph.declaration(name)
    kinds = ["box"]
    if each.unit == "pair":
        kinds.append("pair")
    if not each.default:
        kinds.append("optional")
    start = f"of {', '.join(each.of)}" if each.of else f"per {each.unit}"
    machine = f"{each.resources.gpu} GPU" if each.resources.gpu else f"{each.resources.cpu} CPU"
    note = f"v{each.version} · {start} · {machine}"
    return Box(name, note, each.summary, " ".join(kinds))


def graph_html(graph: Graph) -> str:
    """A self-contained page with the picture and a table of the features."""
    rows = "".join(
        f"<tr><td><b>{escape(name)}</b></td><td>v{each.version}</td>"
        f"<td>{escape(each.summary)}</td>"
        f"<td>{escape(', '.join(each.needs.values()) or 'media: ' + ', '.join(each.of))}</td></tr>"
        for name in graph.order
        if (each := graph.declaration(name))
    )
    return page(f"Features of {graph.registry.project}", graph_svg(graph), rows)
