"""What every test may ask for: snapshots of words."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

SNAPSHOTS = Path(__file__).parent / "unit" / "snapshots"
UPDATE = "COPAL_UPDATE_SNAPSHOTS"


@pytest.fixture
def snapshot() -> Callable[[str, str], None]:
    """Compare words with those kept under a name; COPAL_UPDATE_SNAPSHOTS=1 keeps the new ones."""

    def compare(name: str, text: str) -> None:
        path = SNAPSHOTS / f"{name}.txt"
        text = text.rstrip("\n") + "\n"
        if os.environ.get(UPDATE) == "1":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            pytest.fail(f"no snapshot {path.name}. {UPDATE}=1 writes it.", pytrace=False)
        kept = path.read_text(encoding="utf-8")
        if kept != text:
            lines = difflib.unified_diff(
                kept.splitlines(), text.splitlines(), f"kept: {name}", "now", lineterm=""
            )
            told = "\n".join(lines)
            pytest.fail(f"{told}\n{UPDATE}=1 accepts the new words.", pytrace=False)

    return compare
