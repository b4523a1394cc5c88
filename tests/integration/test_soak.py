"""Eight processes on one store, killed at random: the short form of ``make soak``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parent.parent / "bench" / "soak.py"


def test_a_store_stays_whole_while_its_workers_are_killed(tmp_path: Path) -> None:
    """
    Publishing, compacting, collecting, snapshotting, promoting and reading at once: readers see
    no mix, no half value and no missing table, and the store is sound at the end.
    """
    ran = subprocess.run(
        [sys.executable, SOAK, "--seconds", "25", "--grace", "10", "--json",
         "--folder", tmp_path / "soak"],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(ran.stdout)
    assert found["reader_faults"] == 0
    assert found["store_faults"] == []
    assert found["kills"] >= 5
    for kind in ("values", "compacted", "snapshot", "promote", "read", "read snapshot"):
        assert found[kind] > 0, f"nothing was {kind}: {found}"
