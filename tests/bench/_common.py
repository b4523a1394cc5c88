"""What benchmarks share: where footage is, how a command is timed, how a table is printed."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COPAL = [sys.executable, "-m", "copal"]


def parser(question: str) -> argparse.ArgumentParser:
    """Options of every benchmark."""
    found = argparse.ArgumentParser(description=question)
    found.add_argument("--json", action="store_true", help="print one JSON object")
    return found


def footage(name: str) -> Path | None:
    """A real clip, or None where the footage folder is not there."""
    folder = Path(os.environ.get("COPAL_FOOTAGE") or ROOT.parent / "shared" / "footage")
    path = folder / name
    return path if path.exists() else None


def timed(command: Sequence[str], **options: object) -> float:
    """Wall seconds of a command that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
    return time.perf_counter() - started


def timed_together(commands: Sequence[Sequence[str]], at_a_time: int) -> float:
    """Wall seconds of commands, so many at a time."""
    started = time.perf_counter()
    with ThreadPoolExecutor(at_a_time) as pool:
        for done in pool.map(lambda c: subprocess.run(c, capture_output=True), commands):
            done.check_returncode()
    return time.perf_counter() - started


def peak_gib() -> float:
    """Memory of the largest process among all that were waited for, theirs included."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def report(figures: dict[str, object], as_json: bool, table: Sequence[Sequence[object]]) -> None:
    """The figures as one object, or the table."""
    if as_json:
        print(json.dumps(figures))
        return
    rows = [[str(cell) for cell in row] for row in table]
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    for row in rows:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=False)).rstrip())


def number(value: float | None, digits: int = 2) -> float | None:
    """Rounded for print; None stays."""
    return None if value is None else round(value, digits)
