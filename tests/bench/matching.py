"""How long do the best pairs of blocks take, beside the bare products, and of a whole catalogue?

Ratios compare runs of one process, two threads, interleaved, the best of several each. Bare
products are torch's, in float32, of the same arrays. ``exact_ratio`` is without bounds, on random
vectors; ``pruned_speedup`` with bounds, on what match pairs multiply of shots made from real
footage (see ``_films.py``). The catalogue has the size of Netflix's labelled set: 100 films,
127,618 shots, both ways of each cut, computed and stored by the engine's own loop.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _films
from _common import ROOT, number, parser, report

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

TITLES, SHOTS, DIMENSIONS, TOP = 10, 2000, 512, 100
FILMS, CATALOGUE_SHOTS = 100, 127_618
PAIRS = list(combinations_with_replacement(range(TITLES), 2))


def fastest(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Best seconds of each, taking turns, so that a busy machine disturbs all alike."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def torch_products(left: list[Floats], right: list[Floats]) -> Callable[[], None]:
    """The products of all blocks and nothing else."""
    import torch

    torch.set_num_threads(2)
    ones, others = ([torch.from_numpy(each) for each in side] for side in (left, right))
    out = torch.empty(SHOTS, SHOTS)

    def run() -> None:
        for a, b in PAIRS:
            torch.mm(ones[a], others[b].T, out=out)

    return run


def numpy_blocks(sides: list[Floats]) -> None:
    """What one writes first: multiply, partition, sort. Ties and rounding fall as they may."""
    import numpy as np

    for a, b in PAIRS:
        flat = (sides[a] @ sides[b].T).ravel()
        best = np.argpartition(flat, -TOP)[-TOP:]
        best[np.argsort(-flat[best])]


def faiss_search(sides: list[Floats]) -> Callable[[], None] | None:
    """Faiss's exact search: the best of every row, and of these the block's; None without it.

    A block's best may all lie in one row, so every row is asked for as many.
    """
    import numpy as np

    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(2)

    def run() -> None:
        for b in range(TITLES):
            index = faiss.IndexFlatIP(DIMENSIONS)
            index.add(sides[b])
            for a in range(b + 1):
                scores, _ = index.search(sides[a], TOP)
                np.partition(scores.ravel(), -TOP)[-TOP:]

    return run


def kernel(real: Floats | None, rounds: int) -> tuple[dict[str, Any], list[list[object]]]:
    """Ratios of the blocks of ten titles."""
    sys.path.insert(0, str(ROOT))
    import numpy as np

    from copal.matching import top_blocks

    dice = np.random.default_rng(0)
    rows = dice.standard_normal((TITLES, SHOTS, DIMENSIONS), dtype=np.float32)
    plain = list(rows / np.linalg.norm(rows, axis=2, keepdims=True))
    ways: dict[str, Callable[[], object]] = {
        "bare": torch_products(plain, plain),
        "ours": lambda: top_blocks(plain, plain, PAIRS, TOP, prune=False),
        "ours in bfloat16": lambda: top_blocks(plain, plain, PAIRS, TOP, prune=False, device="cpu"),
        "numpy": lambda: numpy_blocks(plain),
    }
    if (faiss := faiss_search(plain)) is not None:
        ways["faiss"] = faiss
    took = fastest(ways, rounds)
    figures: dict[str, Any] = {
        "exact_ratio": number(took["ours"] / took["bare"]),
        "exact_ratio_bfloat16": number(took["ours in bfloat16"] / took["bare"]),
        "numpy_ratio": number(took["numpy"] / took["ours"]),
        "faiss_ratio": number(took["faiss"] / took["ours"] if "faiss" in took else None),
        "pruned_speedup": None,
        "pruned_speedup_one_vector": None,
    }
    table: list[list[object]] = [
        [f"{TITLES} titles × {SHOTS} × {DIMENSIONS}, random", name, f"{seconds:.2f} s",
         f"{seconds / took['bare']:.2f} × bare"] for name, seconds in took.items()
    ]  # fmt: skip
    if real is None:
        return figures, [*table, ["no footage: pruning was not measured"]]
    titles = [_films.shots(real, SHOTS, n) for n in range(TITLES)]
    half = np.float32(0.5**0.5)
    joined = [
        [np.concatenate([each["vector"] * half, each[other] * half], axis=1) for each in titles]
        for other in ("last_vector", "first_vector")
    ]
    middle = [each["vector"] for each in titles]
    for name, left, right in (
        ("pruned_speedup", *joined),
        ("pruned_speedup_one_vector", middle, middle),
    ):
        some = left, right  # bound now, for the calls below
        took = fastest(
            {
                "bare": torch_products(*some),
                "without bounds": lambda some=some: top_blocks(*some, PAIRS, TOP, prune=False),
                "with bounds": lambda some=some: top_blocks(*some, PAIRS, TOP),
            },
            rounds,
        )
        figures[name] = number(took["bare"] / took["with bounds"])
        table += [
            [f"{TITLES} titles × {SHOTS} × {left[0].shape[1]}, real", way, f"{seconds:.2f} s",
             f"{seconds / took['bare']:.2f} × bare"] for way, seconds in took.items()
        ]  # fmt: skip
    same = [top_blocks(*joined, PAIRS, TOP, prune=prune) for prune in (False, True)]
    assert all(a.scores.tobytes() == b.scores.tobytes() for a, b in zip(*same, strict=True))
    worst = sorted(float(block.scores[-1]) for block in same[0])
    figures["realistic"] = _films.spread(np.concatenate(middle)) | {
        "real_pictures": _films.spread(real),
        "hundredth_best_of_blocks": [round(worst[0], 3), round(worst[-1], 3)],
    }
    return figures, table


def phase(name: str, folder: Path) -> None:
    """One part of the catalogue's life, in a process of its own; prints its figures."""
    sys.path.insert(0, str(ROOT))
    from copal.project import Project

    store = str(folder / "store")
    if name == "question":
        from copal.search.match import match
        from copal.search.question import Question

        films = len(json.loads((folder / "ids.json").read_text())) - 1
        dice = random.Random(5)
        took = []
        for _ in range(5):
            titles = tuple(f"film-{n:03}" for n in dice.sample(range(films), min(10, films)))
            started = time.perf_counter()
            answer = match(Project(ROOT, store), Question(titles=titles, fold=False))
            took.append(1000 * (time.perf_counter() - started))
            assert len(answer.cuts) == 10
        print(json.dumps({"query_ms": round(min(took), 1), "query_first_ms": round(took[0], 1)}))
        return
    from copal.fingerprint import pair_assets
    from copal.flow.worker import make_worker
    from copal.run import compute_cells

    project = Project(ROOT, store)
    ids = json.loads((folder / "ids.json").read_text())
    part = project.plan([_films.FEATURE]).feature(_films.FEATURE)
    new = ids[-1]
    cells = [cell for cell in part.cells if (new in pair_assets(cell.unit)) == (name == "one more")]
    started = time.perf_counter()
    worker = make_worker(project, [_films.FEATURE], {})
    tally = compute_cells(worker, part.feature, cells, "bench")
    seconds = time.perf_counter() - started
    assert tally.outcomes["stored"] == len(cells), tally
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "gib": peak, "blocks": len(cells)}))


