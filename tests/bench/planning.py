"""How long does a plan of a whole catalogue take, and how much memory?

Synthetic: 100,000 assets, eight features in the shape of the real ones, 95 % of the cells stored.
"""

from __future__ import annotations

import random
import resource
import time

from _common import number, parser, report

FEATURES = """
project: bench
features:
  f0: {version: 1, compute: "m:C", of: video}
  f1: {version: 1, compute: "m:C", needs: {a: f0}}
  f2: {version: 1, compute: "m:C", needs: {a: f0, b: f1}}
  f3: {version: 1, compute: "m:C", needs: {a: f0, b: f1}}
  f4: {version: 1, compute: "m:C", needs: {a: f1, b: f3}}
  f5: {version: 1, compute: "m:C", needs: {a: f0, b: f1}}
  f6: {version: 1, compute: "m:C", needs: {a: f4}}
  f7: {version: 1, compute: "m:C", needs: {a: f5, b: f4}}
"""


def main() -> None:
    """Measure and print."""
    options = parser(__doc__ or "")
    options.add_argument("--assets", type=int, default=100_000)
    given = options.parse_args()

    from copal.asset import Asset
    from copal.fingerprint import AssetId, TitleId, fingerprint
    from copal.graph import Graph, Ingredients
    from copal.plan import Held, plan
    from copal.registry import parse

    dice = random.Random(7)
    graph = Graph(parse(FEATURES))
    recipes = graph.recipes(graph.targets(), dict.fromkeys(graph.targets(), Ingredients()))
    assets = [
        Asset(AssetId(fingerprint("asset", n=n)), "video", TitleId(f"t{n}"), f"{n}.mp4")
        for n in range(given.assets)
    ]
    held = {
        name: Held(stored=frozenset(a.id for a in assets if dice.random() < 0.95))
        for name in recipes
    }
    started = time.perf_counter()
    found = plan(graph, recipes, assets, held)
    seconds = time.perf_counter() - started
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures: dict[str, object] = {
        "plan_seconds": number(seconds), "plan_gib": number(gib), "cells": found.cells,
    }  # fmt: skip
    table = [
        ["assets × features", f"{given.assets:,} × {len(recipes)}"],
        ["cells stored", f"{found.stored:,}"],
        ["cells planned", f"{found.cells:,}"],
        ["plan", f"{seconds:.2f} s"],
        ["memory of the process", f"{gib:.2f} GiB"],
    ]
    report(figures, given.json, table)


if __name__ == "__main__":
    main()
