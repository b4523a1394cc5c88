"""The graph of features as a picture: one column for each step away from the media."""

from __future__ import annotations

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


def graph_svg(graph: Graph) -> str:
    """The features and their needs as one SVG picture; boxes carry their summaries as tooltips."""
    layers = graph.layers()
    height = MARGIN * 2 + max(len(layer) for layer in layers) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    width = MARGIN * 2 + len(layers) * (BOX_WIDTH + GAP_X) - GAP_X
    spots: dict[str, tuple[float, float]] = {}
    for column, layer in enumerate(layers):
        used = len(layer) * (BOX_HEIGHT + GAP_Y) - GAP_Y
        for row, name in enumerate(layer):
            x = MARGIN + column * (BOX_WIDTH + GAP_X)
            spots[name] = (x, (height - used) / 2 + row * (BOX_HEIGHT + GAP_Y))
    implied = graph.implied()
    lines = [
        f'<path class="{"need implied" if (need, name) in implied else "need"}" '
        f'd="{_curve(spots[need], spots[name])}"/>'
        for name in graph.order
        for need in dict.fromkeys(graph.declaration(name).needs.values())
    ]
    boxes = [_box(graph, name, *spots[name]) for name in graph.order]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Features of {escape(graph.registry.project)} and what they need">'
        f"<style>{_STYLE}</style>{''.join(lines)}{''.join(boxes)}</svg>\n"
    )


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    x0, y0 = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT / 2
    x1, y1 = end[0], end[1] + BOX_HEIGHT / 2
    bend = (x1 - x0) / 2
    return f"M{x0:g} {y0:g}C{x0 + bend:g} {y0:g} {x1 - bend:g} {y1:g} {x1:g} {y1:g}"


def _box(graph: Graph, name: str, x: float, y: float) -> str:
    each = graph.declaration(name)
    kinds = ["box"]
    if each.unit == "pair":
        kinds.append("pair")
    if not each.default:
        kinds.append("optional")
    start = f"of {', '.join(each.of)}" if each.of else f"per {each.unit}"
    machine = f"{each.resources.gpu} GPU" if each.resources.gpu else f"{each.resources.cpu} CPU"
    return (
        f"<g><title>{escape(each.summary or name)}</title>"
        f'<rect class="{" ".join(kinds)}" x="{x:g}" y="{y:g}" '
        f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
        f'<text class="name" x="{x + 12:g}" y="{y + 22:g}">{escape(name)}</text>'
        f'<text class="note" x="{x + 12:g}" y="{y + 40:g}">'
        f"v{each.version} · {start} · {machine}</text></g>"
    )


def graph_html(graph: Graph) -> str:
    """A self-contained page with the picture and a table of the features."""
    rows = "".join(
        f"<tr><td><b>{escape(name)}</b></td><td>v{each.version}</td>"
        f"<td>{escape(each.summary)}</td>"
        f"<td>{escape(', '.join(each.needs.values()) or 'media: ' + ', '.join(each.of))}</td></tr>"
        for name in graph.order
        if (each := graph.declaration(name))
    )
    title = f"Features of {escape(graph.registry.project)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color:#222}"
        "table{border-collapse:collapse}td{padding:.3rem 1rem .3rem 0;vertical-align:top}"
        "figure{margin:0 0 2rem;overflow-x:auto}</style>"
        f"<h1>{title}</h1><figure>{graph_svg(graph)}</figure><table>{rows}</table></html>\n"
    )
