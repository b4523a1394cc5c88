"""An asset, its title and where its bytes are, as the catalogue knows them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from copal.fingerprint import AssetId, Json, TitleId


@dataclass(frozen=True, slots=True)
class Essence:
    """The digest of one stream's coded content and of what decoding it needs."""

    kind: str
    """``video``, ``audio``, ``image`` or ``text``."""
    digest: str
    """Versioned: ``ess1:`` and 32 hex digits."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One media file, known by its essence."""

    id: AssetId
    kind: str
    title: TitleId
    name: str
    """File name under which it was first seen; for people only."""
    show: str | None = None
    """The show that its title belongs to."""
    duration_seconds: float = 0.0
    """For people and for weighing work; never for arithmetic on frames."""
    essences: tuple[Essence, ...] = ()
    technical: Mapping[str, Json] = field(default_factory=dict)
    """What probing found; see ``copal.media.Technical``."""
    added_at: datetime | None = None
    """When it was first seen; None for one that came before Copal noted it."""
    superseded_by: AssetId | None = None
    """The asset that took its last place. What is stored of this one stays."""

    @property
    def short(self) -> str:
        """The first eight digits, as shown to people."""
        return self.id[:8]


@dataclass(frozen=True, slots=True)
class Title:
    """A work people know by name: a film, or one episode of a show."""

    id: TitleId
    name: str
    kind: str = "film"
    show: str | None = None
    season: int | None = None
    episode: int | None = None
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A locator, the asset whose bytes are there, and what they looked like when last read."""

    locator: str
    """``file:`` or ``s3:``."""
    asset: AssetId | None
    """None when the bytes there were refused; ``error`` says why."""
    bytes: int
    stamp: str
    """Changes when the bytes may have: modification time, or the object's ETag."""
    error: str | None = None
    gone_at: datetime | None = None
    """When nothing was found there any more; None while something is."""


def title_id(name: str) -> TitleId:
    """A title's name made safe for commands: ``Heist: S01E02`` → ``heist-s01e02``.

    Letters of any script stay, vowel signs too, so that no two alphabets fall together.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    kept = (c if c == "_" or unicodedata.category(c)[0] in "LMN" else "-" for c in folded)
    return TitleId(re.sub("-+", "-", "".join(kept)).strip("-_") or "untitled")
