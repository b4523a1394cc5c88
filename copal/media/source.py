"""A source: one asset's own file, as the features that start from it receive it."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    held: object = field(default=None, compare=False, repr=False)
    """What keeps a copy of a remote file where it is, for as long as the source is in use."""
