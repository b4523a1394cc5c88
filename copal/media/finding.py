"""A finding: one thing that quality control has to say of a source or of its encode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["note", "warn", "refuse"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, how bad it is, and how much of it there is."""

    code: str
    level: Level
    """``note``: worth knowing. ``warn``: the encode may not be what its source was meant to be.
    ``refuse``: there is no encode, and the message is why."""
    message: str
    measure: float | None = None
    """Where there is a number; its unit is the message's."""


def note(code: str, message: str, measure: float | None = None) -> Finding:
    """A finding worth knowing."""
    return Finding(code, "note", message, measure)


def warn(code: str, message: str, measure: float | None = None) -> Finding:
    """A finding that casts doubt on the encode."""
    return Finding(code, "warn", message, measure)


def refuse(code: str, message: str, measure: float | None = None) -> Finding:
    """A finding that refuses the asset."""
    return Finding(code, "refuse", message, measure)
