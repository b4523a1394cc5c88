"""How long does a plan of a whole catalogue take, from a store on disk, and how much memory?

Synthetic: 100,000 assets, eight features in the shape of the real ones, 95 % of the cells stored.
``plan_seconds`` is the time of opening the project, reading the store and planning, in a process
of its own; ``decide_seconds`` the part of the pure planner.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import number, parser, report

NEEDS = {
    "f0": "of: video", "f1": "needs: {a: f0}", "f2": "needs: {a: f0, b: f1}",
    "f3": "needs: {a: f0, b: f1}", "f4": "needs: {a: f1, b: f3}", "f5": "needs: {a: f0, b: f1}",
    "f6": "needs: {a: f4}", "f7": "needs: {a: f5, b: f4}",
}  # fmt: skip
SHARE_STORED = 0.95

CLASSES = """
from dataclasses import dataclass
import pyarrow as pa

{}
"""
CLASS = """
@dataclass(frozen=True)
class {name}:
    columns = pa.schema([("n", pa.int32())])
    tools = ()

    def compute(self, {arguments}):
        raise NotImplementedError
"""


def make_project(folder: Path) -> None:
    """A registry of eight features whose classes only have a shape."""
    registry = ["project: bench", "features:"]
    classes = []
    for name, start in NEEDS.items():
        registry += [
            f"  {name}:", "    version: 1", f"    compute: shapes:{name.upper()}", f"    {start}",
        ]  # fmt: skip
        arguments = "source" if "of" in start else "a, b" if "b:" in start else "a"
        classes.append(CLASS.format(name=name.upper(), arguments=arguments))
    (folder / "registry.yaml").write_text("\n".join(registry) + "\n")
    (folder / "shapes.py").write_text(CLASSES.format("\n".join(classes)))


def fill_store(folder: Path, assets: int) -> None:
    """Write the catalogue and the value tables, each in one commit."""
    import lance
    import pyarrow as pa

    from copal.asset import Asset, Title
    from copal.fingerprint import AssetId, TitleId, fingerprint
    from copal.project import Project
    from copal.store.lance_store import _values_schema

    dice = random.Random(7)
    project = Project(folder)
    ids = [AssetId(fingerprint("asset", n=n)) for n in range(assets)]
    project.catalog.keep(
        [Asset(each, "video", TitleId("t"), f"{each}.mp4") for each in ids],
        [Title(TitleId("t"), "T")],
    )
    for recipe in project.recipes().values():
        table = project.table(recipe.feature)
        table._introduce()
        stored = [each for each in ids if dice.random() < SHARE_STORED]
        count = len(stored)
        schema = _values_schema(pa.schema([("n", pa.int32())]))
        digests = [fingerprint("value", of=each) for each in stored]
        filled = {
            "unit": stored, "publication_id": ["p"] * count, "state": ["ok"] * count,
            "inputs_digest": digests, "value_digest": digests, "run_id": ["r"] * count,
        }  # fmt: skip
        columns = [filled.get(name) or pa.nulls(count, schema.field(name).type)
                   for name in schema.names]  # fmt: skip
        rows = pa.Table.from_arrays(
            [pa.array(c, schema.field(n).type) if isinstance(c, list) else c
             for n, c in zip(schema.names, columns, strict=True)], schema=schema,
        )  # fmt: skip
        lance.write_dataset(rows, table.values_uri(), mode="create", max_rows_per_file=10_000)


def measure(folder: Path) -> None:
    """In a process of its own: open, read, plan; prints the figures."""
    started = time.perf_counter()
    from copal.plan import plan
    from copal.project import Project

    project = Project(folder)
    recipes = project.recipes()
    assets, held = project.select(), project.held(recipes)
    read = time.perf_counter()
    found = plan(project.graph, recipes, assets, held)
    done = time.perf_counter()
    print(json.dumps({
        "plan_seconds": round(done - started, 2), "decide_seconds": round(done - read, 2),
        "plan_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "cells": found.cells, "stored": found.stored,
    }))  # fmt: skip


def main() -> None:
    """Measure and print."""
    options = parser(__doc__ or "")
    options.add_argument("--assets", type=int, default=100_000)
    options.add_argument("--measure", type=Path, help="a folder filled before")
    given = options.parse_args()
    if given.measure is not None:
        measure(given.measure)
        return
    with tempfile.TemporaryDirectory(prefix="copal-bench-") as name:
        folder = Path(name)
        make_project(folder)
        fill_store(folder, given.assets)
        ran = subprocess.run(
            [sys.executable, __file__, "--measure", name], check=True, stdout=subprocess.PIPE
        )
    figures = json.loads(ran.stdout)
    table = [
        ["assets × features", f"{given.assets:,} × {len(NEEDS)}"],
        ["cells stored", f"{figures['stored']:,}"],
        ["cells planned", f"{figures['cells']:,}"],
        ["open, read, plan", f"{figures['plan_seconds']:.2f} s"],
        ["of that, deciding", f"{figures['decide_seconds']:.2f} s"],
        ["memory of the process", f"{number(figures['plan_gib'])} GiB"],
    ]
    report(figures, given.json, table)


if __name__ == "__main__":
    main()