def catalogue(real: Floats, films: int) -> tuple[dict[str, Any], list[list[object]]]:
    """All blocks of a catalogue, one film more, and a question."""
    with tempfile.TemporaryDirectory(prefix="copal-bench-") as name:
        folder = Path(name)
        counts = _films.sizes(films, CATALOGUE_SHOTS * films // FILMS)
        ids = _films.fill(str(folder / "store"), real, [*counts, sum(counts) // films])
        (folder / "ids.json").write_text(json.dumps(ids))
        found = {}
        for part in ("all", "one more", "question"):
            ran = subprocess.run(
                [sys.executable, __file__, "--phase", part, "--folder", name],
                check=True, stdout=subprocess.PIPE,
            )  # fmt: skip
            found[part] = json.loads(ran.stdout.splitlines()[-1])
    every, more = found["all"], found["one more"]
    figures = {
        "catalogue_seconds": number(every["seconds"], 1),
        "catalogue_gib": number(every["gib"]),
        "one_more_seconds": number(more["seconds"], 1),
        "one_more_share": number(more["seconds"] / every["seconds"], 3),
        **found["question"],
    }
    table = [
        [f"{films} films, {sum(counts):,} shots", f"{every['blocks']:,} blocks",
         f"{every['seconds']:.1f} s", f"{every['gib']:.2f} GiB"],
        ["one film more", f"{more['blocks']} blocks", f"{more['seconds']:.1f} s",
         f"{more['seconds'] / every['seconds']:.1%} of the catalogue"],
        ["a question about 10 of them", "", f"{figures['query_ms']:.0f} ms, from the open process"],
    ]  # fmt: skip
    return figures, table


def main() -> None:
    """Measure and print."""
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--films", type=int, default=FILMS, help="0 leaves the catalogue out")
    options.add_argument("--phase", help="all, one more, question: of a folder filled before")
    options.add_argument("--folder", type=Path)
    given = options.parse_args()
    if given.phase:
        phase(given.phase, given.folder)
        return
    real = _films.pictures()
    figures, table = kernel(real, given.rounds) if given.rounds else ({}, [])
    if given.films and real is not None:
        more, rows = catalogue(real, given.films)
        figures, table = figures | more, [*table, [], *rows]
    figures["gpu_seconds"] = None  # 2,000,000 × 512 on a GPU: not measured
    report(figures, given.json, table)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
