"""How far is the price of a plan from what the run then takes, once one run has made a history?

One run over two clips makes the history. Then, each from a copy of that store, catalogues of two,
four and eight other clips are priced and run as flows: all default features, pairs with the clips
of the history included. Clips are 12 s pieces of two real films, cut without coding them anew;
without the footage folder, painted films of as long.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import structlog
from _common import ROOT, footage, number, parser, report

CLIP_SECONDS = 12
SIZES = (2, 4, 8)
HISTORY_CLIPS = 2
SOURCES = {"history": "multishot/bbb_0_30.webm", "priced": "multishot/tos_battle.webm"}


def clips(kind: str, count: int, folder: Path) -> Path:
    """A folder of clips that differ from each other, and from those of the other kind."""
    import imageio_ffmpeg

    from copal.demo import sample_film

    folder.mkdir()
    source = footage(SOURCES[kind])
    for index in range(count):
        path = folder / f"{kind}{index}.webm"
        if source is None:
            frames = CLIP_SECONDS * 24 // 8
            shift = index + (0 if kind == "history" else 10)
            sample_film(path.with_suffix(".mp4"), (frames - shift, *[frames] * 6, frames + shift))
            continue
        subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-ss", str(index * 6),
             "-i", str(source), "-t", str(CLIP_SECONDS), "-c", "copy", str(path)],
            check=True,
        )  # fmt: skip
    return folder


def priced_and_run(store: Path, media: Path, workers: int) -> dict[str, float]:
    """Add the clips, price what they bring, run it."""
    import copal

    lake = copal.open(ROOT, store=str(store))
    for arrival in lake.add([media]):
        assert arrival.decision == "new", arrival.note
    plan = lake.plan()
    price = lake.price(plan, max_workers=workers)
    ran = lake.do(plan, max_workers=workers)
    assert not ran.failed, ran.errors
    return {
        "cells": plan.cells, "tasks": ran.tasks, "priced_tasks": price.tasks,
        "priced_seconds": round(price.wall_seconds, 2),
        "low_seconds": round(price.low_seconds, 2), "high_seconds": round(price.high_seconds, 2),
        "took_seconds": round(ran.seconds, 2), "cell_seconds": round(ran.cell_seconds, 2),
        "priced_cell_seconds": round(sum(each.seconds for each in price.features), 2),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    options = parser(__doc__ or "")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    given = options.parse_args()
    sys.path.insert(0, str(ROOT))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="copal-bench-") as name:
        folder = Path(name)
        first = priced_and_run(
            folder / "store", clips("history", HISTORY_CLIPS, folder / "h"), given.workers
        )
        for size in given.sizes:
            store = folder / f"store{size}"
            shutil.copytree(folder / "store", store)
            media = clips("priced", size, folder / f"m{size}")
            found[str(size)] = one = priced_and_run(store, media, given.workers)
            one["relative_error"] = round(one["priced_seconds"] / one["took_seconds"] - 1, 3)
    errors = [abs(each["relative_error"]) for each in found.values()]
    figures: dict[str, object] = {
        "relative_error": number(max(errors), 3),
        "history_seconds": first["took_seconds"], "sizes": found,
    }  # fmt: skip
    table: list[list[object]] = [
        ["history", f"{HISTORY_CLIPS} clips", f"took {first['took_seconds']} s"],
        *(
            [f"{size} clips", f"{one['cells']} cells",
             f"priced {one['priced_seconds']} s ({one['low_seconds']} to {one['high_seconds']})",
             f"took {one['took_seconds']} s", f"{one['relative_error']:+.0%}"]
            for size, one in found.items()
        ),
        ["largest error", f"{max(errors):.0%}"],
    ]  # fmt: skip
    report(figures, given.json, table)


if __name__ == "__main__":
    main()
