"""A source: one asset's own file, as the features that start from it receive it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from copal.fingerprint import AssetId


@dataclass(frozen=True, slots=True)
class Source:
    """One asset and a local copy of its file. The file is hostile until it is encoded."""

    asset: AssetId
    path: Path
    """The whole file, on this machine."""
    name: str
    """What messages call the file: the name it was supplied under, without its folders."""
